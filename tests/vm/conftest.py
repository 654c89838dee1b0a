"""The proof of every lab on real machines: which labs, which faults, and the evidence."""

from __future__ import annotations

import datetime
import functools
import os
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import pytest

from workshop import evidence, host, manifest
from workshop.box import cached, package_folder, recipe_digest
from workshop.course import Course, Watchers
from workshop.machines import Machines
from workshop.manifest import ROOT, Lab


def _wanted() -> list[Lab]:
    only = os.environ.get("WORKSHOP_LAB", "")
    return [manifest.lab(only)] if only else manifest.labs()


@functools.cache
def _chosen() -> list[Lab]:
    """Those of the wanted labs that this machine can build."""
    there = package_folder(ROOT) is not None
    return [lab for lab in _wanted() if there or not lab.file.mysql_cluster]


# what runs although the lab's evidence holds, each day other ones
FAULTS = 2
MUTATIONS = 8
# seconds after which nothing more of that begins: a slow machine has enough to do with the rest
ENOUGH = 35 * 60.0

_begin = time.monotonic()
_no_time: list[str] = []

T = TypeVar("T")


def _turn(of: list[T], count: int, days: int = 1) -> list[T]:
    """`count` of them, other ones after so many days."""
    turns = datetime.datetime.now(datetime.UTC).toordinal() // days
    return [of[(turns * count + i) % len(of)] for i in range(min(count, len(of)))]


@functools.cache
def _recipe() -> str:
    return recipe_digest(ROOT, added=False)


def _everything() -> bool:
    """Whether all is to be proved, whatever evidence there is."""
    return bool(os.environ.get("WORKSHOP_ALL") or os.environ.get("WORKSHOP_LAB"))


@functools.cache
def _unproved() -> list[Lab]:
    """Labs whose evidence does not hold, or all that are asked for."""
    return [lab for lab in _chosen() if _everything() or evidence.stale(lab, _recipe())]


@functools.cache
def _by_turns() -> list[Lab]:
    """Labs that hold, and that no other one starts from: there is no time for all in one run."""
    required = {number for lab in _chosen() for number in lab.file.requires}
    return [lab for lab in _chosen() if lab.number not in required and lab not in _unproved()]


@functools.cache
def _built() -> list[Lab]:
    """Labs that are built: those to be proved, one by turns, and what these start from."""
    today = [lab.number for lab in [*_unproved(), *_turn(_by_turns(), 1)]]
    return [lab for lab in _chosen() if lab.number in manifest.closure(today)]


def _wanting(
    names: Callable[[Lab], Iterable[str]], lacking: Callable[[Lab, str], list[str]], more: int
) -> list[tuple[Lab, str]]:
    """Of each lab's `names` those that its evidence is `lacking`, and `more` of the others."""
    every = [(lab, name) for lab in _built() for name in names(lab)]
    left = {lab.number: lacking(lab, _recipe()) for lab in _built()}
    wanted = [(lab, name) for lab, name in every if _everything() or name in left[lab.number]]
    return [*wanted, *_turn([pair for pair in every if pair not in wanted], more)]


@functools.cache
def _faults() -> list[tuple[Lab, str]]:
    """Faults that run: those that are not proved, and a few more by turns."""
    return _wanting(lambda lab: lab.file.faults, evidence.unproved, FAULTS)


@functools.cache
def _mutations() -> list[tuple[Lab, str]]:
    """Mutations that run: those that are not proved, and a few more by turns."""
    return _wanting(lambda lab: lab.mutations, evidence.unbroken, MUTATIONS)


def _some(labs: list[Lab]) -> list[Lab]:
    """Those of the labs that are to be proved, and one more, another one once each had its turn
    to be built."""
    turn = _turn(labs, 1, max(1, len(_by_turns())))
    return [lab for lab in labs if lab in turn or lab in _unproved()]


@functools.cache
def _experiments() -> list[Lab]:
    """Labs whose experiments run."""
    return _some(_built())


