<?php
// The news: the same for everybody, and slow to make. What a cache is for.
declare(strict_types=1);
require '/srv/guestbook/lib.php';

$brief = isset($_GET['brief']); // for the checks: good for a second, and it can be made to fail
if ($brief && is_file('/run/brief-fails')) {
    http_response_code(503);
    page("<p>No news at all.</p>\n");
    exit;
}
$fresh = $brief ? 1 : 10;
$strict = isset($_GET['strict']) ? ', must-revalidate' : '';
header("Cache-Control: public, max-age=$fresh$strict");
if (isset($_GET['cookie'])) {
    setcookie('seen', 'yes'); // a careless statistics script, say
}
usleep(300_000); // a few hundred queries
// Many frameworks believe this header. It is what the section on poisoning is about.
$host = $_SERVER['HTTP_X_FORWARDED_HOST'] ?? $_SERVER['HTTP_HOST'] ?? '';
page('<p>No news, says <strong>' . gethostname() . '</strong>, for the '
    . random_int(100_000, 999_999) . "th time.</p>\n"
    . '<p><a href="http://' . escape($host) . "/login.php\">Log in</a></p>\n");
