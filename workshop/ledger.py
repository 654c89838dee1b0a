"""A ledger of acknowledged writes: what was offered, what was answered, and what is there.

`writer` offers and notes; here the notes are held against what every node shows afterwards.
A row that was acknowledged and is gone is lost; one that is there twice is duplicated; one that
was refused and is there all the same is a ghost. A look at a node that began after a write was
acknowledged, and misses it, is stale. A row may say what its write made of a counter,
`operation=17`: where two say the same number, an update is lost. Nothing else is an error: a write
whose answer never came may be there or not.
"""

from __future__ import annotations

import collections
import json
import math
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GOOD_AGAIN = 10  # consecutive acknowledged writes that end an outage
LATE = 0.2  # seconds by which the writer's 99th percentile may be late
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Attempt:
    """One write: when it was due (seconds, wall clock), how late it began, its outcome (`ok`,
    `fail` or `unknown`), the seconds until that was known, and why it is not `ok`."""

    operation: str
    due: float
    late: float
    outcome: str = "unknown"
    seconds: float = 0.0
    why: str = "no answer was noted"


@dataclass(frozen=True)
class Look:
    """What one node showed: when the question was asked (wall clock, seconds), and the
    operations it gave."""

    node: str
    began: float
    found: frozenset[str]


@dataclass(frozen=True)
class Audit:
    """What became of a run's writes. Node names are those that were read."""

    offered: int
    ok: int
    failed: int
    unknown: int
    lost: dict[str, list[str]]  # by node: acknowledged, and not there
    duplicated: dict[str, list[str]]
    ghosts: dict[str, list[str]]
    recovered: int  # unknown, and there
    differing: list[str]  # on some nodes and not on others
    outage: float  # seconds, longest
    void: str  # why the run proves nothing; empty: it does
    by_second: list[tuple[int, int, int, int]] = field(default_factory=list)  # see `seconds`
    stale: dict[str, list[str]] = field(default_factory=dict)  # by node: missed by a look
    lost_updates: list[int] = field(default_factory=list)  # numbers that two writes made
    fresh: bool = True  # whether nodes promise to show what was acknowledged, at once

    @property
    def wrong(self) -> str:
        """What is wrong, in one line; empty when every promise was kept."""
        found = []
        for word, nodes in (
            ("lost", self.lost), ("duplicated", self.duplicated), ("ghosts", self.ghosts),
            ("stale", self.stale if self.fresh else {}),
        ):  # fmt: skip
            found += [f"{len(rows)} {word} on {node}" for node, rows in nodes.items() if rows]
        if self.differing:
            found.append(f"{len(self.differing)} rows are not on every node")
        if self.lost_updates:
            found.append(f"{len(self.lost_updates)} updates of the counter are lost")
        return ", ".join(found)

    def __str__(self) -> str:
        if self.void:
            return f"void: {self.void}"
        text = (
            f"{self.offered} writes offered: {self.ok} acknowledged, {self.failed} failed, "
            f"{self.unknown} unknown ({self.recovered} of them there); {self.outage:.1f} s outage"
        )
        late = [f"{len(rows)} on {node}" for node, rows in self.stale.items() if not self.fresh]
        behind = f"; shown late: {', '.join(late)}" if late else ""
        return f"{text}; {self.wrong or 'nothing lost, duplicated or invented'}{behind}"


def read(lines: Iterable[str]) -> list[Attempt]:
    """The attempts in a writer's notes, in the order they were due; a line that was cut short
    by a kill is no note."""
    begun: dict[str, dict[str, Any]] = {}
    for note in _notes(lines, {"operation"}):
        begun.setdefault(note["operation"], {}).update(note)
    attempts = [Attempt(**fields) for fields in begun.values() if "due" in fields]
    return sorted(attempts, key=lambda a: a.due)


def looks(lines: Iterable[str]) -> list[Look]:
    """What nodes showed, of a writer's notes on that."""
    notes = _notes(lines, {"look", "began", "found"})
    return [Look(note["look"], note["began"], frozenset(note["found"])) for note in notes]


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def _notes(lines: Iterable[str], fields: set[str]) -> Iterator[dict[str, Any]]:
    """Notes that have these fields; a line that was cut short is none."""
    for line in lines:
        try:
            note = json.loads(line)
        except ValueError:
            continue
        if isinstance(note, dict) and fields <= note.keys():
            yield note


def outage(attempts: list[Attempt]) -> float:
    """Longest time, in seconds, from the last acknowledged write before a failure to the first
    of ten acknowledged in a row; to the last attempt where they never came."""
    longest, start, back, streak = 0.0, None, None, 0
    before = attempts[0].due if attempts else 0.0
    for attempt in attempts:
        if attempt.outcome == "ok":
            if start is not None:
                back = attempt.due if streak == 0 else back
                streak += 1
                if streak == GOOD_AGAIN and back is not None:
                    longest, start = max(longest, back - start), None
            before = attempt.due
        else:
            start = before if start is None else start
            streak = 0
    if start is not None:
        end = back if streak and back is not None else attempts[-1].due
        longest = max(longest, end - start)
    return round(longest, 2)


def seconds(attempts: list[Attempt], zero: float | None = None) -> list[tuple[int, int, int, int]]:
    """(second since `zero`, ok, failed, unknown), for every second with attempts; `zero` is
    wall clock, by default the first attempt's."""
    table: dict[int, collections.Counter[str]] = {}
    start = zero if zero is not None else attempts[0].due if attempts else 0.0
    for attempt in attempts:
        at = math.floor(attempt.due - start)
        table.setdefault(at, collections.Counter())[attempt.outcome] += 1
    return [(at, c["ok"], c["fail"], c["unknown"]) for at, c in sorted(table.items())]


