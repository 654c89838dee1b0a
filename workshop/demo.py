"""The instructor's mode: a lab's page before an audience, one step at a time.

Each command is typed, run for real on a key, and held to what the page says. Whatever
breaks is one calm line, and one key goes back to the last good state.
"""

from __future__ import annotations

import contextlib
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate

from rich.text import Text

from workshop import faults, notes, scenes, shell, state, steps
from workshop.course import Course
from workshop.errors import WorkshopError
from workshop.manifest import Lab
from workshop.notes import Cue
from workshop.performance import Act, Hands, Job, Outcome, Performance, Stopped
from workshop.stage import LOG, Menu, Stage, Typed, View, clean
from workshop.steps import CLIENT

CALM = "Not what we expected."
KEYSTROKE = 0.035  # seconds, on average
LONGEST = 6.0  # seconds the typing of one command may take
READ = 0.28  # seconds a word takes to read, where nobody presses a key
BREATH = 1.5  # seconds between two things, there
SCROLL = 5  # lines
LINES = 300  # of a command's output that are kept
BAR = 40  # seconds of visitors' luck that are shown

FORWARD = {" ", "enter", "right", "pgdown", "n"}
BACK = {"b", "left", "pgup", "backspace"}
HELP = [
    ("space", "next: finish typing, run, go on (also enter, right, page down)"),
    ("b", "back: the state before this step, or before the one before it"),
    ("r", "run this step once more"),
    ("g", "go to a step"),
    ("s", "a shell on a node; `exit` comes back here"),
    ("f", "make one of the lab's faults happen"),
    ("h", "heal: undo every fault"),
    ("up, down", "scroll what a command said"),
    ("Ctrl-C", "stop what is running"),
    ("q, q", "quit"),
]


class Terminated(KeyboardInterrupt):
    """Somebody else wants the demo to end."""


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


@dataclass(frozen=True)
class Manner:
    """How to play: by itself, how fast (2 takes twice as long, 0 pauses nowhere), from
    which scene to which."""

    auto: bool = False
    pace: float = 1.0
    first: int = 0
    last: int = 10**6


