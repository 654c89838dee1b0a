"""Plays a lab's scenes one after the other: what is typed, what runs, what became of it.

Nothing here knows of keys or of a screen: requests and time go in. Whatever breaks is one
calm line, and `back` goes to the last good state.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from enum import Enum

from rich.text import Text

from workshop import faults, notes, pacing
from workshop.errors import WorkshopError
from workshop.notes import Cue
from workshop.pacing import Manner
from workshop.performance import Act, Hands, Job, Outcome, Performance
from workshop.scenes import Scene
from workshop.stoppable import Stopped
from workshop.transcript import block, one_line, output, tick

CALM = "Not what we expected."


class Phase(Enum):
    """Where a scene stands."""

    SAYS = "says"
    TYPING = "typing"
    READY = "ready"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    MOVING = "moving"
    END = "end"


class Player:
    """Where the demo stands, and what brings it on."""

    def __init__(
        self,
        performance: Performance,
        manner: Manner,
        now: Callable[[], float] = time.monotonic,
        hands: Hands | None = None,
    ) -> None:
        self.performance, self.manner, self.now = performance, manner, now
        self.scenes = performance.scenes
        self.last = min(manner.last, len(self.scenes) - 1)
        self.hands = hands or Hands()
        self.over = False
        self.failure: WorkshopError | None = None  # that ended an unattended demo
        self.index = manner.first
        self.phase = Phase.MOVING
        self.since = now()  # when that phase began
        self.acts: list[Act] = []
        self.act = 0
        self.said: list[Text] = []  # acts that ran, as the screen shows them
        self.result = ""
        self.reason = ""  # why it failed, with all details
        self.message = ""
        self.aside = ""  # name of a fault that is played out of turn
        self.changed = False  # whether the machines left the state before this scene
        self.scroll = 0  # lines of what was said that lie below the window
        self.began = 0.0  # when the act began to run; wall clock, as the probe has it
        self._typing: list[float] = []
        self._job: Job | None = None
        self._then: Callable[[Job], None] = lambda _job: None

    @property
    def scene(self) -> Scene:
        """What is shown now."""
        return self.scenes[self.index]

    @property
    def command(self) -> str:
        """The command of the act at hand."""
        return self.acts[self.act].command if self.acts else ""

    @property
    def typed(self) -> int:
        """Characters of the command that are typed by now."""
        if self.phase is not Phase.TYPING:
            return len(self.command)
        elapsed = self.now() - self.since
        return sum(at <= elapsed for at in self._typing)

    @property
    def busy(self) -> bool:
        """Whether something is being done to the machines."""
        return self._job is not None

    @property
    def stopping(self) -> bool:
        """Whether the speaker stopped what is being done."""
        return self.performance.live.stopped.is_set()

    # what happens by itself

    def begin(self) -> None:
        """Have the machines in the state before the first scene, and show it."""

        def work() -> None:
            self.performance.drop()
            self.performance.go(self.index)

        self._do(work, Phase.MOVING, lambda _job: self.enter(self.index, keep=False))

    def tick(self, held: bool = False) -> None:
        """Go on with whatever time or the machines have brought; `held` does not go on
        to anything new."""
        if self._job is not None:
            if self._job.done.is_set():
                job, self._job = self._job, None
                self.message = ""
                if job.error is None:
                    self._then(job)
                else:
                    self._fail(job.error)
            return
        if self.phase is Phase.TYPING and self.typed == len(self.command):
            self._set(Phase.READY)
        if self.manner.auto and not held and self.now() >= self.since + self._pause():
            self.forward()

    def _pause(self) -> float:
        """Seconds to wait before going on unattended."""
        if self.phase is Phase.TYPING:
            return float("inf")
        words = {
            Phase.SAYS: " ".join(self.scene.why),
            Phase.READY: " ".join(self.scene.why) if not self.act else "",
            Phase.DONE: self.result,
        }.get(self.phase, "")
        return pacing.pause(words, self.manner.pace)

    def _set(self, phase: Phase) -> None:
        self.phase, self.since = phase, self.now()
        notes.say(self._cue())

    def _do(self, work: Callable[[], object], phase: Phase, then: Callable[[Job], None]) -> None:
        self.performance.live.stopped.clear()
        self._job, self._then = self.hands.do(work), then
        self._set(phase)

    def _fail(self, error: BaseException) -> None:
        self.changed = True
        if isinstance(error, Stopped) or self.stopping:
            self.result, self.reason = "Stopped.", ""
        elif isinstance(error, WorkshopError):
            self.result, self.reason = CALM, one_line(str(error))
        else:
            traceback.print_exception(error, file=sys.stderr)
            self.result, self.reason = CALM, one_line(f"{type(error).__name__}: {error}")
        if self.manner.auto:
            where = self.scene.step.where if self.scene.step else self.scene.heading
            reason = error if str(error) else type(error).__name__
            self.failure = WorkshopError(f"{where}: {reason}")
            self.over = True
        self._set(Phase.FAILED)

    def _cue(self) -> Cue:
        """What the speaker's own screen is told."""
        lab, scene = self.performance.lab, self.scene
        now = f"{self.result} {self.reason}" if self.phase is Phase.FAILED else ""
        if self.acts and self.phase is not Phase.FAILED:
            now = f"{self.command}\n{self.acts[self.act].expected}".strip()
        coming = [s.heading for s in self.scenes[self.index + 1 :] if s.heading != scene.heading]
        part = f"{scene.section.title()} {scene.number} of {len(self.scenes)}"
        title = f"Lab {lab.number}: {lab.title}"
        then = coming[0] if coming else ""
        return Cue(title, part, scene.heading, scene.notes, scene.prose, now, then)

    # scenes and their acts

    def enter(self, index: int, keep: bool = True) -> None:
        """Show a scene from its beginning; with `keep` its section's state is saved."""
        self.index, self.act, self.said, self.result, self.aside = index, 0, [], "", ""
        self.acts = self.performance.acts(self.scene)
        if keep:
            self.changed = False
            if self.scene.opens and self.acts:
                scene = self.scene
                self.hands.do(lambda: self._kept(scene))
        self._begin_act()

    def _kept(self, scene: Scene) -> None:
        try:
            self.performance.keep(scene)
        except Exception:  # the way back is longer then, no more
            traceback.print_exc(file=sys.stderr)

    def _next_act(self) -> None:
        """Go on in the scene; what came of the act before stays in sight."""
        self.said.append(tick(self.result))
        self.act += 1
        self._begin_act()

    def _begin_act(self) -> None:
        self.scroll, self.result = 0, ""
        if not self.acts:
            self._set(Phase.SAYS)
            return
        self._typing = pacing.keystrokes(self.command, self.manner.pace)
        self._set(Phase.TYPING)

    def _run(self) -> None:
        self.changed = True
        act = self.acts[self.act]

        def then(job: Job) -> None:
            outcome: Outcome = job.value
            lines = block(act) + output(outcome)
            self.said += [*([Text()] if self.said else []), *lines]
            self.result = outcome.says
            self.scroll = 10**6 if outcome.from_top else 0
            self._set(Phase.DONE)

        self.began = time.time()
        self._do(act.run, Phase.RUNNING, then)

    # what a speaker asks for

    def forward(self) -> None:
        """What comes next: the rest of the command, its run, the next act or scene."""
        if self.phase is Phase.TYPING:
            self._typing = [0.0] * len(self.command)
            self._set(Phase.READY)
        elif self.phase is Phase.READY:
            self._run()
        elif self.phase is Phase.DONE and self.act + 1 < len(self.acts):
            self._next_act()
        elif self.phase is Phase.DONE and self.aside:
            self.enter(self.index, keep=False)
        elif self.phase in (Phase.SAYS, Phase.DONE):
            if self.index < self.last:
                self.enter(self.index + 1)
            elif self.manner.auto:
                self.over = True
            else:
                self._set(Phase.END)

    def back(self) -> None:
        """The state before this scene where it was played, else before the one before."""
        target = self.index if self.changed else max(self.index - 1, 0)
        if not self.changed and not self.scenes[target].step:
            self.enter(target, keep=False)
        else:
            self.go(target)

    def go(self, target: int) -> None:
        """Have the machines in the state before this scene, and show it."""
        self.index, self.acts, self.said, self.aside = target, [], [], ""
        self.changed = True  # until it is done

        def then(_job: Job) -> None:
            self.changed = False
            self.enter(target, keep=False)

        self._do(lambda: self.performance.go(target), Phase.MOVING, then)

    def again(self) -> None:
        """The scene once more, as the machines are; a fault that is in force is undone."""
        if faults.active():
            self._do(
                self.performance.heal, Phase.MOVING, lambda _job: self.enter(self.index, keep=False)
            )
        else:
            self.enter(self.index, keep=False)

    def strike(self, name: str) -> None:
        """Play one of the lab's faults out of turn; the scene begins again after it."""
        if faults.active():
            self.message = f"{faults.active()[0]['name']} is still in force; h heals it first."
            return
        self.aside, self.said, self.act = name, [], 0
        self.acts = self.performance.fault(name)
        self._begin_act()

    def heal(self) -> None:
        """Undo every fault; the one at hand is healed as its scene would."""
        if self.phase is Phase.DONE and self.command.startswith("invoke break"):
            self._next_act()
            self._typing = [0.0] * len(self.command)
            self._run()
            return
        phase = self.phase

        def then(job: Job) -> None:
            self.message = f"Healed: {', '.join(job.value) or 'no fault was in force'}."
            self._set(phase)

        self._do(self.performance.heal, Phase.MOVING, then)

    def stop(self, within: float = 0) -> None:
        """Have what runs end soon; waits for it up to `within` seconds."""
        if self._job is not None:
            self.performance.stop()
            self._job.done.wait(within)
