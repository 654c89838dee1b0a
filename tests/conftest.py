"""Keeps the fast tests apart from this checkout's own state and from a running cluster."""

from __future__ import annotations

import contextlib
import gc
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT))

from evening import Evening  # noqa: E402
from fakes import (  # noqa: E402
    CLUSTER,
    FakeNode,
    Fleet,
    be_the_labs,
    keep_apart,
    write_lab,
    write_play,
)

from workshop import course, evidence, faults, host, live, manifest, scenes, steps  # noqa: E402
from workshop.checkpoints import BOOTED  # noqa: E402
from workshop.course import Course  # noqa: E402
from workshop.manifest import Lab  # noqa: E402
from workshop.performance import Performance  # noqa: E402

gc.freeze()  # a check runs in a pytest of its own, which collects garbage several times


@pytest.fixture(autouse=True)
def apart(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """State, caches, daemons and `.vagrant` are this test's own; signals come back."""
    if request.path.is_relative_to(CHECKOUT / "tests" / "vm"):
        yield
        return
    keep_apart(tmp_path / "home", monkeypatch)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    forget = host.detect.cache_clear  # a test may put something else in its place
    forget()
    yield
    forget()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def labs(tmp_path: Path) -> Path:
    """A folder of labs with a small topology and no lab yet."""
    folder = tmp_path / "labs"
    folder.mkdir()
    (folder / "cluster.toml").write_text(CLUSTER)
    return folder


@pytest.fixture
def lab(labs: Path) -> Lab:
    """Lab 1 of that folder: a pair, one template, one command."""
    return write_lab(labs)


@pytest.fixture
def as_the_labs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Make a folder of labs the one that the engine finds by itself."""

    yield lambda folder: be_the_labs(folder, monkeypatch)
    manifest.cluster_of.cache_clear()
    manifest.load.cache_clear()


@pytest.fixture
def fleet(labs: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """The small topology's machines on a hypervisor that only remembers; lb1 and lb2 run."""
    yield Fleet(labs, monkeypatch)
    with contextlib.suppress(Exception):
        faults.forget()  # whatever became of the test, no watchdog outlives it


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeNode:
    """The reader's own machine: whatever it asks, lb2 serves."""
    found = FakeNode("client", {"": "<p>served by lb2\n"})
    monkeypatch.setattr(live, "Local", lambda: found)
    return found


@pytest.fixture
def performance(
    fleet: Fleet,
    labs: Path,
    client: FakeNode,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    as_the_labs: Callable[[Path], None],
) -> Performance:
    """The play on the fake fleet, with the checkpoints of `invoke demo --prepare`."""
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "packages.txt").write_text("apache2\n")
    for module in (course, evidence):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    as_the_labs(labs)
    page = steps.parse(write_play(labs))
    it = Course(fleet.machines)
    pair = ["lb1", "lb2"]
    it.checkpoints.save(BOOTED, "", pair)
    it.checkpoints.save("lab-1", it._key([1]), pair)
    for name in pair:
        fleet.nodes[name].answers = {"there": (1, "no"), "": "yes\n"}
    fleet.hypervisor.did.clear()
    return Performance(it, page, scenes.of(page))


@pytest.fixture
def evening(fleet: Fleet, client: FakeNode, performance: Performance) -> Evening:
    """A demo of the play, begun."""
    return Evening(fleet, client, performance)
