"""How a demo is played: what was asked for, and a person's time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakes import refused, write_play

from workshop import pacing
from workshop.manifest import Lab
from workshop.pacing import keystrokes


def test_typing_takes_a_persons_time() -> None:
    at = keystrokes("systemctl enable --now heartbeat", 1)
    assert len(at) == 32
    assert 0.6 < at[-1] < 2.5
    assert at == sorted(at) == keystrokes("systemctl enable --now heartbeat", 1)
    assert keystrokes("x" * 5000, 1)[-1] == pytest.approx(pacing.LONGEST)
    assert keystrokes("ls", 0) == [0, 0]
    assert keystrokes("", 1) == []


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"pace": -1}, "--pace -1"),
        ({"pace": 11}, "--pace 11"),
        ({"start": "9"}, "no step '9'"),
        ({"start": "4", "until": "3"}, "--until 3 comes before --from 4"),
    ],
)
def test_what_cannot_be_played_is_refused(lab: Lab, labs: Path, asked: Any, words: str) -> None:
    with refused(words):
        pacing.manner(write_play(labs), **({"pace": 1, "start": "", "until": ""} | asked))


def test_a_part_is_played(labs: Path) -> None:
    lab = write_play(labs)
    manner = pacing.manner(lab, 1, "", "build")
    assert (manner.first, manner.last) == (0, 3)
    manner = pacing.manner(lab, 1, "try", "cable", auto=True)
    assert (manner.first, manner.last, manner.auto) == (4, 5, True)
