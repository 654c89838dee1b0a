"""The hardening, beyond its own lab: on the other labs' machines, in its long form, and in use.

Run with `--all`, or for the hardening lab alone (workshop/suite.py): each test goes to a
lab's checkpoint first.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import re
import shlex
import time
from collections.abc import Iterator
from typing import Any

import pytest

from workshop import apply, manifest, plugin, render, rolling, steps
from workshop.box import package_folder
from workshop.course import Course
from workshop.live import Live
from workshop.manifest import ROOT, Lab
from workshop.steps import CLIENT, Step
from workshop.waiting import eventually

LABS = (1, 2, 3, 4, 5)
# the parts of its Build that are for any machine of their kind: not those that belong to squid,
# to the certificates, or to the auditor
PARTS = {
    "Attacks are refused": (),
    "Keys only, and a kernel that tells less": (),
    "One time": ("mgm",),  # who has to be there
    "Logs in another place": ("mgm",),
    "A reason for each port": (),
}
# its checks that hold on any machine
COMMON = [
    "check_what_is_not_named_is_dropped",
    "check_what_listens_is_declared",
    "check_ssh_takes_keys_only",
]
ALARM = (
    r"sed -i '/^logfile/a emailalert = root\nemailalertstatus = running' /etc/ha.d/ldirectord.cf"
)
# the guest book's account may no longer change or delete: lab, where, and how SQL is told
LEAST = {2: (["web1"], "mariadb"), 3: (["db1"], "mysql"), 4: (["db1", "db2"], "mariadb")}


@pytest.fixture(scope="module", autouse=True)
def _afterwards(course: Course) -> Iterator[None]:
    """What these tests do to the machines is in no checkpoint."""
    yield
    course.reset(manifest.lab(1))


@pytest.fixture
def own() -> Lab:
    """The hardening lab."""
    return manifest.lab("hardening")


def _checks(lab: Lab) -> Any:
    """The lab's `checks.py`, whose functions are more than its checks."""
    spec = importlib.util.spec_from_file_location("hardening_checks", lab.folder / "checks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _pass(live: Live, only: list[str] | None = None) -> None:
    """All of the lab's checks pass, or some of them."""

    def passed() -> bool:
        others = [c for c in plugin.run(live, only) if c.outcome != "passed"]
        assert not others, "; ".join(f"{c.name} {c.outcome}: {c.message}" for c in others)
        return True

    eventually(passed, 60 * live.machines.host.patience, f"checks of lab {live.lab.number}", 2)


# on the machines of the other labs


def _for(lab: Lab, own: Lab) -> Lab:
    """The hardening, for another lab's machines and with the ports that it adds."""
    values = own.file.variables
    added = [
        line.split(None, 1) for line in str(values["open_ports_elsewhere"]).splitlines() if line
    ]
    ports = [str(values["open_ports"]).strip()]
    ports += [rest for number, rest in added if int(number) == lab.number]
    update = {
        "nodes": lab.file.nodes,
        "requires": sorted({*own.file.requires, lab.number}),
        "variables": {**values, "open_ports": "\n".join(ports)},
        "modes": {},  # those of files that these machines do not get would be mistakes
    }
    return dataclasses.replace(own, file=own.file.model_copy(update=update))


def _on(step: Step, own: Lab, lab: Lab) -> list[str]:
    """The lab's nodes that a step of the hardening is for. What is for directors and web servers
    alike is for databases, too."""
    members = own.cluster.members
    many = {*members("directors"), *members("web")} <= set(step.on)
    wanted = {*step.on, *(members("databases") if many else [])}
    return [node for node in lab.nodes if node in wanted]


def _harden(live: Live, own: Lab, lab: Lab) -> None:
    """Do what the hardening's page says, in its order, where it fits the lab's machines."""
    page = steps.parse(own)
    files = {(f.node, f.path): f for f in render.files(live.lab, apply.secrets_of(live.lab))}
    assert set(PARTS) <= {step.heading for step in page.section("build")}
    for step in page.section("build"):
        nodes = _on(step, own, lab)
        fits = step.heading in PARTS and set(PARTS[step.heading]) <= set(lab.nodes)
        if not fits or not nodes or CLIENT in step.on or "lynis" in step.body:
            continue
        if step.kind == "install":
            for node in nodes:
                found = [files[node, path] for path in step.paths]
                entries = [
                    (f"/{f.path}", own.file.modes.get(f.path, "0644"), f.content) for f in found
                ]
                live.machines.remote(node).put_many(entries)
        else:
            apply.execute(live, page, dataclasses.replace(step, on=nodes), [])


def _alarm_and_accounts(live: Live, lab: Lab) -> None:
    """What the page does by whole files that are other ones in this lab."""
    for node in lab.cluster.members("directors"):
        if live.run(node, "test -e /etc/ha.d/ldirectord.cf", check=False).ok:
            live.run(node, ALARM)
            live.run(node, "ldirectord ldirectord.cf reload || true")
    nodes, program = LEAST.get(lab.number, ([], ""))
    for node in nodes:
        for web in lab.cluster.members("web"):
            account = f"guestbook@'{lab.cluster.address(web, 'back')}'"
            log = "SET sql_log_bin = 0; " if len(nodes) > 1 else ""
            revoke = f"{log}REVOKE UPDATE, DELETE ON guestbook.* FROM {account}"
            live.run(node, f"{program} -e {shlex.quote(revoke)}")


@pytest.mark.parametrize("number", LABS)
def test_a_hardened_lab_still_holds(number: int, own: Lab, course: Course) -> None:
    lab = manifest.lab(number)
    if lab.file.mysql_cluster and package_folder(ROOT) is None:
        pytest.skip("no MySQL Cluster packages")
    if number in own.file.requires:  # its own Build is what hardens it
        course.skip(own)
        _pass(Live(course.machines, lab))
        return
    course.skip(lab)
    live = Live(course.machines, lab)
    _pass(live)
    hardened = Live(course.machines, _for(lab, own))
    _harden(hardened, own, lab)
    _alarm_and_accounts(live, lab)
    _pass(hardened, COMMON)
    for web in [node for node in lab.nodes if node in lab.cluster.members("web")]:
        attack = (
            f"http://{lab.cluster.address(web)}/guestbook.php?q=%3Cscript%3Ealert(1)%3C/script%3E"
        )
        assert live.get(attack).status == 403, f"{web} lets an attack in"
    _pass(live)


def test_replication_does_not_tell_what_it_carries(course: Course) -> None:
    """A row that is copied, and a name that is said aloud: the recording has the name."""
    lab = manifest.lab("replication")
    course.skip(lab)
    live = Live(course.machines, lab)
    databases = lab.cluster.members("databases")
    writer = next(n for n in databases if n in live.holders(str(lab.variables["writer_address"])))
    replica = next(n for n in databases if n != writer)
    number = time.time_ns()
    aloud, canary = f"aloud{number}", f"canary{number}"
    card = lab.cluster.networks["back"].interface
    there = lab.cluster.address(writer, "back")
    record = f"tcpdump -Z root --immediate-mode -U -n -i {card} -w /root/canary.pcap"
    unit = "systemd-run --quiet --collect --unit=canary -p RuntimeMaxSec=120"
    live.run(replica, f"rm -f /root/canary.pcap; {unit} {record} host {there} and port 3306")
    try:
        seen = "test -s /root/canary.pcap"
        eventually(lambda: live.run(replica, seen, check=False).ok, 20, "a recording")
        live.run(replica, f"mariadb --skip-ssl -h {there} -u {aloud} -e 'SELECT 1'", check=False)
        row = f"INSERT INTO guestbook.ledger (operation) VALUES ('{canary}')"
        live.run(writer, f"mariadb -e {shlex.quote(row)}")
        rows = f"SELECT COUNT(*) FROM guestbook.ledger WHERE operation = '{canary}'"
        eventually(
            lambda: live.said(replica, f"mariadb -Ne {shlex.quote(rows)}") == "1",
            30, f"the row on {replica}",
        )  # fmt: skip
        counts = {
            word: live.said(replica, f"grep -a -c {word} /root/canary.pcap")
            for word in (aloud, canary)
        }
    finally:
        live.run(replica, "systemctl stop canary; rm -f /root/canary.pcap", check=False)
    assert counts[aloud] != "0", "the recording shows nothing at all"
    assert counts[canary] == "0", "replication says aloud what it carries"


# in its long form


def test_a_hundred_attacks_and_as_many_guests(own: Lab, course: Course) -> None:
    course.skip(own)
    checks = _checks(own)
    named = [name for name, _ in checks.attacks()]
    assert len(named) >= 100
    assert len({_bare(request) for _, request in checks.attacks()}) == len(named)
    for node in own.cluster.members("web"):
        address = own.cluster.address(node)
        seen = checks.let_in(address)
        print(f"{node} lets in {len(seen)} of {len(named)}: {'; '.join(seen) or 'none'}")
        assert len(seen) <= 0.05 * len(named)
        tried, refused = checks.turned_away(address)
        assert refused == []
        assert tried >= len(named)


def _bare(request: tuple[str, str, dict[str, str], Any]) -> str:
    """A request without what variants of one payload differ in: case, space and encoding."""
    _, path, headers, body = request
    text = f"{path} {headers.get('User-Agent', '')} {headers.get('Referer', '')} {body}"
    return re.sub(r"%[0-9a-f]{2}|\W", "", text.lower())


def test_each_attack_reaches_an_application_that_nothing_guards(own: Lab, course: Course) -> None:
    course.skip(own)
    live, checks = Live(course.machines, own), _checks(own)
    file = "/etc/apache2/conf-available/attacks.conf"
    for node in own.cluster.members("web"):
        live.run(node, f"sed -i 's/SecRuleEngine On/SecRuleEngine Off/' {file}")
        live.run(node, "systemctl restart apache2")
        address = own.cluster.address(node)
        health = f"http://{address}/health.php"
        eventually(functools.partial(_answers, live, health), 60, f"{node} after its restart")
        seen = checks.let_in(address)
        assert [name for name, _ in checks.attacks() if name not in seen] == []


def _answers(live: Live, url: str) -> bool:
    return live.get(url).status == 200


# in use


def test_updates_come_in_while_visitors_do(own: Lab, course: Course) -> None:
    """A newer package in the machines' own repository; web servers first, and then directors."""
    course.skip(own)
    live, page = Live(course.machines, own), steps.parse(own)
    laid = next(s for s in page.section("try") if "dpkg-deb" in s.body)
    web, directors = own.cluster.members("web"), own.cluster.members("directors")
    apply.execute(live, page, dataclasses.replace(laid, on=[*web, *directors]), [])
    told: list[rolling.Updated] = []
    seen = rolling.update(live, web, ["modsecurity-crs"], told.append)
    print(f"{told}: {seen}")
    assert [done.node for done in told if done.packages] == web
    assert not seen.void
    assert seen.failed == 0
    for node in web:
        asked = f"http://{own.cluster.address(node)}/news.php?debug=1"
        assert live.get(asked).status == 403, f"{node} runs the old rules"
    holder = live.holder()
    told.clear()
    seen = rolling.update(live, directors, ["modsecurity-crs"], told.append)
    print(f"{told}: {seen}")
    assert [done.node for done in told if done.packages] == [live.peer(holder), holder]
    assert live.holder() == live.peer(holder)
    # one hand-over, as lab 1 allows it, and ldirectord's start
    allowed = own.seconds("20 + 2 * ldirectord_start + checkinterval + 2 * negotiatetimeout")
    assert seen.seconds <= allowed * course.machines.host.patience
    _pass(live)
