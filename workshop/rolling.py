"""Bring updates in, one machine after the other, under the eyes of the probe.

What a machine does for it (it steps aside, takes the packages, comes back when it is well) is a
program of its own, which a lab installs. Here is decided who is next, and when it is over.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass

from workshop import state
from workshop.errors import WorkshopError
from workshop.live import Live
from workshop.probe import GOOD_AGAIN, TIMEOUT, Outage, Probe
from workshop.waiting import eventually

PROGRAM = "/usr/local/sbin/update-here"
LONGEST = 600.0  # seconds that one machine may take


@dataclass(frozen=True)
class Updated:
    """One machine's part: the packages it took, and the seconds that it all took."""

    node: str
    packages: list[str]
    seconds: float


def update(
    live: Live, nodes: list[str], packages: list[str], told: Callable[[Updated], None]
) -> Outage:
    """Update the nodes one after the other; who has the floating address comes last, so that it
    moves once. What visitors saw meanwhile.

    The first node that does not come back well ends it: a `WorkshopError`, and the others are as
    they were.
    """
    without = [n for n in nodes if not live.run(n, f"test -x {PROGRAM}", check=False).ok]
    if without:
        raise WorkshopError(f"{', '.join(without)}: there is no {PROGRAM}; no lab has put it there")
    holder = live.holder()
    patience = live.machines.host.patience
    output = state.path("probe/update.jsonl")
    longest = LONGEST * patience * len(nodes)
    lab = live.lab.file
    with Probe(live.url, lab.says, output, TIMEOUT * patience, longest, lab.visitors) as probe:
        _well(probe, live, "nothing was touched")
        for node in sorted(nodes, key=lambda name: name == holder):
            begin = time.monotonic()
            command = f"{PROGRAM} {shlex.join(packages)}"
            done = live.run(node, command, LONGEST * patience, check=False)
            if not done.ok:
                words = (done.output.strip() or "no output").splitlines()[-1]
                raise WorkshopError(f"{node} did not come back: {words}; the others wait for it")
            taken = [line for line in done.stdout.splitlines() if " [" in line]
            told(Updated(node, taken, time.monotonic() - begin))
            _well(probe, live, f"{node} is updated, the others wait")
        return probe.outage()


def _well(probe: Probe, live: Live, so_far: str) -> None:
    try:
        within = 60 * live.machines.host.patience
        eventually(probe.good_lately, within, f"{GOOD_AGAIN} good answers in a row")
    except AssertionError as error:
        raise WorkshopError(f"{live.url}: {error}; {so_far}") from None
