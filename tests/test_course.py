"""From lab to lab: what is built, what is restored, and when the reader is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import LAB, Fleet, refused, write_lab

from workshop import course, evidence, faults, manifest, state
from workshop.checkpoints import BOOTED
from workshop.course import Course, Watchers
from workshop.faults import Plan
from workshop.manifest import Lab
from workshop.remote import TimedOut

GOOD = 'def check_it():\n    """It holds."""\n'
BAD = GOOD + "    assert False, 'it does not'\n"
PAIR = ["lb1", "lb2"]


class Walk:
    """A course over the fake fleet with three labs: 2 requires 1, 3 stands alone on web1."""

    def __init__(self, fleet: Fleet, labs: Path) -> None:
        self.fleet, self.labs = fleet, labs
        requiring = LAB.replace("nodes =", "requires = [1]\nnodes =")
        alone = LAB.replace("directors", "web")
        page = "## Build\n\n```sh on=web1\ntrue\n```\n"
        write_lab(labs, "01-first", checks=GOOD)
        write_lab(labs, "02-second", requiring, checks=GOOD)
        write_lab(labs, "03-alone", alone, steps=page, files={}, checks=GOOD)
        self.notes: list[str] = []
        self.asked: list[str] = []
        self.answer = True
        watchers = Watchers(note=self.notes.append, confirm=self.confirm)
        self.course = Course(fleet.machines, watchers)
        # nobody had a shell on any node
        for node in fleet.nodes.values():
            node.answers = {"test -e /root/.changed": (1, ""), "": ""}

    def confirm(self, question: str) -> bool:
        self.asked.append(question)
        return self.answer

    def lab(self, number: int) -> Lab:
        return manifest.lab(number)

    def booted(self) -> None:
        """The pair, as it first booted."""
        self.course.checkpoints.save(BOOTED, "", PAIR)
        self.fleet.hypervisor.did.clear()

    def change(self, node: str) -> None:
        """Let a reader have had a shell on the node."""
        self.fleet.nodes[node].answers = {"": ""}

    def loaded(self) -> list[str]:
        """Checkpoints that were loaded, one word for each."""
        return sorted({done[2] for done in self.fleet.hypervisor.did if done[0] == "load"})


@pytest.fixture
def walk(
    fleet: Fleet,
    labs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    as_the_labs: Callable[[Path], None],
) -> Walk:
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "packages.txt").write_text("apache2\n")
    for module in (course, evidence):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    as_the_labs(labs)
    found = Walk(fleet, labs)
    found.booted()
    return found


def other(walk: Walk) -> Lab:
    """A lab of the pair that does not go on from lab 1."""
    return write_lab(walk.labs, "04-other", checks=GOOD)


def test_a_lab_is_built_checked_and_kept(walk: Walk) -> None:
    _, checks = walk.course.lab(walk.lab(1))
    assert [c.outcome for c in checks] == ["passed"]
    assert walk.course.built == [1]
    assert walk.course.checkpoints.nodes("lab-1") == PAIR
    assert walk.loaded() == [], "booted machines need no restore"


def test_a_lab_that_stands_is_built_over_itself(walk: Walk) -> None:
    walk.course.lab(walk.lab(1))
    walk.course.lab(walk.lab(1))
    assert walk.course.built == [1]
    assert walk.loaded() == []


def test_a_lab_whose_checks_fail_is_not_kept(walk: Walk) -> None:
    write_lab(walk.labs, "01-first", checks=BAD)
    _, checks = walk.course.lab(walk.lab(1))
    assert [c.outcome for c in checks] == ["failed"]
    assert walk.course.checkpoints.nodes("lab-1") == []


def test_a_lab_gets_what_it_requires_first(walk: Walk) -> None:
    walk.course.lab(walk.lab(2))
    assert walk.course.built == [1, 2]
    assert walk.loaded() == ["booted"]
    assert walk.notes[0] == "lab 2 starts from the state after lab 1: going there first"


def test_a_required_lab_comes_from_its_checkpoint(walk: Walk) -> None:
    walk.course.lab(walk.lab(2))
    walk.fleet.hypervisor.did.clear()
    walk.course.reset(walk.lab(2))
    assert walk.course.built == [1]
    assert walk.loaded() == ["lab-1"]
    walk.fleet.hypervisor.did.clear()
    walk.course.skip(walk.lab(2))
    assert walk.course.built == [1, 2]
    assert walk.loaded() == ["lab-2"]


def test_a_stale_checkpoint_is_not_used(walk: Walk) -> None:
    walk.course.lab(walk.lab(1))
    write_lab(walk.labs, "01-first", LAB + "more = 1\n", checks=GOOD)
    walk.fleet.hypervisor.did.clear()
    walk.course.skip(walk.lab(1))
    assert walk.loaded() == ["booted"]
    assert walk.course.built == [1]


def test_a_changed_lab_under_it_sends_a_lab_back_to_the_start(walk: Walk) -> None:
    walk.course.lab(walk.lab(2))
    write_lab(walk.labs, "01-first", LAB + "more = 1\n", checks=GOOD)
    walk.fleet.hypervisor.did.clear()
    walk.course.lab(walk.lab(2))
    assert walk.loaded() == ["booted"]
    assert walk.course.built == [1, 2]


def test_reset_goes_back_to_the_first_boot(walk: Walk) -> None:
    walk.course.lab(walk.lab(1))
    walk.fleet.set("web1", "running")
    restored = walk.course.reset(walk.lab(1))
    assert restored is not None
    assert walk.course.built == []
    assert walk.loaded() == ["booted"]
    assert walk.fleet.machines.running() == PAIR, "a lab keeps only its own nodes on"


def test_machines_without_a_first_boot_are_made_anew(
    walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a kill between the first contact and the first checkpoint leaves them."""
    state.store("checkpoints.json", {})
    made: list[str] = []

    def create(nodes: list[str], _say: object) -> None:
        for node in nodes:
            made.append(node)
            walk.fleet.set(node, "running")

    monkeypatch.setattr(walk.fleet.machines, "_create", create)
    walk.course.reset(walk.lab(1))
    assert made == PAIR
    assert [done[0] for done in walk.fleet.hypervisor.did].count("remove") == 2
    assert walk.course.checkpoints.nodes(BOOTED) == PAIR


