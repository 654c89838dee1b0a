"""What must be true once the site is hardened."""

import http.client
import itertools
import tomllib
from pathlib import Path
from urllib.parse import quote, urlencode

from workshop import eventually

HERE = Path(__file__).parent
# so many of each class of attacks are tried
OF_EACH_CLASS = 8
REFUSED = 0.95
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

DIRECTORS = ("lb1", "lb2")
SERVERS = ("web1", "web2")


def _said(cluster, node, command):
    return cluster.run(node, command, check=False).output.strip()


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


def _requests(kinds):
    """Method, path, headers and body of each attack of one class, the kinds taken in turn."""
    made = {
        "query": lambda v: ("GET", f"/news.php?q={quote(v, safe='')}", {}, None),
        "form": lambda v: ("POST", "/guestbook.php", FORM, urlencode({"text": v})),
        "path": lambda v: ("GET", v, {}, None),
        "header": lambda v: ("GET", "/news.php", dict([v.split(": ", 1)]), None),
    }
    columns = [[(kind, value) for value in values] for kind, values in kinds.items()]
    turns = itertools.chain.from_iterable(itertools.zip_longest(*columns))
    return [made[turn[0]](turn[1]) for turn in turns if turn is not None]


def _ask(address, method, path, headers, body):
    """Status and text of a web server's answer to exactly this request."""
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request(method, path, body, {"Host": "lamp.test", **headers})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


def check_attacks_are_refused(cluster):
    """Of forty attacks of five classes each server refuses at least 95 %."""
    classes = tomllib.loads((HERE / "attacks.toml").read_text())
    for node in SERVERS:
        let_in, tried = [], 0
        for name, kinds in classes.items():
            for request in _requests(kinds)[:OF_EACH_CLASS]:
                tried += 1
                status, _ = _ask(cluster.lab.cluster.address(node), *request)
                # Apache itself refuses with 400 what is no path
                let_in += [] if status in (400, 403) else [f"{name}: {request[1]} ({status})"]
        assert len(let_in) <= tried * (1 - REFUSED), f"{node} lets in {'; '.join(let_in)}"


def check_guests_may_write_what_they_like(cluster):
    """Of what ordinary guests send, over every form, neither server refuses anything."""
    ordinary = tomllib.loads((HERE / "ordinary.toml").read_text())
    for node in SERVERS:
        address = cluster.lab.cluster.address(node)
        for text in ordinary["text"]:
            _, page = _ask(address, "POST", "/guestbook.php", FORM, urlencode({"text": text}))
            assert "Only guests who logged in" in page, f"{node} refuses the text {text!r}"
        for password in ordinary["password"]:
            body = urlencode({"name": "nobody", "password": password})
            _, page = _ask(address, "POST", "/login.php", FORM, body)
            assert "not the password" in page, f"{node} refuses the password {password!r}"
        for path in ordinary["page"]:
            status, _ = _ask(address, "GET", path, {}, None)
            assert status == 200, f"{node} answers {path} with {status}"


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
