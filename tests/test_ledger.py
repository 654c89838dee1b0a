"""The ledger: what was acknowledged must be there, once, on every node."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from fakes import recorded

from workshop import ledger, writer
from workshop.ledger import Attempt, Ledger, audit
from workshop.waiting import eventually

OUTCOMES = {"o": "ok", ".": "fail", "?": "unknown"}


def attempts(pattern: str, late: float = 0.0) -> list[Attempt]:
    """One attempt every 0.1 s: o is acknowledged, a dot fails, ? is unknown."""
    return [
        Attempt(f"r-{i}", 100 + i / 10, late, OUTCOMES[mark], 0.01)
        for i, mark in enumerate(pattern)
    ]


def rows(*numbers: int) -> list[str]:
    return [f"r-{i}" for i in numbers]


def test_all_promises_kept() -> None:
    found = audit(attempts("oo.?"), {"db1": rows(0, 1), "db2": rows(1, 0)})
    assert (found.offered, found.ok, found.failed, found.unknown) == (4, 2, 1, 1)
    assert found.wrong == found.void == ""
    assert "nothing lost" in str(found)


def test_an_acknowledged_row_that_is_gone_is_lost() -> None:
    found = audit(attempts("ooo"), {"db1": rows(0, 2), "db2": rows(0, 2)})
    assert found.lost == {"db1": ["r-1"], "db2": ["r-1"]}
    assert found.wrong == "1 lost on db1, 1 lost on db2"


def test_every_node_is_looked_at() -> None:
    found = audit(attempts("oo"), {"db1": rows(0, 1), "db2": rows(0)})
    assert found.lost == {"db1": [], "db2": ["r-1"]}
    assert found.differing == ["r-1"]


def test_a_row_that_is_there_twice_is_duplicated_whatever_was_answered() -> None:
    found = audit(attempts("o?"), {"db1": rows(0, 0, 1, 1)})
    assert found.duplicated == {"db1": ["r-0", "r-1"]}
    assert "2 duplicated on db1" in found.wrong


def test_a_refused_row_that_is_there_is_a_ghost() -> None:
    assert audit(attempts("o."), {"db1": rows(0, 1)}).ghosts == {"db1": ["r-1"]}


def test_an_unknown_row_may_be_there_or_not_but_not_on_one_node_only() -> None:
    there = audit(attempts("o?"), {"db1": rows(0, 1), "db2": rows(0, 1)})
    assert (there.recovered, there.wrong) == (1, "")
    assert audit(attempts("o?"), {"db1": rows(0), "db2": rows(0)}).wrong == ""
    half = audit(attempts("o?"), {"db1": rows(0, 1), "db2": rows(0)})
    assert half.wrong == "1 rows are not on every node"


def test_rows_of_other_runs_do_not_count() -> None:
    assert audit(attempts("o"), {"db1": ["r-0", "another-0", "another-0"]}).wrong == ""


@pytest.mark.parametrize(
    ("pattern", "outage"),
    [
        ("o" * 20, 0.0),
        ("oooooooooo.oooooooooo", 0.2),
        ("ooooo.?.?.oooooooooo", 0.6),
        ("ooooo.....", 0.5),
        ("ooooo..o..oooooooooo", 0.6),
        ("o" * 10 + ".." + "o" * 10 + "...." + "o" * 10, 0.5),
        ("ooooo.....ooooo", 0.6),
    ],
)
def test_an_outage_is_from_the_last_acknowledged_write_to_well_again(
    pattern: str, outage: float
) -> None:
    assert ledger.outage(attempts(pattern)) == pytest.approx(outage, abs=0.01)


def test_what_proves_nothing_is_void() -> None:
    whole = attempts("o" * 30)
    there = {"db1": [a.operation for a in whole]}
    assert audit(whole, there, (100.5, 102)).void == ""
    assert "while the fault" in audit(whole, there, (200, 210)).void
    assert "late" in audit(attempts("o" * 30, late=0.5), there).void
    assert "no node" in audit(whole, {}).void
    assert "acknowledged" in audit(attempts("..."), {"db1": []}).void
    assert "acknowledged" in audit([], {"db1": []}).void
    assert str(audit([], {"db1": []})).startswith("void: ")


def test_every_second_is_counted() -> None:
    assert ledger.seconds(attempts("o" * 10 + "oo...?????")) == [(0, 10, 0, 0), (1, 2, 3, 5)]
    assert ledger.seconds([]) == []
    table = [(-1, 10, 0, 0), (0, 10, 0, 0), (1, 2, 3, 5), (3, 2, 3, 5)]
    assert ledger.listed(table).splitlines() == [
        "      -1 to +0 s  10 ok   0 failed   0 unknown, a second",
        "            +1 s   2 ok   3 failed   5 unknown, a second",
        "            +3 s   2 ok   3 failed   5 unknown, a second",
    ]


def test_a_note_that_was_cut_short_leaves_its_write_unknown() -> None:
    lines = [
        '{"operation": "r-1", "due": 2.0, "late": 0.0}',
        '{"operation": "r-0", "due": 1.0, "late": 0.1}',
        '{"operation": "r-0", "outcome": "ok", "seconds": 0.2, "why": ""}',
        '{"operation": "r-1", "outco',
        "7",
    ]
    first, second = ledger.read(lines)
    assert first == Attempt("r-0", 1.0, 0.1, "ok", 0.2, "")
    assert (second.operation, second.outcome) == ("r-1", "unknown")


def test_a_recorded_death_of_all_data_nodes() -> None:
    found = ledger.read(recorded("ledger-all-killed.jsonl").splitlines())
    there = recorded("ledger-all-killed-rows.txt").split()
    judged = audit(found, {"db1": there, "db2": there})
    assert (judged.offered, judged.ok, judged.failed, judged.unknown) == (32, 26, 1, 5)
    assert judged.wrong == "13 lost on db1, 13 lost on db2"
    assert "late" in judged.void  # the machine was busy: it shows what can happen, not how often


# the writer


def offered(notes: Path, insert: Any, number: int) -> list[Attempt]:
    looks = itertools.count()
    with notes.open("w") as out:
        writer.offer({}, "r", out, lambda: next(looks) >= number, insert)
    return ledger.read(notes.read_text().splitlines())


def test_writes_are_offered_at_their_rate_whatever_becomes_of_them(tmp_path: Path) -> None:
    slow = threading.Event()

    def insert(_target: Any, operation: str) -> tuple[str, str]:
        slow.wait(1.0)
        return ("fail", "no") if operation.endswith("3") else ("ok", "")

    begin = time.monotonic()
    found = offered(tmp_path / "notes", insert, 10)
    assert len(found) == 10
    assert time.monotonic() - begin < 8, "one after the other would take ten seconds"
    assert all(b.due - a.due == pytest.approx(0.1, abs=1e-3) for a, b in itertools.pairwise(found))
    assert [a.outcome for a in found[:4]] == ["ok", "ok", "ok", "fail"]


def test_every_fifth_write_counts_where_there_is_a_counter(tmp_path: Path) -> None:
    done: list[str] = []

    def as_(kind: str) -> Any:
        return lambda _target, operation: (done.append(f"{kind} {operation[-1]}"), ("ok", ""))[1]

    for target in ({}, {"counter": True}):
        looks = itertools.count()
        with (tmp_path / "notes").open("w") as out:
            writer.offer(target, "r", out, lambda n=looks: next(n) >= 6, as_("row"), as_("number"))
    assert sorted(done[:6]) == [f"row {i}" for i in range(6)]
    assert sorted(done[6:]) == ["number 0", "number 5", *(f"row {i}" for i in range(1, 5))]


def test_nodes_are_looked_at_while_writes_are_offered(tmp_path: Path) -> None:
    notes, seen, ended = tmp_path / "notes", tmp_path / "looks", itertools.count()
    target = {"look_at": {"db1": "192.0.2.1", "db2": "192.0.2.2"}, "look_every": 0.05}

    def show(_target: Any, address: str, run: str) -> list[str] | None:
        return [f"{run}-000000"] if address == "192.0.2.1" else None

    with notes.open("w") as out, seen.open("w") as looks, writer.watched(target, "r", looks, show):
        writer.offer(target, "r", out, lambda: next(ended) >= 5, lambda *_: ("ok", ""))
    assert len(ledger.read(notes.read_text().splitlines())) == 5
    found = ledger.looks([*seen.read_text().splitlines(), "cut sho", '{"look": "db1"}'])
    assert len(found) >= 2, "a node that gives no answer showed nothing"
    assert {(each.node, each.found) for each in found} == {("db1", frozenset({"r-000000"}))}


def test_a_server_that_is_not_there_shows_nothing() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        target = {"port": unused.getsockname()[1], "user": "u", "password": "p", "database": "d"}
        assert writer.look(target, "127.0.0.1", "r") is None


def test_nothing_was_sent_where_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        target = {
            "host": "127.0.0.1", "port": unused.getsockname()[1],
            "user": "u", "password": "p", "database": "d",
        }  # fmt: skip
        outcome, why = writer.write(target, "r-0")
    assert outcome == "fail"
    assert "2003" in why


class Server:
    """A MySQL server's connection that says `error` to an insert."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.closed = False

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def cursor(self) -> Server:
        return self

    def execute(self, _sql: str, _values: tuple[str]) -> None:
        if self.error:
            raise self.error

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (None, "ok"),
        (1205, "fail"),
        (1297, "fail"),
        (1114, "fail"),
        (1296, "unknown"),  # 4009, cluster failure: the commit may have been on its way
        (1180, "unknown"),
        (2013, "unknown"),
        (2006, "unknown"),
        (0, "unknown"),
    ],
)
def test_only_a_refusal_is_a_failure(
    code: int | None, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = None if code is None else writer.pymysql.err.OperationalError(code, "words")
    server = Server(error)
    monkeypatch.setattr(writer.pymysql, "connect", lambda **_: server)
    target = dict.fromkeys(("host", "user", "password", "database"), "x") | {"port": 1}
    found, why = writer.write(target, "r-0")
    assert found == outcome
    assert server.closed
    assert why == ("" if code is None else f"{code} words")


def test_the_writer_is_a_process_that_ends_with_its_block(tmp_path: Path) -> None:
    target = {"host": "127.0.0.1", "port": 1, "user": "u", "password": "secret", "database": "d"}
    with Ledger(target, tmp_path / "notes.jsonl") as run:
        eventually(lambda: len(run.attempts()) >= 3, 20, "three attempts", 0.1)
        assert run._process is not None
        assert b"secret" not in Path(f"/proc/{run._process.pid}/cmdline").read_bytes()
        assert not run.good_lately(1)
    assert run._process.poll() == 0
    assert {a.outcome for a in run.attempts()} == {"fail"}
    assert all(a.operation.startswith(run.run) for a in run.attempts())


def test_good_lately_wants_that_many(tmp_path: Path) -> None:
    notes = tmp_path / "notes.jsonl"
    notes.write_text("\n".join(json.dumps(asdict(attempt)) for attempt in attempts("?ooo")))
    run = Ledger({}, notes)
    assert run.good_lately(3)
    assert not run.good_lately(4)
    assert not run.good_lately(5)
