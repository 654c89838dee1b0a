"""Checkpoints of the whole cluster, memory included.

All machines pause, all save or load, all go on together: a peer never sees another one
late, so a restore causes no failover.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from dataclasses import dataclass

from workshop import state
from workshop.errors import WorkshopError
from workshop.machines import Machines
from workshop.remote import parallel

FILE = "checkpoints.json"
BOOTED = "booted"
SYNC = 30  # seconds that a node may take to write out what it keeps in memory


@dataclass(frozen=True)
class Restored:
    """How long a restore took, in seconds."""

    load: float
    total: float


class Checkpoints:
    """The checkpoints of this workshop's machines."""

    def __init__(self, machines: Machines) -> None:
        self.machines = machines

    def base_key(self) -> str:
        """What every checkpoint depends on: the box and the topology."""
        box = self.machines.box.digest if self.machines.box else ""
        topology = self.machines.cluster.model_dump_json(exclude={"variables"})
        return hashlib.sha256(f"{box} {topology}".encode()).hexdigest()

    def all(self) -> dict[str, dict[str, object]]:
        """Everything recorded, by name."""
        known: dict[str, dict[str, object]] = state.load(FILE, {})
        return known

    def nodes(self, name: str) -> list[str]:
        """Nodes that the checkpoint holds."""
        record = self.all().get(name)
        return list(record["nodes"]) if record else []  # type: ignore[call-overload]

    def valid(self, name: str, key: str, nodes: list[str]) -> bool:
        """Whether the checkpoint is there, holds these nodes and was made of the same things."""
        record = self.all().get(name)
        base = self.base_key()
        return (
            record is not None
            and record["key"] == f"{base} {key}"
            and set(nodes) <= set(self.nodes(name))
        )

    def save(self, name: str, key: str, nodes: list[str]) -> float:
        """Save these running nodes under `name`; seconds it took."""
        started = time.monotonic()
        hypervisor, domain = self.machines.hypervisor, self.machines.domain
        states = self.machines.states()
        if not nodes:
            raise WorkshopError("no machine runs, so there is nothing to save; `invoke up` first")
        idle = [node for node in nodes if states[node] != "running"]
        if idle:
            raise WorkshopError(f"{', '.join(idle)} must run to be saved; `invoke up {idle[0]}`")
        known = self.all()
        full = f"{self.base_key()} {key}"
        kin = name == BOOTED and known.get(name, {}).get("key") == full
        others = self.nodes(name) if kin else []
        known.pop(name, None)
        state.store(FILE, known)  # a half-saved checkpoint is nobody's
        state.journal("save", checkpoint=name, nodes=nodes)
        parallel(self._to_disk, nodes)
        parallel(lambda n: hypervisor.pause(domain(n)), nodes)
        try:
            state.journal("saving")
            parallel(lambda n: hypervisor.save(domain(n), name), nodes)
            state.journal("saved-paused")
        finally:
            parallel(lambda n: hypervisor.resume(domain(n)), nodes)
        # before anything is configured the nodes know nothing of each other: each node's
        # own `booted` is good company for the others'
        known[name] = {
            "key": full,
            "nodes": sorted({*nodes, *others}),
            "time": time.time(),
        }
        state.store(FILE, known)
        state.journal("saved", checkpoint=name)
        self.machines.set_clocks(nodes)
        return time.monotonic() - started

    def _to_disk(self, node: str) -> None:
        """Have a node write out what it keeps in memory: a machine that is restored and loses its
        power a moment later must have its files. One that cannot be asked is saved as it is."""
        with contextlib.suppress(WorkshopError):
            self.machines.remote(node).run("sync", timeout=SYNC, check=False)

    def restore(self, name: str, nodes: list[str] | None = None, alone: bool = True) -> Restored:
        """Bring the checkpoint's nodes (or some of them) back, and switch all others off, unless
        they are not to be `alone`; seconds it took."""
        record = self.all().get(name)
        if record is None:
            known = ", ".join(self.all()) or "none yet"
            raise WorkshopError(f"there is no checkpoint {name!r}; there are: {known}")
        wanted = nodes or self.nodes(name)
        started = time.monotonic()
        machines, hypervisor = self.machines, self.machines.hypervisor
        machines.disconnect()
        states = machines.states()
        state.journal("restore", checkpoint=name, nodes=wanted)

        def stand_still(node: str) -> None:
            if node not in wanted:
                if alone and states[node] in ("running", "paused"):
                    hypervisor.power_off(machines.domain(node))
            elif states[node] == "running":
                hypervisor.pause(machines.domain(node))
            elif states[node] == "off":
                hypervisor.start(machines.domain(node), paused=True)

        parallel(stand_still, [n for n, what in states.items() if what != "absent"])
        state.journal("loading")
        parallel(lambda n: hypervisor.load(machines.domain(n), name), wanted)
        state.journal("loaded")
        parallel(lambda n: hypervisor.resume(machines.domain(n)), wanted)
        load = time.monotonic() - started
        machines.wait_for_ssh(wanted)
        machines.set_clocks(wanted)
        state.journal("restored", checkpoint=name)
        return Restored(load, time.monotonic() - started)

    def drop(self, name: str) -> None:
        """Forget the checkpoint and free its space on the nodes that run."""
        if name not in self.all():
            raise WorkshopError(
                f"there is no checkpoint {name!r}; there are: {', '.join(self.all())}"
            )
        running = set(self.machines.running())
        for node in self.nodes(name):
            if node in running:
                self.machines.hypervisor.forget(self.machines.domain(node), name)
        known = self.all()
        known.pop(name)
        state.store(FILE, known)
