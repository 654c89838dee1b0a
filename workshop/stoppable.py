"""The cluster, and a fault's trial, for as long as the speaker wants them to go on."""

from __future__ import annotations

import threading

from workshop.judge import Trial, Verdict
from workshop.live import Live
from workshop.machines import Machines
from workshop.manifest import Lab
from workshop.probe import Probe, Sample
from workshop.remote import Remote


class Stopped(Exception):
    """The speaker stopped what was running."""


class Stoppable(Live):
    """The cluster, but nothing more is asked of it once `stopped` is set."""

    def __init__(self, machines: Machines, lab: Lab) -> None:
        super().__init__(machines, lab)
        self.stopped = threading.Event()

    def remote(self, node: str) -> Remote:
        if self.stopped.is_set():
            raise Stopped
        return super().remote(node)


class StoppableProbe(Probe):
    """A probe that nobody waits for once `stopped` is set."""

    def __init__(self, plain: Probe, stopped: threading.Event) -> None:
        super().__init__(plain.url, plain.says, plain.output, plain.timeout, rate=plain.rate)
        self.stopped = stopped

    def samples(self) -> list[Sample]:
        if self.stopped.is_set():
            raise Stopped
        return super().samples()


class StoppableTrial(Trial):
    """A fault's trial whose waits end with `Stopped` as soon as the speaker wants it."""

    def __init__(self, live: Stoppable, name: str, on: str | None = None) -> None:
        super().__init__(live, name, on)
        self.stopped = live.stopped
        # half a minute that a trial sleeps through; here `_await` waits for it
        self._settle = live.lab.seconds(self.declared.heal_settle)
        self.declared = self.declared.model_copy(update={"heal_settle": 0})
        self._healing = False

    def recover(self) -> Verdict:
        self._healing = True
        return super().recover()

    def _probe(self, phase: str) -> Probe:
        return StoppableProbe(super()._probe(phase), self.stopped)

    def _await(self, condition: object, within: float, what: str) -> str:
        wrong = super()._await(condition, within, what)
        if wrong or not self._healing or not self._settle:
            return wrong
        if self.stopped.wait(self._settle):
            raise Stopped
        return super()._await(condition, within, "the same a while later")
