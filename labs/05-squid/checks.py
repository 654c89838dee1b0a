"""What must be true once squid stands in front of the farm."""

import re
import shlex
import time
from concurrent.futures import ThreadPoolExecutor

from workshop import always, eventually

DIRECTORS = ("lb1", "lb2")
SERVERS = ("web1", "web2")
CLIENT_HOST = 1  # the reader's machine, in every network


def _url(cluster, path, scheme="http"):
    return f"{scheme}://{cluster.lab.file.address}{path}"


def _curl(cluster, node, path, options="", show="%{http_code}"):
    """What curl on a node says of a page got through squid; never its body."""
    url = _url(cluster, path)
    return cluster.said(node, f"curl -s --max-time 10 -o /dev/null -w '{show}' {options} '{url}'")


def _in_bash(cluster, node, command):
    """What bash says of a command that sh does not know."""
    return cluster.said(node, f"timeout 30 bash -c {shlex.quote(command)}")


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


def check_a_server_that_is_gone_costs_nobody_anything(cluster):
    """While squid cannot reach web1, web2 serves everybody, and nobody sees an error."""
    holder = cluster.one_holder()
    page = f"curl -s --max-time 10 {_url(cluster, '/news.php')}"
    refuse = (
        "add table inet check; "
        "add chain inet check output { type filter hook output priority 0; }; "
        f"add rule inet check output meta skuid proxy ip daddr {cluster.address('web1')} "
        "tcp dport 80 reject with tcp reset"
    )
    told = (
        # first a page of web1, so that squid believes in it
        f"for i in {{1..20}}; do {page}?there=$RANDOM | grep -q 'web1<' && break; sleep 0.3; done; "
        "trap 'nft delete table inet check' EXIT; "
        f"nft {shlex.quote(refuse)}; "
        f"for i in 1 2 3 4; do {page}?gone=$RANDOM$i | grep -o 'web[12]<' || echo nobody; done"
    )
    seen = _in_bash(cluster, holder, told).split()
    assert seen == ["web2<"] * 4, f"four visitors are served by {' '.join(seen) or 'nobody'}"


def check_a_server_that_fails_costs_nobody_anything(cluster):
    """While web1 makes errors of a page, squid asks web2 for it, and nobody sees one."""
    cluster.one_holder()
    new = time.time_ns()  # pages that are in no memory
    cluster.run("web1", "touch /run/brief-fails")
    try:
        before = _asked_for_errors(cluster)
        seen = [_curl(cluster, "client", f"/news.php?brief=try{new + n}") for n in range(6)]
        asked = _asked_for_errors(cluster) - before
    finally:
        cluster.run("web1", "rm -f /run/brief-fails")
    assert asked, "web1 was not asked at all"
    assert set(seen) == {"200"}, f"visitors get {' '.join(seen)}"


def _asked_for_errors(cluster):
    count = "grep -c 'GET /news.php?brief=try' /var/log/apache2/access.log"
    return int(cluster.run("web1", count, check=False).stdout.strip() or 0)


def check_an_old_page_is_shown_while_there_is_no_new_one(cluster):
    """While no server makes the page, its old one is shown, and said to be old; unless it forbids
    that."""
    cluster.one_holder()
    old, strict = "/news.php?brief=old", "/news.php?brief=strict&strict"
    for path in (old, strict):
        assert _curl(cluster, "client", path) == "200", "there is no page"
    cluster.everywhere("touch /run/brief-fails", list(SERVERS))
    try:
        status = "an answer with status 200"
        always(lambda: _curl(cluster, "client", old) == "200", 3, status, 1)
        seen = _curl(cluster, "client", old, show="%{http_code} %header{warning}")
        assert seen.startswith("200 110 "), f"the old page comes with: {seen}"
        seen = _curl(cluster, "client", strict)
        assert seen == "503", f"the page that must not be shown when old comes with status {seen}"
    finally:
        cluster.everywhere("rm -f /run/brief-fails", list(SERVERS))


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


def check_a_page_that_sets_a_cookie_is_handed_to_nobody_who_waits(cluster):
    """Thirty who want such a page within a second and a half get one each, made for them."""
    cluster.one_holder()
    page = _url(cluster, "/news.php?cookie")

    def visit(number):
        time.sleep(number / 20)  # who comes while it is made waits for it
        return cluster.get(page, 30)

    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(visit, range(30)))
    assert {a.status for a in answers} == {200}, "not all of the thirty were served"
    different = len({a.body for a in answers})
    assert different == 30, f"thirty visitors share {different} pages"


def check_what_is_not_in_the_key_does_not_reach_the_application(cluster):
    """X-Forwarded-Host changes nothing in a page that others will read."""
    path = "/news.php?key"
    _purge(cluster, path)
    page = f"curl -s --max-time 10 -H 'X-Forwarded-Host: evil.test' '{_url(cluster, path)}'"
    body = cluster.said("client", page)
    assert "login.php" in body, "there is no page"
    assert "evil.test" not in body, "the page repeats the visitor's X-Forwarded-Host"


