"""What was proved, of which state of which files."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import LAB, keyed, refused, write_lab

from workshop import evidence, manifest
from workshop.manifest import Lab

FAULT = '\n[faults.dark]\ntitle = "X"\ndoes = "power_off"\nexpect = "Y"\nserves = "peer"\n'
MUTATION = '[check_x]\non = "lb1"\nrun = "false"\n'
PROVED: dict[str, Any] = {
    "checks": {"check_x": {"before": "failed", "built": "passed", "mutated": "failed"}},
    "faults": {"dark": {"wrong": "", "outage": 12.0}},
}


@pytest.fixture
def two(
    labs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    as_the_labs: Callable[[Path], None],
) -> Lab:
    """Lab 2, which requires lab 1 and has a check and a fault; lab 3 has nothing to do with it."""
    monkeypatch.setattr(evidence, "ROOT", tmp_path)
    as_the_labs(labs)
    (tmp_path / "workshop").mkdir()
    for name in ("apply", "show"):
        (tmp_path / "workshop" / f"{name}.py").write_text("")
    write_lab(labs, "01-first")
    write_lab(labs, "03-other")
    toml = LAB.replace("nodes =", "requires = [1]\nnodes =") + FAULT
    return write_lab(labs, "02-second", toml, mutations=MUTATION)


def record(lab: Lab, found: dict[str, Any]) -> None:
    """Write evidence of the lab and its faults as they are."""
    evidence.write(lab, "recipe", "tcg", "a processor, 2 cores", keyed(lab, "recipe", found))


@pytest.mark.parametrize(
    ("path", "matters"),
    [
        ("labs/02-second/steps.md", False),
        ("labs/02-second/faults.py", False),
        ("labs/02-second/files/directors/etc/ha.d/ha.cf.j2", True),
        ("labs/02-second/new.txt", True),
        ("labs/01-first/files/directors/etc/ha.d/ha.cf.j2", True),
        ("labs/01-first/lab.toml", False),
        ("labs/01-first/checks.py", False),
        ("labs/01-first/mutations.toml", False),
        ("labs/01-first/proved.json", False),
        ("labs/cluster.toml", True),
        ("workshop/apply.py", True),
        ("labs/02-second/proved.json", False),
        ("labs/02-second/__pycache__/checks.pyc", False),
        ("labs/03-other/lab.toml", False),
        ("workshop/show.py", False),
        ("workshop/machines.py", False),
        ("workshop/ledger.py", False),
        ("workshop/unheard_of.py", True),
    ],
)
def test_the_digest_follows_what_a_proof_depends_on(
    two: Lab, tmp_path: Path, path: str, matters: bool
) -> None:
    before = evidence.digest(two, "recipe")
    file = tmp_path / path
    file.parent.mkdir(exist_ok=True)
    file.write_text((file.read_text() if file.exists() else "") + "# changed\n")
    assert (evidence.digest(two, "recipe") != before) is matters


@pytest.mark.parametrize("folder", ["01-first", "02-second"])
def test_a_file_counts_as_it_is_installed(two: Lab, folder: str) -> None:
    path = two.folder.parent / folder / "files/directors/etc/ha.d/ha.cf.j2"
    before = evidence.digest(two, "recipe")
    path.write_text("{# why #}" + path.read_text().replace("{{ deadtime }}", "{{ 5 + 5 }}"))
    assert "5 + 5" in path.read_text()
    assert evidence.digest(two, "recipe") == before
    path.write_text(path.read_text().replace("5 + 5", "5 + 6"))
    assert evidence.digest(two, "recipe") != before


@pytest.mark.parametrize(
    ("file", "old", "new", "matters"),
    [
        ("lab.toml", "deadtime = 10", "deadtime = 20", True),
        ("lab.toml", 'summary = "', 'summary = "In short: ', False),
        ("lab.toml", "[variables]", FAULT + "[variables]", False),
        ("steps.md", "## Build", "Some words.\n\n## Build", False),
        ("steps.md", "## Try", "```sh on=lb1\nfalse\n```\n\n## Try", True),
        ("steps.md", "## Try", "## Try\n\n```sh on=lb1\nfalse\n```\n", False),
    ],
)
def test_a_lab_stands_on_how_the_one_it_requires_is_built(
    two: Lab, file: str, old: str, new: str, matters: bool
) -> None:
    path = two.folder.parent / "01-first" / file
    before = evidence.digest(two, "recipe")
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    manifest.load.cache_clear()
    assert (evidence.digest(two, "recipe") != before) is matters


@pytest.mark.parametrize(
    ("old", "new", "built", "tried"),
    [
        ("## Build", "Some words.\n\n## Build", False, False),
        ("## Try", "```sh on=lb1\nfalse\n```\n\n## Try", True, True),
        ("## Try", "## Try\n\n```sh on=lb1\nfalse\n```\n", False, True),
        ("## Try", "## Try\n\n```fault dark\n```\n", False, False),
    ],
)
def test_of_a_page_counts_what_is_done_and_not_what_is_said(
    two: Lab, old: str, new: str, built: bool, tried: bool
) -> None:
    path = two.folder / "steps.md"
    before = evidence.digest(two, "recipe")
    tried_before = evidence.tried(two, before)
    path.write_text(path.read_text().replace(old, new, 1))
    after = evidence.digest(two, "recipe")
    assert (after != before) is built
    assert (evidence.tried(two, after) != tried_before) is tried


def test_the_ledger_matters_to_labs_that_count_writes(two: Lab) -> None:
    ledger = evidence.ROOT / "workshop" / "ledger.py"
    ledger.touch()
    assert ledger not in evidence.engine(two)
    table = '[ledger]\naddress = "192.168.56.1"\nuser = "x"\nsecret = "y"\ndatabase = "z"\n'
    counted = write_lab(
        two.folder.parent,
        "04-counted",
        LAB + table + 'read_from = ["lb1"]\n[secrets]\ny = "{word}"\n',
    )
    assert ledger in evidence.engine(counted)


def test_the_modules_put_apart_are_there() -> None:
    there = {path.stem for path in Path(evidence.__file__).parent.glob("*.py")}
    assert there >= (evidence.APART | evidence.ANEW | evidence.LEDGER)


def test_the_digest_follows_the_boxs_recipe_and_the_files_rights(two: Lab) -> None:
    (two.folder / "script").touch()
    before = evidence.digest(two, "recipe")
    assert evidence.digest(two, "recipe") == before
    assert evidence.digest(two, "another") != before
    (two.folder / "script").chmod(0o755)
    assert evidence.digest(two, "recipe") != before


def test_evidence_holds_until_something_changes(two: Lab) -> None:
    assert evidence.stale(two, "recipe") == "it was never proved"
    record(two, PROVED)
    assert evidence.stale(two, "recipe") == ""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    assert evidence.stale(two, "another") == f"it changed since it was proved on {today}"


def test_evidence_says_date_accelerator_and_processor(two: Lab) -> None:
    record(two, PROVED)
    found = evidence.read(two)
    assert set(found) == {"digest", "date", "accelerator", "cpu", "box", "checks", "faults"}
    assert (found["accelerator"], found["cpu"]) == ("tcg", "a processor, 2 cores")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({}, "its check check_x is not proved three ways"),
        (PROVED | {"checks": {}}, "its check check_x"),
        (
            PROVED
            | {"checks": {"check_x": {"before": "passed", "built": "passed", "mutated": "failed"}}},
            "its check check_x",
        ),
        (
            PROVED
            | {
                "checks": {"check_x": {"before": "failed", "built": "passed", "mutated": "unknown"}}
            },
            "its check check_x",
        ),
        (PROVED | {"faults": {}}, "its fault dark is not proved"),
        (PROVED | {"faults": {"dark": {}}}, "its fault dark is not proved"),
        (PROVED | {"faults": {"dark": {"wrong": "too long"}}}, "its fault dark is not proved"),
        (PROVED, ""),
    ],
)
def test_incomplete_evidence_says_what_it_lacks(two: Lab, found: Any, words: str) -> None:
    record(two, found)
    assert words in evidence.stale(two, "recipe")
    assert bool(words) == bool(evidence.stale(two, "recipe"))


def test_a_check_without_evidence_is_missed(two: Lab) -> None:
    (two.folder / "checks.py").write_text(
        "def check_x():\n    pass\n\n\ndef check_new():\n    pass\n"
    )
    record(two, PROVED)
    assert "check_new is not proved three ways" in evidence.stale(two, "recipe")


def test_what_a_proof_left_over_is_known(two: Lab) -> None:
    assert evidence.unproved(two, "recipe") == ["dark"]
    record(two, PROVED)
    assert evidence.unproved(two, "recipe") == []
    assert evidence.unproved(two, "another") == ["dark"]
    assert evidence.unbroken(two, "recipe") == []
    assert evidence.unbroken(two, "another") == list(two.mutations) != []


def test_a_mutation_is_proved_by_itself(two: Lab) -> None:
    more = {"check_y": PROVED["checks"]["check_x"]}
    both = MUTATION + MUTATION.replace("check_x", "check_y")
    (two.folder / "mutations.toml").write_text(both)
    manifest.load.cache_clear()
    lab = manifest.load(two.folder)
    record(lab, PROVED | {"checks": PROVED["checks"] | more})
    assert evidence.unbroken(lab, "recipe") == []
    (two.folder / "mutations.toml").write_text(both.replace("false", "true", 1))
    manifest.load.cache_clear()
    lab = manifest.load(two.folder)
    assert evidence.unbroken(lab, "recipe") == ["check_x"]
    assert evidence.unproved(lab, "recipe") == []
    assert "check_x is not proved three ways" in evidence.stale(lab, "recipe")


def test_a_fault_without_figures_is_not_proved(two: Lab) -> None:
    record(two, PROVED | {"faults": {"dark": {"wrong": ""}}})
    assert "its fault dark is not proved" in evidence.stale(two, "recipe")


OWN = '''"""Faults."""

from workshop import Action, Plan

WHY = "no reason"


def one(node: str) -> Plan:
    return Plan([Action("lb1", "off")], [Action("lb1", "on")])


def other(node: str) -> Plan:
    return Plan([Action({"lb2": "lb1"}[node], "off")], [Action("lb1", "on")])
'''


@pytest.mark.parametrize(
    ("file", "old", "new", "lacking"),
    [
        ("faults.py", "no reason", "a reason", []),
        ("faults.py", '"lb1", "off"', '"lb2", "off"', ["dim"]),
        ("faults.py", '[node], "off"', '[node], "pause"', ["dark"]),
        ("lab.toml", 'title = "X"', 'title = "Night"', []),
        ("lab.toml", 'expect = "Y"', 'expect = "Nothing"', []),
        ("lab.toml", 'serves = "peer"', 'serves = "both"', ["dark"]),
        ("lab.toml", "deadtime = 10", "deadtime = 20", ["dark", "dim"]),
        ("mutations.toml", "false", "true", []),
    ],
)
def test_a_fault_is_proved_by_itself(
    two: Lab, file: str, old: str, new: str, lacking: list[str]
) -> None:
    dim = FAULT.replace("faults.dark", "faults.dim").replace("power_off", "one")
    dim = dim.replace("X", "A").replace("Y", "B").replace("peer", "any")
    toml = (two.folder / "lab.toml").read_text().replace("power_off", "other") + dim
    lab = write_lab(two.folder.parent, two.name, toml, mutations=MUTATION, faults=OWN)
    record(lab, PROVED | {"faults": dict.fromkeys(("dark", "dim"), PROVED["faults"]["dark"])})
    assert evidence.unproved(lab, "recipe") == []
    path = lab.folder / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    manifest.load.cache_clear()
    assert evidence.unproved(manifest.load(lab.folder), "recipe") == lacking


@pytest.mark.parametrize("damage", ["", "{", "[]"])
def test_damaged_evidence_is_named(two: Lab, damage: str) -> None:
    (two.folder / "proved.json").write_text(damage)
    with refused("02-second/proved.json", "damaged"):
        evidence.stale(two, "recipe")


def test_the_processor_is_told_without_the_machines_name() -> None:
    assert evidence.processor().endswith(" cores")


def test_a_lab_that_requires_a_missing_one_is_refused(two: Lab, labs: Path) -> None:
    lab = write_lab(labs, "04-lost", LAB.replace("nodes =", "requires = [9]\nnodes ="))
    with refused("lab '9'"):
        evidence.digest(lab, "recipe")


def test_experiments_of_a_page_are_proved_too(two: Lab) -> None:
    page = two.folder / "steps.md"
    page.write_text(page.read_text() + "\n## Try\n\n```sh on=lb1\nuptime\n```\n")
    record(two, PROVED)
    assert evidence.stale(two, "recipe") == "the experiments of its page are not proved"
    tried = PROVED | {"try_seconds": 1.0, "measured": {"ratio": "0.5"}}
    tried["tried"] = evidence.tried(two, evidence.digest(two, "recipe"))
    record(two, tried)
    assert evidence.stale(two, "recipe") == ""
    kept = evidence.merged(two, "recipe", PROVED)
    assert (kept["try_seconds"], kept["measured"]) == (1.0, {"ratio": "0.5"})
    assert "try_seconds" not in evidence.merged(two, "another", PROVED)
    page.write_text(page.read_text().replace("uptime", "uptime -p"))
    assert evidence.stale(two, "recipe") == "the experiments of its page are not proved"
    assert "try_seconds" not in evidence.merged(two, "recipe", PROVED)
    built_again = {"checks": {"check_x": {"built": "passed"}}}
    assert evidence.merged(two, "recipe", built_again)["checks"] == evidence.read(two)["checks"]
