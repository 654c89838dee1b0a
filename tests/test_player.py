"""A lab's scenes on a made-up clock, over the fake fleet."""

from __future__ import annotations

from typing import Any

from evening import Evening

from workshop import faults, notes
from workshop.faults import Plan
from workshop.player import Phase


def test_a_command_is_typed_then_runs_on_a_key_and_is_ticked(evening: Evening) -> None:
    assert evening.player.phase is Phase.SAYS
    assert evening.press(" ") is Phase.TYPING
    assert evening.body.endswith("# ")
    evening.wait(0.5)
    assert 3 < len(evening.body.split("# ")[1]) < 30
    assert evening.wait(10) is Phase.READY
    assert not [c for c in evening.fleet.nodes["lb1"].ran if c.startswith("install")]
    assert evening.press(" ") is Phase.DONE
    assert [c for c in evening.fleet.nodes["lb1"].ran if c.startswith("install")]
    assert "deadtime 10" in evening.body
    assert evening.result == "✓ in place"


def test_a_key_ends_the_typing_and_runs_nothing(evening: Evening) -> None:
    assert evening.press(" ", " ") is Phase.READY
    assert "install -D -m 0644 /root/lab-1/etc/ha.d/ha.cf" in evening.body


def test_what_is_expected_stands_there_before_and_what_was_seen_after(evening: Evening) -> None:
    evening.to(4)
    assert evening.result == "You should see something that matches served by lb[12]"
    evening.press(" ")
    assert evening.result == "✓ as expected: served by lb2"
    assert "<p>served by lb2" in evening.body


def test_nodes_that_say_the_same_are_shown_once(evening: Evening) -> None:
    evening.to(3)
    evening.press(" ")
    assert evening.body.splitlines()[-2:] == ["lb1, lb2:", "yes"]


def test_a_failure_is_one_calm_line_and_one_key_goes_back(evening: Evening) -> None:
    evening.to(3)
    evening.fleet.nodes["lb2"].answers = {"start": (1, "a\nb: broken"), "": ""}
    assert evening.press(" ") is Phase.FAILED
    assert evening.result == "Not what we expected."
    assert evening.body.endswith("lb2: `start everything` failed with status 1: b: broken")
    assert "b back to the last good state" in evening.view.hint
    assert evening.press(" ") is Phase.FAILED
    evening.fleet.hypervisor.did.clear()
    assert evening.press("b") is Phase.TYPING
    assert evening.player.scene.number == 3
    assert "load" in {done[0] for done in evening.fleet.hypervisor.did}


def test_a_lost_node_is_one_calm_line(evening: Evening) -> None:
    evening.to(3)
    evening.fleet.lose("lb1")
    evening.press(" ")
    assert evening.result == "Not what we expected."
    assert "lb1 stopped answering" in evening.body.splitlines()[-1]


def test_an_error_of_the_engine_is_one_calm_line_too(evening: Evening) -> None:
    evening.to(3)

    def broken(*_: Any) -> None:
        raise KeyError("made\nup")

    evening.fleet.nodes["lb1"].run = broken  # type: ignore[method-assign, assignment]
    assert evening.press(" ") is Phase.FAILED
    assert evening.result == "Not what we expected."
    assert "KeyError: 'made" in evening.body.splitlines()[-1]
    del evening.fleet.nodes["lb1"].run  # type: ignore[attr-defined]
    assert evening.press("b") is Phase.TYPING


def test_back_undoes_this_scene_then_the_one_before(evening: Evening) -> None:
    evening.to(3)
    evening.press(" ", " ", " ")
    assert (evening.player.scene.number, evening.player.phase) == (4, Phase.READY)
    evening.press(" ")
    for number in (4, 3, 2, 1):
        evening.press("b")
        assert evening.player.scene.number == number
        assert not evening.player.changed
    evening.press("b")
    assert evening.player.scene.number == 1


def test_back_to_a_slide_touches_no_machine(evening: Evening) -> None:
    evening.press(" ")
    evening.fleet.hypervisor.did.clear()
    evening.press("b")
    assert evening.player.phase is Phase.SAYS
    assert evening.fleet.hypervisor.did == []


def test_a_section_is_saved_as_it_begins_and_not_while_a_scene_repeats(evening: Evening) -> None:
    kept = evening.performance.course.checkpoints.all
    evening.press(" ")
    assert "demo-1-2" in kept()
    evening.press(" ", " ")
    saved = kept()["demo-1-2"]["time"]
    evening.press("r")
    assert kept()["demo-1-2"]["time"] == saved
    assert evening.player.phase is Phase.TYPING
    assert evening.player.changed  # back is to before it all the same


def test_a_state_that_is_not_saved_stops_nobody(evening: Evening) -> None:
    evening.fleet.refuse("save", "lb1")
    assert evening.press(" ") is Phase.TYPING
    assert evening.press(" ", " ") is Phase.DONE


def test_again_runs_it_again(evening: Evening) -> None:
    evening.to(4)
    evening.press(" ", "r", " ", " ")
    assert evening.client.ran.count("ask for the page") == 2
    assert evening.player.phase is Phase.DONE


def test_a_fault_is_undone_before_it_happens_again(evening: Evening) -> None:
    evening.to(6)
    faults.inject(evening.fleet.machines, "dark", Plan([], []))
    evening.press("r")
    assert faults.active() == []
    assert evening.player.phase is Phase.TYPING


def test_heal_says_what_it_healed(evening: Evening) -> None:
    evening.press(" ", " ")
    evening.press("h")
    assert evening.result.startswith("Healed: no fault was in force.")
    faults.inject(evening.fleet.machines, "dark", Plan([], []))
    evening.press("h")
    assert evening.result.startswith("Healed: dark.")
    assert evening.player.phase is Phase.READY


def test_the_end_is_the_end(evening: Evening) -> None:
    evening.to(8)
    assert evening.press(" ") is Phase.DONE
    assert evening.press(" ") is Phase.END
    assert not evening.player.over
    evening.press("b")
    assert evening.player.scene.number == 8


def test_the_speakers_screen_is_told(evening: Evening) -> None:
    evening.to(3)
    cue = notes.current()
    assert cue is not None
    assert (cue.place, cue.heading) == ("Build 3 of 8", "Start")
    assert cue.notes == "Tell the story of the cleaner."
    assert (cue.now, cue.then) == ("start everything", "Try")
    evening.fleet.lose("lb1")
    evening.press(" ")
    cue = notes.current()
    assert cue is not None
    assert "lb1 stopped answering" in cue.now


def test_unattended_it_plays_with_pauses_to_its_end(evening: Evening) -> None:
    evening.start(auto=True, last=3)
    evening.wait(1)
    assert evening.player.phase is Phase.SAYS  # somebody reads
    evening.wait(60)
    assert evening.player.over
    assert evening.player.failure is None
    assert evening.client.ran == ["ask for the page"]
    slow = evening.time
    evening.time = 0.0
    evening.start(auto=True, last=3, pace=0)
    evening.wait(5)
    assert evening.player.over
    assert evening.time < slow / 5


def test_unattended_it_stops_at_what_fails_and_says_where(evening: Evening) -> None:
    evening.fleet.nodes["lb1"].answers = {"start": (3, "broken"), "": ""}
    evening.start(auto=True, pace=0)
    evening.wait(5)
    assert evening.player.over
    assert str(evening.player.failure) == (
        "01-pair/steps.md:23: lb1: `start everything` failed with status 3: broken"
    )
