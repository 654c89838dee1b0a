"""The ledger's checker on a thousand invented histories: it finds what was planted, and only that.

The histories are made here, by rules of their own: two nodes, writes that are acknowledged,
refused or left without an answer, a counter, and looks at a node in between.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from workshop.ledger import Attempt, Audit, Look, audit

SEEDS = 1000
NODES = ("db1", "db2")


@dataclass
class History:
    """What was offered, what each node has in the end, and what was seen on the way."""

    dice: random.Random
    attempts: list[Attempt] = field(default_factory=list)
    there: dict[str, list[str]] = field(default_factory=lambda: {node: [] for node in NODES})
    looks: list[Look] = field(default_factory=list)

    def pick(self, outcome: str, counted: bool = False) -> Attempt:
        """An attempt of this outcome; of the counter's if `counted`."""
        rows = {row.partition("=")[0]: row for row in self.there["db1"]}
        fit = [
            a
            for a in self.attempts
            if a.outcome == outcome and (not counted or "=" in rows.get(a.operation, ""))
        ]
        return self.dice.choice(fit)

    def rows(self, node: str, attempt: Attempt) -> list[str]:
        return [r for r in self.there[node] if r.partition("=")[0] == attempt.operation]

    def judged(self) -> Audit:
        return audit(self.attempts, self.there, looks=self.looks)


def sound(seed: int) -> History:
    """A history in which every promise was kept."""
    made = History(random.Random(seed))
    dice, counter, rows = made.dice, 0, []
    for number in range(dice.randint(40, 80)):
        operation = f"run-{number:06d}"
        due = 1000 + number / 10
        outcome = dice.choices(("ok", "fail", "unknown"), (8, 1, 1))[0]
        # two of each are certain, so that there is something to plant an anomaly in
        outcome = {0: "ok", 1: "fail", 2: "unknown", 5: "ok", 10: "ok"}.get(number, outcome)
        seconds = dice.uniform(0.01, 3)
        arrives = outcome == "ok" or (outcome == "unknown" and dice.random() < 0.5)
        if arrives:
            counts = number % 5 == 0
            counter += counts
            rows.append((due + seconds, f"{operation}={counter}" if counts else operation))
        made.attempts.append(Attempt(operation, due, 0.0, outcome, seconds))
    for node in NODES:
        # another run's rows, and an order of each node's own, are nobody's business
        shown = [row for _, row in rows] + [f"another-{dice.randint(0, 9)}=3"] * 2
        made.there[node] = dice.sample(shown, len(shown))
    for _ in range(5):
        began = 1000 + dice.uniform(0, 12)
        # whatever was acknowledged by then is seen; what was under way may be
        seen = {row for at, row in rows if at < began or dice.random() < 0.3}
        made.looks.append(Look(dice.choice(NODES), began, frozenset(seen)))
    return made


def lose(made: History) -> None:
    gone = made.pick("ok")
    for node in NODES:
        made.there[node] = [r for r in made.there[node] if r.partition("=")[0] != gone.operation]


def duplicate(made: History) -> None:
    twice = made.rows("db1", made.pick("ok"))[0]
    for node in NODES:
        made.there[node].append(twice)


def haunt(made: History) -> None:
    refused = made.pick("fail").operation
    for node in NODES:
        made.there[node].append(refused)


def look_back(made: History) -> None:
    acknowledged = made.pick("ok")
    began = acknowledged.due + acknowledged.seconds + 0.001
    known = {r for r in made.there["db1"] if not r.startswith(acknowledged.operation)}
    made.looks.append(Look("db2", began, frozenset(known)))


def lose_an_update(made: History) -> None:
    """Two increments that read the same number write the same one."""
    counted = sorted(
        (r for r in made.there["db1"] if r.startswith("run-") and "=" in r),
        key=lambda r: int(r.partition("=")[2]),
    )
    first, second = counted[:2]
    same = f"{second.partition('=')[0]}={first.partition('=')[2]}"
    for node in NODES:
        made.there[node] = [same if r == second else r for r in made.there[node]]
    made.looks.clear()


def diverge(made: History) -> None:
    """One node alone has, or lacks, what became of a write without an answer."""
    open_end = made.pick("unknown")
    if made.rows("db1", open_end):
        gone = set(made.rows("db2", open_end))
        made.there["db2"] = [r for r in made.there["db2"] if r not in gone]
    else:
        made.there["db2"].append(open_end.operation)


PLANTED: dict[str, Callable[[History], None]] = {
    "lost": lose,
    "duplicated": duplicate,
    "ghosts": haunt,
    "stale": look_back,
    "lost_updates": lose_an_update,
    "differing": diverge,
}


def found(judged: Audit) -> set[str]:
    """The kinds of anomalies that the checker reports."""
    kinds = set()
    for kind in PLANTED:
        value = getattr(judged, kind)
        if any(value.values()) if isinstance(value, dict) else value:
            kinds.add(kind)
    return kinds


def test_no_false_alarm_in_a_thousand_sound_histories() -> None:
    for seed in range(SEEDS):
        judged = sound(seed).judged()
        assert found(judged) == set(), f"seed {seed}: {judged}"
        assert judged.wrong == judged.void == ""


@pytest.mark.parametrize("kind", PLANTED)
def test_each_anomaly_is_found_in_a_thousand_histories(kind: str) -> None:
    for seed in range(SEEDS):
        made = sound(seed)
        PLANTED[kind](made)
        judged = made.judged()
        assert found(judged) == {kind}, f"seed {seed}: {judged}"
        assert judged.wrong, f"seed {seed}: nothing is said to be wrong"
