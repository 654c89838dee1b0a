"""What a demo does to the machines: run a scene for real, keep states, go back to them.

The states before the newest sections are kept as checkpoints `demo-N-K`, a few at a time
because each takes disk; older ones are reached from the lab's own checkpoints by playing
what lies between.
"""

from __future__ import annotations

import contextlib
import queue
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workshop import apply, faults, render, state
from workshop.course import STATE, Course, Watchers
from workshop.errors import WorkshopError
from workshop.expectation import expected, ticked
from workshop.faults import Action
from workshop.judge import Verdict
from workshop.probe import Probe
from workshop.scenes import Scene
from workshop.steps import CLIENT, Page, Step
from workshop.stoppable import Stoppable, StoppableTrial

KEEP = 4  # checkpoints of sections
NAMES = {CLIENT: "your machine", "holder": "whoever serves", "peer": "the other one"}


@dataclass(frozen=True)
class Outcome:
    """What an act showed: output by node, what is ticked, and where the tick is found."""

    output: dict[str, str]
    says: str
    spans: dict[str, tuple[int, int]]
    from_top: bool = False


@dataclass(frozen=True)
class Act:
    """One command of a scene; a fault has two, its happening and its healing."""

    on: list[str]
    prompt: str
    command: str
    expected: str  # in words of the page; empty where it only has to work
    run: Callable[[], Outcome]
    probe: Probe | None = None  # what visitors see meanwhile


