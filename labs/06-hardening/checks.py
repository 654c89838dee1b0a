"""What must be true once the site is hardened."""

import asyncio
import base64
import contextlib
import http.client
import itertools
import re
import shlex
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, urlencode

from workshop import eventually, ipvs_table

HERE = Path(__file__).parent
# so many of each class of attacks are tried
OF_EACH_CLASS = 8
REFUSED = 0.95
RECOMMENDED = 40  # at least so many recommendations are judged
AT_ONCE = 40  # so many of them are judged by one command
# on each of the application's pages, and on none of Apache's own
APPLICATION = "<h1>Guest book</h1>"
# a picture of one point
POINT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJg"
    "gg=="
)
# scanned besides the low ports and the declared ones: what somebody in this course listens on
OFTEN = {1186, 2202, 3260, 4444, 4567, 4568, 5404, 7789, 8080, 8443, 9200}
WEAK = r"RC4|DES|NULL|EXP|anon|ADH|MD5| (0|40|56|112) bits"
EPHEMERAL = 32768  # from here on a port is one that the kernel gave to somebody who asks

DIRECTORS = ("lb1", "lb2")
SERVERS = ("web1", "web2")


def _declared(cluster):
    """Every open port that the lab declares: node, network, protocol and port."""
    found = set()
    for line in str(cluster.variables["open_ports"]).strip().splitlines():
        who, network, protocol, ports, _ = line.split(None, 4)
        for node in cluster.lab.cluster.members(who):
            found |= {(node, network, protocol, int(port)) for port in ports.split(",")}
    return found


# the firewall


def check_the_site_answers_through_the_rules(cluster):
    """With the rules in force, squid's address and the balanced one serve visitors."""
    for node in DIRECTORS:
        shown = cluster.said(node, "nft list chain inet firewall input")
        assert re.search(r"tcp dport \{ 80, 443 \}", shown), f"{node} has no rule for visitors"
    for address in (cluster.lab.file.address, cluster.variables["site_address"]):
        answer = eventually(lambda a=address: _page(cluster, a), 20, f"a page from {address}")
        assert "web" in answer.body, f"{address} serves something else"


def _page(cluster, address):
    answer = cluster.get(f"http://{address}/")
    return answer if answer.status == 200 else None


def check_what_is_not_named_is_dropped(cluster):
    """On every node the rules are in force, drop by default, and come back after a boot."""
    for node in cluster.nodes:
        shown = cluster.said(node, "nft list chain inet firewall input")
        assert "policy drop" in shown, f"{node} lets in what is not named"
        shown = cluster.said(node, "systemctl is-enabled nftables")
        assert shown == "enabled", f"{node}: nftables is {shown or 'not there'}"


def check_no_other_port_answers(cluster):
    """From your machine, web1's database and memcached are not to be had on the front network."""
    address = cluster.address("web1")
    for port in (22, 3306, 8080, 11211):
        told = f"timeout 3 bash -c 'echo >/dev/tcp/{address}/{port}' 2>&1; echo $?"
        seen = cluster.said("client", told).splitlines()[-1]
        assert seen == "124", f"port {port} of web1 is not dropped (status {seen})"


def check_what_listens_is_declared(cluster):
    """On every node nothing listens, but to the node itself, on a port that is not declared."""
    declared = {(node, protocol, port) for node, _, protocol, port in _declared(cluster)}
    shown = cluster.everywhere("ss -Htuln")
    in_force = cluster.everywhere("nft list chain inet firewall input")
    for node, sockets in shown.items():
        assert "policy drop" in in_force[node], f"{node} has no rules"
        for line in sockets.splitlines():
            words = line.split()
            if len(words) < 5:
                continue
            protocol, local = words[0], words[4]
            address, _, port = local.rpartition(":")
            if address.strip("[]").startswith(("127.", "::1")) or not port.isdecimal():
                continue
            if protocol == "udp" and int(port) >= EPHEMERAL:
                continue
            known = (node, protocol, int(port)) in declared
            assert known, f"{node}: {protocol} {local} is open, and not declared"


