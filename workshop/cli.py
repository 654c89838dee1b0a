"""The command line's frame: one lock, one line for an error, a clean end on Ctrl-C."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

from workshop import box, faults, host, manifest, state
from workshop import show as screen
from workshop.course import Course, Watchers
from workshop.errors import WorkshopError
from workshop.machines import Machines
from workshop.manifest import ROOT

VALUED = {
    "-o",
    "--on",
    "-r",
    "--run",
    "-l",
    "--lab",
    "--pace",
    "--from",
    "--until",
}  # flags that take the next word


def command(function: Callable[..., None]) -> Callable[..., None]:
    """An Invoke task's body whose errors are one line and whose exit status tells."""

    @functools.wraps(function)
    def framed(*arguments: Any, **options: Any) -> None:
        signal.signal(signal.SIGTERM, _terminate)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a script's `&` ignores it
        try:
            function(*arguments, **options)
        except WorkshopError as error:
            screen.error(str(error))
            sys.exit(1)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            screen.error(
                "stopped; run the same command again to resume, or `invoke destroy` to clean up"
            )
            sys.exit(130)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)
        except OSError as error:
            place = f" ({error.filename})" if error.filename else ""
            screen.error(f"{error.strerror or error}{place}; `invoke doctor` looks for the cause")
            sys.exit(1)

    return framed


def optional(name: str, position: int, words: list[str] | None = None) -> str | None:
    """Default of an optional positional argument, which Invoke does not know.

    None, which makes Invoke take the next word, where the command line gives a word for
    this `position` (from 1) after the task's name; else the empty string.
    """
    line = sys.argv[1:] if words is None else words
    if name not in line:
        return ""
    bare, skip = 0, False
    for word in line[line.index(name) + 1 :]:
        if skip or word.startswith("-"):
            skip = not skip and word in VALUED
        else:
            bare += 1
    return None if bare >= position else ""


def _terminate(*_: object) -> None:
    raise KeyboardInterrupt


def confirm(question: str) -> bool:
    """Ask on a terminal; elsewhere go on."""
    if not sys.stdin.isatty():
        return True
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


@contextlib.contextmanager
def machines(words: str) -> Iterator[Machines]:
    """The machines, for one command that holds the workshop's lock."""
    with state.lock(words):
        image = box.ready(ROOT, screen.line)
        where = host.detect(image.kernel)
        host.enter(where)
        yield _connected(Machines(manifest.cluster_of(), where, image))


def _connected(found: Machines) -> Machines:
    found.hypervisor.prepare()
    found.recover(faults.frozen())
    return found


@contextlib.contextmanager
def course(words: str) -> Iterator[Course]:
    """The course, for one command that holds the workshop's lock and tells what it does."""
    board = screen.Board()
    with machines(words) as found:
        watchers = Watchers(
            machine=board,
            note=screen.line,
            step=screen.step_started,
            done=screen.step_done,
            check=screen.check,
            confirm=confirm,
        )
        yield Course(found, watchers)


def visitor() -> Machines:
    """The machines for a command that only looks, which needs no lock and starts nothing."""
    where = host.detect()
    if where.private and not host.running():
        raise WorkshopError("nothing runs here; `invoke up` or `invoke lab 1` starts it")
    host.enter(where)
    return Machines(manifest.cluster_of(), where)


@contextlib.contextmanager
def running(words: str) -> Iterator[Machines]:
    """The machines that are there, for one command that holds the workshop's lock."""
    with state.lock(words):
        found = visitor()
        found.recover(faults.frozen())
        yield found