class Demo:
    """The demo's logic: keys and time go in, a view comes out."""

    def __init__(
        self,
        performance: Performance,
        manner: Manner,
        now: Callable[[], float] = time.monotonic,
        hands: Hands | None = None,
        visit: Callable[[list[str]], int] = lambda _words: 0,
    ) -> None:
        self.performance, self.manner, self.now = performance, manner, now
        self.scenes = performance.scenes
        self.last = min(manner.last, len(self.scenes) - 1)
        self.hands = hands or Hands()
        self.visit = visit  # gives the terminal to another program
        self.over = False
        self.failure: WorkshopError | None = None
        self.index = manner.first
        self.phase = Phase.MOVING
        self.acts: list[Act] = []
        self.act = 0
        self.said: list[Text] = []  # acts that ran, as the screen shows them
        self.result = ""
        self.reason = ""  # why it failed, with all details
        self.message = ""
        self.aside = ""  # name of a fault from the menu, while it is played
        self.changed = False  # whether the machines left the state before this scene
        self.leaving = self.helping = False
        self.menu: Menu | None = None
        self.chosen: Callable[[int], None] = lambda _index: None
        self.scroll = self.over_by = 0
        self._typing: list[float] = []
        self._since = now()
        self._job: Job | None = None
        self._then: Callable[[Job], None] = lambda _job: None
        self._began = 0.0  # wall clock, as the probe has it
        self._bar: tuple[float, Text] = (0.0, Text())

    @property
    def scene(self) -> scenes.Scene:
        return self.scenes[self.index]

    # what happens by itself

    def begin(self) -> None:
        """Have the machines in the state before the first scene, and show it."""

        def work() -> None:
            self.performance.drop()
            self.performance.go(self.index)

        self._do(work, Phase.MOVING, lambda _job: self.enter(self.index, keep=False))

    def tick(self) -> None:
        """Go on with whatever time or the machines have brought."""
        if self._job is not None:
            if self._job.done.is_set():
                job, self._job = self._job, None
                self.message = ""
                if job.error is None:
                    self._then(job)
                else:
                    self._fail(job.error)
            return
        if self.phase is Phase.TYPING and self._typed() == len(self.command):
            self._set(Phase.READY)
        if self.manner.auto and not self.menu and self.now() >= self._since + self._pause():
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
        return (BREATH + min(READ * len(words.split()), 12)) * self.manner.pace

    def _set(self, phase: Phase) -> None:
        self.phase, self._since = phase, self.now()
        self._cue()

    def _do(self, work: Callable[[], object], phase: Phase, then: Callable[[Job], None]) -> None:
        self.performance.live.stopped.clear()
        self._job, self._then = self.hands.do(work), then
        self._set(phase)

    def _fail(self, error: BaseException) -> None:
        self.changed = True
        if isinstance(error, Stopped) or self.performance.live.stopped.is_set():
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

    # scenes

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

    def _kept(self, scene: scenes.Scene) -> None:
        try:
            self.performance.keep(scene)
        except Exception:  # the way back is longer then, no more
            traceback.print_exc(file=sys.stderr)

    @property
    def command(self) -> str:
        """The command of the act at hand."""
        return self.acts[self.act].command if self.acts else ""

    def _next_act(self) -> None:
        """Go on in the scene; what came of the act before stays in sight."""
        self.said.append(Text("\u2713 ", "bold green").append(one_line(self.result), "green"))
        self.act += 1
        self._begin_act()

    def _begin_act(self) -> None:
        self.scroll, self.result = 0, ""
        if not self.acts:
            self._set(Phase.SAYS)
            return
        self._typing = keystrokes(self.command, self.manner.pace)
        self._set(Phase.TYPING)

    def _typed(self) -> int:
        """Characters that are typed by now."""
        elapsed = self.now() - self._since
        return sum(at <= elapsed for at in self._typing)

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

        self._began = time.time()
        self._bar = (0.0, Text())
        self._do(act.run, Phase.RUNNING, then)

    # keys

    def press(self, key: str) -> None:
        """Do what a key means now."""
        if self.helping or self.leaving:
            leave = self.leaving and key == "q"
            self.helping = self.leaving = False
            self.over = self.over or leave
            return
        if self.menu:
            self._choose(key)
            return
        self.message = ""
        busy = self._job is not None
        if key in ("up", "down"):
            # what does not fit scrolls; the window knows by how much
            at = min(self.scroll, self.over_by)
            self.scroll = min(max(at + (SCROLL if key == "up" else -SCROLL), 0), self.over_by)
        elif key == "?":
            self.helping = True
        elif key == "q":
            self.leaving = True
        elif busy:
            self.message = "" if key in FORWARD else "One moment; Ctrl-C stops what is running."
        elif key in FORWARD:
            self.forward()
        elif key in BACK:
            self.back()
        elif key in KEYS:
            KEYS[key](self)

    def interrupt(self) -> None:
        """Ctrl-C: stop what runs; where nothing does, ask whether to leave."""
        if self.manner.auto:
            raise KeyboardInterrupt
        if self._job is not None and not self.performance.live.stopped.is_set():
            self.performance.stop()
            return
        self.over = self.leaving
        self.leaving = True

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
            self._go(target)

    def _go(self, target: int) -> None:
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

    # menus

    def _offer(self, title: str, items: list[str], at: int, chosen: Callable[[int], None]) -> None:
        self.menu, self.chosen = Menu(title, items, at), chosen

    def _choose(self, key: str) -> None:
        assert self.menu is not None
        moves = {"up": -1, "down": 1, "k": -1, "j": 1, "pgup": -10, "pgdown": 10}
        if key in moves:
            self.menu.move(moves[key])
        elif key in ("enter", " "):
            at, self.menu = self.menu.at, None
            self.chosen(at)
        else:
            self.menu = None

    def list_scenes(self) -> None:
        """Offer every scene."""
        items = [
            f"{s.number:>3}  {s.section.title():<5}  {s.heading}"
            + (f": {s.step.target or s.step.body.strip().splitlines()[0]}" if s.step else "")
            for s in self.scenes
        ]
        self._offer("Go to", items, self.index, self._go)

    def list_faults(self) -> None:
        """Offer the lab's faults."""
        declared = self.performance.lab.file.faults
        if not declared:
            self.message = "This lab declares no fault."
            return
        names = list(declared)

        def chosen(at: int) -> None:
            if faults.active():
                self.message = f"{faults.active()[0]['name']} is still in force; h heals it first."
                return
            self.aside, self.said, self.act = names[at], [], 0
            self.acts = self.performance.fault(names[at])
            self._begin_act()

        wide = max(map(len, names))
        items = [f"{name:<{wide}}  {fault.title}" for name, fault in declared.items()]
        self._offer("What shall break?", items, 0, chosen)

    def list_nodes(self) -> None:
        """Offer a shell on each node, and on this machine."""
        nodes = [*self.performance.lab.nodes, CLIENT]

        def chosen(at: int) -> None:
            words = shell.words(self.performance.course.machines, nodes[at], mark=False)
            self.changed = True
            self.visit(words)

        self._offer("A shell on", [*nodes[:-1], "client (this machine)"], 0, chosen)

    # what is to be seen

    def view(self) -> View:
        """The screen as it should be now."""
        lab, scene = self.performance.lab, self.scene
        part = {"build": "Build", "try": "Try"}[scene.section]
        view = View(
            f"Lab {lab.number}: {lab.title}", f"{part}  {scene.number} of {len(self.scenes)}"
        )
        if self.helping:
            view.heading = "Keys"
            view.body = [Text(f"{key:<10}").append(what, "dim") for key, what in HELP]
            view.hint = "any key goes back"
            return view
        if self.menu:
            view.menu = self.menu
            view.hint = "up, down   enter takes it   escape leaves it"
            return view
        view.heading, view.why, view.scroll = scene.heading, scene.why, self.scroll
        view.slide = not (scene.step or self.aside)
        if self.aside:
            view.heading, view.why = lab.file.faults[self.aside].title, []
        view.body = [*self.said]
        if self.acts and self.phase not in (Phase.DONE, Phase.MOVING, Phase.END):
            typed = self._typed() if self.phase is Phase.TYPING else len(self.command)
            view.body += [*([Text()] if self.said else []), *block(self.acts[self.act], typed)]
        if self.phase is Phase.FAILED and self.reason:
            view.body.append(Text(self.reason, "dim"))
        view.result = list(self._result())
        view.hint = self._hint()
        return view

    def _result(self) -> Iterator[Text]:
        act = self.acts[self.act] if self.acts else None
        if self.message:
            yield Text(self.message, "yellow")
        if self.phase is Phase.RUNNING and act:
            stopped = self.performance.live.stopped.is_set()
            what = "stopping" if stopped else act.expected or "running"
            yield Text(f"{self.now() - self._since:3.0f} s  ").append(what)
            if act.probe and (bar := self._visitors(act)):
                yield bar
        elif self.phase is Phase.MOVING:
            yield Text(f"{self.now() - self._since:3.0f} s  {self.performance.doing}", "dim")
        elif self.phase is Phase.DONE:
            yield Text("\u2713 ", "bold green").append(one_line(self.result), "green")
            if act and act.probe and self._bar[1]:
                yield self._bar[1]
        elif self.phase is Phase.FAILED:
            yield Text(one_line(self.result), "yellow")
        elif self.phase is Phase.END:
            yield Text("That was it. Thank you.", "bold")
        elif act and act.expected:
            yield Text(act.expected)

    def _hint(self) -> str:
        if self.leaving:
            return "q again leaves the demo; any other key stays"
        if self.manner.auto:
            return "playing by itself   Ctrl-C ends it"
        if self.phase is Phase.FAILED:
            return "b back to the last good state   r once more   g go to a step   ? keys"
        word = {
            Phase.SAYS: "space next   b back   ? keys",
            Phase.TYPING: "",
            Phase.READY: "space run   b back   ? keys",
            Phase.RUNNING: "Ctrl-C stops it",
            Phase.DONE: "space next   r once more   b back   ? keys",
            Phase.MOVING: "one moment",
            Phase.END: "b back   g go to a step   q quit",
        }[self.phase]
        return f"{word}   up, down scroll" if self.over_by and word else word

    def _visitors(self, act: Act) -> Text:
        """One mark for each second: what those saw who asked for the page."""
        at, bar = self._bar
        if act.probe is None or self.now() < at:
            return bar
        seconds: dict[int, bool] = {}
        by = ""
        for sample in act.probe.samples():
            if sample.due >= self._began:
                second = int(sample.due)
                seconds[second] = seconds.get(second, True) and sample.good
                by = sample.by or by if sample.good else ""
        if seconds:
            bar = Text("visitors ")
            for good in [seconds[s] for s in sorted(seconds)][-BAR:]:
                bar.append("\u25a0" if good else "\u00b7", "green" if good else "bold red")
            bar.append(f" {by}" if by else " no answer", "green" if by else "bold red")
        self._bar = (self.now() + 0.5, bar)
        return bar

    def _cue(self) -> None:
        """Tell the speaker's own screen."""
        lab, scene = self.performance.lab, self.scene
        now = f"{self.result} {self.reason}" if self.phase is Phase.FAILED else ""
        if self.acts and self.phase is not Phase.FAILED:
            now = f"{self.command}\n{self.acts[self.act].expected}".strip()
        coming = [s.heading for s in self.scenes[self.index + 1 :] if s.heading != scene.heading]
        part = f"{scene.section.title()} {scene.number} of {len(self.scenes)}"
        title = f"Lab {lab.number}: {lab.title}"
        then = coming[0] if coming else ""
        notes.say(Cue(title, part, scene.heading, scene.notes, scene.prose, now, then))


