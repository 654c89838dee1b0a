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

from fakes import CLUSTER, Fleet, write_lab  # noqa: E402

from workshop import faults, host, machines, manifest, state  # noqa: E402
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
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setattr(state, "FOLDER", home / ".workshop")
    monkeypatch.setattr(state, "HOST_FOLDER", home / "cache")
    monkeypatch.setattr(state, "ROOT", home)
    monkeypatch.setattr(machines, "ROOT", home)
    monkeypatch.setattr(host, "RUN", home / "run")
    monkeypatch.setattr(host, "VAR", home / "var")
    monkeypatch.setattr(host, "NAMESPACE", "lamp-ha-test-none")
    monkeypatch.setenv("VAGRANT_HOME", str(home / "vagrant.d"))
    for name in ("WORKSHOP_PATIENCE", "WORKSHOP_PROVIDER", "WORKSHOP_PACKAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # for a lab's checks
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

    def clear() -> None:
        manifest.cluster_of.cache_clear()
        manifest.load.cache_clear()

    def use(folder: Path) -> None:
        clear()
        monkeypatch.setattr(manifest, "LABS", folder)
        # defaults were bound when the functions were made
        for function in (manifest.lab_folders, manifest.labs, manifest.cluster_of.__wrapped__):
            monkeypatch.setattr(function, "__defaults__", (folder,))
        for function in (manifest.lab, manifest.closure):
            monkeypatch.setattr(function, "__defaults__", (folder,))

    yield use
    clear()


@pytest.fixture
def fleet(labs: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """The small topology's machines on a hypervisor that only remembers; lb1 and lb2 run."""
    yield Fleet(labs, monkeypatch)
    with contextlib.suppress(Exception):
        faults.forget()  # whatever became of the test, no watchdog outlives it
