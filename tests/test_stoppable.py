"""What a speaker can stop, and how soon."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from fakes import LAB, Fleet, write_lab

from workshop.performance import Hands
from workshop.probe import Probe, Sample
from workshop.stoppable import Stoppable, StoppableTrial, Stopped

FAULT = """
[faults.dark]
title = "X"
does = "command"
options = { run = "cut it" }
expect = "Y"
serves = "holder"
heal_within = 1
heal_settle = 60
"""


class Pause(threading.Event):
    """A wait that tells when it began, or during which something happens."""

    def __init__(self) -> None:
        super().__init__()
        self.began = threading.Event()
        self.seconds: float | None = None
        self.fleet: Fleet | None = None

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds = timeout
        self.began.set()
        if self.fleet is not None:  # the time is over at once, and nobody has the address
            self.fleet.holds("")
            return False
        return super().wait(timeout)


@pytest.fixture
def trial(fleet: Fleet, labs: Path, monkeypatch: pytest.MonkeyPatch) -> StoppableTrial:
    """A fault to heal, all good, after which a minute must pass."""
    good = [Sample(i / 10, 0, 0.01, True, by="lb1") for i in range(20)]
    monkeypatch.setattr(Probe, "__enter__", lambda self: self)
    monkeypatch.setattr(Probe, "samples", lambda _self: good)
    fleet.holds("lb1")
    live = Stoppable(fleet.machines, write_lab(labs, toml="says = 'x'\n" + LAB + FAULT))
    live.stopped = Pause()
    return StoppableTrial(live, "dark")


def test_the_minute_after_healing_ends_as_soon_as_it_is_stopped(trial: StoppableTrial) -> None:
    pause = trial.stopped
    assert isinstance(pause, Pause)
    job = Hands().do(trial.recover)
    assert pause.began.wait(20)
    assert pause.seconds == 60
    pause.set()
    assert job.done.wait(20)
    assert isinstance(job.error, Stopped)


def test_after_that_minute_the_cluster_is_looked_at_again(
    trial: StoppableTrial, fleet: Fleet
) -> None:
    pause = trial.stopped
    assert isinstance(pause, Pause)
    pause.fleet = fleet
    verdict = trial.recover()
    assert verdict.wrong.startswith("the same a while later: not within 1 s")


def test_the_visitors_before_a_fault_are_not_waited_for_once_it_is_stopped(
    trial: StoppableTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Probe, "samples", lambda _self: [])  # the page never comes
    trial.stopped.set()
    begin = time.monotonic()
    with pytest.raises(Stopped):
        trial.strike()
    assert time.monotonic() - begin < 20  # of the 60 s that it would wait
