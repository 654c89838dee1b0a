"""Checks run under pytest and come out as passed, failed or unknown, in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import Fleet, write_lab

from workshop import plugin
from workshop.live import Live
from workshop.plugin import Check

CHECKS = '''\
import pytest

from workshop import WorkshopError, eventually


def check_passes(cluster, lab):
    """The pair is whole.

    And more about it."""
    assert cluster.nodes == lab.nodes == ["lb1", "lb2"]


def check_fails(cluster):
    """One node holds the address."""
    holders = []
    assert len(holders) == 1, f"the address is on {holders or 'no node'}"


def check_waits_in_vain():
    """The page comes."""
    eventually(lambda: None, 0.01, "a page", pause=0.01)


def check_loses_its_node(cluster):
    """The node answers."""
    cluster.run("lb2", "true")


def check_is_broken():
    """Nobody knows."""
    return 1 / 0


def check_is_skipped():
    """Not today."""
    pytest.skip("no time")


@pytest.fixture
def trouble():
    assert False, "in the set-up"


def check_has_trouble_before(trouble):
    """It can be judged."""


def check_without_words():
    pass


def helper():
    raise AssertionError("no check")
'''


def run(fleet: Fleet, labs: Path, checks: str, only: list[str] | None = None) -> dict[str, Check]:
    live = Live(fleet.machines, write_lab(labs, checks=checks))
    told: list[Check] = []
    found = plugin.run(live, only, told.append)
    assert found == told
    return {check.name: check for check in found}


def test_outcomes(fleet: Fleet, labs: Path) -> None:
    fleet.lose("lb2")
    found = run(fleet, labs, CHECKS)
    assert {name: check.outcome for name, check in found.items()} == {
        "check_passes": "passed",
        "check_fails": "failed",
        "check_waits_in_vain": "failed",
        "check_loses_its_node": "unknown",
        "check_is_broken": "unknown",
        "check_is_skipped": "unknown",
        "check_has_trouble_before": "unknown",
        "check_without_words": "passed",
    }
    assert found["check_passes"].says == "The pair is whole."
    assert found["check_without_words"].says == "check_without_words"
    assert found["check_fails"].message == "the address is on no node"
    assert found["check_waits_in_vain"].message.startswith("a page: not within 0 s")
    assert "lb2 stopped answering" in found["check_loses_its_node"].message
    assert found["check_is_broken"].message == "division by zero"
    assert all("\n" not in check.message for check in found.values())


def test_some_checks_only(fleet: Fleet, labs: Path) -> None:
    assert list(run(fleet, labs, CHECKS, ["check_passes"])) == ["check_passes"]


def test_a_check_that_cannot_clean_up_is_no_pass(fleet: Fleet, labs: Path) -> None:
    text = "import pytest\n\n\n@pytest.fixture\ndef link():\n    yield\n    1 / 0\n\n\n"
    found = run(fleet, labs, text + 'def check_x(link):\n    """X."""\n')
    assert found["check_x"].outcome == "unknown"


@pytest.mark.parametrize("only", [None, ["check_nowhere"]])
def test_no_check_is_no_pass(fleet: Fleet, labs: Path, only: list[str] | None) -> None:
    found = run(fleet, labs, "X = 1\n", only)
    assert [c.outcome for c in found.values()] == ["unknown"]


def test_a_lab_without_checks_is_no_pass(fleet: Fleet, labs: Path) -> None:
    assert [c.outcome for c in run(fleet, labs, "").values()] == ["unknown"]


@pytest.mark.parametrize(
    ("checks", "word"),
    [("def check_x(:\n    pass\n", "SyntaxError"), ("import nosuch_module\n", "nosuch_module")],
)
def test_broken_checks_are_unknown_and_say_why(
    fleet: Fleet, labs: Path, checks: str, word: str
) -> None:
    found = run(fleet, labs, checks)
    assert [c.outcome for c in found.values()] == ["unknown"]
    assert word in found["checks.py"].message


def test_ctrl_c_in_a_check_stops_the_command(fleet: Fleet, labs: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(fleet, labs, 'def check_x():\n    """X."""\n    raise KeyboardInterrupt\n')
