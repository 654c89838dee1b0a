<?php
// Name and password, checked once and remembered in the session.
declare(strict_types=1);
require '/srv/guestbook/lib.php';

open_session();
$wrong = '';
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    try {
        $database = database();
        $statement = $database->prepare('SELECT password_hash FROM account WHERE name = ?');
        $statement->execute([(string) ($_POST['name'] ?? '')]);
        $hash = $statement->get_result()->fetch_row()[0] ?? '';
    } catch (mysqli_sql_exception) {
        http_response_code(503);
        page("<p>Nobody can log in: the database does not answer.</p>\n");
        exit;
    }
    if (password_verify((string) ($_POST['password'] ?? ''), $hash)) {
        session_regenerate_id(true);
        $_SESSION['name'] = (string) $_POST['name'];
        header('Location: guestbook.php', true, 303);
        exit;
    }
    http_response_code(403);
    $wrong = "<p>That is not the password.</p>\n";
}
page($wrong . '<form method="post"><input name="name"><input name="password" type="password">'
    . "<button>Log in</button></form>\n");
