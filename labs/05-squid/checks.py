"""What must be true once squid stands in front of the farm."""

import re
import shlex
from concurrent.futures import ThreadPoolExecutor

from workshop import eventually

DIRECTORS = ("lb1", "lb2")
SERVERS = ("web1", "web2")
CLIENT_HOST = 1  # the reader's machine, in every network


def _url(cluster, path, scheme="http"):
    return f"{scheme}://{cluster.lab.file.address}{path}"


def _curl(cluster, node, path, options="", show="%{http_code}"):
    """What curl on a node says of a page got through squid; never its body."""
    url = _url(cluster, path)
    return cluster.said(node, f"curl -s --max-time 10 -o /dev/null -w '{show}' {options} '{url}'")


def _purge(cluster, path):
    for director in DIRECTORS:
        address = cluster.address(director, "back")
        cluster.said("mgm", f"curl -s --max-time 10 -X PURGE 'http://{address}{path}'")


def _asked(cluster, path):
    """How often the web servers were asked for a page."""
    counts = cluster.everywhere(
        f"grep -cF 'GET {path} ' /var/log/apache2/access.log", list(SERVERS)
    )
    return sum(int(count.strip() or 0) for count in counts.values())


def check_squid_serves_the_site(cluster):
    """Visitors of squid's address get the site, and squid says that it was there."""
    cluster.one_holder()
    answer = cluster.get(cluster.url)
    assert answer.status == 200, f"{cluster.url} answers with status {answer.status}"
    assert re.search(cluster.lab.file.says, answer.body), "the page does not say who made it"
    passed = answer.headers.get("X-Cache", "")
    assert re.search(r"from lb[12]", passed), "the answer did not come through squid"


def check_one_director_has_squids_address(cluster):
    """Exactly one director has squid's address."""
    cluster.one_holder()


def check_squid_waits_on_both_directors(cluster):
    """Squid runs on both directors, and listens on the floating address before it has it."""
    for node in DIRECTORS:
        shown = cluster.said(node, "ss -Htln 'sport = :80 or sport = :443'")
        for port in (80, 443):
            wanted = f"{cluster.lab.file.address}:{port} "
            assert wanted in shown, f"{node} does not listen on {wanted.strip()}"


def check_a_second_visitor_is_served_from_memory(cluster):
    """The news are asked for once; the next visitor is a hit."""
    _curl(cluster, "client", "/news.php?second")
    seen = _curl(cluster, "client", "/news.php?second", show="%header{x-cache}")
    assert seen.startswith("HIT"), f"the second visitor is: {seen or 'not served'}"


def check_many_at_once_are_one_question(cluster):
    """Twenty who ask at the same moment for a page that is in no memory reach Apache once."""
    path = "/news.php?crowd"
    _purge(cluster, path)
    before = _asked(cluster, path)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: cluster.get(_url(cluster, path), 20), range(20)))
    assert {a.status for a in answers} == {200}, "not all of the twenty were served"
    asked = _asked(cluster, path) - before
    assert asked == 1, f"the web servers were asked {asked} times"


def check_a_reload_key_does_not_reach_the_servers(cluster):
    """A visitor who insists on a new page gets the one from memory."""
    _curl(cluster, "client", "/news.php?reload")
    told = "-H 'Cache-Control: no-cache' -H 'Pragma: no-cache'"
    seen = _curl(cluster, "client", "/news.php?reload", told, "%header{x-cache}")
    assert seen.startswith("HIT"), f"the reload is: {seen or 'not served'}"


def check_who_has_a_session_is_never_served_from_memory(cluster):
    """A request with the guest book's cookie is no hit, and its answer is kept for nobody."""
    cookie = "-b guestbook=0123456789abcdef"
    _curl(cluster, "client", "/news.php?session")  # it is in memory, for others
    for attempt in (1, 2):
        seen = _curl(cluster, "client", "/news.php?session", cookie, "%header{x-cache}")
        assert seen.startswith("MISS"), f"request {attempt} is: {seen or 'not served'}"


def check_who_has_a_password_is_never_served_from_memory(cluster):
    """A request with a password is no hit, and its answer is kept for nobody."""
    _curl(cluster, "client", "/news.php?login")  # it is in memory, for others
    for attempt in (1, 2):
        seen = _curl(cluster, "client", "/news.php?login", "-u a:b", "%header{x-cache}")
        assert seen.startswith("MISS"), f"request {attempt} is: {seen or 'not served'}"


def check_a_page_that_sets_a_cookie_is_not_kept(cluster):
    """Even where a wrong header calls it public, a page that sets a cookie stays out."""
    cluster.everywhere("touch /run/wrong-header", list(SERVERS))
    try:
        for attempt in (1, 2):
            show = "%header{x-cache} %header{cache-control}"
            seen = _curl(cluster, "client", "/me.php?check", "", show)
            assert "public" in seen, f"me.php says: {seen or 'nothing'}"
            assert seen.startswith("MISS"), f"request {attempt} is: {seen}"
    finally:
        cluster.everywhere("rm -f /run/wrong-header", list(SERVERS))


