"""Acknowledged writes under a fault: offered, counted on every node, held to what was declared."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fakes import LAB, Fleet, refused, write_lab

from workshop import writes
from workshop.ledger import Attempt, Audit, Look
from workshop.live import Live
from workshop.manifest import Fault
from workshop.writes import Writes, broken_promise

LEDGER = """
[secrets]
written = "{word}"

[ledger]
address = "127.0.0.1"
user = "ledger"
secret = "written"
database = "book"
read_from = ["lb1", "lb2"]
"""


class Written:
    """A ledger whose writer noted this pattern: o acknowledged, a dot failed."""

    run, pattern, missed = "r", "o" * 120, 0
    targets: ClassVar[list[dict[str, Any]]] = []
    open = 0

    def __init__(self, target: dict[str, Any], _notes: Path) -> None:
        self.targets.append(target)

    def __enter__(self) -> Written:
        Written.open += 1
        return self

    def __exit__(self, *_: object) -> None:
        Written.open -= 1

    def attempts(self) -> list[Attempt]:
        begin = time.time() + 1 - len(self.pattern) / 10
        words = {"o": "ok", ".": "fail"}
        return [
            Attempt(f"r-{i}", begin + i / 10, 0, words[mark], why="no way")
            for i, mark in enumerate(self.pattern)
        ]

    def looks(self) -> list[Look]:
        rows = frozenset(f"r-{i}" for i in range(self.missed, 120))
        return [Look("lb2", time.time() + 9, rows)] if self.missed else []

    def good_lately(self, count: int) -> bool:
        return self.pattern.endswith("o" * count)


@pytest.fixture(autouse=True)
def _written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writes, "Ledger", Written)
    for name, value in (("pattern", "o" * 120), ("missed", 0), ("open", 0)):
        monkeypatch.setattr(Written, name, value)


def begun(fleet: Fleet, labs: Path, more: str = "") -> Writes:
    live = Live(fleet.machines, write_lab(labs, toml=LAB + LEDGER + more))
    assert live.lab.file.ledger is not None
    return Writes.begun(live, live.lab.file.ledger, "dark")


def ended(found: Writes, fleet: Fleet, lost: int = 0) -> Audit:
    """What became of the writes, six seconds later, where the first `lost` rows are gone."""
    found._struck -= 12
    there = [f"r-{i}" for i, mark in enumerate(Written.pattern) if mark == "o"]
    rows = "\n".join(there[lost:])
    for node in ("lb1", "lb2"):
        known = {"SELECT operation FROM book.ledger": rows}
        fleet.nodes[node].answers = known | fleet.nodes[node].answers | known
    return found.end(0)


def declared(**more: Any) -> Fault:
    return Fault(title="X", does="power_off", expect="Y", **({"serves": "peer"} | more))


def test_acknowledged_writes_are_counted_on_every_node(fleet: Fleet, labs: Path) -> None:
    assert broken_promise(declared(), 5, ended(begun(fleet, labs), fleet)) == ""
    lost = ended(begun(fleet, labs), fleet, lost=2)
    assert broken_promise(declared(), 5, lost) == "2 lost on lb1, 2 lost on lb2"
    assert Written.open == 0


def test_a_lab_that_says_so_may_lose(fleet: Fleet, labs: Path) -> None:
    lost = ended(begun(fleet, labs), fleet, lost=2)
    assert broken_promise(declared(may_lose=True), 5, lost) == ""
    assert broken_promise(declared(must_lose=True), 5, lost) == ""


def test_a_lab_that_says_it_must_lose_has_to_show_it(fleet: Fleet, labs: Path) -> None:
    found = broken_promise(declared(must_lose=True), 5, ended(begun(fleet, labs), fleet))
    assert "nothing was lost" in found


def test_writes_have_the_bound_of_the_visitors(
    fleet: Fleet, labs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = begun(fleet, labs)
    monkeypatch.setattr(Written, "pattern", 10 * "o" + 50 * "." + 100 * "o")
    audit = ended(found, fleet)
    assert broken_promise(declared(), 4, audit) == "no write for 5.1 s, 4 s allowed"
    assert broken_promise(declared(), 6, audit) == ""
    assert broken_promise(declared(serves="nobody"), 4, audit) == ""


def test_a_void_run_proves_nothing(fleet: Fleet, labs: Path) -> None:
    found = begun(fleet, labs)
    found._struck = time.time() + 72
    assert "void: no write was offered" in broken_promise(declared(), 5, ended(found, fleet))


@pytest.mark.parametrize(("fresh", "wrong"), [("false", ""), ("true", "3 stale on lb2")])
def test_rows_shown_late_are_wrong_where_nodes_promise_to_be_fresh(
    fleet: Fleet, labs: Path, monkeypatch: pytest.MonkeyPatch, fresh: str, wrong: str
) -> None:
    found = begun(fleet, labs, f"look_every = 2\ncounter = true\nfresh = {fresh}\n")
    target = Written.targets[-1]
    assert target["look_at"] == {"lb1": "192.168.57.11", "lb2": "192.168.57.12"}
    assert (target["look_every"], target["counter"], target["host"]) == (2, True, "127.0.0.1")
    monkeypatch.setattr(Written, "missed", 3)
    audit = ended(found, fleet)
    assert broken_promise(declared(), 5, audit) == wrong
    assert ("shown late: 3 on lb2" in str(audit)) is not bool(wrong)


def test_nobody_is_looked_at_unless_asked_for(fleet: Fleet, labs: Path) -> None:
    begun(fleet, labs)
    assert "look_at" not in Written.targets[-1]


def test_nothing_is_broken_while_writes_fail(
    fleet: Fleet, labs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Written, "pattern", "oooo....")
    monkeypatch.setattr(writes, "eventually", not_in_time)
    with refused("writes fail before the fault", "no way"):
        begun(fleet, labs)
    assert Written.open == 0


def not_in_time(*_: object) -> None:
    raise AssertionError
