"""Every lab is proved three ways: before, after, and with each check's one broken line.

The order within a lab matters: before, build, build again, mutations, faults, experiments.
"""

from __future__ import annotations

import datetime
import re
import time
from typing import Any

import pytest

from workshop import apply, evidence, faults, plugin, steps
from workshop.commands import STARTS
from workshop.course import Course, checkpoint
from workshop.judge import Trial
from workshop.ledger import Audit
from workshop.live import Live
from workshop.manifest import Lab, Mutation
from workshop.waiting import eventually

WRITES = 300  # acknowledged, by which a fault is judged where a lab keeps a ledger
WRITES_OF_ALL = 2000
Found = dict[int, dict[str, Any]]


def _facts(found: Found, lab: Lab) -> dict[str, Any]:
    return found.setdefault(lab.number, {"checks": {}, "faults": {}})


def _outcomes(checks: list[plugin.Check]) -> dict[str, str]:
    return {check.name: check.outcome for check in checks}


def test_checks_fail_before(lab: Lab, course: Course, found: Found) -> None:
    course.reset(lab)
    live = Live(course.machines, lab)
    checks = plugin.run(live)
    for check in checks:
        _facts(found, lab)["checks"].setdefault(check.name, {})["before"] = check.outcome
    assert {c.name: (c.outcome, c.message) for c in checks if c.outcome != "failed"} == {}
    watched = [s for s in steps.parse(lab).section("build") if s.watch and s.expect]
    for step in watched:
        for node in step.on:
            seen = live.run(live.named(node), step.body, check=False).output
            assert not step.expect.met(seen), f"{step.where}: {step.expect.text!r} was there before"


def test_build_and_checks(lab: Lab, course: Course, found: Found) -> None:
    seconds, checks = course.build(lab)
    _facts(found, lab)["build_seconds"] = round(seconds, 1)
    for check in checks:
        _facts(found, lab)["checks"].setdefault(check.name, {})["built"] = check.outcome
    assert {c.name: (c.outcome, c.message) for c in checks if c.outcome != "passed"} == {}


def test_build_again_is_harmless(lab: Lab, again: Lab, course: Course) -> None:
    live = Live(course.machines, lab)
    before = live.holders() if lab.file.address else []
    course.build(lab)
    assert (live.holders() if lab.file.address else []) == before


def test_restore_changes_no_holder(lab: Lab, course: Course) -> None:
    if not lab.file.address:
        return
    live = Live(course.machines, lab)
    before = live.holders()
    restored = course.checkpoints.restore(checkpoint(lab.number))
    assert live.holders() == before
    assert _outcomes(plugin.run(live)) == dict.fromkeys(lab.mutations, "passed")
    print(f"restored in {restored.load:.1f} s, ssh after {restored.total:.1f} s")


def test_its_demo_starts_in_seconds(lab: Lab, course: Course) -> None:
    """From the state before the lab, which `invoke demo --prepare` keeps."""
    begin = time.monotonic()
    course.reset(lab)
    seconds = time.monotonic() - begin
    print(f"the state before lab {lab.number} is there in {seconds:.1f} s")
    assert seconds < STARTS * course.machines.host.patience


def _all_pass(live: Live) -> bool:
    others = [c for c in plugin.run(live) if c.outcome != "passed"]
    assert not others, "; ".join(f"{c.name} {c.outcome}: {c.message}" for c in others)
    return True


def _mutate(live: Live, mutation: Mutation) -> None:
    for node in live.lab.cluster.members(mutation.on):
        if mutation.file:
            old = live.run(node, f"cat {mutation.file}").stdout
            assert mutation.replace in old, f"{node}: {mutation.file} has no {mutation.replace!r}"
            new = old.replace(mutation.replace, mutation.by)
            # written in place: owner and mode stay
            live.machines.remote(node).put(new.encode(), "/root/.mutated", "0600")
            live.run(node, f"cat /root/.mutated >{mutation.file}")
        if mutation.run:
            live.run(node, mutation.run, timeout=120)


