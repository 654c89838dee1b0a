"""Checkpoints: all together, all or nothing, and never a stale one."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import Fleet, refused

from workshop import state
from workshop.box import Box
from workshop.checkpoints import BOOTED, Checkpoints

PAIR = ["lb1", "lb2"]


@pytest.fixture
def kept(fleet: Fleet) -> Checkpoints:
    return Checkpoints(fleet.machines)


def rebuilt(fleet: Fleet, digest: str) -> None:
    """Let the machines come from another box from now on."""
    fleet.machines.box = Box(Path("/nowhere"), {"image_sha256": digest})


def test_a_checkpoint_is_valid_for_the_nodes_it_holds(kept: Checkpoints) -> None:
    kept.save("lab-1", "key", PAIR)
    assert kept.valid("lab-1", "key", PAIR)
    assert kept.valid("lab-1", "key", ["lb2"])
    assert not kept.valid("lab-1", "key", [*PAIR, "web1"])
    assert not kept.valid("lab-1", "another key", PAIR)
    assert not kept.valid("lab-2", "key", PAIR)


def test_another_box_or_topology_makes_a_checkpoint_stale(kept: Checkpoints, fleet: Fleet) -> None:
    kept.save("lab-1", "key", PAIR)
    rebuilt(fleet, "cd" * 32)
    assert not kept.valid("lab-1", "key", PAIR)


def test_all_machines_stand_still_while_any_is_saved(kept: Checkpoints, fleet: Fleet) -> None:
    kept.save("lab-1", "key", PAIR)
    verbs = [done[0] for done in fleet.hypervisor.did]
    assert verbs == ["pause"] * 2 + ["save"] * 2 + ["resume"] * 2
    assert fleet.machines.running() == PAIR


def test_what_is_saved_has_its_files_on_the_disk(kept: Checkpoints, fleet: Fleet) -> None:
    written: list[list[str]] = []
    fleet.hypervisor.then["pause"] = lambda: written.append(
        [name for name in PAIR if "sync" in fleet.nodes[name].ran]
    )
    kept.save("lab-1", "key", PAIR)
    assert written[0] == PAIR, "before any stands still"


def test_a_failed_save_leaves_running_machines_and_no_checkpoint(
    kept: Checkpoints, fleet: Fleet
) -> None:
    kept.save("lab-1", "key", PAIR)
    fleet.refuse("save", "lb2")
    with refused("save"):
        kept.save("lab-1", "key", PAIR)
    assert fleet.machines.running() == PAIR
    assert not kept.valid("lab-1", "key", PAIR), "half of it is new"


@pytest.mark.parametrize("what", ["off", "paused", "absent"])
def test_only_running_machines_are_saved(kept: Checkpoints, fleet: Fleet, what: str) -> None:
    nodes = [*PAIR, "web1"]
    if what != "absent":
        fleet.set("web1", what)
    with refused("web1", "invoke up web1"):
        kept.save("mine", "", nodes)
    assert fleet.hypervisor.did == []


def test_nothing_is_no_checkpoint(kept: Checkpoints) -> None:
    with refused("run"):
        kept.save("mine", "", [])


def test_booted_grows_with_its_machines(kept: Checkpoints, fleet: Fleet) -> None:
    kept.save(BOOTED, "", PAIR)
    fleet.set("web1", "running")
    kept.save(BOOTED, "", ["web1"])
    assert kept.valid(BOOTED, "", [*PAIR, "web1"])


def test_booted_does_not_keep_machines_of_another_box(kept: Checkpoints, fleet: Fleet) -> None:
    kept.save(BOOTED, "", PAIR)
    rebuilt(fleet, "cd" * 32)
    fleet.set("web1", "running")
    kept.save(BOOTED, "", ["web1"])
    assert kept.valid(BOOTED, "", ["web1"])
    assert not kept.valid(BOOTED, "", PAIR)


def test_a_restore_brings_its_nodes_and_switches_others_off(
    kept: Checkpoints, fleet: Fleet
) -> None:
    kept.save("lab-1", "key", PAIR)
    fleet.set("lb2", "off")
    fleet.set("web1", "running")
    fleet.hypervisor.did.clear()
    took = kept.restore("lab-1")
    assert fleet.machines.states() == {"lb1": "running", "lb2": "running", "web1": "off"}
    assert sorted(fleet.did("load")) == PAIR
    assert fleet.did("power_off") == ["web1"]
    assert 0 <= took.load <= took.total
    assert "date -s @" in fleet.nodes["lb1"].ran[-1]


def test_all_machines_stand_still_while_any_is_loaded(kept: Checkpoints, fleet: Fleet) -> None:
    kept.save("lab-1", "key", PAIR)
    fleet.hypervisor.did.clear()
    kept.restore("lab-1")
    verbs = [done[0] for done in fleet.hypervisor.did]
    assert verbs == ["pause"] * 2 + ["load"] * 2 + ["resume"] * 2


def test_an_unknown_checkpoint_is_refused_and_the_known_listed(kept: Checkpoints) -> None:
    with refused("'lab-9'", "none yet"):
        kept.restore("lab-9")
    kept.save("lab-1", "key", PAIR)
    for verb in (kept.restore, kept.drop):
        with refused("'lab-9'", "lab-1"):
            verb("lab-9")


def test_a_dropped_checkpoint_is_gone_from_those_that_run(kept: Checkpoints, fleet: Fleet) -> None:
    kept.save("mine", "", PAIR)
    fleet.set("lb2", "off")
    kept.drop("mine")
    assert fleet.did("forget") == ["lb1"]
    assert kept.all() == {}


def test_a_damaged_record_is_one_line_with_the_cure(kept: Checkpoints) -> None:
    state.path("checkpoints.json").write_text('{"lab-1": {"key"')
    with refused("checkpoints.json is damaged", "invoke destroy"):
        kept.restore("lab-1")
