"""What must be true once two servers copy each other."""

import re
import uuid

from workshop import eventually, ipvs_table

DIRECTORS = ("lb1", "lb2")
DATABASES = ("db1", "db2")
WEB = ("web1", "web2")
# the other server, asked with the right password
WITHOUT_TLS = r"""
read_from() { sed -n "s/^$1 = \"\?\([^\"]*\).*/\1/p" /etc/mysql/peer.cnf; }
MYSQL_PWD=$(read_from password) timeout 20 mariadb --skip-ssl --user=replicator \
    --host="$(read_from host)" --execute='SELECT 1' 2>&1
"""
WRITER = "/etc/ha.d/resource.d/database-writer"


def _sql(cluster, node, query):
    """Rows of an answer, tabs between columns; what was said instead where it failed."""
    return cluster.said(node, f'timeout 20 mariadb --batch --skip-column-names -e "{query}"')


def _writer(cluster):
    """The node that has the writer's address."""
    address = str(cluster.lab.variables["writer_address"])
    holders = [node for node in cluster.holders(address) if node in DATABASES]
    assert len(holders) == 1, f"the writer's address is on {' and '.join(holders) or 'no node'}"
    return holders[0]


def _replica(cluster):
    writer = _writer(cluster)
    return next(node for node in DATABASES if node != writer)


def _replication(cluster, node):
    """SHOW SLAVE STATUS by field."""
    shown = cluster.said(node, "timeout 20 mariadb -e 'SHOW SLAVE STATUS\\G'")
    return dict(re.findall(r"^ *(\w+): (.*)$", shown, re.MULTILINE))


def check_one_server_is_the_writer(cluster):
    """Exactly one server may be written to, and it is the one with the writer's address."""
    writer = _writer(cluster)
    for node in DATABASES:
        shown = _sql(cluster, node, "SELECT @@read_only")
        wanted = "0" if node == writer else "1"
        assert shown == wanted, f"{node}: read_only is {shown or 'not to be had'}"


def check_status_tells_the_truth(cluster):
    """heartbeat's resource says "running" on the writer, and nowhere else."""
    writer = _writer(cluster)
    for node in DATABASES:
        said = cluster.said(node, f"{WRITER} status")
        assert said.startswith("running") == (node == writer), f"{node}: {said}"


def check_the_replica_follows(cluster):
    """The replica hears the writer and applies what it hears."""
    replica = _replica(cluster)

    def follows():
        status = _replication(cluster, replica)
        for thread in ("Slave_IO_Running", "Slave_SQL_Running"):
            error = status.get("Last_IO_Error") or status.get("Last_SQL_Error") or ""
            assert status.get(thread) == "Yes", f"{replica}: {thread} is not Yes. {error}"
        return True

    eventually(follows, 15, "a replica that follows")


def check_replication_is_encrypted(cluster):
    """Replication runs over TLS, with a server whose certificate is known; without TLS the
    account is refused."""
    for node in DATABASES:
        status = _replication(cluster, node)
        for field in ("Master_SSL_Allowed", "Master_SSL_Verify_Server_Cert"):
            assert status.get(field) == "Yes", f"{node}: {field} is {status.get(field)}"
        said = cluster.said(node, WITHOUT_TLS)
        assert "ERROR 1045" in said, f"{node} gets in without TLS: {said or 'no answer'}"


def check_a_replica_takes_no_writes(cluster):
    """The guest book's account cannot write to the replica, and cannot make it writable."""
    replica = _replica(cluster)
    client = "timeout 20 mariadb --defaults-extra-file=/etc/guestbook/client.cnf"
    for query, code in (
        ("INSERT INTO ledger (operation) VALUES ('stray')", "ERROR 1290"),
        ("SET GLOBAL read_only = OFF", "ERROR 1227"),
    ):
        asked = f'{client} --host={cluster.address(replica, "back")} -e "{query}" 2>&1'
        said = cluster.said("web1", asked)
        assert code in said, f"{replica} answers to {query}: {said or 'nothing at all'}"


def check_commits_wait_for_the_replica(cluster):
    """The writer waits for its replica's word before a commit is seen: semi-synchronous, with a
    replica there, and not fallen back."""
    query = (
        "SHOW GLOBAL STATUS WHERE Variable_name IN"
        " ('Rpl_semi_sync_master_status', 'Rpl_semi_sync_master_clients')"
    )
    writer = _writer(cluster)

    def waits():
        shown = dict(re.findall(r"^(\w+)\t(.*)$", _sql(cluster, writer, query), re.MULTILINE))
        assert shown.get("Rpl_semi_sync_master_status") == "ON", f"{writer}: fallen back"
        # ON with nobody there is no promise
        assert shown.get("Rpl_semi_sync_master_clients") == "1", f"{writer}: nobody to wait for"
        return True

    eventually(waits, 15, "semi-synchronous replication")
    point = _sql(cluster, writer, "SELECT @@rpl_semi_sync_master_wait_point")
    assert point == "AFTER_SYNC", f"{writer} waits {point}"