KEYS: dict[str, Callable[[Demo], None]] = {
    "r": Demo.again,
    "g": Demo.list_scenes,
    "f": Demo.list_faults,
    "h": Demo.heal,
    "s": Demo.list_nodes,
}


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


def block(act: Act, typed: int | None = None) -> list[Text]:
    """A command on its node, as far as it is typed."""
    badges = Text()
    for node in act.on:
        badges.append(f" {node} ", "bold black on cyan").append(" ")
    text = act.command if typed is None else act.command[:typed]
    lines = [
        Typed(act.prompt if not i else " " * len(act.prompt), line)
        for i, line in enumerate(text.expandtabs(8).split("\n"))
    ]
    return [badges, *lines]


def output(outcome: Outcome) -> list[Text]:
    """What a command said, each text once with the nodes that said it."""
    groups: dict[str, list[str]] = {}
    for node, text in outcome.output.items():
        if text.strip():
            groups.setdefault(text, []).append(node)
    lines: list[Text] = []
    for text, nodes in groups.items():
        if len(outcome.output) > 1:
            lines.append(Text(f"{', '.join(nodes)}:", "cyan"))
        whole = Text(text)
        if nodes[0] in outcome.spans:
            whole.stylize("bold green", *outcome.spans[nodes[0]])
        plain = clean(text)
        shown = whole if plain == text else Text(plain)
        shown.rstrip()
        lines += list(shown.split("\n"))[-LINES:]
    return lines


