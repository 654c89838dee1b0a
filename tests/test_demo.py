"""The whole of a demo in a real (pseudo) terminal, 80 by 24, over the fake fleet."""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from evening import Evening
from fakes import refused
from theatre import DOWN, ENTER, ESCAPE, UP, Theatre, opened

from workshop import cli, demo, notes, state

SLOWLY = 10.0  # a pace at which no typing ends before a key ends it


@pytest.fixture
def theatre(tmp_path: Path) -> Iterator[Theatre]:
    with opened(tmp_path / "theatre") as found:
        yield found


def test_without_a_terminal_nothing_is_touched(evening: Evening) -> None:
    evening.fleet.hypervisor.did.clear()
    with refused("the demo needs a terminal"):
        demo.play(evening.performance.course, evening.performance.lab)
    assert evening.fleet.hypervisor.did == []


def test_it_plays_by_itself_to_its_end(theatre: Theatre) -> None:
    room = theatre.play(auto=True, pace=0)
    assert room.left(120) == 0
    assert room.afterwards == ""
    room.showed(
        "Lab 1: A pair", "Build 2 of 8 Files They say who the nodes are.", "\u2713 in place"
    )
    room.showed("Try 6 of 8", "invoke break 1 dark", "visitors", "the address is now on lb1")
    room.showed("Try 6 of 8", "invoke heal", "the address is now on lb1", "look there")
    course = json.loads((theatre.folder / "home/.workshop/course.json").read_text())
    assert course["built"] == [1]
    assert "NOISE" in theatre.log()
    for noise in (b"NOISE", b"Warning", b"Traceback"):
        assert noise not in room.raw


def test_by_itself_it_ends_with_an_error_where_an_expectation_fails(theatre: Theatre) -> None:
    theatre.waits(1)
    theatre.answer("client", "ask", "<p>nobody</p>\n")
    room = theatre.play(auto=True, pace=0, until="build")
    assert room.left(60) == 1
    assert room.afterwards == (
        "error: 01-pair/steps.md:27: client: `ask for the page`: expected "
        "'/served by lb[12]/' (line 31) within 1 s, saw: <p>nobody</p>"
    )


def test_a_speaker_plays_it_with_keys(theatre: Theatre) -> None:
    room = theatre.play(pace=SLOWLY)
    room.until("Two machines share one address.", "space next")
    room.press(" ")
    room.until("Files", "They say who the nodes are. ha.cf is read at the start.", "lb1 lb2")
    room.press(" ")
    room.until("# install -D -m 0644 /root/lab-1/etc/ha.d/ha.cf /etc/ha.d/ha.cf", "space run")
    room.press(" ")
    room.until("✓ in place", "deadtime 10", "node lb1", "node lb2")
    room.press(" ", " ")
    room.until("Start", "start everything", "space run")
    room.press(" ")
    room.until("lb1, lb2: Started.", "✓ done")
    room.press(" ", " ")
    room.until("$ ask for the page", "You should see something that matches served by lb[12]")
    theatre.answer("client", "ask", "<p>nobody</p>\n")
    room.press(" ")
    room.until("s You should see", "Ctrl-C stops it")
    theatre.answer("client", "ask", "<p>served by lb2</p>\n")  # it comes, a little later
    room.until("✓ as expected: served by lb2", "<p>served by lb2</p>")
    room.press("b")
    room.until("Build 4 of 8", "You should see")
    assert theatre.loaded()[-1] == "demo-1-3"
    room.press("q")
    room.until("q again leaves the demo")
    room.press("q")
    assert room.left() == 0
    assert room.afterwards == ""
    assert "forget" in (theatre.folder / "did").read_text()


