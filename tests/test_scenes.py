"""A page becomes scenes: what is said, what is run, what only the speaker sees."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import STEPS, refused, write_lab, write_play

from workshop import scenes, steps
from workshop.scenes import Scene


@pytest.fixture
def play(labs: Path) -> list[Scene]:
    return scenes.of(steps.parse(write_play(labs)))


def test_every_block_is_a_scene_and_so_is_a_section_that_only_speaks(play: list[Scene]) -> None:
    assert [(s.number, s.section, s.heading, s.step and s.step.kind, s.opens) for s in play] == [
        (1, "build", "A pair", None, True),
        (2, "build", "Files", "install", True),
        (3, "build", "Start", "sh", True),
        (4, "build", "Start", "sh", False),
        (5, "try", "Try", None, True),
        (6, "try", "The cable", "fault", True),
        (7, "try", "Have a look", "sh", True),
        (8, "try", "Have a look", "sh", False),
    ]


def test_why_is_the_paragraph_above_and_stays_until_there_is_another(play: list[Scene]) -> None:
    assert play[0].why == ["Two machines share one address."]
    assert play[1].why == ["They say who the nodes are.", "`ha.cf` is read at the start."]
    assert play[2].why == play[3].why == ["Both start.", "It takes a while."]
    assert play[6].why == ["First this."]


def test_notes_and_the_whole_text_are_for_the_speaker(play: list[Scene]) -> None:
    assert play[2].notes == play[3].notes == "Tell the story of the cleaner."
    assert "cleaner" not in play[2].prose
    assert "start everything" not in play[2].prose
    assert play[0].notes == ""
    assert play[6].prose.startswith("First this.")
    assert "It is nothing." in play[6].prose


def test_other_sections_are_not_played(labs: Path) -> None:
    text = "# T\n\nOne.\n\n## Aside\n\nTwo.\n\n## Build\n\n```sh on=lb1\nrun\n```\n"
    assert [s.heading for s in scenes.of(steps.parse(write_lab(labs, steps=text)))] == [
        "T",
        "Build",
    ]


def test_a_page_with_nothing_to_show_is_refused(labs: Path) -> None:
    with refused("01-pair/steps.md has nothing to show"):
        scenes.of(steps.parse(write_lab(labs, steps="# T\n\n## Build\n")))
    assert scenes.of(steps.parse(write_lab(labs, steps=STEPS)))


@pytest.mark.parametrize(
    ("words", "first", "last"),
    [("1", 0, 0), ("8", 7, 7), ("build", 0, 3), ("Try", 4, 7), ("start", 2, 3), ("look", 6, 7)],
)
def test_a_speaker_names_a_scene(play: list[Scene], words: str, first: int, last: int) -> None:
    assert scenes.find(play, words) == first
    assert scenes.last(play, words) == last


@pytest.mark.parametrize("words", ["0", "9", "-1", "nothing", " "])
def test_what_is_no_scene_is_refused(play: list[Scene], words: str) -> None:
    with refused("no step", "1 to 8", "words of a heading"):
        scenes.find(play, words)