def check_what_is_not_in_the_key_does_not_reach_the_application(cluster):
    """X-Forwarded-Host changes nothing in a page that others will read."""
    path = "/news.php?key"
    _purge(cluster, path)
    page = f"curl -s --max-time 10 -H 'X-Forwarded-Host: evil.test' '{_url(cluster, path)}'"
    body = cluster.said("client", page)
    assert "login.php" in body, "there is no page"
    assert "evil.test" not in body, "the page repeats the visitor's X-Forwarded-Host"


def check_only_the_operator_purges(cluster):
    """mgm may purge, on the network behind the servers; a visitor may not."""
    seen = _curl(cluster, "client", "/news.php", "-X PURGE")
    assert seen == "403", f"a visitor who purges gets {seen}"
    address = cluster.address(cluster.one_holder(), "back")
    _curl(cluster, "client", "/news.php?purge")
    told = f"curl -s -o /dev/null -w '%{{http_code}}' -X PURGE 'http://{address}/news.php?purge'"
    seen = cluster.said("client", told)
    assert seen == "403", f"who is no operator, and behind the servers, gets {seen}"
    seen = cluster.said("mgm", told)
    assert seen == "200", f"the operator who purges gets {seen}"


def check_nobody_gets_a_tunnel(cluster):
    """CONNECT is refused, to the site's own name, too."""
    told = (
        f"curl -s -o /dev/null -w '%{{http_connect}}' --max-time 10 -p "
        f"-x http://{cluster.lab.file.address}:80 http://{cluster.variables['domain']}:80/"
    )
    seen = cluster.said("client", told)
    assert seen in ("403", "405"), f"CONNECT is answered with {seen}"


def check_the_log_has_the_visitors_address(cluster):
    """Apache's log has the visitor, not squid, and not what the visitor says of himself."""
    visitor = cluster.lab.cluster.networks["front"].address(CLIENT_HOST)
    before = _lines(cluster, visitor)
    _curl(cluster, "client", "/robots.txt?whose", "-u a:b -H 'X-Forwarded-For: 203.0.113.66'")

    def logged():
        return _lines(cluster, visitor) > before

    eventually(logged, 10, f"a line of {visitor} in Apache's log")


def _lines(cluster, visitor):
    count = f"grep -cE '^{re.escape(visitor)} .*whose' /var/log/apache2/access.log"
    return sum(int(n.strip() or 0) for n in cluster.everywhere(count, list(SERVERS)).values())


def check_https_has_the_workshops_certificate(cluster):
    """https is served, with a certificate that the workshop's authority signed for the site."""
    domain, address = cluster.variables["domain"], cluster.lab.file.address
    told = (
        "curl -sS --max-time 10 -o /dev/null -w '%{http_code}' "
        "--cacert /etc/authority/authority.crt "
        f"--resolve {domain}:443:{address} https://{domain}/robots.txt"
    )
    seen = cluster.said("mgm", told)
    assert seen == "200", f"https says: {seen or 'nothing'}"


def check_slow_visitors_are_not_waited_for(cluster):
    """Who has not said what he wants in time is cut off."""
    patience = int(cluster.variables["header_patience"])
    told = (
        f"exec 3<>/dev/tcp/{cluster.lab.file.address}/80; printf 'GET / HTTP/1.1\\r\\nHo' >&3; "
        f"timeout {2 * patience} cat <&3 >/dev/null; echo $?"
    )
    seen = cluster.run("mgm", f"bash -c {shlex.quote(told)}", check=False).output.strip()
    assert seen == "0", f"after {2 * patience} s squid still waits"


def check_squid_is_started_again(cluster):
    """On each director systemd keeps squid running, whatever it dies of, and after a boot."""
    for node in DIRECTORS:
        shown = cluster.said(node, "systemctl show -p ActiveState,Restart --value squid")
        assert set(shown.split()) == {"active", "always"}, f"{node}: {' '.join(shown.split())}"
        shown = cluster.said(node, "systemctl is-enabled squid")
        assert shown == "enabled", f"{node}: squid is {shown or 'not there'}"


def check_both_directors_have_the_same_files(cluster):
    """Who takes over does the same: squid.conf and haresources are equal on both."""
    for path in ("/etc/squid/squid.conf", "/etc/ha.d/haresources"):
        texts = cluster.everywhere(f"cat {path}", list(DIRECTORS))
        assert len(set(texts.values())) == 1, f"the directors differ in {path}"
        assert cluster.lab.file.address in texts["lb1"], f"{path} is old"
