"""What must be true once the site is hardened."""

from workshop import eventually

DIRECTORS = ("lb1", "lb2")
SERVERS = ("web1", "web2")


def _said(cluster, node, command):
    return cluster.run(node, command, check=False).output.strip()


def _status(cluster, node, options):
    """Status with which a web server itself answers what mgm asks."""
    address = cluster.lab.cluster.address(node)
    told = f"curl -s --max-time 10 -o /dev/null -w '%{{http_code}}' -H 'Host: lamp.test' {options}"
    return _said(cluster, "mgm", told.replace("SERVER", f"http://{address}"))


def check_the_site_answers_as_before(cluster):
    """Squid's address and the balanced one serve visitors through the rules."""
    for address in (cluster.lab.file.address, cluster.variables["site_address"]):
        answer = eventually(lambda a=address: _page(cluster, a), 20, f"a page from {address}")
        assert "web" in answer.body, f"{address} serves something else"


def _page(cluster, address):
    answer = cluster.get(f"http://{address}/")
    return answer if answer.status == 200 else None


def check_what_is_not_named_is_dropped(cluster):
    """On every node the rules are in force, drop by default, and come back after a boot."""
    for node in cluster.nodes:
        shown = _said(cluster, node, "nft list chain inet firewall input")
        assert "policy drop" in shown, f"{node} lets in what is not named"
        shown = _said(cluster, node, "systemctl is-enabled nftables")
        assert shown == "enabled", f"{node}: nftables is {shown or 'not there'}"


def check_no_other_port_answers(cluster):
    """From your machine, web1's database and memcached are not to be had on the front network."""
    address = cluster.lab.cluster.address("web1")
    for port in (22, 3306, 8080, 11211):
        told = f"timeout 3 bash -c 'echo >/dev/tcp/{address}/{port}' 2>&1; echo $?"
        seen = _said(cluster, "client", told).splitlines()[-1]
        assert seen == "124", f"port {port} of web1 is not dropped (status {seen})"


def check_attacks_are_refused(cluster):
    """SQL injection, scripts, traversal and commands are answered with 403 by both servers."""
    attacks = (
        "SERVER/news.php?id=1%27%20OR%20%271%27%3D%271",
        "SERVER/news.php?q=%3Cscript%3Ealert(1)%3C/script%3E",
        "SERVER/news.php?f=../../../../etc/passwd",
        "SERVER/news.php?c=%3Bcat%20/etc/passwd",
    )
    for node in SERVERS:
        for attack in attacks:
            seen = _status(cluster, node, f"'{attack}'")
            assert seen == "403", f"{node} answers {attack} with {seen}"


def check_a_guest_may_write_what_looks_like_an_attack(cluster):
    """Text and passwords of guests are not taken for commands."""
    for node in SERVERS:
        told = "--data-urlencode 'text=a <b> & c; echo hello' SERVER/guestbook.php"
        address = cluster.lab.cluster.address(node)
        page = f"curl -s --max-time 10 -H 'Host: lamp.test' {told.replace('SERVER', f'http://{address}')}"
        body = _said(cluster, "mgm", page)
        assert "Only guests who logged in" in body, f"{node} refuses a guest's text"


def check_guessers_are_banned(cluster):
    """On both directors fail2ban counts wrong passwords, and those for ssh."""
    for node in DIRECTORS:
        shown = _said(cluster, node, "fail2ban-client status")
        for jail in ("wrong-password", "sshd"):
            assert jail in shown, f"{node} has no jail {jail}"
        limit = _said(cluster, node, "fail2ban-client get wrong-password maxretry")
        wanted = str(cluster.variables["wrong_passwords"])
        assert limit == wanted, f"{node} bans after {limit or 'nothing'}"


def check_mgm_has_everybodys_log(cluster):
    """What a node logs now stands on mgm a moment later, under its address."""
    others = [node for node in cluster.nodes if node != "mgm"]
    mark = f"check-{_said(cluster, 'mgm', 'date +%s%N')}"
    cluster.everywhere(f"logger {mark}", others)

    def arrived():
        for node in others:
            address = cluster.lab.cluster.address(node, "back")
            told = f"grep -c {mark} /var/log/all/{address}.log"
            assert _said(cluster, "mgm", told) == "1", f"mgm has no log of {node}"
        return True

    eventually(arrived, 20, "a line of every node on mgm")


def check_beats_are_signed(cluster):
    """heartbeat signs with a key that only root can read, and not with a mere checksum."""
    for node in DIRECTORS:
        file = cluster.host(node).file("/etc/ha.d/authkeys")
        assert file.mode == 0o600, f"{node}: authkeys has mode {file.mode:04o}"
        assert " sha1 " in file.content_string, f"{node}: beats are not signed"


def check_versions_are_nobodys_business(cluster):
    """Neither server tells its version."""
    for node in SERVERS:
        said = cluster.get(f"http://{cluster.lab.cluster.address(node)}/robots.txt")
        assert said.headers.get("Server") == "Apache", f"{node} says {said.headers.get('Server')}"
