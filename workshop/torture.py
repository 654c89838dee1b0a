"""Kill the kit at the boundaries of its journal, and see whether it survives.

A seeded run: for each boundary a signal is drawn, the command that passes it is started
with the order to kill itself there, and afterwards the next plain command has to succeed.
At the end `destroy` must leave nothing behind.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from workshop import host, state
from workshop.errors import WorkshopError
from workshop.manifest import ROOT

SIGNALS = ("SIGINT", "SIGTERM", "SIGKILL")
TIMEOUT = 600.0  # seconds a command may take


@dataclass(frozen=True)
class Point:
    """A boundary, the command that passes it, and what must succeed afterwards."""

    boundary: str
    command: str
    before: str = ""  # brings the cluster to where the command passes the boundary
    after: str = "check 1"


FROM_NOTHING = "destroy"
POINTS = (
    *(Point(b, "up lb1", FROM_NOTHING, "up lb1") for b in state.BOUNDARIES[:10]),
    *(
        Point(b, "checkpoint save mine", "skip 1")
        for b in ("save", "saving", "saved-paused", "saved")
    ),
    *(
        Point(b, "reset 1", "skip 1", "skip 1")
        for b in ("restore", "loading", "loaded", "restored")
    ),
    *(Point(b, "lab 1", "reset 1", "lab 1") for b in ("staged", "step", "built", "checks")),
    *(Point(b, "break 1 apache-stopped", "skip 1", "heal") for b in ("fault", "faulted")),
    *(Point(b, "heal", "break 1 apache-stopped", "heal") for b in ("heal", "healed")),
    *(Point(b, "destroy", "up lb1", "destroy") for b in ("remove", "removed", "cleaned")),
)


@dataclass(frozen=True)
class Blow:
    """What became of one kill."""

    point: Point
    signal: str
    hit: bool
    survived: str  # empty: yes; else what went wrong
    seconds: float


def run(seed: int, only: list[str], told: Callable[[Blow], None]) -> list[Blow]:
    """Kill the kit at every point, or at those boundaries only; the signals depend on the
    seed alone."""
    draw = random.Random(seed)
    drawn = [(point, draw.choice(SIGNALS)) for point in POINTS]
    if unknown := set(only) - {point.boundary for point in POINTS}:
        known = ", ".join(point.boundary for point in POINTS)
        raise WorkshopError(f"there is no boundary {sorted(unknown)[0]!r}; there are: {known}")
    blows = []
    for point, signal in drawn:
        if not only or point.boundary in only:
            blows.append(_strike(point, signal))
            told(blows[-1])
    return blows


def _strike(point: Point, signal: str) -> Blow:
    begin = time.monotonic()
    wrong = ""
    if point.before:
        status, words = _invoke(point.before)
        if status and point.before != "destroy":
            wrong = f"`{point.before}` failed before the blow: {words}"
    size = _journal_size()
    status, _ = _invoke(point.command, WORKSHOP_TORTURE=f"{point.boundary}={signal}")
    hit = status != 0 and _passed(point.boundary, size)
    if not wrong:
        status, words = _invoke(point.after)
        if status:
            wrong = f"`{point.after}` failed afterwards: {words}"
    return Blow(point, signal, hit, wrong, time.monotonic() - begin)


def _journal_size() -> int:
    file = state.path("journal")
    return file.stat().st_size if file.exists() else 0


def _passed(boundary: str, size: int) -> bool:
    """Whether the boundary is in the journal since `size`, or the journal went with the rest."""
    file = state.path("journal")
    if not file.exists():
        return boundary in ("cleaned", "removed", "remove")
    text = file.read_text()
    return f'"{boundary}"' in (text[size:] if len(text) >= size else text)


def _invoke(words: str, **environment: str) -> tuple[int, str]:
    """Exit status and last line of one command of the kit."""
    command = [sys.executable, "-m", "invoke", *words.split()]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        text=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=TIMEOUT,
        check=False,
    )
    lines = (done.stdout + done.stderr).strip().splitlines()
    if "Traceback" in done.stderr:
        return done.returncode or 1, f"a traceback: {lines[-1]}"
    return done.returncode, lines[-1] if lines else ""


def leftovers() -> list[str]:
    """What of this workshop is still there after `destroy`: processes, namespace, links, files."""
    found = []
    if host.running():
        found.append("libvirtd")
    if os.path.exists(f"/run/netns/{host.NAMESPACE}"):
        found.append(f"network namespace {host.NAMESPACE}")
    links = subprocess.run(["ip", "-o", "link"], text=True, capture_output=True, check=False).stdout
    found += [name for name in ("lampha0", "lampha1", "lampha2") if f" {name}:" in links]
    for path in (host.RUN, host.VAR):
        if path.exists():
            found.append(str(path))
    prefix = f"lamp-ha-{state.identifier()}-" if state.path("id").exists() else "lamp-ha-"
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as stream:
                    words = stream.read()
            except OSError:
                continue
            if words.startswith(b"/usr/bin/qemu-system") and prefix.encode() in words:
                found.append(f"machine in process {entry}")
    return found


def judge(blows: list[Blow]) -> None:
    """WorkshopError unless every boundary was hit, everything survived and nothing is left."""
    missed = [b.point.boundary for b in blows if not b.hit]
    hurt = [b for b in blows if b.survived]
    if hurt:
        first = hurt[0]
        raise WorkshopError(f"{first.signal} at {first.point.boundary}: {first.survived}")
    if missed:
        raise WorkshopError(f"boundaries never hit: {', '.join(missed)}")
    if blows[-1].point.command == "destroy" and (left := leftovers()):
        raise WorkshopError(f"left behind: {', '.join(left)}")