def test_menus_shell_help_and_sizes(theatre: Theatre) -> None:
    room = theatre.play()
    room.until("space next")
    room.press("?")
    room.until("Keys", "a shell on a node", "any key goes back")
    room.press("x", "g")
    room.until("Go to", "> 1 Build A pair", "8 Try Have a look: look there")
    room.press(DOWN, DOWN, DOWN, UP, ENTER)
    room.until("Build 3 of 8", "start everything")
    room.press("f")
    room.until("What shall break?", "> dark The cable")
    room.press(ESCAPE)
    room.until("Build 3 of 8", "Both start.")
    room.press("s")
    room.until("A shell on", "> lb1", "client (this machine)")
    room.press(DOWN, DOWN, ENTER)
    room.until("exit` comes back", "client:")
    room.press("echo $((6 * 7)); stty -a\r")
    room.until("42", " icanon", " echo ")
    room.press("\x03", "exit\r")
    room.until("Build 3 of 8", "Both start.", "start everything")
    room.resize(40, 132)
    room.until("Both start. It takes a while.")
    room.see(lambda: room.text.splitlines()[0].index("Build  3 of 8") == 118, "a wide bar")
    room.resize(10, 40)
    room.until("Please make this window larger")
    room.resize(24, 80)
    room.until("Both start. It takes a while.", "start everything")
    room.press("q", "q")
    assert room.left() == 0


def test_a_lab_that_is_not_prepared_is_built_and_checked_on_the_stage(theatre: Theatre) -> None:
    room = theatre.play(unprepared=True, start="look", pace=0)
    room.until("Try 7 of 8", "look here", "space run", within=60)
    assert theatre.saved()[:2] == ["booted", "lab-1"], "kept once built and checked"
    room.press(" ")
    room.until("✓ done")
    room.press("q", "q")
    assert room.left() == 0
    assert room.afterwards == ""


def test_who_leaves_during_a_fault_leaves_none(theatre: Theatre) -> None:
    room = theatre.play(start="6", pace=0)
    room.until("space run")
    room.press(" ")
    room.until("the address is now on lb1", "space next")
    force = theatre.folder / "home/.workshop/faults.json"
    assert "dark" in force.read_text()
    room.press("q", "q")
    assert room.left() == 0
    assert force.read_text().strip() == "[]"


def test_ctrl_c_stops_the_step_and_not_the_demo(theatre: Theatre) -> None:
    theatre.answer("client", "ask", "nobody\n")
    room = theatre.play(start="4", pace=SLOWLY)
    room.until("Build 4 of 8", "You should see")  # got there by playing what is before it
    room.press(" ", " ")
    room.until("Ctrl-C stops it")
    room.press("\x03")
    room.until("Stopped.", "b back to the last good state")
    room.press("\x03")
    room.until("q again leaves the demo")
    room.press("\x03")
    assert room.left() == 0


def test_who_ends_it_from_outside_gets_the_terminal_back(tmp_path: Path) -> None:
    ways = list(itertools.product((signal.SIGTERM, signal.SIGHUP), (True, False)))
    with contextlib.ExitStack() as stack:
        rooms = [
            stack.enter_context(opened(tmp_path / f"{number}-{auto}")).play(auto=auto, pace=SLOWLY)
            for number, auto in ways
        ]
        for room, (number, _) in zip(rooms, ways, strict=True):
            room.until("Two machines share one address.")
            room.child.kill(number)
        for room in rooms:
            assert room.left() == 130
            assert room.afterwards.startswith("error: stopped")


def test_a_broken_screen_is_one_line_and_the_terminal_is_put_back(theatre: Theatre) -> None:
    (theatre.folder / "labs" / "01-pair" / "lab.toml").write_text(
        (theatre.folder / "labs" / "01-pair" / "lab.toml")
        .read_text()
        .replace('title = "A pair"', 'title = "A pair that breaks the screen"')
    )
    room = theatre.play()
    assert room.left() == 1
    assert "error: the demo broke (ZeroDivisionError); the cause is in" in " ".join(
        room.afterwards.split()
    )
    assert "ZeroDivisionError" in theatre.log()


def test_the_second_terminal_follows(theatre: Theatre) -> None:
    room = theatre.play()
    room.until("space next")

    def follow() -> None:
        state.FOLDER = theatre.folder / "home/.workshop"
        cli.command(notes.follow)()

    second = theatre.room(follow)
    second.until("Build 1 of 8", "no notes for this section", "next: Files")
    room.press("g", DOWN, DOWN, ENTER)
    second.until("Tell the story of the cleaner.", "start everything", "Both start.")
    room.press("q", "q")
    assert room.left() == 0
    assert second.left() == 0
    assert second.afterwards == "the demo is over"
    third = theatre.room(follow)
    assert third.left() == 1
    assert third.afterwards == "error: no demo runs in this folder; start one with `invoke demo N`"