class Job:
    """Something being done; `value` or `error` once it is `done`."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work, self.done = work, threading.Event()
        self.value: Any = None
        self.error: BaseException | None = None

    def __call__(self) -> None:
        try:
            self.value = self.work()
        except BaseException as error:
            self.error = error
        self.done.set()


class Hands:
    """A thread that does one thing after the other, so that the screen stays alive."""

    def __init__(self) -> None:
        self._jobs: queue.Queue[Job] = queue.Queue()
        threading.Thread(target=self._work, daemon=True, name="demo").start()

    def do(self, work: Callable[[], Any]) -> Job:
        """Have it done after what is being done already."""
        job = Job(work)
        self._jobs.put(job)
        return job

    def _work(self) -> None:
        while True:
            self._jobs.get()()


class Performance:
    """The scenes of one lab on real machines; all but `stop` may take its time."""

    def __init__(self, course: Course, page: Page, scenes: list[Scene]) -> None:
        self.course, self.lab, self.page, self.scenes = course, page.lab, page, scenes
        self.live = Stoppable(course.machines, page.lab)
        self.rendered = render.available(page.lab, apply.secrets_of(page.lab))
        self.doing = ""  # one line that says what takes so long
        # by scene number: the course's state, and what stood of Build
        self._kept: dict[int, tuple[dict[str, Any], set[str] | None]] = {}
        # steps of Build that were played since a good start; None: there was none
        self._stand: set[str] | None = None
        course.tell = Watchers(
            note=self._tell,
            machine=lambda node, what: self._tell(f"{node}: {what}"),
            step=lambda step: self._tell(f"building: {step.heading}"),
            check=lambda check: self._tell(f"checking: {check.says}"),
        )

    def _tell(self, text: str) -> None:
        self.doing = text

    # running

    def acts(self, scene: Scene) -> list[Act]:
        """What there is to run in a scene."""
        step = scene.step
        if step is None:
            return []
        if step.kind == "fault":
            return self.fault(step.target, next(iter(step.on), None))
        prompt = {"sql": "SQL> "}.get(step.kind, "$ " if step.on == [CLIENT] else "# ")
        on = [NAMES.get(node, node) for node in step.on]
        return [Act(on, prompt, self._command(step), expected(step), lambda: self._run(step))]

    def _command(self, step: Step) -> str:
        if step.kind != "install":
            return step.body.strip("\n")
        files = next(iter(render.installed(self.page, step, self.rendered).values()))
        return "\n".join(render.install_command(file) for file in files)

    def _run(self, step: Step) -> Outcome:
        state.journal("step", at=step.where)
        self._stands(step, False)
        try:
            done = apply.execute(self.live, self.page, step, self.rendered)
        except WorkshopError as error:
            raise WorkshopError(str(error).removeprefix(f"{step.where}: ")) from None
        self._stands(step, True)
        if step.kind == "install":
            return Outcome(self._contents(step), "in place", {}, from_top=True)
        return Outcome(done.output, *ticked(step, done.output))

    def _stands(self, step: Step, done: bool) -> None:
        """Tell the course that the lab is built as soon as, and only while, every step of
        Build was played from a good start."""
        if self._stand is None or step.section != "build":
            return
        self._stand = self._stand | {step.where} if done else self._stand - {step.where}
        wanted = {s.where for s in self.page.section("build") if s.kind != "fault"}
        before = self.course.before(self.lab)
        built = [*before, self.lab.number] if wanted <= self._stand else before
        if self.course.built != built:
            self.course.record(built)

    def _contents(self, step: Step) -> dict[str, str]:
        """The files that were installed, by node, with placeholders for secrets."""
        files = render.installed(self.page, step, render.available(self.lab))
        return {
            node: "\n".join(
                f"/{file.path}\n{file.content.decode(errors='replace')}"
                if len(own) > 1
                else file.content.decode(errors="replace")
                for file in own
            )
            for node, own in files.items()
        }

    def fault(self, name: str, on: str | None = None) -> list[Act]:
        """A declared fault, and its healing, with what visitors see."""
        declared = self.lab.file.faults[name]
        trials: list[StoppableTrial] = []
        aim = f" --on {on}" if on else ""

        def strike() -> Outcome:
            trials[:] = [StoppableTrial(self.live, name, on)]
            return told(trials[0], trials[0].strike())

        def recover() -> Outcome:
            if not trials:
                raise WorkshopError(f"{name} did not happen")
            return told(trials[0], trials[0].recover())

        def told(trial: StoppableTrial, verdict: Verdict) -> Outcome:
            if verdict.wrong:
                raise WorkshopError(f"fault {name} on {trial.node}: {verdict.wrong}")
            return Outcome({}, str(verdict), {})

        def probe(phase: str) -> Probe:
            file = state.path(f"probe/{self.lab.number}-{name}-{phase}.jsonl")
            return Probe(self.live.url, self.lab.file.says, file, rate=self.lab.file.visitors)

        here, back = [NAMES[CLIENT]], "Expected: it is undone, and the cluster is whole again."
        command = f"invoke break {self.lab.number} {name}{aim}"
        return [
            Act(here, "$ ", command, f"Expected: {declared.expect}", strike, probe("fault")),
            Act(here, "$ ", "invoke heal", back, recover, probe("heal")),
        ]

    def heal(self) -> list[str]:
        """Undo every fault; their names."""
        self._tell("healing")
        return faults.heal(self.course.machines)

    def stop(self) -> None:
        """Have what runs end soon, with `Stopped` or an error."""
        self.live.stopped.set()
        # a connection that is just being made may hold the lock for a while
        threading.Thread(target=self.course.machines.disconnect, daemon=True).start()

    # keeping states and going back to them

    def name(self, number: int) -> str:
        """Name of the checkpoint before a scene."""
        return f"demo-{self.lab.number}-{number}"

    def keep(self, scene: Scene) -> None:
        """Save the state before this scene; nothing is kept while a fault is in force or a
        node of the lab is down."""
        machines, checkpoints = self.course.machines, self.course.checkpoints
        running = machines.running()
        if faults.active() or set(self.lab.nodes) - set(running):
            return
        self._kept.pop(scene.number, None)
        checkpoints.save(self.name(scene.number), self.course.digest(self.lab), running)
        known = state.load(STATE, {"built": [], "digests": {}})
        self._kept[scene.number] = (known, self._stand)
        for number in sorted(self._kept, key=lambda n: abs(n - scene.number))[KEEP:]:
            del self._kept[number]
            checkpoints.drop(self.name(number))

    def go(self, index: int) -> None:
        """Have the machines as they were before this scene, whatever became of them."""
        self.live.stopped.clear()
        self._stand = None
        target = self.scenes[index]
        self._tell("going to the state before this step")
        self._undo()
        begin = next(i for i in range(index, -1, -1) if self.scenes[i].opens)
        # sections of Try stand alone; Build is one way from its beginning
        first = begin if target.section == "try" else 0
        for number in sorted((n for n in self._kept if first < n <= index + 1), reverse=True):
            if self._restored(number):
                first = number - 1
                break
        else:
            if target.section == "try":
                self.course.skip(self.lab)
            else:
                self.course.reset(self.lab)
                self._stand = set()
        for scene in self.scenes[first:index]:
            if scene.step and scene.step.kind != "fault":
                self._tell(f"playing step {scene.number} again")
                self._run(scene.step)

    def _undo(self) -> None:
        """A restored checkpoint knows no fault; cables are outside of it."""
        for entry in faults.active():
            for fields in entry["undo"]:
                if fields["what"] == "plug":
                    with contextlib.suppress(WorkshopError):
                        faults.perform(self.course.machines, Action(**fields))
        faults.forget()

    def _restored(self, number: int) -> bool:
        """Whether the checkpoint before a scene could be restored; a bad one is forgotten."""
        name, checkpoints = self.name(number), self.course.checkpoints
        if not checkpoints.valid(name, self.course.digest(self.lab), self.lab.nodes):
            del self._kept[number]
            return False
        state.store(STATE, {"built": [], "digests": {}})
        try:
            checkpoints.restore(name)
        except WorkshopError as error:
            print(f"{name} could not be restored: {error}", flush=True)
            del self._kept[number]
            return False
        known, self._stand = self._kept[number]
        state.store(STATE, known)
        return True

    def drop(self) -> None:
        """Free the space of every demo's checkpoints, those of a killed one included."""
        self._kept.clear()
        for name in [n for n in self.course.checkpoints.all() if re.fullmatch(r"demo-\d+-\d+", n)]:
            self.course.checkpoints.drop(name)