def listed(table: list[tuple[int, int, int, int]]) -> str:
    """`seconds` as lines to read; seconds in a row that went alike share a line."""
    runs: list[tuple[int, int, tuple[int, int, int]]] = []
    for at, *counts in table:
        same = tuple(counts)
        if runs and runs[-1][2] == same and runs[-1][1] == at - 1:
            runs[-1] = (runs[-1][0], at, runs[-1][2])
        else:
            runs.append((at, at, same))  # type: ignore[arg-type]
    lines = []
    for first, last, (ok, failed, unknown) in runs:
        when = f"{first:+d} s" if first == last else f"{first:+d} to {last:+d} s"
        lines.append(f"{when:>16}  {ok:>2} ok  {failed:>2} failed  {unknown:>2} unknown, a second")
    return "\n".join(lines)


def audit(
    attempts: list[Attempt],
    there: Mapping[str, Iterable[str]],
    struck: tuple[float, float] | None = None,
    looks: Iterable[Look] = (),
    *,
    fresh: bool = True,
) -> Audit:
    """Hold the attempts against the operations that are `there`, by node, and against what
    `looks` saw in the meantime; to show a row late is wrong where nodes promise to be `fresh`.

    `struck` is when the fault began and when it was over (wall clock, seconds): a run without
    an attempt in between proves nothing.
    """
    whole = {node: list(found) for node, found in there.items()}
    rows = {n: collections.Counter(_operation(r) for r in found) for n, found in whole.items()}
    by = {
        outcome: [a.operation for a in attempts if a.outcome == outcome]
        for outcome in ("ok", "fail", "unknown")
    }
    known = [a.operation for a in attempts]
    return Audit(
        offered=len(attempts),
        ok=len(by["ok"]),
        failed=len(by["fail"]),
        unknown=len(by["unknown"]),
        lost={n: [o for o in by["ok"] if not c[o]] for n, c in rows.items()},
        duplicated={n: [o for o in known if c[o] > 1] for n, c in rows.items()},
        ghosts={n: [o for o in by["fail"] if c[o]] for n, c in rows.items()},
        recovered=sum(any(c[o] for c in rows.values()) for o in by["unknown"]),
        differing=_differing(known, whole),
        outage=outage(attempts),
        void=_void(attempts, rows, struck),
        by_second=seconds(attempts, struck[0] if struck else None),
        stale=_stale(attempts, looks),
        lost_updates=_lost_updates(set(known), whole),
        fresh=fresh,
    )


def _operation(row: str) -> str:
    return row.partition("=")[0]


def _differing(known: list[str], there: Mapping[str, list[str]]) -> list[str]:
    """Operations whose rows, numbers included, are not the same on every node."""
    nodes: list[dict[str, set[str]]] = [collections.defaultdict(set) for _ in there]
    for rows, found in zip(nodes, there.values(), strict=True):
        for row in found:
            rows[_operation(row)].add(row)
    return [o for o in known if any(rows[o] != nodes[0][o] for rows in nodes)]


def _stale(attempts: list[Attempt], looks: Iterable[Look]) -> dict[str, list[str]]:
    missed: dict[str, dict[str, None]] = {}
    for look in looks:
        seen = {_operation(row) for row in look.found}
        for a in attempts:
            if a.outcome == "ok" and a.due + a.seconds < look.began and a.operation not in seen:
                missed.setdefault(look.node, {})[a.operation] = None
    return {node: list(operations) for node, operations in missed.items()}


def _lost_updates(known: set[str], there: Mapping[str, list[str]]) -> list[int]:
    """Numbers of the counter that more than one of the run's writes made, on any node."""
    makers: dict[int, set[str]] = {}
    for row in {row for found in there.values() for row in found}:
        operation, _, number = row.partition("=")
        if number and operation in known:
            makers.setdefault(int(number), set()).add(operation)
    return sorted(number for number, operations in makers.items() if len(operations) > 1)


def _void(
    attempts: list[Attempt], rows: Mapping[str, Any], struck: tuple[float, float] | None
) -> str:
    if not rows:
        return "no node was read"
    if not any(a.outcome == "ok" for a in attempts):
        return "not one write was acknowledged"
    if struck and not any(struck[0] <= a.due <= struck[1] for a in attempts):
        return "no write was offered while the fault lasted"
    late = sorted(a.late for a in attempts)
    if late[int(len(late) * 0.99) - 1] > LATE:
        return "the writer itself was late; run it again on a quieter machine"
    return ""


class Ledger:
    """A writer in a process of its own, for as long as the block runs, bounded in time."""

    def __init__(self, target: Mapping[str, Any], notes: Path, limit: float = 900) -> None:
        self.target, self.notes, self.limit = dict(target), notes, limit
        self._seen = notes.with_suffix(".looks")
        self.run = uuid.uuid4().hex[:12]  # no other run's rows are counted
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Ledger:
        self.notes.parent.mkdir(parents=True, exist_ok=True)
        for file in (self.notes, self._seen):
            file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "workshop.writer", str(self.notes), str(self._seen)]
        self._process = subprocess.Popen(
            [*command, self.run, str(self.limit)],
            stdin=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(self.target) + "\n")
        self._process.stdin.flush()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)

    def attempts(self) -> list[Attempt]:
        """What was offered so far."""
        return read(_lines(self.notes))

    def looks(self) -> list[Look]:
        """What the nodes showed so far."""
        return looks(_lines(self._seen))

    def good_lately(self, count: int = GOOD_AGAIN) -> bool:
        """Whether the newest `count` writes whose time is over were all acknowledged."""
        over = [a for a in self.attempts() if a.due < time.time() - 1][-count:]
        return len(over) == count and all(a.outcome == "ok" for a in over)
