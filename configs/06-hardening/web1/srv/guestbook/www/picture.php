<?php
// A picture from a guest. It is looked at, and not kept: what is not there cannot be run later.
declare(strict_types=1);
require '/srv/guestbook/lib.php';

$file = $_FILES['picture'] ?? null;
$said = '';
if ($file !== null) {
    // by what is in it: what it is called, and what it says it is, the visitor has chosen
    $size = $file['error'] === UPLOAD_ERR_OK ? @getimagesize($file['tmp_name']) : false;
    if ($size === false) {
        http_response_code(415);
    }
    $said = $size === false ? "<p>That is no picture.</p>\n"
        : "<p>A picture of {$size[0]} by {$size[1]} points. Thank you!</p>\n";
}
page($said . '<form method="post" enctype="multipart/form-data"><input type="file" name="picture">'
    . "<button>Show it</button></form>\n");