def check_only_the_operator_purges(cluster):
    """mgm may purge, on the network behind the servers, http and https; a visitor may not."""
    seen = _curl(cluster, "client", "/news.php", "-X PURGE")
    assert seen == "403", f"a visitor who purges gets {seen}"
    address = cluster.address(cluster.one_holder(), "back")
    for scheme in ("http", "https"):
        page = _url(cluster, "/news.php?purge", scheme)
        cluster.said("client", f"curl -sk --max-time 10 -o /dev/null '{page}'")
        told = (
            "curl -sk --max-time 10 -o /dev/null -w '%{http_code}' -X PURGE "
            f"'{scheme}://{address}/news.php?purge'"
        )
        seen = cluster.said("client", told)
        assert seen == "403", f"who is no operator, and behind the servers, gets {seen}"
        seen = cluster.said("mgm", told)
        assert seen == "200", f"the operator who purges a page of {scheme} gets {seen}"


def check_who_writes_throws_no_page_out(cluster):
    """A visitor who posts to a page that has no form is refused, and the page stays in memory."""
    _curl(cluster, "client", "/news.php?post")
    seen = _curl(cluster, "client", "/news.php?post", "-d anything=1")
    assert seen == "403", f"a visitor who posts to the news gets {seen}"
    seen = _curl(cluster, "client", "/news.php?post", show="%header{x-cache}")
    assert seen.startswith("HIT"), f"the next visitor is: {seen or 'not served'}"


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


def check_nobody_has_more_connections_than_his_share(cluster):
    """Who opens more connections than one visitor may have finds the others cut off."""
    cluster.one_holder()
    address, most = cluster.lab.file.address, int(cluster.variables["connections_each"])
    told = (
        f"for i in {{1..{most + 12}}}; do exec {{link}}<>/dev/tcp/{address}/80; done; "
        f"for i in {{1..20}}; do left=$(ss -Htn state established dst {address} | wc -l); "
        f"[ $left -le {most + 1} ] && break; sleep 0.2; done; echo $left"
    )
    seen = _in_bash(cluster, "mgm", told)
    # squid counts after it has let one in
    kept = int(seen) if seen.isdigit() else 0
    assert 0 < kept <= most + 1, f"of {most + 12} connections {seen or 'none'} are there"


def check_nobody_sends_many_uploads(cluster):
    """Who has more connections than uploads are allowed may read, and sends nothing."""
    cluster.one_holder()
    address, most = cluster.lab.file.address, int(cluster.variables["uploads_each"])
    ask = "curl -s --max-time 10 -o /dev/null -w '%{http_code}:%header{x-squid-error} '"
    told = (
        f"for i in {{1..{most}}}; do exec {{link}}<>/dev/tcp/{address}/80; done; "
        f"{ask} http://{address}/robots.txt; {ask} -d name=nobody http://{address}/login.php"
    )
    read, *sent = _in_bash(cluster, "mgm", told).split()[:2] or [""]
    assert read == "200:", f"who only reads gets {read or 'nothing'}"
    assert sent == ["403:ERR_ACCESS_DENIED"], f"who sends something gets {' '.join(sent)}"


def check_squid_is_started_again(cluster):
    """On each director systemd keeps squid running, whatever it dies of, and after a boot."""
    for node in DIRECTORS:
        shown = cluster.said(node, "systemctl show -p ActiveState,Restart --value squid")
        assert set(shown.split()) == {"active", "always"}, f"{node}: {' '.join(shown.split())}"
        shown = cluster.said(node, "systemctl is-enabled squid")
        assert shown == "enabled", f"{node}: squid is {shown or 'not there'}"


def check_squids_memory_fits_the_machine(cluster):
    """What squid may keep in memory is less than a quarter of what each director has."""
    for node in DIRECTORS:
        configured = "sed -nE 's/^cache_mem ([0-9]+) MB$/\\1/p' /etc/squid/squid.conf"
        kept = int(cluster.run(node, configured, check=False).stdout.strip() or 256)
        total = "awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo"
        there = int(cluster.run(node, total).stdout)
        assert 4 * kept < there, f"{node}: {kept} MB of pages on a machine with {there} MB"


def check_both_directors_have_the_same_files(cluster):
    """Who takes over does the same: but for squid's name, squid.conf and haresources are equal."""
    for path in ("/etc/squid/squid.conf", "/etc/ha.d/haresources"):
        texts = cluster.everywhere(f"cat {path}", list(DIRECTORS))
        for node in DIRECTORS:
            texts[node] = texts[node].replace(f"visible_hostname {node}\n", "")
        assert len(set(texts.values())) == 1, f"the directors differ in {path}"
        assert cluster.lab.file.address in texts["lb1"], f"{path} is old"
