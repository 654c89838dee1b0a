<?php
// What guests wrote, and, for those who logged in, a form to write more.
declare(strict_types=1);
require '/srv/guestbook/lib.php';

open_session();
$who = $_SESSION['name'] ?? null;
$here = '<p>Visit ' . $_SESSION['visits'] . ', on <strong>' . gethostname() . '</strong>, '
    . ($who === null ? '<a href="login.php">not logged in</a>' : 'as ' . escape($who)) . ".</p>\n";
try {
    $database = database();
    if ($_SERVER['REQUEST_METHOD'] === 'POST') {
        if ($who === null) {
            http_response_code(403);
            page($here . "<p>Only guests who logged in may write.</p>\n");
            exit;
        }
        $text = (string) preg_replace('/^(.{0,500}).*$/su', '$1', trim((string) ($_POST['text'] ?? '')));
        $database->prepare('INSERT INTO entry (author, text, server) VALUES (?, ?, ?)')
            ->execute([$who, $text, gethostname()]);
        header('Location: guestbook.php', true, 303);
        exit;
    }
    $entries = $database->query('SELECT id, author, text, server FROM entry ORDER BY id DESC LIMIT 20');
    $list = '';
    foreach ($entries as $entry) {
        $list .= "<li>{$entry['id']}: " . escape($entry['text']) . ' (' . escape($entry['author'])
            . ', through ' . escape($entry['server']) . ")</li>\n";
    }
} catch (mysqli_sql_exception) {
    http_response_code(503);
    page($here . "<p>The guest book is closed: its database does not answer.</p>\n");
    exit;
}
$form = '<form method="post"><input name="text" maxlength="500"><button>Write</button></form>' . "\n";
page($here . ($who === null ? '' : $form) . "<ul>\n$list</ul>\n");