@functools.cache
def _built_again() -> list[Lab]:
    """Labs that are built a second time; by turns not the lab whose experiments run."""
    return _some(_built()[1:] + _built()[:1])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "check_name" in metafunc.fixturenames:
        pairs = _mutations()
        metafunc.parametrize(
            ("lab", "check_name"), pairs, ids=[f"{a.number}-{n}" for a, n in pairs]
        )
    elif "fault_name" in metafunc.fixturenames:
        pairs = _faults()
        metafunc.parametrize(
            ("lab", "fault_name"), pairs, ids=[f"{a.number}-{n}" for a, n in pairs]
        )
    elif name := next((n for n in ("tried", "again") if n in metafunc.fixturenames), ""):
        some = _experiments() if name == "tried" else _built_again()
        metafunc.parametrize(
            ("lab", name), [(a, a) for a in some], ids=[str(a.number) for a in some]
        )
    elif "lab" in metafunc.fixturenames:
        metafunc.parametrize("lab", _built(), ids=[str(a.number) for a in _built()])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lab by lab, and within a lab in the order of the file."""

    def number(item: pytest.Item) -> int:
        params = getattr(item, "callspec", None)
        return params.params["lab"].number if params and "lab" in params.params else 99

    items.sort(key=number)


def _holds(params: dict[str, Any]) -> bool:
    """Whether the evidence of what a test would prove holds already."""
    lab = params["lab"]
    if name := params.get("fault_name"):
        return name not in evidence.unproved(lab, _recipe())
    if name := params.get("check_name"):
        return name not in evidence.unbroken(lab, _recipe())
    return ("tried" in params or "again" in params) and lab not in _unproved()


def pytest_runtest_setup(item: pytest.Item) -> None:
    params = getattr(item, "callspec", None)
    if _everything() or params is None or "lab" not in params.params:
        return
    if time.monotonic() - _begin > ENOUGH and _holds(params.params):
        _no_time.append(item.name)
        pytest.skip("its evidence holds, and there is no time to prove it again")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if without := [lab.name for lab in _wanted() if lab not in _chosen()]:
        terminalreporter.write_line(f"left out, without MySQL Cluster packages: {without}")
    every = [(lab, name) for lab in _built() for name in lab.file.faults]
    left = [f"{lab.number}-{name}" for lab, name in every if (lab, name) not in _faults()]
    unbroken = sum(len(lab.mutations) for lab in _built()) - len(_mutations())
    words = [f"all of {names}"] if (names := _names(_chosen(), _built())) else []
    words += [f"{unbroken} mutations"] if unbroken else []
    words += [f"the faults {', '.join(left)}"] if left else []
    for what, some in (("the experiments", _experiments()), ("a second build", _built_again())):
        words += [f"{what} of {names}"] if (names := _names(_built(), some)) else []
    terminalreporter.write_line(
        f"left out, for their evidence holds: {'; '.join(words)}" if words else "left out: nothing"
    )
    if _no_time:
        terminalreporter.write_line(
            f"left out after {ENOUGH / 60:.0f} min, for their evidence holds: {', '.join(_no_time)}"
        )


def _names(labs: list[Lab], without: list[Lab]) -> str:
    return ", ".join(lab.name for lab in labs if lab not in without)


@pytest.fixture(scope="session")
def course() -> Course:
    """The course on this workshop's machines; the caller is in their network already."""
    image = cached(ROOT)
    assert image is not None
    where = host.detect(image.kernel)
    machines = Machines(manifest.cluster_of(), where, image)
    machines.hypervisor.prepare()
    return Course(machines, Watchers(note=print, machine=lambda n, w: print(n, w)))


@pytest.fixture(scope="session")
def found() -> dict[int, dict[str, dict[str, object]]]:
    """What was found so far, by lab: the evidence to be."""
    return {}


@pytest.fixture(scope="session", autouse=True)
def _records(course: Course, found: dict[int, dict[str, dict[str, object]]]):
    yield
    recipe = course.recipe
    for number, facts in found.items():
        lab = manifest.lab(number)
        facts = evidence.merged(lab, recipe, facts)
        evidence.write(lab, recipe, course.machines.host.accelerator, evidence.processor(), facts)