def check_a_scan_finds_declared_ports_only(cluster):
    """From your machine and from mgm each node shows the declared ports, and no other."""
    declared = _declared(cluster)
    ports = sorted({*range(1, 1025), *OFTEN, *(port for *_, port in declared)})
    floating = (cluster.lab.file.address, str(cluster.variables["site_address"]))
    allowed = dict.fromkeys(floating, _tcp(declared, "lb1", "front"))
    for node, network in itertools.product(cluster.nodes, ("front", "back")):
        allowed[cluster.address(node, network)] = _tcp(declared, node, network)
    front = [*floating, *(cluster.address(node) for node in cluster.nodes)]
    seen = [("your machine", *pair) for pair in asyncio.run(_open(front, ports))]
    own = {cluster.address("mgm", network) for network in ("front", "back")}
    others = [address for address in allowed if address not in own]
    seen += [("mgm", *pair) for pair in _scanned(cluster, others, ports)]
    for origin in ("your machine", "mgm"):
        found = (origin, cluster.address("web1"), 80)
        assert found in seen, f"a scan from {origin} does not even see web1's site"
    wrong = [f"{a}:{port} from {origin}" for origin, a, port in seen if port not in allowed[a]]
    assert not wrong, f"open and not declared: {', '.join(wrong)}"


def _tcp(declared, node, network):
    """The TCP ports that a node opens on a network."""
    return {port for *where, port in declared if where == [node, network, "tcp"]}


async def _open(addresses, ports, at_once=350, patience=2.0):
    """The pairs of address and port that take a connection."""
    room = asyncio.Semaphore(at_once)

    async def one(address, port):
        async with room:
            try:
                async with asyncio.timeout(patience):
                    _, writer = await asyncio.open_connection(address, port)
            except OSError:  # a time-out is one, too
                return None
            writer.close()
            return address, port

    found = await asyncio.gather(*(one(a, p) for a, p in itertools.product(addresses, ports)))
    return [pair for pair in found if pair]


def _scanned(cluster, addresses, ports):
    """The pairs of address and open port that nmap finds from mgm."""
    listed = ",".join(map(str, ports))
    told = f"nmap -n -Pn --max-retries 1 --min-rate 2000 -p {listed} -oG - {' '.join(addresses)}"
    found = []
    for line in cluster.said("mgm", told, timeout=240).splitlines():
        if match := re.match(r"Host: (\S+) .*Ports: (.*)", line):
            found += [(match[1], int(port)) for port in re.findall(r"(\d+)/open/tcp", match[2])]
    return found


# attacks


def _query(value):
    return "GET", f"/news.php?q={quote(value, safe='')}", {}, None


def _form(page, **fields):
    return "POST", page, {"Content-Type": "application/x-www-form-urlencoded"}, urlencode(fields)


def _path(value):
    return "GET", value, {}, None


def _header(value):
    return "GET", "/news.php", dict([value.split(": ", 1)]), None


def _upload(name):
    """A picture of one point under this name, as a browser sends it."""
    edge = "----picture-7d3b1f"
    quoted = name.replace('"', "%22")
    head = (
        f'--{edge}\r\nContent-Disposition: form-data; name="picture"; filename="{quoted}"\r\n'
        "Content-Type: image/png\r\n\r\n"
    )
    body = head.encode() + POINT + f"\r\n--{edge}--\r\n".encode()
    return "POST", "/picture.php", {"Content-Type": f"multipart/form-data; boundary={edge}"}, body


SENT = {
    "query": _query,
    "form": lambda value: _form("/guestbook.php", text=value),
    "path": _path,
    "header": _header,
    "upload": _upload,
}


def _ask(address, method, path, headers, body):
    """Status and text of a web server's answer to exactly this request."""
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request(method, path, body, {"Host": "lamp.test", **headers})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


def attacks(of_each=None):
    """Name and request of the first so many attacks of each class (None: of all of them), the ways
    to send them taken in turn."""
    found = []
    for name, kinds in tomllib.loads((HERE / "attacks.toml").read_text()).items():
        columns = [[(kind, *pair) for pair in named.items()] for kind, named in kinds.items()]
        turns = itertools.chain.from_iterable(itertools.zip_longest(*columns))
        listed = [turn for turn in turns if turn is not None][:of_each]
        found += [(f"{name}: {what}", SENT[kind](value)) for kind, what, value in listed]
    return found


