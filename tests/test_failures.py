"""Pictures of faults: who has the address, what is broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from workshop import failures, manifest
from workshop.failures import Moment
from workshop.manifest import Lab

LAB1 = manifest.load(Path(__file__).resolve().parent.parent / "labs" / "01-heartbeat")


def during(name: str, lab: Lab = LAB1, **recorded: object) -> Moment:
    """The fault's second moment."""
    picture = failures.picture(lab, name, recorded=recorded)
    assert picture is not None
    return picture.moments[1]


@pytest.mark.parametrize(
    ("name", "holders", "broken", "cut", "served"),
    [
        ("power-off", ["lb2"], {"lb1": "off"}, 0, True),
        ("alone", [], {"lb1": "off", "lb2": "hit"}, 0, False),
        ("machine-frozen", ["lb2"], {"lb1": "frozen"}, 0, True),
        ("split-brain", ["lb1", "lb2"], {}, 2, True),
        ("one-link-cut", ["lb1"], {}, 1, True),
        ("apache-stopped", ["lb1"], {"lb1": "hit"}, 0, False),
    ],
)
def test_what_is_broken_and_who_has_the_address(
    name: str, holders: list[str], broken: dict[str, str], cut: int, served: bool
) -> None:
    moment = during(name)
    assert (moment.holders, moment.broken, moment.cut, moment.served) == (
        holders, broken, cut, served,
    )  # fmt: skip


def test_the_note_says_what_was_measured_or_else_what_is_allowed() -> None:
    assert during("power-off").note == "lb2 serves, after at most 30 s."
    assert during("power-off", outage=22.2, wrong="").note == "lb2 serves, after 22.2 s."
    assert during("power-off", outage=50.0, wrong="too long").note == (
        "lb2 serves, after at most 30 s."
    )
    assert during("clock-jump", outage=0.0, wrong="").note == "lb1 serves on, no outage."


def test_after_the_fault_it_may_be_either() -> None:
    picture = failures.picture(LAB1, "split-brain", recorded={"outage": 4.7, "heal_outage": 50.3})
    assert picture is not None
    last = picture.moments[-1]
    assert (last.holders, last.unsure) == (["lb1", "lb2"], True)
    assert last.note == "One of them serves, after 50.3 s."


def test_an_aim_of_its_own_wins() -> None:
    picture = failures.picture(LAB1, "power-off", on="peer")
    assert picture is not None
    assert picture.moments[1].broken == {"lb2": "off"}


def test_every_declared_fault_has_its_picture() -> None:
    for lab in manifest.labs(LAB1.folder.parent):
        if failures.pair_of(lab):
            for name in lab.file.faults:
                picture = failures.picture(lab, name)
                assert picture is not None
                assert [m.title for m in picture.moments] == ["Before", "The fault", "Undone"]
