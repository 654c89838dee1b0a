-- Whom to follow, and as whom: over TLS, and only if it is the server whose certificate we have.
CHANGE MASTER TO
    MASTER_HOST = '192.168.57.22',
    MASTER_USER = 'replicator',
    MASTER_PASSWORD = '@@SET-REPLICATION@@',
    MASTER_SSL = 1,
    MASTER_SSL_CA = '/etc/mysql/peer.pem',
    MASTER_SSL_VERIFY_SERVER_CERT = 1,
    MASTER_CONNECT_RETRY = 2,
    MASTER_USE_GTID = slave_pos,
    MASTER_DEMOTE_TO_SLAVE = 1;
START SLAVE;