def let_in(address, of_each=None):
    """Names of the attacks that the application on a web server got to see."""
    found = []
    for name, request in attacks(of_each):
        status, page = _ask(address, *request)
        # the application itself says 403 to a guest who did not log in
        if APPLICATION in page:
            found.append(name)
        else:  # Apache refuses with 400 what is no request
            assert status in (400, 403), f"{name} is answered with {status}"
    return found


def turned_away(address, step=1):
    """Of what ordinary guests send, or of each so many of it, what the application did not get."""
    ordinary = tomllib.loads((HERE / "ordinary.toml").read_text())
    sent = {
        "text": lambda v: (_form("/guestbook.php", text=v), "Only guests who logged in"),
        "name": lambda v: (_form("/login.php", name=v, password="wrong"), "not the password"),
        "password": lambda v: (_form("/login.php", name="nobody", password=v), "not the password"),
        "picture": lambda v: (_upload(v), "A picture of 1 by 1"),
        "page": lambda v: (_path(v), ""),
    }
    tried, refused = 0, []
    for field, values in ordinary.items():
        for value in values[::step]:
            request, wanted = sent[field](value)
            status, page = _ask(address, *request)
            tried += 1
            if wanted not in page or (field == "page" and status != 200):
                refused.append(f"{field} {value!r} ({status})")
    return tried, refused


def _each_server(cluster, what):
    """What a function says of each web server's address, both at once."""
    with ThreadPoolExecutor(len(SERVERS)) as pool:
        return dict(
            zip(SERVERS, pool.map(lambda n: what(cluster.address(n)), SERVERS), strict=True)
        )


def check_attacks_are_refused(cluster):
    """Of forty attacks of five classes the application on each server sees at most 5 %."""
    tried = len(attacks(OF_EACH_CLASS))
    for node, seen in _each_server(cluster, lambda a: let_in(a, OF_EACH_CLASS)).items():
        assert len(seen) <= tried * (1 - REFUSED), f"{node} lets in {'; '.join(seen)}"


def check_guests_may_write_what_they_like(cluster):
    """While attacks are refused, neither server refuses what ordinary guests send, on any form."""
    attack = _form("/guestbook.php", text="<script>alert(document.cookie)</script>")
    for node in SERVERS:
        _, page = _ask(cluster.address(node), *attack)
        assert APPLICATION not in page, f"{node} refuses nothing at all"
    for node, (tried, refused) in _each_server(cluster, lambda a: turned_away(a, 3)).items():
        assert not refused, f"{node} refuses {len(refused)} of {tried}: {'; '.join(refused)}"


def check_guessers_are_banned(cluster):
    """On both directors fail2ban counts wrong passwords, and those for ssh."""
    for node in DIRECTORS:
        shown = cluster.said(node, "fail2ban-client status")
        for jail in ("wrong-password", "sshd"):
            assert jail in shown, f"{node} has no jail {jail}"
        limit = cluster.said(node, "fail2ban-client get wrong-password maxretry")
        wanted = str(cluster.variables["wrong_passwords"])
        assert limit == wanted, f"{node} bans after {limit or 'nothing'}"
    # what was counted before is forgotten, and what is counted now, whoever is banned for it
    forget = "fail2ban-client restart --unban wrong-password"
    cluster.everywhere(forget, list(DIRECTORS))
    guesser = cluster.address("mgm")
    guess = (
        f"for i in $(seq {wanted}); do curl -s --max-time 5 -o /dev/null -d name=alex "
        f"-d password=$i http://{cluster.lab.file.address}/login.php; done"
    )
    cluster.said("mgm", guess)
    holder = cluster.one_holder()
    try:
        eventually(
            lambda: guesser in cluster.said(holder, "fail2ban-client status wrong-password"),
            30, f"{holder} bans who guesses",
        )  # fmt: skip
    finally:
        cluster.everywhere(forget, list(DIRECTORS))


def check_versions_are_nobodys_business(cluster):
    """Neither server tells its version."""
    for node in SERVERS:
        said = cluster.get(f"http://{cluster.address(node)}/robots.txt")
        assert said.headers.get("Server") == "Apache", f"{node} says {said.headers.get('Server')}"


# who is let in, and who reads along


