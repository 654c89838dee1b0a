"""Let a declared fault happen under the probe, and judge the outcome.

One function serves `invoke break`, the page's fault blocks, the demo and the tests.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from workshop import faults, state
from workshop.errors import WorkshopError
from workshop.ledger import Audit, listed
from workshop.live import Live
from workshop.manifest import Fault
from workshop.probe import GOOD_AGAIN, TIMEOUT, Outage, Probe
from workshop.waiting import eventually
from workshop.writes import Writes, broken_promise

BASELINE = 20  # good requests before anything is broken


@dataclass(frozen=True)
class Verdict:
    """What a fault, or its healing, did to the visitors, and whether it was as declared."""

    fault: str
    node: str
    outage: Outage
    bound: float  # seconds of outage allowed
    holders: list[str]
    settled: float  # seconds until the declared outcome stood
    wrong: str = ""  # empty: as declared
    writes: Audit | None = None  # of the healing: what became of all writes since the fault

    def __str__(self) -> str:
        held = " and ".join(self.holders) or "no node"
        text = f"{self.outage}; the address is now on {held}"
        text += f"; {self.writes}" if self.writes else ""
        text += f". NOT AS DECLARED: {self.wrong}" if self.wrong else ""
        table = listed(self.writes.by_second) if self.writes else ""
        return f"{text}\nwrites, by seconds since the fault:\n{table}" if table else text


class Trial:
    """One declared fault of a lab, aimed at whoever holds the address now."""

    def __init__(self, live: Live, name: str, on: str | None = None) -> None:
        self.live, self.name = live, name
        lab = live.lab
        if name not in lab.file.faults:
            known = ", ".join(lab.file.faults) or "none"
            raise WorkshopError(f"lab {lab.number} has no fault {name!r}; it has: {known}")
        self.declared: Fault = lab.file.faults[name]
        self.holder = live.holder()
        self.peer = live.peer(self.holder)
        aim = on or self.declared.on
        self.node = {"holder": self.holder, "peer": self.peer}.get(aim, aim)
        if self.node in lab.cluster.groups:  # any of them: the one that serves, if it is one
            members = lab.cluster.members(self.node)
            self.node = self.holder if self.holder in members else members[0]
        if self.node not in lab.nodes:
            raise WorkshopError(
                f"{aim!r} is no node of lab {lab.number}; it has: {', '.join(lab.nodes)}"
            )
        self.other = self.peer if self.node == self.holder else self.holder
        self.token = ""
        self._writes: Writes | None = None

    def _probe(self, phase: str) -> Probe:
        output = state.path(f"probe/{self.live.lab.number}-{self.name}-{phase}.jsonl")
        patience = self.live.machines.host.patience
        lab = self.live.lab.file
        return Probe(self.live.url, lab.says, output, TIMEOUT * patience, rate=lab.visitors)

    def _seconds(self, expression: str | float) -> float:
        """A bound, which grows with a slow machine; a mere wait does not."""
        return self.live.lab.seconds(expression) * self.live.machines.host.patience

    def _baseline(self, probe: Probe) -> None:
        try:
            within = 60 * self.live.machines.host.patience  # who was just restored is slow at first
            eventually(
                lambda: probe.good_lately(BASELINE), within, "twenty good answers in a row", 0.2
            )
        except AssertionError:
            raise WorkshopError(
                f"{self.live.url} does not answer well before the fault; `invoke check "
                f"{self.live.lab.number}` says why"
            ) from None

    def strike(self) -> Verdict:
        """Make the fault happen and wait for its declared outcome; the fault stays."""
        bound = self._seconds(self.declared.outage)
        with self._probe("fault") as probe:
            self._baseline(probe)
            if table := self.live.lab.file.ledger:
                self._writes = Writes.begun(self.live, table, self.name)
            plan = faults.plan(self.live.lab, self.name, self.node, self.other)
            started = time.monotonic()
            self.token = faults.inject(self.live.machines, self.name, plan)
            time.sleep(self._seconds(self.declared.shows))
            wrong = self._await(lambda: self._serves(probe), bound + 30, "the declared outcome")
            settled, stood = time.monotonic() - started, time.time()
            settle = self.live.lab.seconds(self.declared.settle)
            deadline = time.monotonic() + settle
            while not wrong and time.monotonic() < deadline:
                time.sleep(1)
                if not self._serves(probe, lately=3):
                    wrong = f"the outcome did not last for {settle:.0f} s"
        outage = probe.outage()
        wrong = wrong or self._too_long(outage, bound) or self._bad_since(probe, stood)
        return Verdict(
            self.name, self.node, outage, bound, self.live.holders(), round(settled, 1), wrong
        )

    def _too_long(self, outage: Outage, bound: float) -> str:
        if outage.void:
            return "the prober itself was late: measure again on a quieter machine"
        if self.declared.serves == "nobody":
            return ""
        if outage.seconds > bound:
            return f"an outage of {outage.seconds:.1f} s, {bound:.0f} s allowed"
        return ""

    def _bad_since(self, probe: Probe, stood: float) -> str:
        bad = sum(not s.good for s in probe.samples() if s.due > stood)
        if not self.declared.leaves or not bad:
            return ""
        return f"{bad} bad answers after {self.declared.leaves} had left"

    def _serves(self, probe: Probe, lately: int = 10) -> bool:
        """Whether the declared outcome stands. The nodes are asked only where the answers fit:
        to be asked costs a machine time, and just now it takes over."""
        samples = probe.answered()[-lately:]
        served = [s.good for s in samples]
        serves = self.declared.serves
        if self.declared.leaves in {s.by for s in samples if s.by}:
            return False
        if serves == "nobody":
            return len(served) == lately and not any(served)
        if serves != "both" and not (len(served) == lately and all(served)):
            return False
        holders = self.live.holders()
        match serves:
            case "holder":
                return holders == [self.holder]
            case "peer":
                return holders == [self.peer]
            case "both":
                return len(holders) == 2
            case _:
                return len(holders) == 1

    def _await(self, condition: object, within: float, what: str) -> str:
        try:
            eventually(condition, within, what, 0.5)  # type: ignore[arg-type]
        except AssertionError as error:
            return f"{error}; the address is on {' and '.join(self.live.holders()) or 'no node'}"
        return ""

    def written(self) -> str:
        """What became of the writes so far, second by second; empty where none are offered."""
        return self._writes.so_far() if self._writes else ""

    def recover(self) -> Verdict:
        """Undo the fault and wait until the cluster is whole again."""
        within = self._seconds(self.declared.heal_within)
        bound = self._seconds(self.declared.heal_outage)
        with self._probe("heal") as probe:
            started = time.monotonic()
            faults.heal(self.live.machines, self.token or None)
            wrong = self._await(lambda: self._whole(probe), within, "one holder and good answers")
            if not wrong and (settle := self.live.lab.seconds(self.declared.heal_settle)):
                time.sleep(settle)
                wrong = self._await(lambda: self._whole(probe), within, "the same a while later")
            settled = time.monotonic() - started
            written, self._writes = self._writes, None
            writes = written.end(within) if written else None
        outage = probe.outage()
        if writes:
            allowed = self._seconds(self.declared.outage)
            wrong = wrong or broken_promise(self.declared, allowed, writes)
        if not wrong and outage.seconds > bound and self.declared.serves not in ("nobody",):
            wrong = f"healing cost an outage of {outage.seconds:.1f} s, {bound:.0f} s allowed"
        return Verdict(
            *(self.name, self.node, outage, bound, self.live.holders(), round(settled, 1), wrong),
            writes=writes,
        )

    def _whole(self, probe: Probe) -> bool:
        lately = {s.by for s in probe.answered()[-2 * GOOD_AGAIN :]}
        back = not self.declared.leaves or self.declared.leaves in lately
        if not back or not probe.good_lately():
            return False
        holders = self.live.holders()
        wanted = {"holder": [self.holder], "peer": [self.peer]}.get(self.declared.after_heal)
        return holders == wanted if wanted else len(holders) == 1