def test_mutation_fails_check(lab: Lab, check_name: str, course: Course, found: Found) -> None:
    mutation = lab.mutations[check_name]
    course.checkpoints.restore(checkpoint(lab.number))
    live = Live(course.machines, lab)
    _mutate(live, mutation)
    seen: list[plugin.Check] = []

    def fails() -> bool:
        seen[:] = plugin.run(live, [check_name])
        return seen[0].outcome == "failed"

    eventually(fails, mutation.within, f"{check_name} fails when its line is broken", 1)
    entry = _facts(found, lab)["checks"].setdefault(check_name, {})
    entry["mutated"] = seen[0].outcome
    entry["of"] = evidence.broken(lab, course.digest(lab), check_name)
    print(f"as it should: {seen[0].message}")


def _counted(writes: Audit) -> dict[str, Any]:
    """What the ledger says, for the evidence; of rows, the worst node's count."""
    worst = {
        what: max(map(len, getattr(writes, what).values()), default=0)
        for what in ("lost", "duplicated", "ghosts", "stale")
    }
    counts = {n: getattr(writes, n) for n in ("offered", "ok", "failed", "unknown", "recovered")}
    lost_updates = len(writes.lost_updates)
    return {**counts, **worst, "lost_updates": lost_updates, "outage": writes.outage}


def test_fault_ends_as_declared(lab: Lab, fault_name: str, course: Course, found: Found) -> None:
    course.checkpoints.restore(checkpoint(lab.number))
    faults.forget()
    live = Live(course.machines, lab)
    trial = Trial(live, fault_name)
    patience = course.machines.host.patience
    try:
        struck = trial.strike()
    finally:
        healed = trial.recover()
    wrong = struck.wrong or healed.wrong
    if healed.outage.void:
        wrong = wrong or "the prober itself was late as it was undone: measure again"
    if lab.file.ledger and (not healed.writes or healed.writes.ok < WRITES):
        wrong = wrong or f"fewer than {WRITES} writes were acknowledged"
    _facts(found, lab)["faults"][fault_name] = {
        "of": evidence.faulted(lab, course.digest(lab), fault_name),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "on": struck.node,
        "outage": struck.outage.seconds,
        "failed": struck.outage.failed,
        "requests": struck.outage.requests,
        "bound": struck.bound,
        "patience": patience,
        "holders": struck.holders,
        "settled": struck.settled,
        "heal_outage": healed.outage.seconds,
        "healed_in": healed.settled,
        "wrong": wrong,
        **({"writes": _counted(healed.writes)} if healed.writes else {}),
    }
    print(f"{struck}\nhealed: {healed}")
    assert not wrong
    try:
        within = 60 * course.machines.host.patience
        eventually(lambda: _all_pass(live), within, "all checks pass again")
    except AssertionError as error:
        _facts(found, lab)["faults"][fault_name]["wrong"] = str(error)
        raise


def test_experiments_of_the_page(lab: Lab, tried: Lab, course: Course, found: Found) -> None:
    """All of Try but its `fault` blocks: those are `test_fault_ends_as_declared`, one by one.

    What an `expect` captures by name is a measurement, and goes into the evidence.
    """
    page = steps.parse(lab)
    if not evidence.experiments(lab):
        return
    course.checkpoints.restore(checkpoint(lab.number))
    faults.forget()
    measured: dict[str, str] = {}

    def ended(done: apply.Done) -> None:
        if done.step.expect and (pattern := done.step.expect.pattern):
            for output in done.output.values():
                match = re.search(pattern, output, re.MULTILINE)
                measured.update(match.groupdict() if match else {})

    seconds = apply.run(Live(course.machines, lab), page, "try", ended=ended, faults=False)
    _facts(found, lab).update(
        try_seconds=round(seconds, 1),
        measured=measured,
        tried=evidence.tried(lab, course.digest(lab)),
    )


def test_evidence_is_whole(lab: Lab, course: Course, found: Found) -> None:
    facts = evidence.merged(lab, course.recipe, _facts(found, lab))
    if lab.file.ledger:
        acknowledged = sum(fault["writes"]["ok"] for fault in facts["faults"].values())
        assert acknowledged >= WRITES_OF_ALL
    assert evidence.incomplete(lab, course.digest(lab), facts) == ""


@pytest.fixture(autouse=True)
def _heals(course: Course):
    yield
    faults.heal(course.machines)
