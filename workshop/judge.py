"""Let a declared fault happen under the probe, and judge the outcome.

One function serves `invoke break`, the page's fault blocks, the demo and the tests.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from workshop import apply, faults, state
from workshop.errors import WorkshopError
from workshop.ledger import Audit, Ledger, audit, listed, seconds
from workshop.live import Live
from workshop.manifest import Fault, LedgerTable
from workshop.probe import GOOD_AGAIN, Outage, Probe
from workshop.waiting import eventually

BASELINE = 20  # good requests before anything is broken
AGREE = 60  # seconds that the nodes may take until all show the same rows
BEFORE = AFTER = 100  # acknowledged writes in a row before a fault, and after it: ten seconds


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
        self._ledger: Ledger | None = None
        self._struck = 0.0

    def _probe(self, phase: str) -> Probe:
        output = state.path(f"probe/{self.live.lab.number}-{self.name}-{phase}.jsonl")
        return Probe(self.live.url, self.live.lab.file.says, output)

    def _seconds(self, expression: str | float) -> float:
        return self.live.lab.seconds(expression) * self.live.machines.host.patience

    def _baseline(self, probe: Probe) -> None:
        try:
            eventually(lambda: probe.good_lately(BASELINE), 60, "twenty good answers in a row", 0.2)
        except AssertionError:
            raise WorkshopError(
                f"{self.live.url} does not answer well before the fault; `invoke check "
                f"{self.live.lab.number}` says why"
            ) from None

    def strike(self) -> Verdict:
        """Make the fault happen and wait for its declared outcome; the fault stays."""
        bound = self._seconds(self.declared.outage)
        self._open_ledger()
        with self._probe("fault") as probe:
            self._baseline(probe)
            self._writes_well()
            self._struck = time.time()
            plan = faults.plan(self.live.lab, self.name, self.node, self.other)
            started = time.monotonic()
            self.token = faults.inject(self.live.machines, self.name, plan)
            wrong = self._await(lambda: self._serves(probe), bound + 30, "the declared outcome")
            settled, stood = time.monotonic() - started, time.time()
            settle = self._seconds(self.declared.settle)
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
        samples = probe.samples()[-lately:]
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

    def recover(self) -> Verdict:
        """Undo the fault and wait until the cluster is whole again."""
        within = self._seconds(self.declared.heal_within)
        bound = self._seconds(self.declared.heal_outage)
        with self._probe("heal") as probe:
            started = time.monotonic()
            faults.heal(self.live.machines, self.token or None)
            wrong = self._await(lambda: self._whole(probe), within, "one holder and good answers")
            if not wrong and (settle := self._seconds(self.declared.heal_settle)):
                time.sleep(settle)
                wrong = self._await(lambda: self._whole(probe), within, "the same a while later")
            settled = time.monotonic() - started
            writes = self._close_ledger(within)
        outage = probe.outage()
        wrong = wrong or self._broken_promise(writes)
        if not wrong and outage.seconds > bound and self.declared.serves not in ("nobody",):
            wrong = f"healing cost an outage of {outage.seconds:.1f} s, {bound:.0f} s allowed"
        return Verdict(
            *(self.name, self.node, outage, bound, self.live.holders(), round(settled, 1), wrong),
            writes=writes,
        )

    # acknowledged writes

    def _open_ledger(self) -> None:
        table = self.live.lab.file.ledger
        if table is not None:
            password = apply.secrets_of(self.live.lab)[table.secret]
            target = {
                "host": table.address,
                "port": table.port,
                "user": table.user,
                "password": password,
                "database": table.database,
            }
            notes = state.path(f"ledger/{self.live.lab.number}-{self.name}.jsonl")
            self._ledger = Ledger(target, notes).__enter__()

    def written(self) -> str:
        """What became of the writes so far, second by second; empty where none are offered."""
        attempts = self._ledger.attempts() if self._ledger else []
        return listed(seconds(attempts, self._struck))

    def _writes_well(self) -> None:
        """Ten seconds of acknowledged writes before anything is broken."""
        if self._ledger is not None:
            ledger = self._ledger
            try:
                eventually(lambda: ledger.good_lately(BEFORE), 60, "writes are acknowledged", 0.5)
            except AssertionError:
                reasons = [a.why for a in ledger.attempts() if a.outcome != "ok"]
                raise WorkshopError(
                    f"lab {self.live.lab.number}: writes fail before the fault: "
                    f"{(reasons or ['none was offered'])[-1]}"
                ) from None

    def _close_ledger(self, within: float) -> Audit | None:
        """Write on until all is well for ten seconds, then count the rows on every node."""
        ledger, self._ledger = self._ledger, None
        table = self.live.lab.file.ledger
        if ledger is None or table is None:
            return None
        over = time.time()
        try:
            eventually(lambda: ledger.good_lately(AFTER), within + 15, "writes are well again", 0.5)
        except AssertionError:
            pass  # the audit says how long the outage was
        finally:
            ledger.__exit__()
        there = self._rows(table, ledger.run)
        return audit(ledger.attempts(), there, (self._struck, over))

    def _rows(self, table: LedgerTable, run: str) -> dict[str, list[str]]:
        """The run's operations by node, as soon as all nodes answer and agree; what they have,
        agreed or not, after `AGREE` seconds."""
        query = f"SELECT operation FROM {table.database}.ledger WHERE operation LIKE '{run}-%'"
        client = f'{self.live.lab.file.client} --batch --skip-column-names -e "{query}"'
        deadline = time.monotonic() + AGREE
        while True:
            late = time.monotonic() >= deadline
            try:
                said = self.live.everywhere(client, table.read_from, check=True)
            except WorkshopError:
                if late:
                    raise
            else:
                there = {node: text.split() for node, text in said.items()}
                if late or len({frozenset(rows) for rows in there.values()}) == 1:
                    return there
            time.sleep(1)

    def _broken_promise(self, writes: Audit | None) -> str:
        if writes is None:
            return ""
        if writes.void:
            return f"void: {writes.void}"
        if self.declared.must_lose and not any(writes.lost.values()):
            return "nothing was lost: this time it shows nothing"
        if self.declared.may_lose or self.declared.must_lose:
            return ""
        bound = self._seconds(self.declared.outage)
        if self.declared.serves != "nobody" and writes.outage > bound:
            return f"no write for {writes.outage:.1f} s, {bound:.0f} s allowed"
        return writes.wrong

    def _whole(self, probe: Probe) -> bool:
        lately = {s.by for s in probe.samples()[-2 * GOOD_AGAIN :]}
        back = not self.declared.leaves or self.declared.leaves in lately
        if not back or not probe.good_lately():
            return False
        holders = self.live.holders()
        wanted = {"holder": [self.holder], "peer": [self.peer]}.get(self.declared.after_heal)
        return holders == wanted if wanted else len(holders) == 1
