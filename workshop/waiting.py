"""Wait for a condition with a stated bound, and report the time it took."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(condition: Callable[[], T], within: float, what: str, pause: float = 0.5) -> T:
    """The first true value of `condition`, which must come within `within` seconds.

    Raises AssertionError, naming `what` and the last thing seen, when time is over. An
    AssertionError of the condition counts as "not yet".
    """
    started = time.monotonic()
    while True:
        last: object
        try:
            value = condition()
            if value:
                return value
            last = value
        except AssertionError as error:
            last = error
        elapsed = time.monotonic() - started
        if elapsed >= within:
            raise AssertionError(f"{what}: not within {within:.0f} s (last seen: {last})")
        time.sleep(min(pause, max(within - elapsed, 0.01)))


def always(condition: Callable[[], object], during: float, what: str, pause: float = 0.5) -> None:
    """Assert that `condition` holds at every look for `during` seconds."""
    started = time.monotonic()
    while (elapsed := time.monotonic() - started) < during:
        value = condition()
        assert value, f"{what}: held for {elapsed:.1f} s, then: {value!r}"
        time.sleep(pause)
