"""The command line's frame: one line for an error, an exit status, a clean end."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import Fleet, refused

from workshop import cli, state
from workshop import show as screen
from workshop.errors import WorkshopError

CHECKOUT = Path(__file__).resolve().parent.parent


def framed(work: Callable[[], Any], capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    """Exit status and lines on standard error of a command that does this."""
    status = 0
    try:
        cli.command(work)()
    except SystemExit as end:
        status = int(end.code or 0)
    captured = capsys.readouterr()
    assert captured.out == ""
    return status, captured.err.splitlines()


def raising(error: BaseException) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


def test_a_command_that_works_says_nothing_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert framed(lambda: None, capsys) == (0, [])


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (WorkshopError("no lab; try another"), 1, "error: no lab; try another"),
        (WorkshopError("x" * 300), 1, f"error: {'x' * 300}"),
        (WorkshopError("bad [/red] [bold]"), 1, "error: bad [/red] [bold]"),
        (WorkshopError("01-pair/steps.md:100: x"), 1, "error: 01-pair/steps.md:100: x"),
        (WorkshopError("`PATH=/a:/b:` :warning:"), 1, "error: `PATH=/a:/b:` :warning:"),
        (KeyboardInterrupt(), 130, "stopped"),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), 1, "No space left on device (/x)"),
        (PermissionError(errno.EACCES, "Permission denied", "/etc/x"), 1, "(/etc/x)"),
        (TimeoutError("timed out"), 1, "timed out"),
    ],
)
def test_what_a_user_can_cause_is_one_line(
    capsys: pytest.CaptureFixture[str], error: BaseException, status: int, line: str
) -> None:
    found, lines = framed(raising(error), capsys)
    assert found == status
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert line in lines[0]


def test_what_is_printed_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("steps.md:100: done", "[eth1] is up", ":x:"):
        screen.line(text)
        assert capsys.readouterr().out == f"{text}\n"


def test_a_mistake_of_the_engine_is_not_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        framed(raising(ZeroDivisionError()), capsys)


def test_a_terminated_command_ends_as_an_interrupted_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, lines = framed(lambda: signal.raise_signal(signal.SIGTERM), capsys)
    assert status == 130
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("words", "name", "position", "given"),
    [
        (["up"], "up", 1, False),
        (["up", "lb1"], "up", 1, True),
        (["break", "1"], "break", 2, False),
        (["break", "1", "power-off"], "break", 2, True),
        (["break", "1", "--on", "lb1"], "break", 2, False),
        (["break", "--on", "lb1", "1", "power-off"], "break", 2, True),
        (["break", "1", "power-off", "-o", "lb1"], "break", 2, True),
        (["--echo", "reset"], "reset", 1, False),
        (["checkpoint", "list"], "checkpoint", 2, False),
        (["status"], "up", 1, False),
        ([], "up", 1, False),
    ],
)
def test_an_optional_word_is_taken_where_it_is_given(
    words: list[str], name: str, position: int, given: bool
) -> None:
    assert cli.optional(name, position, words) == (None if given else "")


# the question


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("typed", "yes"), [("y\n", True), ("Yes\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_the_reader_is_asked_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, typed: str, yes: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    assert cli.confirm("Go on?") is yes


def test_elsewhere_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert cli.confirm("Go on?") is True


# a real process

WAITS = """\
import signal, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from workshop import cli, state
state.FOLDER = Path(sys.argv[2])

@cli.command
def wait():
    with state.lock("wait"):
        print("ready", flush=True)
        while True:
            signal.pause()

wait()
"""


def test_ctrl_c_ends_a_command_with_one_line_and_frees_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "state"
    process = subprocess.Popen(
        [sys.executable, "-c", WAITS, str(CHECKOUT), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    monkeypatch.setattr(state, "FOLDER", folder)
    with refused("`invoke wait"), state.lock("check 1"):
        pass
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=5)
    assert process.returncode == 130
    assert errors.splitlines() == [
        "error: stopped; run the same command again to resume, or `invoke destroy` to clean up"
    ]
    with state.lock("check 1"):
        pass


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    script = "import sys; sys.path.insert(0, sys.argv[1])\nfrom workshop import cli, show\n"
    script += "@cli.command\ndef talk():\n    for _ in range(99999):\n        show.line('x' * 99)\n"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{script}talk()", str(CHECKOUT)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(5) in (1, 141)


# the machines behind a command


@pytest.fixture
def here(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """The fake fleet is what this host's libvirt runs."""
    return fleet.here(monkeypatch)


def test_a_command_holds_the_lock_while_it_has_the_machines(here: Fleet) -> None:
    with cli.machines("lab 1") as found:
        assert found.running() == ["lb1", "lb2"]
        with refused("`invoke lab 1"), state.lock("check 1"):
            pass
    with cli.running("check 1"):
        pass


def test_machines_that_a_killed_command_left_paused_go_on(here: Fleet) -> None:
    here.set("lb2", "paused")
    with cli.machines("lab 1") as found:
        assert found.running() == ["lb1", "lb2"]


def test_machines_that_a_fault_froze_stay_frozen(here: Fleet) -> None:
    here.set("lb2", "paused")
    undo = [{"node": "lb2", "what": "resume", "argument": ""}]
    state.store("faults.json", [{"token": "1", "name": "x", "undo": undo, "watchdog": 0}])
    with cli.running("check 1") as found:
        assert found.running() == ["lb1"]


def test_a_host_without_root_or_systemd_is_told_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORKSHOP_PROVIDER", "libvirt")
    monkeypatch.setattr("workshop.host.systemd_runs", lambda: False)
    status, lines = framed(lambda: cli.visitor(), capsys)
    assert status == 1
    assert lines == ["error: nothing runs here; `invoke up` or `invoke lab 1` starts it"]


def test_the_state_folder_that_cannot_be_made_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(state, "FOLDER", tmp_path / "nowhere" / ".workshop")

    def work() -> None:
        with state.lock("up"):
            pass

    status, lines = framed(work, capsys)
    assert status == 1
    assert len(lines) == 1
    assert os.fspath(tmp_path / "nowhere") in lines[0]