def check_ssh_takes_keys_only(cluster):
    """sshd on every node offers keys and nothing else, and is no tunnel."""
    told = (
        "ssh -o BatchMode=yes -o PubkeyAuthentication=no -o StrictHostKeyChecking=no "
        "-o UserKnownHostsFile=/dev/null -o ConnectTimeout=20 root@127.0.0.1 true 2>&1; "
        "sshd -T | grep -E '^(password|kbdinteractive|disable)'"
    )
    for node, shown in cluster.everywhere(told).items():
        assert "Permission denied (publickey)." in shown, f"{node} offers more than keys"
        for line in ("passwordauthentication no", "kbdinteractiveauthentication no"):
            assert line in shown, f"{node} would take passwords"
        assert "disableforwarding yes" in shown, f"{node} forwards connections"


def check_a_stolen_password_opens_nothing(cluster):
    """The guest book's password without its certificate is refused; its account has few rights."""
    told = (
        r"""MYSQL_PWD=$(sed -n 's/^password = "\(.*\)"/\1/p' /etc/guestbook/database.ini) """
        f"mariadb -h {cluster.address('web1', 'back')} -u guestbook -e 'SELECT 1'"
    )
    for node in SERVERS:
        assert "ERROR 1045" in cluster.said(node, told), f"{node}: the password is enough"
        account = f"guestbook@'{cluster.address(node, 'back')}'"
        rights = cluster.said("web1", f'mariadb -N -e "SHOW GRANTS FOR {account}"')
        assert "REQUIRE X509" in rights, f"{account} needs no certificate"
        wanted = tuple(
            f"GRANT {what} ON `guestbook`.`{table}`"
            for what, table in (("SELECT", "account"), ("SELECT, INSERT", "entry"))
        )
        given = [line for line in rights.splitlines() if not line.startswith("GRANT USAGE")]
        for line in given:
            assert line.startswith(wanted), f"{account} may do more: {line}"
        assert len(given) == len(wanted), f"{account} may do less than the guest book needs"


def check_nobody_reads_what_goes_to_the_database(cluster):
    """What a guest writes through web2 is not in a recording of what web1's database gets."""
    number = cluster.said("web1", "date +%s%N")
    aloud, secret = f"aloud{number}", f"secret{number}"
    record = "/root/check.pcap"
    card = cluster.lab.cluster.networks["back"].interface
    cluster.said(
        "web1",
        f"rm -f {record}; systemd-run --quiet --collect --unit=check-record -p RuntimeMaxSec=60 "
        f"tcpdump -Z root --immediate-mode -U -n -i {card} -w {record} port 3306",
    )
    try:
        eventually(lambda: cluster.said("web1", f"test -s {record} && echo yes") == "yes",
                   20, "a recording on web1")  # fmt: skip
        database = cluster.address("web1", "back")
        ask = f"timeout 10 mariadb --skip-ssl -h {database} -u {aloud} -e 'SELECT 1'"
        cluster.said("web2", ask)
        _write(cluster, "web2", secret)
        counted = cluster.said(
            "web1",
            f"for word in {aloud} {secret}; do grep -a -c $word {record} || true; done",
        ).split()
    finally:
        gone = f"DELETE FROM guestbook.entry WHERE text = '{secret}'"
        cluster.said("web1", f'systemctl stop check-record; rm -f {record}; mariadb -e "{gone}"')
    assert len(counted) == 2, f"the recording cannot be read: {' '.join(counted)}"
    assert counted[0] != "0", "the recording shows nothing at all"
    assert counted[1] == "0", "what a guest wrote can be read on the way to the database"


def _write(cluster, node, text):
    """Log in on one web server as alex, and write a text into the guest book."""
    site, jar = f"http://{cluster.address(node)}", f"/tmp/check-{text}"
    curl = "curl -s --max-time 10 -o /dev/null -w '%{http_code} '"
    shown = cluster.said(
        "client",
        f"{curl} -c {jar} -d name=alex --data-urlencode 'password=open sesame' {site}/login.php; "
        f"{curl} -b {jar} -d text={text} {site}/guestbook.php; rm -f {jar}",
    )
    assert shown == "303 303", f"nobody can write through {node}: {shown}"


