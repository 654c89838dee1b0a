"""What a demo does to the machines: runs, keeps states, goes back to them."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import FakeNode, Fleet, refused

from workshop import faults, scenes, state
from workshop.checkpoints import BOOTED
from workshop.errors import WorkshopError
from workshop.faults import Action, Plan
from workshop.performance import KEEP, Performance
from workshop.stoppable import Stopped

PAIR = ["lb1", "lb2"]


def loaded(fleet: Fleet) -> list[str]:
    """Checkpoints that were loaded since, in order."""
    names = [done[2] for done in fleet.hypervisor.did if done[0] == "load"]
    fleet.hypervisor.did.clear()
    return list(dict.fromkeys(names))


def ran(fleet: Fleet) -> list[str]:
    """What lb1 ran of the page since."""
    node = fleet.nodes["lb1"]
    words = [c for c in node.ran if c.startswith(("bash -ec", "install"))]
    node.ran.clear()
    return words


def index(performance: Performance, words: str) -> int:
    return scenes.find(performance.scenes, words)


def test_a_block_shows_what_it_said_and_where_the_expectation_is(
    performance: Performance,
) -> None:
    (act,) = performance.acts(performance.scenes[3])
    assert (act.on, act.prompt, act.command) == (["your machine"], "$ ", "ask for the page")
    assert act.expected == "You should see something that matches served by lb[12]"
    outcome = act.run()
    assert outcome.output == {"client": "<p>served by lb2\n"}
    assert outcome.says == "as expected: served by lb2"
    assert outcome.spans == {"client": (3, 16)}


def test_an_install_shows_the_files_without_secrets(performance: Performance, fleet: Fleet) -> None:
    (act,) = performance.acts(performance.scenes[1])
    outcome = act.run()
    assert act.command == "install -D -m 0644 /root/lab-1/etc/ha.d/ha.cf /etc/ha.d/ha.cf"
    assert ran(fleet) == [act.command]
    assert outcome.output["lb2"] == "deadtime 10\nnode lb2\n"
    assert outcome.from_top


def test_a_refusal_is_ticked_and_a_failure_is_told_without_its_line(
    performance: Performance, fleet: Fleet
) -> None:
    (act,) = performance.acts(performance.scenes[7])
    assert act.expected == "It should be refused."
    assert act.run().says == "refused, as it should be"
    fleet.nodes["lb1"].answers = {"": ""}
    with refused("lb1: `look there` should have been refused") as _:
        act.run()
    with pytest.raises(Exception, match=r"^lb1: "):
        act.run()


def test_a_scene_without_a_block_has_nothing_to_run(performance: Performance) -> None:
    assert performance.acts(performance.scenes[0]) == []


def test_a_fault_is_two_acts_with_what_visitors_see(performance: Performance) -> None:
    strike, heal = performance.acts(performance.scenes[5])
    assert (strike.command, heal.command) == ("invoke break 1 dark", "invoke heal")
    assert strike.expected == "Expected: Nothing at all."
    assert strike.probe is not None
    with refused("dark did not happen"):
        heal.run()


def test_build_is_reached_from_before_the_lab_by_playing_what_lies_between(
    performance: Performance, fleet: Fleet
) -> None:
    performance.go(3)
    assert loaded(fleet) == [BOOTED]
    assert [c.split()[0] for c in ran(fleet)] == ["install", "bash"]
    assert state.load("course.json", {})["built"] == []


def test_an_experiment_is_reached_from_after_build(performance: Performance, fleet: Fleet) -> None:
    performance.go(7)
    assert loaded(fleet) == ["lab-1"]
    assert ran(fleet) == ["bash -ec 'look here'"]
    assert state.load("course.json", {})["built"] == [1]


def test_the_state_before_a_section_is_kept_and_the_way_back_is_short(
    performance: Performance, fleet: Fleet
) -> None:
    performance.go(0)
    performance.keep(performance.scenes[2])
    loaded(fleet), ran(fleet)
    performance.go(3)
    assert loaded(fleet) == ["demo-1-3"]
    assert ran(fleet) == ["bash -ec 'start everything'"]
    performance.go(1)  # before it: of no use
    assert loaded(fleet) == [BOOTED]
    performance.go(7)  # another experiment
    assert loaded(fleet) == ["lab-1"]


def test_going_back_tells_the_course_where_it_stands(performance: Performance) -> None:
    performance.go(0)
    performance.keep(performance.scenes[2])
    performance.go(5)
    assert state.load("course.json", {})["built"] == [1]
    performance.keep(performance.scenes[6])
    performance.go(2)
    assert state.load("course.json", {})["built"] == []
    performance.go(6)
    assert state.load("course.json", {})["built"] == [1]


def test_only_a_few_states_are_kept_and_none_at_the_end(performance: Performance) -> None:
    def names() -> list[str]:
        return [n for n in performance.course.checkpoints.all() if n.startswith("demo-")]

    for scene in performance.scenes[1:]:
        performance.keep(scene)
    assert len(names()) == KEEP
    assert "demo-1-8" in names()
    performance.course.checkpoints.save("demo-mine", "", PAIR)
    performance.drop()
    assert names() == ["demo-mine"]


def test_nothing_is_kept_while_something_is_broken(performance: Performance, fleet: Fleet) -> None:
    token = faults.inject(fleet.machines, "dark", Plan([], []))
    performance.keep(performance.scenes[2])
    faults.heal(fleet.machines, token)
    fleet.set("lb2", "off")
    performance.keep(performance.scenes[2])
    assert "demo-1-3" not in performance.course.checkpoints.all()


def test_a_state_that_cannot_be_restored_is_left_for_a_longer_way(
    performance: Performance, fleet: Fleet
) -> None:
    performance.go(0)
    performance.keep(performance.scenes[2])
    load = fleet.hypervisor.load

    def broken(domain: str, name: str) -> None:
        if name.startswith("demo"):
            raise WorkshopError("no such snapshot")
        load(domain, name)

    fleet.hypervisor.load = broken  # type: ignore[method-assign]
    loaded(fleet)
    performance.go(2)
    assert loaded(fleet) == [BOOTED]
    assert [c.split()[0] for c in ran(fleet)][-1] == "install"


def test_going_back_undoes_faults_plugs_cables_and_ends_watchdogs(
    performance: Performance, fleet: Fleet
) -> None:
    performance.keep(performance.scenes[6])
    plan = Plan([Action("lb1", "unplug", "front")], [Action("lb1", "plug", "front")])
    faults.inject(fleet.machines, "dark", plan)
    watchdog = faults.active()[0]["watchdog"]
    performance.go(6)  # its state is kept: nobody else undoes anything
    done = list(fleet.hypervisor.did)
    assert loaded(fleet) == ["demo-1-7"]
    assert faults.active() == []
    assert [d[-1] for d in done if d[0] == "link"] == ["down", "up"]
    assert not Path(f"/proc/{watchdog}").exists()


def test_a_stopped_performance_asks_no_node_any_more(
    performance: Performance, fleet: Fleet, client: FakeNode
) -> None:
    client.answers = {"": "nothing yet"}
    (act,) = performance.acts(performance.scenes[3])
    performance.live.stopped.set()
    with pytest.raises(Stopped):
        act.run()
    assert client.ran == []
    performance.go(3 - 1)  # going back is always possible
    assert loaded(fleet) == [BOOTED]


def build(performance: Performance, first: int = 1) -> None:
    """Play the scenes of Build from this number on, as a speaker does."""
    for scene in performance.scenes[first - 1 :]:
        for act in performance.acts(scene) if scene.section == "build" else []:
            act.run()


def test_build_that_was_played_to_its_end_is_built(performance: Performance) -> None:
    performance.go(0)
    assert performance.course.built == []
    build(performance)
    assert performance.course.built == [1]
    assert performance.course.fits(performance.lab)
    performance.go(3)
    assert performance.course.built == []
    build(performance, first=4)
    assert performance.course.built == [1], "what lies between was played by `go`"


def test_a_kept_state_knows_what_of_build_stood(performance: Performance, fleet: Fleet) -> None:
    performance.go(0)
    performance.acts(performance.scenes[1])[0].run()
    performance.keep(performance.scenes[2])
    build(performance, first=3)
    loaded(fleet)
    performance.go(2)
    assert loaded(fleet) == ["demo-1-3"]
    assert performance.course.built == []
    build(performance, first=3)
    assert performance.course.built == [1]


def test_build_with_a_step_left_out_is_not_built(performance: Performance) -> None:
    performance.go(0)
    build(performance, first=3)
    assert performance.course.built == []


def test_build_from_nowhere_is_not_built(performance: Performance, fleet: Fleet) -> None:
    build(performance)
    assert performance.course.built == []
    fleet.refuse("load", "lb1")
    with refused("virsh load"):
        performance.go(0)
    build(performance)
    assert performance.course.built == []


def test_build_whose_last_step_is_stopped_the_second_time_is_built_no_more(
    performance: Performance,
) -> None:
    performance.go(0)
    build(performance)
    (act,) = performance.acts(performance.scenes[3])
    performance.live.stopped.set()
    with pytest.raises(Stopped):
        act.run()
    assert performance.course.built == []
