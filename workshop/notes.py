"""The speaker's notes on a second terminal: they follow the demo that runs on the first."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live as RichLive
from rich.markdown import Markdown
from rich.rule import Rule
from rich.text import Text

from workshop import state
from workshop.errors import WorkshopError

FILE = "demo.json"
LOOK = 0.3  # seconds between two looks at the file


@dataclass(frozen=True)
class Cue:
    """Where the demo stands, for the speaker only."""

    lab: str
    place: str
    heading: str
    notes: str
    prose: str
    now: str = ""  # what happens, or what went wrong, with all its details
    then: str = ""  # heading of what comes next
    process: int = 0


def say(cue: Cue) -> None:
    """Let the second terminal show this."""
    state.store(FILE, {**asdict(cue), "process": os.getpid()})


def end() -> None:
    """The demo is over."""
    state.path(FILE).unlink(missing_ok=True)


def current() -> Cue | None:
    """Where the running demo stands; None where none runs."""
    known: dict[str, Any] = state.load(FILE, {})
    if not known or not _lives(int(known.get("process", 0))):
        return None
    try:
        return Cue(**known)
    except TypeError:
        raise state.damaged(FILE) from None


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return process > 0


def shown(cue: Cue) -> RenderableType:
    """The notes as they stand on the screen."""
    parts: list[RenderableType] = [
        Text(f"{cue.lab}    {cue.place}", style="dim"),
        Rule(Text(cue.heading, style="bold"), align="left"),
        Markdown(cue.notes or "*no notes for this section*"),
    ]
    if cue.now:
        parts += [Rule("now", align="left", style="dim"), Text(cue.now)]
    if cue.prose:
        parts += [Rule("the page says", align="left", style="dim"), Markdown(cue.prose)]
    if cue.then:
        parts += [Text(f"\nnext: {cue.then}", style="dim")]
    return Group(*parts)


def follow() -> None:
    """Show the notes until the demo ends; a `WorkshopError` where none runs."""
    cue = current()
    if cue is None:
        raise WorkshopError("no demo runs in this folder; start one with `invoke demo N`")
    console = Console()
    with RichLive(shown(cue), console=console, screen=True, auto_refresh=False) as live:
        while cue is not None:
            live.update(shown(cue), refresh=True)
            time.sleep(LOOK)
            cue = current()
    console.print("the demo is over")