def check_tls_is_up_to_date(cluster):
    """Squid and the database both offer TLS, no old version of it, and nothing weak."""
    database = f"{cluster.address('web1', 'back')}:3306"
    for target, how in ((f"{cluster.lab.file.address}:443", ""), (database, "--starttls-mysql")):
        told = f"sslscan --no-colour --no-check-certificate --no-groups {how} {target}"
        # from a machine that is never banned
        shown = cluster.said("web2", told, timeout=180)
        spoken = set(re.findall(r"^((?:SSL|TLS)v[0-9.]+) +enabled", shown, re.MULTILINE))
        assert spoken, f"{target} speaks no TLS"
        old = spoken - {"TLSv1.2", "TLSv1.3"}
        assert not old, f"{target} speaks {' and '.join(sorted(old))}"
        ciphers = re.findall(r"^(?:Accepted|Preferred) .*", shown, re.MULTILINE)
        weak = [line for line in ciphers if re.search(WEAK, line)]
        assert not weak, f"{target} offers {weak[0].split()[-1]}"
        assert not re.search(r"^TLS\S+ vulnerable", shown, re.MULTILINE), f"{target}: Heartbleed"
        assert "Compression enabled" not in shown, f"{target} compresses (CRIME)"


# a server that steps aside, and the letter about it


def _weight(cluster, server):
    """The share of visitors that the active director sends a web server; None: it is not listed."""
    table = ipvs_table(cluster.said(cluster.one_holder(), "ipvsadm -Ln"))
    service = table.get(f"{cluster.variables['site_address']}:80")
    weights = {s.address: s.weight for s in service.servers} if service else {}
    return weights.get(cluster.address(server))


@contextlib.contextmanager
def _maintenance(cluster, server):
    """One web server out of the directors' table, for as long as the block runs."""
    file = f"/etc/ha.d/maintenance/{server}"

    def weighs(wanted):
        weight = _weight(cluster, server)
        assert weight == wanted, f"{server} has weight {weight}"
        return True

    cluster.everywhere(f"touch {file}", list(DIRECTORS))
    try:
        eventually(lambda: weighs(0), 20, f"{server} is out of the table")
        yield
    finally:
        cluster.everywhere(f"rm -f {file}", list(DIRECTORS))
        eventually(lambda: weighs(1), 20, f"{server} is back in the table")


def check_a_server_steps_aside(cluster):
    """A web server that steps aside is sent nobody and refuses squid; then it is asked again."""
    knock = f"timeout 5 bash -c 'echo >/dev/tcp/{cluster.address('web2')}/80' 2>&1"
    said = cluster.said("web2", "step-aside out", timeout=150)
    try:
        assert "nobody is here" in said, f"web2: {said.splitlines()[-1] if said else 'silence'}"
        weight = _weight(cluster, "web2")
        assert weight == 0, f"web2 is sent visitors, with weight {weight}"
        for node in DIRECTORS:
            assert "refused" in cluster.said(node, knock), f"{node} still reaches web2"
    finally:
        said = cluster.said("web2", "step-aside back; echo back: $?", timeout=200)
    assert said.endswith("back: 0"), f"web2 does not come back: {said}"
    weight = _weight(cluster, "web2")
    assert weight == 1, f"web2 is back, and has weight {weight}"


def check_an_alarm_reaches_the_mailbox(cluster):
    """When a server goes, and when it comes back, there is a letter on the active director."""
    server = f"{cluster.address('web2')}:80"

    def letters(node, what):
        told = f"grep -c '^Log-Message: {what} real server: {server}' /var/mail/root"
        count = cluster.said(node, told)
        return int(count) if count.isdecimal() else 0

    director = cluster.one_holder()
    gone, back = letters(director, "Quiescent"), letters(director, "Restored")
    with _maintenance(cluster, "web2"):
        eventually(lambda: letters(director, "Quiescent") > gone, 20, "a letter that web2 is out")
    eventually(lambda: letters(director, "Restored") > back, 20, "a letter that web2 is back")


# what is known elsewhere


def check_mgm_has_everybodys_log(cluster):
    """What a node logs now stands on mgm a moment later, under its address."""
    others = [node for node in cluster.nodes if node != "mgm"]
    mark = f"check-{cluster.said('mgm', 'date +%s%N')}"
    cluster.everywhere(f"logger {mark}", others)

    def arrived():
        for node in others:
            told = f"grep -c {mark} /var/log/all/{cluster.address(node, 'back')}.log"
            assert cluster.said("mgm", told) == "1", f"mgm has no log of {node}"
        return True

    eventually(arrived, 20, "a line of every node on mgm")


