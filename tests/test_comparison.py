"""The roads side by side, with what was measured and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes import LAB, refused, write_lab

from workshop import comparison, evidence, manifest

FAULT = '\n[faults.dark]\ntitle = "X"\ndoes = "power_off"\nexpect = "Y"\nserves = "peer"\n'
ROAD = """\
[[road]]
name = "A pair"
idea = "Two."
writes = "On one."
gives_up = "Time."
outage = "{}"
"""


@pytest.fixture
def file(labs: Path, tmp_path: Path) -> Path:
    """A comparison of one road, measured by lab 1."""
    write_lab(labs, "01-pair", LAB + FAULT)
    path = tmp_path / "comparison.toml"
    path.write_text(ROAD.format("pair/dark"))
    return path


def cell(file: Path, labs: Path) -> str:
    """What stands in the one road's cell."""
    manifest.load.cache_clear()
    return comparison.rows(file, labs)[0].outage


def prove(labs: Path, **fault: object) -> None:
    """Record evidence of the fault."""
    record = {"digest": "of then", "faults": {"dark": fault}}
    (labs / "01-pair" / "proved.json").write_text(json.dumps(record))


def test_a_proved_fault_is_a_figure(
    file: Path, labs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prove(labs, wrong="", outage=22.17)
    monkeypatch.setattr(evidence, "stale", lambda *_: "")
    assert cell(file, labs) == "22.2 s (lab 1)"
    monkeypatch.setattr(evidence, "stale", lambda *_: "it changed")
    assert cell(file, labs) == "22.2 s (lab 1, stale)"


def test_what_was_not_measured_is_not_guessed(file: Path, labs: Path) -> None:
    assert cell(file, labs) == "not measured yet"
    prove(labs, wrong="too long", outage=99.0)
    assert cell(file, labs) == "not measured yet"
    file.write_text(ROAD.format(""))
    assert cell(file, labs) == "not measured yet"
    file.write_text(ROAD.format("a-lab-to-come/dark"))
    assert cell(file, labs) == "not measured yet"


def test_an_unknown_fault_is_refused(file: Path, labs: Path) -> None:
    file.write_text(ROAD.format("pair/darkness"))
    with refused("comparison.toml", "A pair", "lab 1 has no fault 'darkness'"):
        cell(file, labs)


def test_the_checked_in_comparison_can_be_shown() -> None:
    assert len(comparison.rows()) >= 7