def check_both_have_the_same_rows(cluster):
    """Compared chunk by chunk, both servers have the same rows in all of the guest book's
    tables."""
    replica = _replica(cluster)

    def same():
        for table, key in (("entry", "id"), ("ledger", "id")):
            said = cluster.said(replica, f"compare-chunks guestbook.{table} {key}")
            assert "0 differ" in said, said.splitlines()[0] if said else f"{table}: no answer"
        return True

    eventually(same, 15, "equal chunks")
    sums = {_sql(cluster, n, "CHECKSUM TABLE guestbook.account EXTENDED") for n in DATABASES}
    assert len(sums) == 1, "db1 and db2 show different accounts"


def check_numbers_do_not_meet(cluster):
    """Numbers that a table makes up are odd on one server and even on the other one."""
    query = "SELECT @@auto_increment_increment, @@auto_increment_offset"
    found = {node: _sql(cluster, node, query) for node in DATABASES}
    assert found == {"db1": "2\t1", "db2": "2\t2"}, f"increment and offset: {found}"


def check_a_start_is_that_of_a_replica(cluster):
    """Whatever starts mariadbd, a boot or a crash, starts a replica; heartbeat alone promotes."""
    for node in DATABASES:
        shown = cluster.said(node, "mariadbd --print-defaults")
        for option in ("--read-only=ON", "--init-rpl-role=SLAVE", "--skip-slave-start"):
            assert option in shown, f"{node}: mariadbd is not told {option}"
        shown = cluster.said(node, "systemctl show -p ExecStartPost --value mariadb")
        assert f"{WRITER} follow" in shown, f"{node}: nothing makes it follow"
        for unit in ("mariadb", "heartbeat"):
            state = cluster.said(node, f"systemctl is-enabled {unit}")
            assert state == "enabled", f"{node}: {unit} is {state or 'not there'}"


def check_the_writer_is_watched(cluster):
    """What heartbeat does not look at is looked at, now and after a boot."""
    for node in DATABASES:
        state = cluster.said(node, "systemctl is-active writer-watch")
        assert state == "active", f"{node}: writer-watch is {state or 'not there'}"
        state = cluster.said(node, "systemctl is-enabled writer-watch")
        assert state == "enabled", f"{node}: writer-watch is {state or 'not there'}"


def check_directors_balance_both(cluster):
    """One director has the balanced address, and its kernel sends clients to both servers."""
    address = str(cluster.lab.variables["balanced_address"])
    holders = [node for node in cluster.holders(address) if node in DIRECTORS]
    assert len(holders) == 1, f"the balanced address is on {holders or 'no director'}"
    service = ipvs_table(cluster.said(holders[0], "ipvsadm -Ln")).get(f"{address}:3306")
    assert service, f"{holders[0]} balances nothing at {address}:3306"
    serving = {server.address for server in service.servers if server.weight}
    wanted = {cluster.address(node, "back") for node in DATABASES}
    assert serving == wanted, f"in service: {', '.join(sorted(serving)) or 'no server'}"


def check_a_replica_is_asked_whether_it_follows(cluster):
    """Each director's check lets sound servers pass, and one that is not there fail."""
    for node in DIRECTORS:
        for server in DATABASES:
            code = f"check-replica - - {cluster.address(server, 'back')} 3306; echo $?"
            assert cluster.said(node, code) == "0", f"{node} finds {server} unfit"
        code = "check-replica - - 127.0.0.1 3306; echo $?"
        assert cluster.said(node, code) == "1", f"{node} lets a server pass that is not there"


def check_only_the_director_answers_arp(cluster):
    """The databases have the balanced address on lo, and keep quiet about it."""
    address = cluster.lab.variables["balanced_address"]
    for node in DATABASES:
        shown = cluster.said(node, "ip -o -4 address show dev lo")
        assert f" {address}/32" in shown, f"{node} does not have the address"
        ignore = cluster.said(node, "sysctl -n net.ipv4.conf.all.arp_ignore")
        assert ignore == "1", f"{node} answers for addresses on lo"


def check_the_guest_book_writes_to_both(cluster):
    """What a web server writes through the writer's address is on both servers."""
    text = f"check-{uuid.uuid4().hex[:12]}"
    address = cluster.lab.variables["writer_address"]
    for node in WEB:
        shown = cluster.said(node, "sed -n 's/^host = //p' /etc/guestbook/database.ini")
        assert shown == address, f"{node}: the guest book's database is {shown or 'nowhere'}"
        answer = cluster.get(f"http://{cluster.address(node)}/guestbook.php")
        assert answer.status == 200, f"{node}: the guest book answers with {answer.status}"
    client = f"timeout 20 mariadb --defaults-extra-file=/etc/guestbook/client.cnf --host={address}"
    said = cluster.said("web1", f"{client} -e \"INSERT INTO ledger (operation) VALUES ('{text}')\"")
    assert not said, said

    def everywhere():
        for node in DATABASES:
            rows = _sql(cluster, node, f"SELECT 1 FROM guestbook.ledger WHERE operation = '{text}'")
            assert rows == "1", f"{node} does not have what was written"
        return True

    eventually(everywhere, 15, "a row that was just written")
