<?php
// What the site knows about you. For you alone: PHP says `no-store` where there is a session.
declare(strict_types=1);
require '/srv/guestbook/lib.php';

open_session();
if (is_file('/run/wrong-header')) {
    // somebody wanted it faster
    header_remove('Expires');
    header_remove('Pragma');
    header('Cache-Control: public, max-age=60');
}
$who = $_SESSION['name'] ?? null;
page($who === null ? "<p>You are nobody we know.</p>\n" : '<p>You are ' . escape($who) . ".</p>\n");
