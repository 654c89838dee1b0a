"""The acknowledged writes of one fault: offered before it, while it lasts and after it, and counted
on every node in the end."""

from __future__ import annotations

import time
from typing import Any

from workshop import apply, state
from workshop.errors import WorkshopError
from workshop.ledger import Audit, Ledger, audit, listed, seconds
from workshop.live import Live
from workshop.manifest import Fault, LedgerTable
from workshop.waiting import eventually

AGREE = 60  # seconds that the nodes may take until all show the same rows
BEFORE = AFTER = 100  # acknowledged writes in a row before a fault, and after it: ten seconds


class Writes:
    """What a lab's `[ledger]` is offered under the fault `name`."""

    def __init__(self, live: Live, table: LedgerTable, name: str) -> None:
        self.live, self.table = live, table
        notes = state.path(f"ledger/{live.lab.number}-{name}.jsonl")
        self._ledger = Ledger(self._target(), notes)
        self._struck = 0.0

    def _target(self) -> dict[str, Any]:
        table, cluster = self.table, self.live.lab.cluster
        target = table.model_dump(include={"port", "user", "database", "counter", "look_every"}) | {
            "host": table.address,
            "password": apply.secrets_of(self.live.lab)[table.secret],
        }
        if table.look_every:
            target["look_at"] = {node: cluster.address(node, "back") for node in table.read_from}
        return target

    @classmethod
    def begun(cls, live: Live, table: LedgerTable, name: str) -> Writes:
        """Writes that are offered, and acknowledged for ten seconds now; until `end`. Raises
        WorkshopError where they do not come to that."""
        writes = cls(live, table, name)
        ledger = writes._ledger.__enter__()
        try:
            within = 60 * live.machines.host.patience  # who was just restored is slow at first
            eventually(lambda: ledger.good_lately(BEFORE), within, "writes are well", 0.5)
        except BaseException as error:
            ledger.__exit__()
            if not isinstance(error, AssertionError):
                raise
            reasons = [a.why for a in ledger.attempts() if a.outcome != "ok"]
            raise WorkshopError(
                f"lab {live.lab.number}: writes fail before the fault: "
                f"{(reasons or ['none was offered'])[-1]}"
            ) from None
        writes._struck = time.time()
        return writes

    def so_far(self) -> str:
        """What became of the writes so far, second by second."""
        return listed(seconds(self._ledger.attempts(), self._struck))

    def end(self, within: float) -> Audit:
        """Write on until all is well for ten seconds, `within` seconds or a bit more; then count
        the rows on every node."""
        over = time.time()
        try:
            eventually(lambda: self._ledger.good_lately(AFTER), within + 15, "writes are well", 0.5)
        except AssertionError:
            pass  # the audit says how long the outage was
        finally:
            self._ledger.__exit__()
        return audit(
            self._ledger.attempts(),
            self._rows(),
            (self._struck, over),
            self._ledger.looks(),
            fresh=self.table.fresh,
        )

    def _rows(self) -> dict[str, list[str]]:
        """The run's operations by node, as soon as all nodes answer and agree; what they have,
        agreed or not, after `AGREE` seconds."""
        table, run = self.table, self._ledger.run
        query = f"SELECT operation FROM {table.database}.ledger WHERE operation LIKE '{run}-%'"
        client = f'{self.live.lab.file.client} --batch --skip-column-names -e "{query}"'
        deadline = time.monotonic() + AGREE * self.live.machines.host.patience
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


def broken_promise(declared: Fault, bound: float, writes: Audit) -> str:
    """What is not as the fault declares, whose outage may take `bound` seconds; empty where all
    is."""
    if writes.void:
        return f"void: {writes.void}"
    if declared.must_lose and not any(writes.lost.values()):
        return "nothing was lost: this time it shows nothing"
    if declared.may_lose or declared.must_lose:
        return ""
    if declared.serves != "nobody" and writes.outage > bound:
        return f"no write for {writes.outage:.1f} s, {bound:.0f} s allowed"
    return writes.wrong
