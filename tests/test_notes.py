"""The second terminal follows the demo, and says when there is none."""

from __future__ import annotations

import io
import os

import pytest
from fakes import refused
from rich.console import Console

from workshop import notes, state
from workshop.notes import Cue

CUE = Cue("Lab 1: A pair", "Build 3 of 9", "Start", "Tell *the* story.", "Both start.", "ls", "Try")


def test_the_notes_are_those_of_the_running_demo() -> None:
    notes.say(CUE)
    found = notes.current()
    assert found is not None
    assert found.process == os.getpid()
    assert (found.heading, found.notes) == ("Start", "Tell *the* story.")
    notes.end()
    assert notes.current() is None
    notes.end()


def test_without_a_demo_it_is_one_line() -> None:
    with refused("no demo runs", "invoke demo N"):
        notes.follow()


@pytest.mark.parametrize("process", [0, 2**22 + 1])
def test_a_demo_that_was_killed_runs_no_more(process: int) -> None:
    notes.say(CUE)
    state.store(notes.FILE, {**state.load(notes.FILE, {}), "process": process})
    with refused("no demo runs"):
        notes.follow()


def test_a_damaged_file_is_one_line() -> None:
    state.store(notes.FILE, {"process": os.getpid()})
    with refused("demo.json is damaged"):
        notes.current()


@pytest.mark.parametrize(
    ("text", "shown"), [("Tell *the* story.", "Tell the story."), ("", "no notes")]
)
def test_notes_come_first_and_all_of_the_page_follows(text: str, shown: str) -> None:
    out = io.StringIO()
    cue = Cue("Lab 1", "Build 3 of 9", "Start", text, "Both start.", "lb1: it failed", "Try")
    Console(file=out, width=60).print(notes.shown(cue))
    words = " ".join(out.getvalue().split())
    wanted = ["Build 3 of 9", "Start", shown, "lb1: it failed", "Both start.", "next: Try"]
    places = [words.index(word) for word in wanted]
    assert places == sorted(places)
