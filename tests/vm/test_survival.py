"""The kit may be killed at any moment: faults undo themselves, and the next command goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from workshop import faults, manifest, state
from workshop.course import Course
from workshop.faults import Action, Plan
from workshop.manifest import ROOT
from workshop.waiting import eventually

LAB = manifest.lab(1)
KILLED = """
import os, signal, sys
from workshop import faults, host, manifest
from workshop.faults import Action, Plan
from workshop.machines import Machines
machines = Machines(manifest.cluster_of(), host.detect())
faults.inject(machines, "orphan", {plan}, limit={limit})
os.kill(os.getpid(), signal.SIGKILL)
"""


def _orphaned(plan: Plan, limit: float) -> None:
    """A kit that injects a fault and is killed at once, with SIGKILL."""
    script = KILLED.format(plan=repr(plan), limit=limit)
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert done.returncode == -9


@pytest.fixture(autouse=True, scope="module")
def _built(course: Course):
    course.skip(LAB)
    yield
    faults.heal(course.machines)


def test_power_comes_back_when_the_kit_was_killed(course: Course) -> None:
    _orphaned(Plan([Action("lb2", "off")], [Action("lb2", "on")]), limit=3)
    course.machines.remote("lb2").close()
    eventually(
        lambda: course.machines.states()["lb2"] == "running", 30, "the watchdog's power", 0.2
    )
    eventually(lambda: not faults.active(), 90, "the fault off the list")


def test_a_command_in_a_guest_is_undone_by_the_guests_timer(course: Course) -> None:
    course.skip(LAB)
    plan = Plan([Action("lb1", "run", "touch /tmp/fault")], [Action("lb1", "run", "rm /tmp/fault")])
    _orphaned(plan, limit=3)
    remote = course.machines.remote("lb1")
    eventually(lambda: not remote.run("test -e /tmp/fault", check=False).ok, 30, "the timer")
    faults.heal(course.machines)


def test_the_next_command_heals(course: Course) -> None:
    _orphaned(Plan([Action("lb1", "pause")], [Action("lb1", "resume")]), limit=120)
    assert course.machines.states()["lb1"] == "paused"
    assert faults.heal(course.machines) == ["orphan"]
    assert course.machines.states()["lb1"] == "running"


def test_a_killed_save_and_a_killed_load_leave_nothing_paused(course: Course) -> None:
    for boundary, work in (("saving", "save"), ("loading", "restore")):
        course.skip(LAB)
        script = (
            "from workshop import host, manifest\n"
            "from workshop.box import cached\n"
            "from workshop.checkpoints import Checkpoints\n"
            "from workshop.machines import Machines\n"
            "m = Machines(manifest.cluster_of(), host.detect(), cached(manifest.ROOT))\n"
            "c = Checkpoints(m)\n"
            + {"save": "c.save('mine', '', ['lb1', 'lb2'])", "restore": "c.restore('lab-1')"}[work]
        )
        environment = {**os.environ, "WORKSHOP_TORTURE": f"{boundary}=SIGKILL"}
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, env=environment, check=False
        )
        assert done.returncode == -9
        assert "paused" in course.machines.states().values()
        course.machines.recover([])
        assert "paused" not in course.machines.states().values()
        assert "mine" not in course.checkpoints.all()
        restored = course.skip(LAB)
        assert restored is not None
        assert restored.total < 60


def test_a_restore_ends_the_watchdogs(course: Course) -> None:
    plan = Plan([Action("lb2", "off")], [Action("lb2", "on")])
    faults.inject(course.machines, "watched", plan, limit=120)
    pid = faults.active()[0]["watchdog"]
    course.skip(LAB)
    assert not faults.active()
    deadline = time.monotonic() + 5
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{pid}")
    assert state.load(faults.FILE, None) == []
