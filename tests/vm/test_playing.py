"""The demo of lab 1 in a terminal of 80 by 24, on the real machines."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from theatre import DOWN, ENTER, Room

from workshop import faults, manifest, scenes, steps
from workshop.course import Course

LAB = manifest.lab(1)
# the suite holds the workshop's lock, so this is `invoke demo` without it
SCRIPT = """
import json, sys
from workshop import cli, demo, host, manifest
from workshop.box import cached
from workshop.course import Course
from workshop.machines import Machines

@cli.command
def play():
    image = cached(manifest.ROOT)
    machines = Machines(manifest.cluster_of(), host.detect(image.kernel), image)
    demo.play(Course(machines), manifest.lab(1), **json.loads(sys.argv[1]))

play()
"""


@pytest.fixture
def room(request: pytest.FixtureRequest, course: Course) -> Iterator[Room]:
    """A demo that is about to start, with the checkpoints of `--prepare`."""

    course.skip(LAB)
    options: dict[str, Any] = request.param
    found = Room([sys.executable, "-c", SCRIPT, json.dumps(options)])
    try:
        yield found
    finally:
        found.end()
        course.machines.disconnect()


def nothing_remains(course: Course) -> None:
    assert not faults.active()
    assert [n for n in course.checkpoints.all() if n.startswith("demo-")] == []
    assert "paused" not in course.machines.states().values()


PART = {} if os.environ.get("WORKSHOP_ALL") else {"until": "pull the plug"}


@pytest.mark.parametrize("room", [{"auto": True, "pace": 0.05, **PART}], indirect=True)
def test_it_plays_by_itself(room: Room, course: Course) -> None:
    """Build and, but for --all, the first two experiments."""
    patience = course.machines.host.patience
    assert room.left(within=(900 if PART else 3600) * patience) == 0, room.afterwards
    assert room.afterwards == ""
    for noise in (b"Traceback", b"Warning", b"error:"):
        assert noise not in room.raw
    assert course.built == [LAB.number], "Build was played to its end"
    nothing_remains(course)


@pytest.mark.parametrize("room", [{"pace": 0.05}], indirect=True)
def test_it_starts_in_seconds_and_back_is_the_state_before(room: Room, course: Course) -> None:
    patience = course.machines.host.patience
    begin = time.monotonic()
    room.until("Build 1 of", "space next", within=20 * patience)
    print(f"on the stage in {time.monotonic() - begin:.1f} s")
    command = "systemctl enable --now heartbeat"
    number = next(s.number for s in scenes.of(steps.parse(LAB)) if command in str(s.step))
    room.press("g", *[DOWN] * (number - 1))
    room.until("Go to", f"> {number} Build Start")
    room.press(ENTER)
    room.until(f"Build {number} of", command, "space run", within=60 * patience)
    room.press(" ")
    room.until("\u2713 done", within=60 * patience)
    begin = time.monotonic()
    room.press("b")
    room.until(f"Build {number} of", "space run", within=60 * patience)
    print(f"back in {time.monotonic() - begin:.1f} s")
    course.machines.disconnect()
    remote = course.machines.remote("lb1")
    assert not remote.run("systemctl is-active heartbeat", check=False).ok
    assert remote.run("test -e /etc/ha.d/haresources", check=False).ok
    room.press(" ")
    room.until("\u2713 done", within=60 * patience)
    room.press(" ", " ", " ")
    room.until("\u2713 as expected: served by <strong>lb", within=90 * patience)
    room.press("q", "q")
    assert room.left(within=60) == 0
    nothing_remains(course)
