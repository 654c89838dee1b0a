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

from fakes import CLUSTER, Fleet, be_the_labs, keep_apart, write_lab  # noqa: E402

from workshop import faults, host, manifest  # noqa: E402
from workshop.manifest import Lab  # noqa: E402

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