def check_a_forged_beat_is_refused_and_told(cluster):
    """Both directors refuse a beat that is summed up and not signed, and mgm's log says so."""
    name = f"stranger{cluster.said('mgm', 'date +%s')}"
    # the second method of authkeys, if there were one, would be the checksum that anybody can make
    text = f"t=status\nst=dead\nsrc={name}\n"
    beat = f">>>\n{text}auth=2 {_checksum(text.encode()):x}\n<<<\n"
    packed = base64.b64encode(beat.encode()).decode()

    def told():
        for node in DIRECTORS:
            file = f"/var/log/all/{cluster.address(node, 'back')}.log"
            shown = cluster.said("mgm", f"grep -c '{name}. failed authentication' {file}")
            assert shown.strip("0").isdecimal(), f"mgm does not know that {node} refused one"
        return True

    for node in DIRECTORS:
        send = f"echo {packed} | base64 -d >/dev/udp/{cluster.address(node)}/694"
        cluster.said("mgm", f"bash -c {shlex.quote(send)}")
    eventually(told, 15, "a refusal by both directors, on mgm")


def _checksum(data):
    """What heartbeat's method `crc` makes of a message: CRC-32 with the high bit first."""
    value = 0
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)
            value &= 0xFFFFFFFF
    return value ^ 0xFFFFFFFF


def check_all_have_one_time(cluster):
    """Every node but mgm follows mgm's clock, and is less than a second from it."""
    server = cluster.address("mgm", "back")
    others = [node for node in cluster.nodes if node != "mgm"]

    def follows():
        for node in others:
            fields = cluster.said(node, "chronyc -c -n tracking").split(",")
            assert len(fields) > 13, f"{node} follows no clock"
            assert fields[1] == server, f"{node} follows {fields[1] or 'nobody'}"
            assert fields[13] == "Normal", f"{node}: {fields[13]}"
            assert abs(float(fields[4])) < 1, f"{node} is {float(fields[4]):.1f} s off"
        return True

    eventually(follows, 45, "one time for all")


# the list


def check_recommendations_are_met_or_waived(cluster):
    """What the benchmark asks for is true on each machine, or it is written down why not."""
    listed = tomllib.loads((HERE / "recommendations.toml").read_text())
    items = listed["item"]
    assert len(items) >= RECOMMENDED, f"only {len(items)} recommendations are listed"
    numbers = [item["id"] for item in items]
    assert len(set(numbers)) == len(numbers), "a recommendation is listed twice"
    for item in items:
        assert ("test" in item) != ("waiver" in item), f"{item['id']}: a test, or a waiver"
        assert len(item.get("waiver", "because of this")) > 10, f"{item['id']}: why not?"
    with ThreadPoolExecutor(len(cluster.nodes)) as pool:
        found = pool.map(lambda node: _unmet(cluster, listed, node), cluster.nodes)
        unmet = dict(zip(cluster.nodes, found, strict=True))
    for node, ids in unmet.items():
        assert not ids, f"{node} does not meet {', '.join(ids)}"


def _unmet(cluster, listed, node):
    """The ids of what a node does not meet, as pytest-testinfra finds it there."""
    host, asked, verdicts = cluster.host(node), _asked(cluster, listed, node), {}
    for start in range(0, len(asked), AT_ONCE):
        lines = [listed["prepare"]]
        for item in asked[start : start + AT_ONCE]:
            lines.append(
                f"if ( {item['test']} ) >/dev/null 2>&1; then word=met; else word=unmet; fi"
            )
            lines.append(f"echo {item['id']} $word")
        shown = host.run("bash -c %s", "\n".join(lines)).stdout
        verdicts |= dict(re.findall(r"^(\S+) (met|unmet)$", shown, re.MULTILINE))
    return [item["id"] for item in asked if verdicts.get(item["id"]) != "met"]


def _asked(cluster, listed, node):
    """The items whose tests are run on a node."""
    return [
        item
        for item in listed["item"]
        if "test" in item
        and any(node in cluster.lab.cluster.members(who) for who in re.split(r", *", item["on"]))
    ]
