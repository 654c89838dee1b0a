"""The speaker's keys and menus, on a made-up clock."""

from __future__ import annotations

import pytest
from evening import Evening

from workshop import faults
from workshop.faults import Plan
from workshop.player import Phase


@pytest.mark.parametrize("key", ["enter", "right", "pgdown", "n"])
def test_a_clicker_goes_on_as_well(evening: Evening, key: str) -> None:
    assert evening.press(key) is Phase.TYPING


def test_a_scene_is_chosen_from_the_list(evening: Evening) -> None:
    evening.press("g")
    assert evening.controls.menu is not None
    assert evening.controls.menu.items[3] == "  4  Build  Start: ask for the page"
    evening.press("escape")
    assert evening.player.scene.number == 1
    evening.press("g", "down", "down", "down", "up", "j", "enter")
    assert (evening.player.scene.number, evening.player.phase) == (4, Phase.TYPING)


def test_a_fault_is_chosen_from_the_list_and_the_scene_comes_back(evening: Evening) -> None:
    evening.press(" ", "f", "enter")
    assert evening.view.heading == "The cable"
    evening.press(" ")
    assert "invoke break 1 dark" in evening.body
    evening.fleet.holds("")
    assert evening.press(" ") is Phase.FAILED
    assert "lab 1 is not whole" in evening.body.splitlines()[-1]
    evening.press("b")
    assert evening.player.scene.number == 2
    assert evening.view.heading == "Files"


def test_nothing_is_broken_twice(evening: Evening) -> None:
    faults.inject(evening.fleet.machines, "earlier", Plan([], []))
    evening.press("f", "enter")
    assert evening.result == "earlier is still in force; h heals it first."


def test_a_shell_opens_on_the_chosen_node(evening: Evening) -> None:
    evening.press("s", "down", "enter")
    assert evening.visited[0][0] == "ssh"
    assert evening.visited[0][-2:] == ["root@192.168.231.12", "bash -i"]
    assert evening.player.changed
    evening.press("s", "down", "down", "enter")
    assert "bash" in evening.visited[1]


def test_leaving_takes_two_keys(evening: Evening) -> None:
    evening.press("q")
    assert "q again" in evening.view.hint
    evening.press("x")
    assert not evening.player.over
    evening.press("q", "q")
    assert evening.player.over


def test_the_keys_are_listed(evening: Evening) -> None:
    evening.press("?")
    for key in evening.controls.keys:
        assert f"\n{key} " in f"\n{evening.body}"
    evening.press("b")
    assert evening.view.heading == "A pair"


def test_ctrl_c_stops_what_runs_and_asks_where_nothing_does(evening: Evening) -> None:
    evening.to(4)
    evening.hands.waits = True
    evening.press(" ")
    assert evening.player.phase is Phase.RUNNING
    evening.press(" ", "g", "r")  # not now
    assert (evening.player.phase, evening.controls.menu) == (Phase.RUNNING, None)
    evening.controls.interrupt()
    evening.hands.jobs[-1]()
    evening.player.tick()
    assert (evening.player.phase, evening.result) == (Phase.FAILED, "Stopped.")
    assert evening.client.ran == []
    evening.controls.interrupt()
    assert not evening.player.over
    evening.controls.interrupt()
    assert evening.player.over