def one_line(text: str) -> str:
    """The text on one line, without what would move the cursor."""
    return " ".join(clean(text).split())


def check(lab: Lab, pace: float, start: str, until: str, auto: bool = False) -> Manner:
    """How to play what was asked for; what cannot be played is a `WorkshopError`."""
    if not 0 <= pace <= 10:
        raise WorkshopError(f"--pace {pace:g}: a factor from 0 (no pauses) to 10; 1 is a person's")
    found = scenes.of(steps.parse(lab))
    first = scenes.find(found, start) if start else 0
    last = scenes.last(found, until) if until else len(found) - 1
    if last < first:
        raise WorkshopError(f"--until {until} comes before --from {start or found[first].number}")
    return Manner(auto, pace, first, last)


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
    manner = check(lab, pace, start, until, auto)
    page = steps.parse(lab)
    found = scenes.of(page)
    stage = Stage()
    performance = Performance(course, page, found)
    demo = Demo(performance, manner, visit=stage.suspended)
    try:
        with _ended_by_others(), stage.shown():
            try:
                demo.begin()
                _until_over(demo, stage)
            finally:
                _clear_up(demo, stage)
    except (WorkshopError, KeyboardInterrupt, OSError):
        raise
    except Exception as error:
        with state.path(LOG).open("a") as log:
            traceback.print_exception(error, file=log)
        raise WorkshopError(
            f"the demo broke ({type(error).__name__}); the cause is in .workshop/{LOG}, and "
            f"`invoke demo {lab.number} --from {demo.scene.number}` goes on"
        ) from None
    if demo.failure:
        raise demo.failure


def _until_over(demo: Demo, stage: Stage) -> None:
    while not demo.over:
        try:
            demo.tick()
            demo.over_by = stage.draw(demo.view())
            key = stage.key(0.03 if demo.phase is Phase.TYPING else 0.1)
            if key:
                demo.press(key)
        except Terminated:
            raise
        except KeyboardInterrupt:
            demo.interrupt()
        except WorkshopError as error:
            demo.message = str(error)


def _clear_up(demo: Demo, stage: Stage) -> None:
    """Leave no fault and no checkpoint of the demo; what cannot be done now is only logged."""
    notes.end()
    performance = demo.performance
    if demo._job is not None:
        performance.stop()
        demo._job.done.wait(15)
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
