-- The guest book reads its accounts, reads its entries and adds to them. Nothing else, from these two
-- machines only, and with a certificate. Running it again changes nothing.
REVOKE ALL PRIVILEGES, GRANT OPTION FROM guestbook@'192.168.57.13';
GRANT SELECT ON guestbook.account TO guestbook@'192.168.57.13';
GRANT SELECT, INSERT ON guestbook.entry TO guestbook@'192.168.57.13';
ALTER USER guestbook@'192.168.57.13' REQUIRE X509;
REVOKE ALL PRIVILEGES, GRANT OPTION FROM guestbook@'192.168.57.14';
GRANT SELECT ON guestbook.account TO guestbook@'192.168.57.14';
GRANT SELECT, INSERT ON guestbook.entry TO guestbook@'192.168.57.14';
ALTER USER guestbook@'192.168.57.14' REQUIRE X509;
-- what an installation may have left behind
DROP USER IF EXISTS ''@'localhost', ''@'web1', root@'web1';
DROP DATABASE IF EXISTS test;
