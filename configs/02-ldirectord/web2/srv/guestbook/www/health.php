<?php
// What ldirectord reads. Only what this server has to itself counts against it: taking a
// server out for what all of them share would take all of them out.
declare(strict_types=1);
require '/srv/guestbook/lib.php';

$own = [
    'application' => greeter(1.0) === [200, greeting()],
    'disk' => @file_put_contents(sys_get_temp_dir() . '/health', 'written') === 7,
];
try {
    $shared = database()->query('SELECT 1') ? 'answers' : 'away';
} catch (mysqli_sql_exception) {
    $shared = 'away';
}

header('Content-Type: text/plain');
$sound = !in_array(false, $own, true);
http_response_code($sound ? 200 : 503);
echo $sound ? 'OK ' : 'FAILED ', gethostname(), "\n";
foreach ($own as $name => $good) {
    echo "$name: ", $good ? 'good' : 'bad', "\n";
}
echo "database: $shared (shared, does not count)\n";
