"""Waiting with a bound: it ends, says what it waited for and what it saw last."""

from __future__ import annotations

import time

import pytest

from workshop.waiting import always, eventually


def test_the_first_true_value_is_given() -> None:
    values = iter([None, "", "lb2", "lb1"])
    assert eventually(lambda: next(values), 1, "a holder", pause=0.001) == "lb2"


def test_an_assertion_counts_as_not_yet() -> None:
    seen: list[int] = []

    def condition() -> bool:
        seen.append(1)
        assert len(seen) > 2, "too early"
        return True

    assert eventually(condition, 1, "three looks", pause=0.001)


def test_the_end_names_the_wish_the_bound_and_the_last_sight() -> None:
    with pytest.raises(AssertionError, match=r"a holder: not within 0 s \(last seen: \[\]\)"):
        eventually(list, 0.02, "a holder", pause=0.005)


def test_the_end_names_the_last_assertion() -> None:
    def condition() -> bool:
        raise AssertionError("the address is on no node")

    with pytest.raises(AssertionError, match="last seen: the address is on no node"):
        eventually(condition, 0, "a holder")


def test_the_bound_is_kept_and_the_last_look_is_at_its_end() -> None:
    started = time.monotonic()
    looks: list[float] = []
    with pytest.raises(AssertionError):
        eventually(lambda: looks.append(time.monotonic() - started), 0.1, "never", pause=10)
    assert 0.1 <= time.monotonic() - started < 1
    assert looks[-1] >= 0.1


def test_other_errors_are_no_patience() -> None:
    def condition() -> bool:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        eventually(condition, 10, "never")


def test_always_looks_until_the_end() -> None:
    looks: list[int] = []
    always(lambda: looks.append(1) or True, 0.05, "service", pause=0.01)
    assert len(looks) > 2


def test_always_says_when_it_ended_and_with_what() -> None:
    values = iter([True, []])
    with pytest.raises(AssertionError, match=r"service: held for 0\.\d s, then: \[\]"):
        always(lambda: next(values), 1, "service", pause=0.001)
