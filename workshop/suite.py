"""`./run test`: what is proved, in which order, and how long each phase took."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from workshop import box, host, state
from workshop import show as screen
from workshop.errors import WorkshopError
from workshop.machines import Machines
from workshop.manifest import ROOT, cluster_of, lab

# tests on machines that only --all runs, or the lab's own run; and what they are
APART = {
    "test_own_servers.py": "lab 2 on servers of other names and addresses",
    "test_hardening.py": "all labs hardened",
}


def run(fast: bool, everything: bool, only: int | None) -> None:
    """Run the phases; the first that fails ends the run, the table of times is printed."""
    times: list[tuple[str, float]] = []
    try:
        if only is None:
            _phase(times, "ruff", "-m", "ruff", "check", ".")
            _phase(times, "ruff format", "-m", "ruff", "format", "--check", ".")
            _phase(times, "mypy", "-m", "mypy")
            _phase(
                times,
                "fast tests",
                "-m",
                "pytest",
                "tests",
                "--ignore=tests/vm",
                "--ignore=tests/box",
                "--ignore=tests/browser",
            )
            _phase(times, "browser tests", "-m", "pytest", "tests/browser")
        if fast:
            screen.line("left out: everything that needs a virtual machine (--fast)")
        else:
            _labs(times, everything, only)
    finally:
        screen.line("")
        for name, seconds in times:
            screen.line(f"{seconds:7.1f} s  {name}")
        screen.line(f"{sum(s for _, s in times):7.1f} s  in all")


def _phase(times: list[tuple[str, float]], name: str, *words: str, **environment: str) -> None:
    screen.line(f"== {name}")
    begin = time.monotonic()
    with subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, env={**os.environ, **environment}
    ) as process:
        try:
            process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)  # it heals and undoes before it ends
            process.wait(120)
            raise
    times.append((name, time.monotonic() - begin))
    if process.returncode:
        raise WorkshopError(f"{name} failed; the reason stands above")


def _labs(times: list[tuple[str, float]], everything: bool, only: int | None) -> None:
    with state.lock("test"):
        begin = time.monotonic()
        image = box.ready(ROOT, screen.line)
        times.append(("box", time.monotonic() - begin))
        if everything:  # outside the cluster's network: packages come from the world
            _phase(times, "a small box twice, MySQL from source", "-m", "pytest", "tests/box")
        else:
            screen.line(
                "left out: two builds of a small box compared, MySQL's sources configured (--all)"
            )
        where = host.detect(image.kernel)
        screen.line(f"virtual machines: {where}")
        fresh = not host.running()
        host.enter(where)
        apart = {} if everything else dict(APART)
        if only == lab("hardening").number:
            apart.pop("test_hardening.py", None)
        if apart:
            screen.line(f"left out: {', '.join(apart.values())} (--all)")
        ignored = [f"--ignore=tests/vm/{name}" for name in apart]
        options = {"WORKSHOP_ALL": "1" if everything else "", "WORKSHOP_LAB": str(only or "")}
        try:
            _phase(
                times, "labs", "-m", "pytest", "tests/vm", *ignored, "--maxfail=5", "--durations=0",
                "-vv", "--durations-min=1", "--no-header", **options,
            )  # fmt: skip
        finally:
            if fresh and os.environ.get("CI"):
                begin = time.monotonic()
                Machines(cluster_of(), where).destroy()
                host.stop()
                state.forget()
                times.append(("destroy", time.monotonic() - begin))
