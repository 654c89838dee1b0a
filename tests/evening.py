"""A demo without a screen: a clock that a test moves, hands that it holds, nodes that answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fakes import FakeNode, Fleet

from workshop.controls import Controls
from workshop.display import Display
from workshop.pacing import Manner
from workshop.performance import Hands, Job, Performance
from workshop.player import Phase, Player
from workshop.stage import View


class Prompt(Hands):
    """Hands that do everything at once, or when they are told to."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.waits = False

    def do(self, work: Callable[[], Any]) -> Job:
        job = Job(work)
        self.jobs.append(job)
        if not self.waits:
            job()
        return job


class Evening:
    """A demo of eight scenes."""

    def __init__(self, fleet: Fleet, client: FakeNode, performance: Performance) -> None:
        self.fleet, self.client, self.performance = fleet, client, performance
        self.time = 0.0
        self.visited: list[list[str]] = []
        self.hands = Prompt()
        self.start()

    def start(self, **manner: Any) -> None:
        """Begin anew, played in this manner."""
        self.player = Player(self.performance, Manner(**manner), lambda: self.time, self.hands)
        self.controls = Controls(self.player, self._visit)
        self.display = Display(self.player, self.controls)
        self.player.begin()
        self._tick()

    def _visit(self, words: list[str]) -> int:
        self.visited.append(words)
        return 0

    def _tick(self) -> None:
        self.player.tick(held=self.controls.menu is not None)

    def press(self, *keys: str) -> Phase:
        for key in keys:
            self.controls.press(key)
            self._tick()
        return self.player.phase

    def wait(self, seconds: float) -> Phase:
        for _ in range(int(seconds * 10)):
            self.time += 0.1
            self._tick()
        return self.player.phase

    def to(self, number: int) -> None:
        """Have this scene typed and ready."""
        self.player.go(number - 1)
        self._tick()
        self.press(" ")

    @property
    def view(self) -> View:
        return self.display.view()

    @property
    def body(self) -> str:
        return "\n".join(line.plain for line in self.view.body)

    @property
    def result(self) -> str:
        return "\n".join(line.plain for line in self.view.result)
