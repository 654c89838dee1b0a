"""Updates come in one machine after the other, and the first that does not come back ends it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fakes import refused

from workshop import rolling, state
from workshop.probe import Outage
from workshop.remote import Result

GOOD = Outage(40, 0, 0.0, True, ["web1"], False)


class Watched:
    """A probe that sees good answers, or none."""

    good = True

    def __init__(self, *_: object) -> None:
        pass

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def good_lately(self) -> bool:
        return self.good

    def outage(self) -> Outage:
        return GOOD


class Servers:
    """What `Live` is asked for, with the answers of each node's program."""

    url = "http://192.168.56.100/"
    lab = SimpleNamespace(file=SimpleNamespace(says="by", visitors=10))
    machines = SimpleNamespace(host=SimpleNamespace(patience=1))

    def __init__(self, holder: str = "lb1", without: str = "", fails: str = "") -> None:
        self._holder, self.without, self.fails = holder, without, fails
        self.ran: list[tuple[str, str]] = []

    def holder(self) -> str:
        return self._holder

    def run(self, node: str, command: str, timeout: float = 60, check: bool = True) -> Result:
        if command.startswith("test "):
            return Result(node, command, int(node == self.without), "", "")
        self.ran.append((node, command))
        said = "nobody is here any more\nsquid [5.7-1] (5.7-2)\n"
        return Result(node, command, int(node == self.fails), said, "not well\n")


@pytest.fixture(autouse=True)
def _probe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rolling, "Probe", Watched)
    monkeypatch.setattr(state, "FOLDER", tmp_path)


def updated(servers: Servers, nodes: list[str]) -> tuple[list[rolling.Updated], Outage]:
    told: list[rolling.Updated] = []
    live: Any = servers
    return told, rolling.update(live, nodes, ["squid", "it's"], told.append)


def test_each_machine_takes_the_packages_and_is_told_of() -> None:
    servers = Servers()
    told, seen = updated(servers, ["web1", "web2"])
    command = f"{rolling.PROGRAM} squid 'it'\"'\"'s'"
    assert servers.ran == [("web1", command), ("web2", command)]
    assert [(t.node, t.packages) for t in told] == [
        ("web1", ["squid [5.7-1] (5.7-2)"]),
        ("web2", ["squid [5.7-1] (5.7-2)"]),
    ]
    assert seen == GOOD


def test_who_has_the_address_comes_last() -> None:
    servers = Servers(holder="lb1")
    updated(servers, ["lb1", "lb2"])
    assert [node for node, _ in servers.ran] == ["lb2", "lb1"]


def test_a_machine_that_does_not_come_back_ends_it() -> None:
    servers = Servers(fails="web1")
    with refused("web1 did not come back: not well"):
        updated(servers, ["web1", "web2"])
    assert [node for node, _ in servers.ran] == ["web1"]


def test_nothing_is_touched_where_a_machine_cannot_step_aside() -> None:
    servers = Servers(without="web2")
    with refused("web2: there is no /usr/local/sbin/update-here"):
        updated(servers, ["web1", "web2"])
    assert servers.ran == []


def test_nothing_is_touched_where_visitors_are_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watched, "good", False)
    monkeypatch.setattr(rolling, "eventually", _at_once)
    servers = Servers()
    with refused("http://192.168.56.100/", "nothing was touched"):
        updated(servers, ["web1"])
    assert servers.ran == []


def _at_once(condition: Any, _within: float, what: str) -> None:
    if not condition():
        raise AssertionError(what)
