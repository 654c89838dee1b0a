"""The instructor's mode: a lab's page before an audience, one step at a time.

Each command is typed, run for real on a key, and held to what the page says. Here the
parts are put together: the player, the speaker's controls, the display, the stage.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import traceback
from collections.abc import Iterator

from workshop import notes, pacing, scenes, state, steps
from workshop.controls import Controls
from workshop.course import Course
from workshop.display import Display
from workshop.errors import WorkshopError
from workshop.manifest import Lab
from workshop.performance import Performance
from workshop.player import Phase, Player
from workshop.stage import LOG, Stage, View

LEAVING = 15.0  # seconds for what still runs when the speaker leaves


class Terminated(KeyboardInterrupt):
    """Somebody else wants the demo to end."""


def play(
    course: Course,
    lab: Lab,
    auto: bool = False,
    pace: float = 1.0,
    start: str = "",
    until: str = "",
) -> None:
    """Play a lab's page on the terminal until it ends or the speaker leaves.

    Unattended, the first expectation that fails is a `WorkshopError` that names file and line.
    """
    manner = pacing.manner(lab, pace, start, until, auto)
    page = steps.parse(lab)
    stage = Stage()
    player = Player(Performance(course, page, scenes.of(page)), manner)
    controls = Controls(player, stage.suspended)
    try:
        with _ended_by_others(), stage.shown():
            try:
                player.begin()
                _until_over(player, controls, stage)
            finally:
                _clear_up(player, stage)
    except (WorkshopError, KeyboardInterrupt, OSError):
        raise
    except Exception as error:
        with state.path(LOG).open("a") as log:
            traceback.print_exception(error, file=log)
        raise WorkshopError(
            f"the demo broke ({type(error).__name__}); the cause is in .workshop/{LOG}, and "
            f"`invoke demo {lab.number} --from {player.scene.number}` goes on"
        ) from None
    if player.failure:
        raise player.failure


def _until_over(player: Player, controls: Controls, stage: Stage) -> None:
    display = Display(player, controls)
    while not player.over:
        try:
            player.tick(held=controls.menu is not None)
            controls.over_by = stage.draw(display.view())
            key = stage.key(0.03 if player.phase is Phase.TYPING else 0.1)
            if key:
                controls.press(key)
        except Terminated:
            raise
        except KeyboardInterrupt:
            controls.interrupt()
        except WorkshopError as error:
            player.message = str(error)


def _clear_up(player: Player, stage: Stage) -> None:
    """Leave no fault and no checkpoint of the demo; what cannot be done now is only logged."""
    notes.end()
    performance = player.performance
    player.stop(LEAVING)
    with contextlib.suppress(OSError):
        stage.draw(View(f"Lab {performance.lab.number}: {performance.lab.title}", "", "Leaving"))
    for work in (performance.heal, performance.drop):
        try:
            work()
        except Exception:
            traceback.print_exc(file=sys.stderr)


@contextlib.contextmanager
def _ended_by_others() -> Iterator[None]:
    """A lost terminal or a SIGTERM ends the demo as the speaker would."""

    def end(*_: object) -> None:
        raise Terminated

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
