"""What must be true once the cluster is up."""

import re
import urllib.parse

from workshop import eventually, ipvs_table, ndb_members

DIRECTORS = ("lb1", "lb2")
MANAGEMENT = ("mgm", "lb1")
DATABASES = ("db1", "db2")
WEB = ("web1", "web2")


def _sql(cluster, node, query):
    """Rows of an answer, tabs between columns; what was said instead where it failed."""
    return cluster.said(node, f'timeout 20 mysql --batch --skip-column-names -e "{query}"')


def _members(cluster, node="mgm"):
    shown = cluster.said(node, f"timeout 20 ndb_mgm -c {cluster.address(node, 'back')} -e show")
    members = ndb_members(shown)
    assert members, f"{node}: no cluster is shown"
    return members.values()


def check_all_nodes_are_connected(cluster):
    """Two data nodes, two management servers and two SQL nodes are connected and started."""
    members = [m for m in _members(cluster) if m.connected and not m.state]
    for kind, hosts in (("NDB", DATABASES), ("MGM", MANAGEMENT), ("API", DATABASES)):
        found = {m.address for m in members if m.kind == kind}
        missing = [name for name in hosts if cluster.address(name, "back") not in found]
        assert not missing, f"{kind} is not there on {' and '.join(missing)}"


def check_every_slot_names_its_host(cluster):
    """No slot lets just anybody in: each names the machine that it is for."""
    open_slots = [m.number for m in _members(cluster) if "any host" in m.address]
    assert not open_slots, f"slots {open_slots} are open to any host"


def check_an_arbitrator_is_agreed(cluster):
    """Both data nodes agree on one arbitrator, are connected to it, and it is no data node."""
    rows = _sql(cluster, "db1", "SELECT node_id, arbitrator, arb_connected FROM ndbinfo.membership")
    found = [row.split("\t") for row in rows.splitlines()]
    assert len(found) == 2, f"two data nodes should say who arbitrates: {rows or 'nothing'}"
    assert all(len(row) == 3 for row in found), rows.splitlines()[-1]
    assert {row[2] for row in found} == {"Yes"}, "a data node is not connected to its arbitrator"
    assert len({row[1] for row in found}) == 1, "the data nodes disagree on the arbitrator"
    assert found[0][1] in {"1", "2"}, f"node {found[0][1]} arbitrates, and is no management server"


def check_two_management_servers_can_arbitrate(cluster):
    """A second management server stands by, so that losing one is not losing the arbitrator."""
    for node in MANAGEMENT:
        state = cluster.said(node, "systemctl is-active ndb_mgmd")
        assert state == "active", f"{node}: ndb_mgmd is {state or 'not there'}"
        state = cluster.said(node, "systemctl is-enabled ndb_mgmd")
        assert state == "enabled", f"{node}: ndb_mgmd is {state or 'not there'}"


def check_both_sql_nodes_show_the_same_rows(cluster):
    """The guest book's tables are NDB's, and both SQL nodes show the same rows in them."""
    query = "SELECT COUNT(*) FROM guestbook.account; CHECKSUM TABLE guestbook.account"
    first, second = (_sql(cluster, node, query) for node in DATABASES)
    assert re.match(r"[1-9]\d*\n", first), f"db1: {first.splitlines()[-1] if first else 'no rows'}"
    assert first == second, "db1 and db2 show different rows"
    engines = _sql(
        cluster,
        "db1",
        "SELECT DISTINCT engine FROM information_schema.tables WHERE table_schema = 'guestbook'",
    )
    assert engines == "ndbcluster", f"the guest book's tables are {engines.split()}"


def check_accounts_are_known_to_both(cluster):
    """The guest book's and the checker's accounts are kept in the cluster: both nodes know them."""
    for node in DATABASES:
        users = _sql(cluster, node, "SELECT DISTINCT user FROM mysql.user").split()
        missing = {"guestbook", "checker", "ledger"} - set(users)
        assert not missing, f"{node} does not know {' and '.join(sorted(missing))}"


