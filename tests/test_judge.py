"""A declared fault is aimed, struck under the probe, and judged by its declaration."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from pathlib import Path

import pytest
from fakes import LAB, Fleet, refused, web, write_lab

from workshop import faults, judge
from workshop.judge import Trial, Verdict
from workshop.live import Live
from workshop.probe import TIMEOUT, Outage, Probe, Sample

ADDRESS = "127.0.0.1"


def fault(serves: str = "peer", **more: str | int) -> str:
    more = {"title": "X", "does": "power_off", "expect": "Y", "settle": 0} | more
    fields = "".join(f"{key} = {json.dumps(value)}\n" for key, value in more.items())
    return f'\n[faults.dark]\nserves = "{serves}"\n{fields}'


def live(fleet: Fleet, labs: Path, declared: str, page: str = "/") -> Live:
    toml = f"page = \"{page}\"\nsays = 'served by (\\w+)'\n"
    toml += LAB.replace("192.168.56.100", ADDRESS)
    return Live(fleet.machines, write_lab(labs, toml=toml + declared))


def trial(fleet: Fleet, labs: Path, declared: str = "", on: str | None = None) -> Trial:
    fleet.holds("lb1", ADDRESS)
    return Trial(live(fleet, labs, declared or fault()), "dark", on)


def probe(folder: Path, pattern: str) -> Probe:
    """A probe that saw this: a digit is an answer of that director, a dot a failure."""
    found = [Sample(i / 10, 0, 0.01, mark != ".", by=f"lb{mark}") for i, mark in enumerate(pattern)]
    (folder / "seen").write_text("\n".join(json.dumps(asdict(s)) for s in found))
    return Probe("", "", folder / "seen")


@pytest.mark.parametrize(
    ("declared", "on", "node", "other"),
    [
        ("holder", None, "lb1", "lb2"),
        ("peer", None, "lb2", "lb1"),
        ("lb2", None, "lb2", "lb1"),
        ("holder", "peer", "lb2", "lb1"),
        ("holder", "lb1", "lb1", "lb2"),
    ],
)
def test_a_fault_is_aimed_by_role_or_name(
    fleet: Fleet, labs: Path, declared: str, on: str | None, node: str, other: str
) -> None:
    found = trial(fleet, labs, fault(on=declared), on)
    assert (found.node, found.other, found.holder) == (node, other, "lb1")


def test_a_fault_that_is_declared_for_a_group_can_be_struck(fleet: Fleet, labs: Path) -> None:
    assert trial(fleet, labs, fault(on="directors")).node in ("lb1", "lb2")


@pytest.mark.parametrize("on", ["web1", "nowhere"])
def test_a_fault_on_a_node_that_the_lab_has_not_is_refused(
    fleet: Fleet, labs: Path, on: str
) -> None:
    with refused(f"'{on}' is no node of lab 1", "lb1, lb2"):
        trial(fleet, labs, on=on)


def test_an_unknown_fault_is_refused(fleet: Fleet, labs: Path) -> None:
    with refused("lab 1 has no fault 'bright'", "it has: dark"):
        Trial(live(fleet, labs, fault()), "bright")


@pytest.mark.parametrize(("holders", "words"), [("", "no node"), ("lb1,lb2", "lb1 and lb2")])
def test_nothing_is_broken_in_a_cluster_that_is_not_whole(
    fleet: Fleet, labs: Path, holders: str, words: str
) -> None:
    fleet.holds(holders, ADDRESS)
    with refused("lab 1 is not whole", f"on {words};", "invoke reset 1"):
        Trial(live(fleet, labs, fault()), "dark")


@pytest.mark.parametrize(
    ("serves", "holders", "seen", "stands"),
    [
        ("holder", "lb1", "1" * 10, True),
        ("holder", "lb2", "2" * 10, False),
        ("holder", "lb1", "1" * 9 + ".", False),
        ("peer", "lb2", "2" * 10, True),
        ("peer", "lb1", "1" * 10, False),
        ("peer", "lb2", "2" * 9, False),
        ("both", "lb1,lb2", "." * 10, True),
        ("both", "lb1", "1" * 10, False),
        ("nobody", "lb1", "." * 10, True),
        ("nobody", "", "." * 9 + "1", False),
        ("nobody", "", "", False),
        ("any", "lb2", "2" * 10, True),
        ("any", "lb1,lb2", "1" * 10, False),
    ],
)
def test_the_declared_outcome_stands_or_not(
    fleet: Fleet, labs: Path, tmp_path: Path, serves: str, holders: str, seen: str, stands: bool
) -> None:
    found = trial(fleet, labs, fault(serves))
    fleet.holds(holders, ADDRESS)
    assert found._serves(probe(tmp_path, seen)) is stands


@pytest.mark.parametrize(
    ("after", "holders", "seen", "whole"),
    [
        ("one", "lb2", "2" * 10, True),
        ("one", "lb1,lb2", "2" * 10, False),
        ("one", "lb1", "1" * 9 + ".", False),
        ("holder", "lb2", "2" * 10, False),
        ("peer", "lb2", "2" * 10, True),
    ],
)
def test_the_cluster_is_whole_again_or_not(
    fleet: Fleet, labs: Path, tmp_path: Path, after: str, holders: str, seen: str, whole: bool
) -> None:
    found = trial(fleet, labs, fault(after_heal=after))
    fleet.holds(holders, ADDRESS)
    assert found._whole(probe(tmp_path, seen)) is whole


@pytest.mark.parametrize(
    ("serves", "seconds", "wrong"),
    [("peer", 30.0, ""), ("peer", 30.1, "30.1 s, 30 s allowed"), ("nobody", 99.0, "")],
)
def test_an_outage_is_held_to_its_bound(
    fleet: Fleet, labs: Path, serves: str, seconds: float, wrong: str
) -> None:
    found = trial(fleet, labs, fault(serves, outage="deadtime + 20"))
    bound = found._seconds(found.declared.outage)
    assert wrong in found._too_long(Outage(100, 10, seconds, True, [], False), bound)
    assert bool(wrong) == bool(found._too_long(Outage(100, 10, seconds, True, [], False), bound))


@pytest.mark.parametrize(
    ("seen", "left", "back"),
    [("2" * 20, True, False), ("12" * 10, False, True), ("1" + "2" * 19, True, True)],
)
def test_a_server_that_leaves_answers_nobody_until_it_is_healed(
    fleet: Fleet, labs: Path, tmp_path: Path, seen: str, left: bool, back: bool
) -> None:
    found = trial(fleet, labs, fault("holder", leaves="lb1"))
    assert found._serves(probe(tmp_path, seen)) is left
    assert found._whole(probe(tmp_path, seen)) is back


@pytest.mark.parametrize(("leaves", "words"), [("lb1", "2 bad answers after lb1"), ("", "")])
def test_after_a_server_left_no_answer_is_bad(
    fleet: Fleet, labs: Path, tmp_path: Path, leaves: str, words: str
) -> None:
    found = trial(fleet, labs, fault("holder", leaves=leaves))
    assert found._bad_since(probe(tmp_path, "2..22..2"), 0.3).startswith(words)
    assert found._bad_since(probe(tmp_path, "2..22222"), 0.3) == ""


def test_bounds_are_scaled_by_patience(
    fleet: Fleet, labs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKSHOP_PATIENCE", "3")
    found = trial(fleet, labs)
    assert found._seconds("deadtime + 20") == 90
    assert found._probe("fault").timeout == 3 * TIMEOUT


def test_a_wait_after_healing_is_as_long_as_declared(
    fleet: Fleet, labs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKSHOP_PATIENCE", "3")
    found = trial(fleet, labs, fault(heal_settle=30))
    seen = probe(tmp_path, "2" * 20)
    monkeypatch.setattr(found, "_probe", lambda _: contextlib.nullcontext(seen))
    slept: list[float] = []
    monkeypatch.setattr(judge.time, "sleep", slept.append)
    assert found.recover().wrong == ""
    assert slept == [30]


def test_a_verdict_in_words() -> None:
    outage = Outage(100, 10, 1.2, True, ["lb1"], False)
    fine = Verdict("dark", "lb1", outage, 30, ["lb2"], 2.0)
    assert str(fine).endswith("the address is now on lb2")
    wrong = Verdict("dark", "lb1", outage, 1, [], 2.0, "too long")
    assert str(wrong).endswith("the address is now on no node. NOT AS DECLARED: too long")


def test_a_site_that_does_not_answer_is_not_broken_further(
    fleet: Fleet, labs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = trial(fleet, labs)
    monkeypatch.setattr(
        judge, "eventually", lambda what, _within, *more: judge_soon(what, 0.01, *more)
    )
    with refused("does not answer well before the fault", "invoke check 1"):
        found._baseline(probe(tmp_path, "." * 30))
    assert fleet.hypervisor.did == []


judge_soon = judge.eventually


def test_a_fault_is_struck_watched_and_healed(
    fleet: Fleet, labs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "BASELINE", 3)
    serving = "lb1"

    def move_over() -> None:
        nonlocal serving
        serving = "lb2"
        fleet.holds("lb2", ADDRESS)

    fleet.hypervisor.then["power_off"] = move_over
    fleet.holds("lb1", ADDRESS)
    with web(lambda _: (200, f"served by {serving}".encode())) as url:
        page = url.removeprefix(f"http://{ADDRESS}")
        found = Trial(live(fleet, labs, fault(outage=5, after_heal="peer"), page), "dark")
        verdict = found.strike()
        assert [e["name"] for e in faults.active()] == ["dark"]
        after = found.recover()
    assert (verdict.wrong, verdict.node, verdict.holders) == ("", "lb1", ["lb2"])
    assert verdict.outage.servers == ["lb1", "lb2"]
    assert (after.wrong, after.holders) == ("", ["lb2"])
    assert faults.active() == []
    assert fleet.machines.states()["lb1"] == "running"


# acknowledged writes


def test_nothing_is_judged_before_a_fault_shows(
    fleet: Fleet, labs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = trial(fleet, labs, fault("holder", on="lb2", shows=7, outage=60))
    seen = probe(tmp_path, "1" * 20)
    monkeypatch.setattr(found, "_probe", lambda _: contextlib.nullcontext(seen))
    monkeypatch.setattr(faults, "inject", lambda *_: "token")
    slept: list[float] = []
    monkeypatch.setattr(judge.time, "sleep", slept.append)
    found.strike()
    assert slept[0] == 7


def test_a_lab_without_a_ledger_is_offered_no_writes(fleet: Fleet, labs: Path) -> None:
    assert trial(fleet, labs).written() == ""
