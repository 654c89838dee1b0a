"""What must be true once the web farm is up."""

import re

from workshop import eventually, ipvs_table

DIRECTORS = ("lb1", "lb2")
SERVERS = ("web1", "web2")


def _in_service(cluster, node):
    """The servers that the node's kernel sends visitors to."""
    table = ipvs_table(cluster.said(node, "ipvsadm -Ln"))
    service = table.get(f"{cluster.lab.file.address}:80")
    assert service, f"{node} balances nothing at {cluster.lab.file.address}:80"
    return {server.address for server in service.servers if server.weight}


def _server(cluster, node, page):
    return cluster.get(f"http://{cluster.address(node)}/{page}")


def check_both_servers_serve(cluster):
    """Visitors of the site's address are served by both web servers."""

    def everybody():
        bodies = [cluster.get(cluster.url).body for _ in range(4)]
        served = {m[1] for b in bodies if (m := re.search(cluster.lab.file.says, b))}
        assert served == set(SERVERS), f"served by {' and '.join(sorted(served)) or 'nobody'}"
        return True

    eventually(everybody, 20, "pages from both servers")


def check_one_director_balances(cluster):
    """Exactly one director has the address, and its kernel sends visitors to both servers."""
    serving = _in_service(cluster, cluster.one_holder())
    wanted = {cluster.address(node) for node in SERVERS}
    assert serving == wanted, f"in service: {', '.join(sorted(serving)) or 'no server'}"


def check_servers_are_asked_for_their_health(cluster):
    """The director reads each server's health page: it asked again a moment ago."""
    count = "grep -c 'GET /health.php' /var/log/apache2/access.log"
    before = cluster.everywhere(count, list(SERVERS))

    def asked():
        now = cluster.everywhere(count, list(SERVERS))
        silent = [n for n in SERVERS if int(now[n] or 0) <= int(before[n] or 0)]
        assert not silent, f"nobody asks {' and '.join(silent)}"
        return True

    eventually(asked, 12, "a question for each server's health")


def check_servers_are_well(cluster):
    """Each web server's health page says OK, and that it is that server's."""
    for node in SERVERS:
        answer = _server(cluster, node, "health.php")
        first = answer.body.partition("\n")[0]
        assert (answer.status, first) == (200, f"OK {node}"), f"{node}: {answer.status} {first}"


def check_only_the_director_answers_arp(cluster):
    """Of all machines that have the address, one says so."""
    holder = cluster.one_holder()
    other = next(node for node in DIRECTORS if node != holder)
    command = f"arping -b -c 2 -w 4 -I eth1 {cluster.lab.file.address}"
    found = set(re.findall(r"\[([0-9A-F:]{17})\]", cluster.said(other, command)))
    assert len(found) == 1, f"{len(found)} machines answer for the address"
    for node in SERVERS:
        shown = cluster.said(node, "ip -o -4 address show dev lo")
        assert f" {cluster.lab.file.address}/32" in shown, f"{node} does not have the address"


def check_the_fallback_page_is_ready(cluster):
    """Each director has a page for when nobody can serve, and it says so with status 503."""
    for node in DIRECTORS:
        answer = _server(cluster, node, "whatever")
        assert answer.status == 503, f"{node} answers with status {answer.status}"
        assert f"<strong>{node}<" in answer.body, f"{node} says something else"


def check_sessions_are_shared(cluster):
    """A session that began on one web server goes on on the other one."""
    cookie = _server(cluster, "web1", "guestbook.php").headers.get("Set-Cookie", "")
    match = re.match(r"guestbook=[^;]+", cookie)
    assert match, "web1 begins no session"
    address = cluster.address("web2")
    page = f"curl -s --max-time 5 -b {match[0]} http://{address}/guestbook.php"
    visit = re.search(r"Visit \d+", cluster.said("client", page))
    assert visit, "web2 shows no guest book"
    assert visit[0] == "Visit 2", f"web2 counts it as {visit[0]}"


def check_the_guest_book_is_open(cluster):
    """Both web servers reach the guest book's database."""
    for node in SERVERS:
        answer = _server(cluster, node, "guestbook.php")
        assert answer.status == 200, f"{node}: the guest book answers with {answer.status}"


def check_the_application_is_started_again(cluster):
    """On each web server systemd keeps the application server running, whatever it dies of."""
    for node in SERVERS:
        shown = cluster.said(node, "systemctl show -p ActiveState,Restart --value greeter")
        assert set(shown.split()) == {"active", "always"}, f"{node}: {' '.join(shown.split())}"


def check_both_directors_have_the_same_files(cluster):
    """Who takes over does the same: ldirectord.cf and haresources are equal on both."""
    for path in ("/etc/ha.d/ldirectord.cf", "/etc/ha.d/haresources"):
        texts = cluster.everywhere(f"cat {path}", list(DIRECTORS))
        assert len(set(texts.values())) == 1, f"the directors differ in {path}"
        assert "ldirectord.cf" in texts["lb1"] or "health.php" in texts["lb1"], f"{path} is old"


def check_connections_are_synced(cluster):
    """Each director tells the other one about its connections, and listens."""
    for node in DIRECTORS:
        shown = cluster.said(node, "ipvsadm -L --daemon")
        for role in ("master", "backup"):
            assert f"{role} sync daemon" in shown, f"{node} runs no {role} sync daemon"


def check_ldirectord_is_watched(cluster):
    """Something starts ldirectord anew when it dies: its watchdog runs, now and after a boot."""
    for node in DIRECTORS:
        shown = cluster.said(node, "systemctl is-active ldirectord-watchdog")
        assert shown == "active", f"{node}: the watchdog is {shown or 'not there'}"
        shown = cluster.said(node, "systemctl is-enabled ldirectord-watchdog")
        assert shown == "enabled", f"{node}: the watchdog is {shown or 'not there'}"


def check_heartbeat_alone_starts_ldirectord(cluster):
    """heartbeat's resources name ldirectord, and systemd does not start a second one."""
    for node in DIRECTORS:
        assert "ldirectord::" in cluster.said(node, "cat /etc/ha.d/haresources"), node
        shown = cluster.said(node, "systemctl is-enabled ldirectord")
        assert shown == "disabled", f"{node}: ldirectord.service is {shown or 'not there'}"


def check_nobody_stays_with_a_dead_server(cluster):
    """The kernel lets visitors go whose server was taken out."""
    for node in DIRECTORS:
        for name in ("expire_quiescent_template", "expire_nodest_conn"):
            shown = cluster.said(node, f"cat /proc/sys/net/ipv4/vs/{name}")
            assert shown == "1", f"{node}: net.ipv4.vs.{name} is {shown.splitlines()[-1]}"
