"""Where the cluster stands in the course, and how it gets from lab to lab.

The state before lab N is `booted` plus the ordered closure of what N requires, nothing
else. Checkpoints make the way there short; a stale one is never used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workshop import apply, evidence, faults, manifest, plugin, state, steps
from workshop.box import recipe_digest
from workshop.checkpoints import BOOTED, Checkpoints, Restored
from workshop.errors import WorkshopError
from workshop.live import Live
from workshop.machines import Machines, Say, quiet
from workshop.manifest import ROOT, Lab
from workshop.remote import NodeLost, TimedOut, parallel

STATE = "course.json"
CHANGED = "/root/.changed"  # a node's own mark that its reader had a shell


@dataclass(frozen=True)
class Watchers:
    """Who is told what happens meanwhile."""

    machine: Say = quiet
    note: Callable[[str], None] = lambda _text: None
    step: apply.Started = lambda _step: None
    done: apply.Ended = lambda _done: None
    check: Callable[[plugin.Check], None] = lambda _check: None
    confirm: Callable[[str], bool] = lambda _question: True


def checkpoint(number: int) -> str:
    """Name of the checkpoint after lab `number`."""
    return f"lab-{number}"


class Course:
    """The course on this workshop's machines."""

    def __init__(self, machines: Machines, watchers: Watchers | None = None) -> None:
        self.machines = machines
        self.tell = watchers or Watchers()
        self.checkpoints = Checkpoints(machines)
        self.recipe = recipe_digest(ROOT, added=False)

    # where it stands

    @property
    def built(self) -> list[int]:
        """Labs built since the machines booted, in order."""
        return [int(n) for n in self._state()["built"]]

    def _state(self) -> dict[str, Any]:
        known: dict[str, Any] = state.load(STATE, {"built": [], "digests": {}})
        if not {"built", "digests"} <= known.keys():
            raise state.damaged(STATE)
        return known

    def record(self, built: list[int]) -> None:
        """Note that exactly these labs are built, in this order, as their folders are now."""
        digests = {str(n): self.digest(manifest.lab(n)) for n in built}
        state.store(STATE, {"built": built, "digests": digests})

    def digest(self, lab: Lab) -> str:
        """What the lab's checkpoint depends on, but for box and topology."""
        return evidence.digest(lab, self.recipe)

    def before(self, lab: Lab) -> list[int]:
        """The labs that must stand before this one, in order."""
        return manifest.closure(lab.file.requires)

    def fits(self, lab: Lab) -> bool:
        """Whether the machines are in the state before this lab, or after it."""
        known = self._state()
        digests: dict[str, str] = known["digests"]
        chain = self.before(lab)
        built = self.built
        if built not in (chain, [*chain, lab.number]):
            return False
        return all(digests.get(str(n)) == self.digest(manifest.lab(n)) for n in chain)

    # getting the machines ready

    def up(self, nodes: list[str]) -> None:
        """Have these nodes running; new ones are checkpointed as they come."""
        created = self.machines.up(nodes, self.tell.machine)
        if created:
            parallel(self._settled, created)
            self.tell.note("saving the checkpoint: booted")
            self.checkpoints.save(BOOTED, "", created)
            if not self._others(created):
                self.record([])

    def _others(self, created: list[str]) -> list[str]:
        """Machines that were there before these were made."""
        states = self.machines.states()
        return [node for node, what in states.items() if what != "absent" and node not in created]

    def _settled(self, node: str) -> None:
        self.machines.remote(node).run(
            "systemctl is-system-running --wait >/dev/null || true", timeout=180
        )

    def reset(self, lab: Lab) -> Restored | None:
        """The state before `lab`, from checkpoints where they hold, else built; the lab's
        files lie below /root/lab-N, for a reader who types it."""
        restored = self._reach(self.before(lab), lab.nodes)
        apply.stage(Live(self.machines, lab))
        return restored

    def skip(self, lab: Lab) -> Restored | None:
        """The state after `lab`."""
        return self._reach([*self.before(lab), lab.number], lab.nodes)

    def _reach(self, chain: list[int], nodes: list[str]) -> Restored | None:
        """Have exactly these labs built, and only `nodes` running."""
        faults.forget()
        wanted = sorted(set(nodes).union(*(manifest.lab(n).nodes for n in chain)), key=self._order)
        start = len(chain)
        while start and not self._usable(chain[:start]):
            start -= 1
        restored = None
        if start:
            state.store(STATE, {"built": [], "digests": {}, "restoring": chain[start - 1]})
            restored = self.checkpoints.restore(checkpoint(chain[start - 1]))
            self.record(chain[:start])
        else:
            restored = self._boot(wanted)
        for number in chain[start:]:
            lab = manifest.lab(number)
            self._join(lab.nodes)
            self.build(lab)
        self._join(wanted)
        return restored

    def _order(self, node: str) -> int:
        return list(self.machines.cluster.nodes).index(node)

    def _usable(self, chain: list[int]) -> bool:
        lab = manifest.lab(chain[-1])
        return self.checkpoints.valid(checkpoint(lab.number), self._key(chain), lab.nodes)

    def _key(self, chain: list[int]) -> str:
        return " ".join(self.digest(manifest.lab(n)) for n in chain)

    def _boot(self, nodes: list[str]) -> Restored | None:
        """The booted state of exactly these nodes, made where there is none."""
        fresh = self._fresh(nodes)
        state.store(STATE, {"built": [], "digests": {}})
        restored = None
        if len(fresh) < len(nodes):
            self.up([node for node in nodes if node not in fresh])
        if fresh:
            restored = self.checkpoints.restore(BOOTED, nodes)
        else:
            self._only(nodes)
        self.record([])
        return restored

    def _join(self, nodes: list[str]) -> None:
        """Bring those of the nodes that do not run, as they booted, to those that do."""
        running = self.machines.running()
        missing = [node for node in nodes if node not in running]
        if fresh := self._fresh(missing):
            self.checkpoints.restore(BOOTED, fresh, alone=False)
        if len(fresh) < len(missing):
            self.up([node for node in missing if node not in fresh])

    def _fresh(self, nodes: list[str]) -> list[str]:
        """Those that can be restored as they booted; what else is there of the nodes goes."""
        states = self.machines.states()
        present = [node for node in nodes if states[node] != "absent"]
        fresh = [node for node in present if self.checkpoints.valid(BOOTED, "", [node])]
        for node in present:
            if node not in fresh:
                self.tell.machine(node, "of an older box or an interrupted run: making it anew")
                self.machines.remove(node)
        return fresh

    def _only(self, nodes: list[str]) -> None:
        for node, what in self.machines.states().items():
            if node not in nodes and what in ("running", "paused"):
                self.machines.power_off(node)

    # labs

    def lab(self, lab: Lab) -> tuple[float, list[plugin.Check]]:
        """`invoke lab N`: in whatever state the machines are, build the lab and check it.

        Returns the seconds Build took and the checks.
        """
        self._make_way(lab)
        return self.build(lab)

    def _make_way(self, lab: Lab) -> None:
        """Have the machines in the state before the lab, or after it."""
        faults.heal(self.machines)
        states = self.machines.states()
        present = [n for n in lab.nodes if states[n] != "absent"]
        if len(present) == len(lab.nodes) and self.fits(lab):
            # a machine that is off and that no built lab uses may have been through another one
            used = {node for n in self.built for node in manifest.lab(n).nodes} or set(lab.nodes)
            self.up([node for node in lab.nodes if node in used])
            self._join(lab.nodes)
            return
        if present:
            chain = ", ".join(str(n) for n in self.before(lab))
            what = f"the state after lab {chain}" if chain else "freshly booted machines"
            if self.changed() and not self.tell.confirm(
                f"lab {lab.number} starts from {what}; what you changed on the nodes will be "
                "lost. Go on?"
            ):
                raise WorkshopError("nothing was changed; `invoke checkpoint save NAME` keeps it")
            self.tell.note(f"lab {lab.number} starts from {what}: going there first")
        self.reset(lab)

    def build(self, lab: Lab) -> tuple[float, list[plugin.Check]]:
        """Run the lab's Build and its checks on machines that are ready for it."""
        live = Live(self.machines, lab)
        chain = self.before(lab)
        seconds = apply.run(live, steps.parse(lab), "build", self.tell.step, self.tell.done)
        self.record([*chain, lab.number])
        state.journal("built", lab=lab.number)
        checks = plugin.run(live, told=self.tell.check)
        state.journal("checks", lab=lab.number)
        if all(check.outcome == "passed" for check in checks):
            key = self._key([*chain, lab.number])
            self.checkpoints.save(checkpoint(lab.number), key, lab.nodes)
        return seconds, checks

    def changed(self) -> bool:
        """Whether a reader had a shell on a node since the last restore."""

        def mark(node: str) -> bool:
            try:
                return self.machines.remote(node).run(f"test -e {CHANGED}", check=False).ok
            except (NodeLost, TimedOut):
                return False

        running = self.machines.running()
        return any(parallel(mark, running).values()) if running else False
