"""How a demo is played: from where to where, how fast it is typed, how long it is read."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import accumulate

from workshop import scenes, steps
from workshop.errors import WorkshopError
from workshop.manifest import Lab

KEYSTROKE = 0.035  # seconds, on average
LONGEST = 6.0  # seconds the typing of one command may take
READ = 0.28  # seconds a word takes to read, where nobody presses a key
READING = 12.0  # seconds such reading may take
BREATH = 1.5  # seconds between two things, there


@dataclass(frozen=True)
class Manner:
    """How to play: by itself, how fast (2 takes twice as long, 0 pauses nowhere), from
    which scene to which."""

    auto: bool = False
    pace: float = 1.0
    first: int = 0
    last: int = 10**6


def manner(lab: Lab, pace: float, start: str, until: str, auto: bool = False) -> Manner:
    """How to play what was asked for; what cannot be played is a `WorkshopError`."""
    if not 0 <= pace <= 10:
        raise WorkshopError(f"--pace {pace:g}: a factor from 0 (no pauses) to 10; 1 is a person's")
    found = scenes.of(steps.parse(lab))
    first = scenes.find(found, start) if start else 0
    last = scenes.last(found, until) if until else len(found) - 1
    if last < first:
        raise WorkshopError(f"--until {until} comes before --from {start or found[first].number}")
    return Manner(auto, pace, first, last)


def keystrokes(text: str, pace: float) -> list[float]:
    """When each character appears, in seconds from the start: as a person types."""
    moods = random.Random(text)  # the same command is typed the same way each time
    gaps = [
        KEYSTROKE * pace * moods.uniform(0.5, 1.5) * (3 if before in " \n|;" else 1)
        for before in ["", *text[:-1]]
    ]
    total = sum(gaps) if text else 0.0
    scale = min(1.0, LONGEST * pace / total) if total else 1.0
    return list(accumulate(gap * scale for gap in gaps)) if text else []


def pause(words: str, pace: float) -> float:
    """Seconds until whoever watches has read the words and is ready for what comes next."""
    return (BREATH + min(READ * len(words.split()), READING)) * pace
