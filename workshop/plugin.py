"""pytest inside the workshop: the fixtures of a lab's checks, and what became of them."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from workshop.live import Live
from workshop.manifest import Lab

Outcome = Literal["passed", "failed", "unknown"]


@dataclass(frozen=True)
class Check:
    """One check that ran. `unknown` is a check that could not judge; it is never a pass."""

    name: str
    says: str  # what must be true, in words
    outcome: Outcome
    seconds: float
    message: str = ""


class Checks:
    """The pytest plugin that runs `checks.py` of one lab on the running cluster."""

    def __init__(self, live: Live, told: Callable[[Check], None] = lambda _check: None) -> None:
        self.live = live
        self.told = told
        self.results: list[Check] = []
        self.trouble = ""

    @pytest.fixture(name="cluster", scope="session")
    def _cluster(self) -> Live:
        """The lab's nodes, running."""
        return self.live

    @pytest.fixture(name="lab", scope="session")
    def _lab(self) -> Lab:
        """The lab that is checked."""
        return self.live.lab

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: Any) -> Any:
        outcome = yield
        report = outcome.get_result()
        if report.when == "call" or report.outcome != "passed":
            self.results = [c for c in self.results if c.name != item.name]
            says = inspect.getdoc(getattr(item, "function", None)) or item.name
            verdict: Outcome = "passed" if report.passed else "unknown"
            message = ""
            if call.excinfo is not None:
                value = call.excinfo.value
                judged = isinstance(value, AssertionError | pytest.fail.Exception)
                if judged and report.when == "call":
                    verdict = "failed"
                message = (str(value).strip() or type(value).__name__).splitlines()[0]
            check = Check(item.name, says.splitlines()[0], verdict, report.duration, message)
            self.results.append(check)
        if report.when == "teardown":
            self.told(self.results[-1])

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            lines = [line for line in str(report.longrepr).splitlines() if line.startswith("E ")]
            self.trouble = (lines[-1:] or ["E  it cannot be read"])[0].lstrip("E ")


def run(
    live: Live, only: list[str] | None = None, told: Callable[[Check], None] = lambda _check: None
) -> list[Check]:
    """Run the lab's checks (or some of them) in this process and say what became of each."""
    path = live.lab.folder / "checks.py"
    wanted = [f"{path}::{name}" for name in only] if only else [str(path)]
    checks = Checks(live, told)
    off = ("cacheprovider", "terminal", "logging", "unraisableexception")
    options = [word for name in off for word in ("-p", f"no:{name}")]
    options += ["-o", "python_files=checks.py", "-o", "python_functions=check_*", "-o", "addopts="]
    options += ["--import-mode=importlib", "--rootdir", str(live.lab.folder.parent.parent)]
    started = time.monotonic()
    status = pytest.main([*options, *wanted], plugins=[checks])
    if status == pytest.ExitCode.INTERRUPTED and not checks.trouble:
        raise KeyboardInterrupt
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) or not checks.results:
        seconds = time.monotonic() - started
        text = checks.trouble or f"pytest could not run it (exit status {int(status)})"
        checks.results.append(Check("checks.py", str(path.name), "unknown", seconds, text))
        told(checks.results[-1])
    return checks.results
