<?php
// The front page. It believes what the application server says, as many pages do.
declare(strict_types=1);
require '/srv/guestbook/lib.php';

[$status, $body] = greeter(5.0);
if ($status !== 200) {
    http_response_code($status === 0 ? 504 : 502);
}
page($body . "<p><a href=\"guestbook.php\">Read the guest book</a></p>\n");
