-- The guest book's tables; running it again changes nothing.
CREATE DATABASE IF NOT EXISTS guestbook CHARACTER SET utf8mb4;
CREATE TABLE IF NOT EXISTS guestbook.account (
    name VARCHAR(40) PRIMARY KEY,
    password_hash VARCHAR(255) NOT NULL
);
CREATE TABLE IF NOT EXISTS guestbook.entry (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    author VARCHAR(40) NOT NULL,
    text VARCHAR(500) NOT NULL,
    server VARCHAR(20) NOT NULL,
    written TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
);
-- what the experiments write, and count afterwards: each operation once, or they say so
CREATE TABLE IF NOT EXISTS guestbook.ledger (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    operation VARCHAR(40) NOT NULL,
    KEY (operation)
);
CREATE TABLE IF NOT EXISTS guestbook.counter (
    id INT PRIMARY KEY,
    n BIGINT NOT NULL
);
INSERT IGNORE INTO guestbook.counter VALUES (1, 0);
