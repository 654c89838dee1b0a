"""The proof of every lab on real machines: which labs, which faults, and the evidence."""

from __future__ import annotations

import os

import pytest

from workshop import evidence, host, manifest
from workshop.box import cached
from workshop.course import Course, Watchers
from workshop.machines import Machines
from workshop.manifest import ROOT, Lab


def _chosen() -> list[Lab]:
    only = os.environ.get("WORKSHOP_LAB", "")
    return [manifest.lab(only)] if only else manifest.labs()


def _with_faults(labs: list[Lab], recipe: str) -> set[int]:
    """Labs whose faults run: those whose evidence does not hold, and one more by rotation."""
    if os.environ.get("WORKSHOP_ALL") or os.environ.get("WORKSHOP_LAB"):
        return {lab.number for lab in labs}
    out_of_date = {lab.number for lab in labs if evidence.stale(lab, recipe)}
    others = [lab.number for lab in labs if lab.number not in out_of_date]
    if others:
        import datetime

        out_of_date.add(others[datetime.datetime.now(datetime.UTC).toordinal() % len(others)])
    return out_of_date


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    from workshop.box import recipe_digest

    labs = _chosen()
    if "check_name" in metafunc.fixturenames:
        pairs = [(lab, name) for lab in labs for name in lab.mutations]
        metafunc.parametrize(
            ("lab", "check_name"), pairs, ids=[f"{a.number}-{n}" for a, n in pairs]
        )
    elif "fault_name" in metafunc.fixturenames:
        wanted = _with_faults(labs, recipe_digest(ROOT))
        pairs = [(lab, name) for lab in labs if lab.number in wanted for name in lab.file.faults]
        metafunc.parametrize(
            ("lab", "fault_name"), pairs, ids=[f"{a.number}-{n}" for a, n in pairs]
        )
    elif "lab" in metafunc.fixturenames:
        metafunc.parametrize("lab", labs, ids=[str(a.number) for a in labs])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lab by lab, and within a lab in the order of the file."""

    def number(item: pytest.Item) -> int:
        params = getattr(item, "callspec", None)
        return params.params["lab"].number if params and "lab" in params.params else 99

    items.sort(key=number)


def pytest_report_header() -> str:
    from workshop.box import recipe_digest

    labs = _chosen()
    wanted = _with_faults(labs, recipe_digest(ROOT))
    left = [str(lab.number) for lab in labs if lab.number not in wanted]
    return f"faults left out, their evidence holds: {', '.join(left) or 'none'}"


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
        if not facts.get("faults") and lab.file.faults:
            old = evidence.read(lab)
            if evidence.stale(lab, recipe):
                continue
            facts = {**old, **facts, "faults": old["faults"]}
            for key in ("digest", "date", "accelerator", "cpu"):
                facts.pop(key, None)
        evidence.write(lab, recipe, course.machines.host.accelerator, evidence.processor(), facts)
