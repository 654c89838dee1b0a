"""Faults: planned from data, and undone whatever happens."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from fakes import HOST, LAB, Fleet, refused, write_lab

from workshop import faults, host, state
from workshop.errors import WorkshopError
from workshop.faults import Action, Plan
from workshop.manifest import Lab
from workshop.remote import NodeLost

CUT = Plan([Action("lb1", "run", "nft add")], [Action("lb1", "run", "nft delete")])
DARK = faults.power_off("lb1")


def declared(labs: Path, text: str, own: str = "") -> Lab:
    fault = f'\n[faults.x]\ntitle = "X"\nexpect = "Y"\nserves = "peer"\n{text}\n'
    return write_lab(labs, toml=LAB + fault, faults=own)


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


# plans


@pytest.mark.parametrize(
    ("text", "do", "undo"),
    [
        ('does = "power_off"', "lb1: power off", "lb1: power on"),
        ('does = "pause"', "lb1: pause", "lb1: resume"),
        ('does = "unplug"', "lb1: unplug from front", "lb1: plug from front"),
        (
            'does = "unplug"\noptions = { network = "back" }',
            "lb1: unplug from back",
            "lb1: plug from back",
        ),
        (
            'does = "kill"\noptions = { process = "apache2" }',
            "lb1: `pkill -9 -x apache2`",
            "lb1: `systemctl restart apache2`",
        ),
        (
            'does = "freeze"\noptions = { process = "heartbeat" }',
            "lb1: `pkill -STOP -x heartbeat`",
            "lb1: `pkill -CONT -x heartbeat || true`",
        ),
        (
            'does = "stop_service"\noptions = { service = "apache2" }',
            "lb1: `systemctl stop apache2`",
            "lb1: `systemctl start apache2`",
        ),
        (
            'does = "command"\noptions = { run = "hb_standby" }',
            "lb1: `hb_standby`",
            "lb1: `true`",
        ),
    ],
)
def test_a_declared_fault_becomes_a_plan(labs: Path, text: str, do: str, undo: str) -> None:
    plan = faults.plan(declared(labs, text), "x", "lb1", "lb2")
    assert [str(a) for a in plan.do] == [do]
    assert [str(a) for a in plan.undo] == [undo]


@pytest.mark.parametrize(
    ("options", "dropped"),
    [
        ("", ["saddr 192.168.56.12", "saddr 192.168.57.12", "daddr 192.168.56.12"]),
        ('networks = "back"', ["saddr 192.168.57.12", "daddr 192.168.57.12"]),
        ('networks = "front", direction = "in"', ["saddr 192.168.56.12"]),
    ],
)
def test_a_cut_drops_the_peer_and_nobody_else(labs: Path, options: str, dropped: list[str]) -> None:
    lab = declared(labs, f'does = "cut"\noptions = {{ {options} }}')
    plan = faults.plan(lab, "x", "lb1", "lb2")
    command = plan.do[0].argument
    assert all(f"ip {words} drop" in command for words in dropped)
    assert "192.168.231." not in command, "the kit's own way in stays open"
    assert ("daddr" in command) == ("in" not in options)
    assert "nft delete table inet fault" in plan.undo[0].argument


def test_a_disk_is_filled_and_emptied_in_one_folder(labs: Path) -> None:
    plan = faults.plan(declared(labs, 'does = "fill_disk"'), "x", "lb1", "lb2")
    assert "/var/fault-fills-the-disk" in plan.do[0].argument
    assert plan.undo[0].argument == "rm -f /var/fault-fills-the-disk"


def test_a_clock_goes_back_by_what_it_went_forward(labs: Path) -> None:
    lab = declared(labs, 'does = "clock_jump"\noptions = { seconds = 60 }')
    plan = faults.plan(lab, "x", "lb1", "lb2")
    assert "+60 seconds" in plan.do[0].argument
    assert "-60 seconds" in plan.undo[0].argument


def test_netem_is_put_on_and_taken_off_one_interface(labs: Path) -> None:
    lab = declared(labs, 'does = "netem"\noptions = { how = "loss 30%" }')
    plan = faults.plan(lab, "x", "lb1", "lb2")
    assert plan.do[0].argument == "tc qdisc replace dev eth1 root netem loss 30%"
    assert "del dev eth1 root" in plan.undo[0].argument


def test_a_lab_may_have_faults_of_its_own(labs: Path) -> None:
    own = (
        "from workshop import Plan, Action\n\n\ndef both(node, peer):\n"
        "    names = (node, peer)\n"
        "    return Plan([Action(n, 'off') for n in names], [Action(n, 'on') for n in names])\n"
    )
    plan = faults.plan(declared(labs, 'does = "both"', own), "x", "lb2", "lb1")
    assert [a.node for a in plan.do] == ["lb2", "lb1"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('does = "explode"', ["faults.x", "'explode'"]),
        ('does = "kill"', ["faults.x", "process"]),
        ('does = "kill"\noptions = { proces = "apache2" }', ["faults.x", "proces"]),
        ('does = "cut"\noptions = { networks = "middle" }', ["faults.x", "'middle'", "front"]),
    ],
)
def test_a_fault_that_cannot_be_planned_names_file_and_key(
    labs: Path, text: str, words: list[str]
) -> None:
    with refused("01-pair/lab.toml", *words):
        faults.plan(declared(labs, text), "x", "lb1", "lb2")


@pytest.mark.parametrize("own", ["def both(node)\n", "import nosuch\n"])
def test_a_broken_faults_py_is_named(labs: Path, own: str) -> None:
    with refused("01-pair/faults.py"):
        faults.plan(declared(labs, 'does = "both"', own), "x", "lb1", "lb2")


def test_an_unknown_fault_is_refused_and_the_known_listed(labs: Path, lab: Lab) -> None:
    with refused("lab 1 has no fault 'y'", "it has: none"):
        faults.plan(lab, "y", "lb1", "lb2")
    with refused("lab 1 has no fault 'y'", "it has: x"):
        faults.plan(declared(labs, 'does = "pause"'), "y", "lb1", "lb2")


# doing and undoing


def test_the_undoing_is_written_and_armed_before_anything_is_done(fleet: Fleet) -> None:
    seen: list[object] = []
    node = fleet.nodes["lb1"]
    run = node.run

    def watched(command: str, timeout: float = 60, check: bool = True) -> object:
        seen.append((command.split()[0], [e["name"] for e in faults.active()]))
        return run(command, timeout, check)

    node.run = watched  # type: ignore[method-assign, assignment]
    token = faults.inject(fleet.machines, "cut", CUT, limit=120)
    assert seen == [("systemd-run", ["cut"]), ("nft", ["cut"])]
    assert f"--on-active=120 --unit=heal-{token} " in node.ran[0]
    assert node.ran[0].endswith("sh -c 'nft delete'")


def test_healing_ends_the_timer_and_undoes(fleet: Fleet) -> None:
    token = faults.inject(fleet.machines, "cut", CUT)
    assert faults.heal(fleet.machines) == ["cut"]
    assert fleet.nodes["lb1"].ran[-1].startswith(f"systemctl stop heal-{token}.timer")
    assert fleet.nodes["lb1"].ran[-1].endswith("nft delete")
    assert faults.active() == []
    assert faults.heal(fleet.machines) == []


def test_a_fault_from_outside_has_a_watchdog_until_it_is_healed(fleet: Fleet) -> None:
    faults.inject(fleet.machines, "dark", DARK, limit=60)
    pid = faults.active()[0]["watchdog"]
    assert alive(pid)
    assert fleet.machines.states()["lb1"] == "off"
    faults.heal(fleet.machines)
    assert fleet.machines.states()["lb1"] == "running"
    assert not alive(pid)


def test_the_newest_fault_is_undone_first(fleet: Fleet) -> None:
    faults.inject(fleet.machines, "first", CUT)
    time.sleep(0.002)
    faults.inject(fleet.machines, "second", faults.command("lb2", "true"))
    assert faults.heal(fleet.machines) == ["second", "first"]


def test_one_of_several_faults_is_healed_by_its_token(fleet: Fleet) -> None:
    first = faults.inject(fleet.machines, "first", CUT)
    time.sleep(0.002)
    faults.inject(fleet.machines, "second", faults.command("lb2", "true"))
    assert faults.heal(fleet.machines, first) == ["first"]
    assert [e["name"] for e in faults.active()] == ["second"]


def test_the_fault_is_over_after_its_block(fleet: Fleet) -> None:
    def stopped() -> None:
        with faults.fault(fleet.machines, "cut", CUT):
            assert [e["name"] for e in faults.active()] == ["cut"]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert faults.active() == []
    assert fleet.nodes["lb1"].ran[-1].endswith("nft delete")


def test_a_fault_that_half_happened_is_healed(fleet: Fleet) -> None:
    both = Plan(
        [Action("lb1", "pause"), Action("lb2", "pause")],
        [Action("lb1", "resume"), Action("lb2", "resume")],
    )
    fleet.refuse("pause", "lb2")
    with refused("pause"), faults.fault(fleet.machines, "freeze", both):
        pass
    assert fleet.machines.states()["lb1"] == "running"
    assert faults.active() == []


def test_a_lost_node_does_not_stop_the_healing_of_others(fleet: Fleet) -> None:
    both = Plan([], [Action("lb1", "run", "undo"), Action("lb2", "run", "undo")])
    faults.inject(fleet.machines, "both", both)
    fleet.lose("lb1")
    assert faults.heal(fleet.machines) == ["both"]
    assert fleet.nodes["lb2"].ran[-1].endswith("undo")


def test_a_refused_undoing_stays_on_the_list(fleet: Fleet) -> None:
    faults.inject(fleet.machines, "dark", DARK, limit=60)
    fleet.refuse("start", "lb1")
    with refused("start"):
        faults.heal(fleet.machines)
    assert [e["name"] for e in faults.active()] == ["dark"]
    fleet.hypervisor.refuses.clear()
    assert faults.heal(fleet.machines) == ["dark"]


def test_a_restored_checkpoint_knows_no_faults(fleet: Fleet) -> None:
    faults.inject(fleet.machines, "dark", DARK, limit=60)
    pid = faults.active()[0]["watchdog"]
    faults.forget()
    assert faults.active() == []
    assert not alive(pid)


def test_a_watchdogs_number_that_is_somebody_elses_is_left_alone(fleet: Fleet) -> None:
    entry = {"token": "not-in-its-command-line", "name": "x", "undo": [], "watchdog": 1}
    state.store("faults.json", [entry])
    faults.forget()
    assert faults.active() == []


@pytest.mark.parametrize(
    ("before", "what", "verbs"),
    [
        ("off", "off", []),
        ("running", "off", ["power_off"]),
        ("running", "on", []),
        ("off", "on", ["start"]),
        ("off", "pause", []),
        ("paused", "pause", []),
        ("running", "resume", []),
        ("paused", "resume", ["resume"]),
    ],
)
def test_a_machine_in_the_wanted_state_is_left_alone(
    fleet: Fleet, before: str, what: str, verbs: list[str]
) -> None:
    fleet.set("lb1", before)
    faults.perform(fleet.machines, Action("lb1", what))  # type: ignore[arg-type]
    assert [done[0] for done in fleet.hypervisor.did] == verbs


def test_cables_are_pulled_and_plugged(fleet: Fleet) -> None:
    with faults.fault(fleet.machines, "cable", faults.unplug("lb1", "back")):
        pass
    assert [done[2:] for done in fleet.hypervisor.did] == [
        ("52:54:00:4c:02:0b", "down"),
        ("52:54:00:4c:02:0b", "up"),
    ]


def test_damaged_notes_of_faults_are_one_line_with_the_cure(fleet: Fleet) -> None:
    state.path("faults.json").write_text("[{")
    with refused("faults.json is damaged", "invoke destroy"):
        faults.heal(fleet.machines)


# the watchdog


def watchdog(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setattr(host, "detect", lambda *_: HOST)
    monkeypatch.setattr(sys, "argv", ["workshop.faults", token, "0.02"])
    faults.main()


def test_the_watchdog_heals_when_the_kit_is_gone(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.set("lb1", "off")
    entry = {"token": "1a", "name": "dark", "undo": [{"node": "lb1", "what": "on", "argument": ""}]}
    state.store("faults.json", [entry | {"watchdog": os.getpid()}])
    watchdog(monkeypatch, "1a")
    assert fleet.machines.states()["lb1"] == "running"
    assert faults.active() == []


def test_the_watchdog_of_a_healed_fault_does_nothing(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.set("lb1", "off")
    watchdog(monkeypatch, "1a")
    assert fleet.hypervisor.did == []


def test_a_node_lost_while_the_fault_happens_is_no_traceback(fleet: Fleet) -> None:
    fleet.lose("lb1")
    with pytest.raises(WorkshopError) as caught:
        faults.inject(fleet.machines, "cut", CUT)
    assert isinstance(caught.value, NodeLost)