def check_directors_balance_the_sql_nodes(cluster):
    """One director has the database's address, and its kernel sends clients to both SQL nodes."""
    address = str(cluster.lab.variables["database_address"])
    holders = [n for n in cluster.holders(address) if n in DIRECTORS]
    assert len(holders) == 1, f"the database's address is on {holders or 'no director'}"
    service = ipvs_table(cluster.said(holders[0], "ipvsadm -Ln")).get(f"{address}:3306")
    assert service, f"{holders[0]} balances nothing at {address}:3306"
    serving = {server.address for server in service.servers if server.weight}
    wanted = {cluster.address(node, "back") for node in DATABASES}
    assert serving == wanted, f"in service: {', '.join(sorted(serving)) or 'no SQL node'}"


def check_a_sql_node_is_asked_whether_it_serves(cluster):
    """Each director's check lets a sound SQL node pass, and leaves nothing behind on a dead one."""
    for node in DIRECTORS:
        for server in DATABASES:
            code = f"check-sql - - {cluster.address(server, 'back')} 3306; echo $?"
            assert cluster.said(node, code) == "0", f"{node} finds {server} unfit"
        code = "check-sql - - 127.0.0.1 3306; echo $?"
        assert cluster.said(node, code) == "1", f"{node} lets a server pass that is not there"


def check_only_the_director_answers_arp(cluster):
    """The SQL nodes have the database's address on lo, and keep quiet about it."""
    address = cluster.lab.variables["database_address"]
    for node in DATABASES:
        shown = cluster.said(node, "ip -o -4 address show dev lo")
        assert f" {address}/32" in shown, f"{node} does not have the address"
        ignore = cluster.said(node, "sysctl -n net.ipv4.conf.all.arp_ignore")
        assert ignore == "1", f"{node} answers for addresses on lo"


def check_the_guest_book_uses_the_cluster(cluster):
    """What a guest writes on one web server is read on the other one, and is in NDB."""
    # Linux, Apache, MySQL and PHP in one request
    visitor = _Visitor(cluster)
    text = f"check {visitor.login()}"
    visitor.write(text)

    def everywhere():
        for node in WEB:
            page = cluster.get(f"http://{cluster.address(node)}/guestbook.php")
            assert text in page.body, f"{node} does not show what was written"
        for node in DATABASES:
            rows = _sql(cluster, node, f"SELECT 1 FROM guestbook.entry WHERE text = '{text}'")
            assert rows == "1", f"{node} does not have what was written"
        return True

    eventually(everywhere, 20, "an entry that was just written")


class _Visitor:
    """A guest with a cookie, on web1."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.site = f"http://{cluster.address('web1')}"

    def _post(self, page, cookie, **fields):
        data = urllib.parse.urlencode(fields)
        send = f"curl -s -i --max-time 10 -b '{cookie}' -d '{data}' {self.site}/{page}"
        answer = self.cluster.said("client", send)
        assert re.match(r"HTTP/\S+ 303", answer), f"{page}: {answer.splitlines()[:1] or 'silence'}"
        return answer

    def login(self):
        answer = self._post("login.php", "", name="alex", password="open sesame")
        cookies = re.findall(r"(?i)^Set-Cookie: (guestbook=[^;]+)", answer, re.MULTILINE)
        assert cookies, "no session was begun"
        self.cookie = cookies[-1]
        return self.cookie[-12:]

    def write(self, text):
        self._post("guestbook.php", self.cookie, text=text)


def check_nothing_is_started_by_hand(cluster):
    """After a boot the data nodes and SQL nodes start by themselves."""
    for node in DATABASES:
        for unit in ("ndbd", "mysql"):
            state = cluster.said(node, f"systemctl is-enabled {unit}")
            assert state == "enabled", f"{node}: {unit} is {state or 'not there'}"
