-- The guest book in NDB, and who may use it; running it again changes nothing.
CREATE DATABASE IF NOT EXISTS guestbook CHARACTER SET utf8mb4;
CREATE TABLE IF NOT EXISTS guestbook.account (
    name VARCHAR(40) PRIMARY KEY,
    password_hash VARCHAR(255) NOT NULL
) ENGINE=NDB;
CREATE TABLE IF NOT EXISTS guestbook.entry (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    author VARCHAR(40) NOT NULL,
    text VARCHAR(500) NOT NULL,
    server VARCHAR(20) NOT NULL,
    written TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
) ENGINE=NDB;
-- what the experiments write, and count afterwards: each operation once, or they say so
CREATE TABLE IF NOT EXISTS guestbook.ledger (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    operation VARCHAR(40) NOT NULL,
    KEY (operation)
) ENGINE=NDB;

-- NDB_STORED_USER: the account is kept in the cluster, and known to every SQL node
CREATE USER IF NOT EXISTS guestbook@'192.168.57.13';
ALTER USER guestbook@'192.168.57.13' IDENTIFIED BY '@@SET-GUESTBOOK-DATABASE@@';
GRANT SELECT, INSERT, UPDATE, DELETE ON guestbook.* TO guestbook@'192.168.57.13';
GRANT NDB_STORED_USER ON *.* TO guestbook@'192.168.57.13';
CREATE USER IF NOT EXISTS guestbook@'192.168.57.14';
ALTER USER guestbook@'192.168.57.14' IDENTIFIED BY '@@SET-GUESTBOOK-DATABASE@@';
GRANT SELECT, INSERT, UPDATE, DELETE ON guestbook.* TO guestbook@'192.168.57.14';
GRANT NDB_STORED_USER ON *.* TO guestbook@'192.168.57.14';
CREATE USER IF NOT EXISTS ledger@'192.168.57.1';
ALTER USER ledger@'192.168.57.1' IDENTIFIED BY '@@SET-LEDGER-DATABASE@@';
GRANT INSERT ON guestbook.ledger TO ledger@'192.168.57.1';
GRANT NDB_STORED_USER ON *.* TO ledger@'192.168.57.1';
-- ldirectord's account may log in, and nothing else
CREATE USER IF NOT EXISTS checker@'192.168.57.11';
ALTER USER checker@'192.168.57.11' IDENTIFIED BY '@@SET-CHECKER-DATABASE@@';
GRANT NDB_STORED_USER ON *.* TO checker@'192.168.57.11';
CREATE USER IF NOT EXISTS checker@'192.168.57.12';
ALTER USER checker@'192.168.57.12' IDENTIFIED BY '@@SET-CHECKER-DATABASE@@';
GRANT NDB_STORED_USER ON *.* TO checker@'192.168.57.12';
