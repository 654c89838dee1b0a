-- Who may come. Each server has its own accounts: none of this goes into the binary log.
SET sql_log_bin = 0;
-- the other server: over TLS only, from its own address only
CREATE USER IF NOT EXISTS replicator@'192.168.57.21';
ALTER USER replicator@'192.168.57.21' IDENTIFIED BY '@@SET-REPLICATION@@' REQUIRE SSL;
GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO replicator@'192.168.57.21';
-- and it may copy the guest book
GRANT SELECT, SHOW VIEW, TRIGGER ON guestbook.* TO replicator@'192.168.57.21';
-- the other server: over TLS only, from its own address only
CREATE USER IF NOT EXISTS replicator@'192.168.57.22';
ALTER USER replicator@'192.168.57.22' IDENTIFIED BY '@@SET-REPLICATION@@' REQUIRE SSL;
GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO replicator@'192.168.57.22';
-- and it may copy the guest book
GRANT SELECT, SHOW VIEW, TRIGGER ON guestbook.* TO replicator@'192.168.57.22';
-- READ_ONLY ADMIN is not among these: a replica refuses what the guest book writes
CREATE USER IF NOT EXISTS guestbook@'192.168.57.13';
ALTER USER guestbook@'192.168.57.13' IDENTIFIED BY '@@SET-GUESTBOOK-DATABASE@@';
GRANT SELECT, INSERT, UPDATE, DELETE ON guestbook.* TO guestbook@'192.168.57.13';
-- READ_ONLY ADMIN is not among these: a replica refuses what the guest book writes
CREATE USER IF NOT EXISTS guestbook@'192.168.57.14';
ALTER USER guestbook@'192.168.57.14' IDENTIFIED BY '@@SET-GUESTBOOK-DATABASE@@';
GRANT SELECT, INSERT, UPDATE, DELETE ON guestbook.* TO guestbook@'192.168.57.14';
CREATE USER IF NOT EXISTS ledger@'192.168.57.1';
ALTER USER ledger@'192.168.57.1' IDENTIFIED BY '@@SET-LEDGER-DATABASE@@'
    -- half of all places: writes that hang must not keep readers out
    WITH MAX_USER_CONNECTIONS 30;
GRANT SELECT, INSERT, UPDATE ON guestbook.* TO ledger@'192.168.57.1';
-- ldirectord asks how replication is, and reads no row
CREATE USER IF NOT EXISTS checker@'192.168.57.11';
ALTER USER checker@'192.168.57.11' IDENTIFIED BY '@@SET-CHECKER-DATABASE@@';
GRANT SLAVE MONITOR ON *.* TO checker@'192.168.57.11';
-- ldirectord asks how replication is, and reads no row
CREATE USER IF NOT EXISTS checker@'192.168.57.12';
ALTER USER checker@'192.168.57.12' IDENTIFIED BY '@@SET-CHECKER-DATABASE@@';
GRANT SLAVE MONITOR ON *.* TO checker@'192.168.57.12';
