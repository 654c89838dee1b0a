<?php
// What the pages of the guest book share.
declare(strict_types=1);

const GREETER = 'http://127.0.0.1:8080/';

/** Text as it may stand in HTML. */
function escape(string $text): string
{
    return htmlspecialchars($text, ENT_QUOTES | ENT_SUBSTITUTE);
}

/** Status and body of the application server's answer; status 0: none within $patience seconds. */
function greeter(float $patience): array
{
    $context = stream_context_create(['http' => ['timeout' => $patience, 'ignore_errors' => true]]);
    $body = @file_get_contents(GREETER, false, $context);
    if ($body === false || !isset($http_response_header)) {
        return [0, ''];
    }
    return [(int) explode(' ', $http_response_header[0])[1], $body];
}

/** The line that a sound application server answers with. */
function greeting(): string
{
    return '<p>This page was served by <strong>' . gethostname() . "</strong>.</p>\n";
}

/** An open connection. Throws mysqli_sql_exception, after a second where nobody answers. */
function database(): mysqli
{
    mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
    $at = parse_ini_file('/etc/guestbook/database.ini');
    $link = mysqli_init();
    // a handshake over TLS counts, too
    $link->options(MYSQLI_OPT_CONNECT_TIMEOUT, isset($at['authority']) ? 2 : 1);
    $link->options(MYSQLI_OPT_READ_TIMEOUT, 2);
    $flags = 0;
    if (isset($at['authority'])) { // both sides show who they are, and nobody reads along
        $link->ssl_set($at['key'], $at['certificate'], $at['authority'], null, null);
        $flags = MYSQLI_CLIENT_SSL;
    }
    $link->real_connect($at['host'], $at['user'], $at['password'], $at['name'], flags: $flags);
    $link->set_charset('utf8mb4');
    return $link;
}

/** The visitor's session, found again on whichever server comes next. */
function open_session(): void
{
    session_name('guestbook');
    @session_start(['cookie_httponly' => true, 'cookie_samesite' => 'Strict', 'use_strict_mode' => true]);
    $_SESSION['visits'] = ($_SESSION['visits'] ?? 0) + 1;
}

/** The page around $content. */
function page(string $content): void
{
    echo "<!doctype html>\n<html lang=\"en\">\n",
        "<head><meta charset=\"utf-8\"><title>Guest book</title></head>\n",
        "<body>\n<h1>Guest book</h1>\n$content</body>\n</html>\n";
}