def test_nothing_of_the_readers_is_lost_without_asking(walk: Walk) -> None:
    walk.course.lab(walk.lab(1))
    walk.change("lb2")
    walk.answer = False
    walk.fleet.hypervisor.did.clear()
    with refused("nothing was changed", "invoke checkpoint save"):
        walk.course.lab(other(walk))
    assert len(walk.asked) == 1
    assert walk.fleet.hypervisor.did == []
    walk.answer = True
    walk.course.lab(other(walk))
    assert walk.loaded() == ["booted"]


def test_nobody_is_asked_where_nothing_would_be_lost(walk: Walk) -> None:
    walk.course.lab(walk.lab(1))
    walk.course.lab(other(walk))
    walk.change("lb1")
    walk.course.lab(walk.lab(4))
    assert walk.asked == []


def test_changes_are_seen_on_any_running_node(walk: Walk) -> None:
    assert not walk.course.changed()
    walk.change("lb2")
    assert walk.course.changed()


@pytest.mark.parametrize("how", ["lost", "late"])
def test_a_node_that_does_not_answer_does_not_keep_the_reader_from_a_reset(
    walk: Walk, how: str
) -> None:
    walk.fleet.lose("lb1")
    if how == "late":
        walk.fleet.nodes["lb1"].error = TimedOut("lb1: `test` did not end within 60 s")
    assert not walk.course.changed()


def test_faults_are_healed_before_a_lab(walk: Walk) -> None:
    faults.inject(walk.fleet.machines, "x", Plan([], []))
    walk.course.lab(walk.lab(1))
    assert faults.active() == []


def test_faults_are_forgotten_by_a_reset(walk: Walk) -> None:
    faults.inject(walk.fleet.machines, "x", faults.power_off("lb1"), limit=60)
    walk.course.reset(walk.lab(1))
    assert faults.active() == []
    assert walk.fleet.machines.running() == PAIR


def test_a_further_machine_does_not_make_the_kit_forget_what_is_built(
    walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk.course.lab(walk.lab(1))

    def create(nodes: list[str], _say: object) -> None:
        for node in nodes:
            walk.fleet.set(node, "running")

    monkeypatch.setattr(walk.fleet.machines, "_create", create)
    walk.course.up(["web1"])
    assert walk.course.checkpoints.nodes(BOOTED) == [*PAIR, "web1"]
    assert walk.course.built == [1]


@pytest.mark.parametrize("known", [False, True], ids=["never made", "made, and off"])
def test_a_lab_of_more_machines_joins_them_to_those_of_the_labs_before(
    walk: Walk, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    wider = LAB.replace('"directors"', '"directors", "web1"').replace(
        "nodes =", "requires = [1]\nnodes ="
    )
    write_lab(walk.labs, "05-wider", wider, checks=GOOD)
    walk.course.lab(walk.lab(1))

    def create(nodes: list[str], _say: object) -> None:
        for node in nodes:
            walk.fleet.set(node, "running")

    monkeypatch.setattr(walk.fleet.machines, "_create", create)
    if known:
        walk.course.up(["web1"])
        walk.fleet.set("web1", "off")
    walk.fleet.hypervisor.did.clear()
    walk.course.lab(walk.lab(5))
    assert walk.course.built == [1, 5]
    assert walk.loaded() == (["booted"] if known else ["lab-1"])
    assert walk.fleet.did("load") == (["web1"] if known else PAIR)
    assert walk.fleet.did("power_off") == []
    assert walk.course.checkpoints.nodes("lab-5") == [*PAIR, "web1"]


def test_a_build_that_was_interrupted_is_not_taken_for_the_state_before(walk: Walk) -> None:
    walk.fleet.nodes["lb2"].answers = {"install": (1, "no space"), "test -e": (1, ""), "": ""}
    with refused("steps.md", "no space"):
        walk.course.lab(walk.lab(1))
    assert walk.course.built == []
    walk.fleet.nodes["lb2"].answers = {"test -e": (1, ""), "": ""}
    walk.course.lab(walk.lab(1))
    assert walk.course.built == [1]


@pytest.mark.parametrize("text", ["{", "{}", "[]"])
def test_a_damaged_record_is_one_line_with_the_cure(walk: Walk, text: str) -> None:
    state.path("course.json").write_text(text)
    with refused(".workshop/course.json is damaged", "invoke destroy"):
        walk.course.built  # noqa: B018
