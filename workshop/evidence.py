"""Evidence that a lab is proved: `proved.json`, keyed by a digest of all it depends on."""

from __future__ import annotations

import ast
import dataclasses
import datetime
import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

from workshop import faults, manifest, render, steps
from workshop.errors import WorkshopError
from workshop.manifest import ROOT, Lab

FILE = "proved.json"
# what a proof does not depend on: modules that show, publish, or serve other commands
APART = {"site", "show", "evidence", "cli", "commands", "suite"}
APART |= {"expectation", "bench", "torture", "skeleton", "diagnosis"}
APART |= {"lab_page", "proofs", "gathered", "failures", "distribution", "comparison", "imprint"}
APART |= {"publish", "printed", "rolling"}
APART |= {"bundle", "inventory", "tokens", "downloads"}
APART |= {"demo", "player", "controls", "display", "pacing", "stage", "transcript"}
APART |= {"performance", "stoppable", "expectation", "scenes", "notes", "shell", "mysql_packages"}
# what makes the machines and reads what is declared: each run of the tests does all of it anew,
# for every lab
ANEW = {"box", "checkpoints", "host", "hypervisor", "machines", "manifest", "state"}
# what only a lab that counts writes depends on
LEDGER = {"ledger", "writer", "writes"}


def engine(lab: Lab) -> list[Path]:
    """The modules that decide what the lab's proof says; a new one does until it is put apart."""
    without = APART | ANEW | (set() if lab.file.ledger else LEDGER)
    return [p for p in sorted((ROOT / "workshop").glob("*.py")) if p.stem not in without]


def digest(lab: Lab, recipe: str) -> str:
    """A digest of the lab, of how those it requires are built, of the topology, the box's recipe
    and the engine. Of the lab's page only Build counts; see `tried` for the rest, `faulted` for
    its faults, and `broken` for its mutations. A file counts as it is installed, however its
    template is written."""
    total = hashlib.sha256(recipe.encode())
    labs = lab.folder.parent
    required = [manifest.lab(n, labs) for n in manifest.closure(lab.file.requires, labs)]
    for each in required:
        total.update(_build(each).encode())
    total.update(f"{_declared(lab)}\0{_blocks(lab, 'build')}".encode())
    for each in [*required, lab]:
        for file, content in render.published(each).items():
            total.update(f"{each.name}/{file}\0".encode() + content + b"\0")
    left_out = ("steps.md", "lab.toml", "faults.py", "mutations.toml", "files")
    apart = {lab.folder / name for name in left_out}
    found = [path for path in _files(lab.folder) if apart.isdisjoint({path, *path.parents})]
    for path in [labs / "cluster.toml", *found, *engine(lab)]:
        name = path.relative_to(labs.parent if path.is_relative_to(labs) else ROOT)
        total.update(f"{name}\0{path.stat().st_mode & 0o111}\0".encode())
        total.update(path.read_bytes())
    return total.hexdigest()


def tried(lab: Lab, whole: str) -> str:
    """A digest of all that the experiments of the page depend on: the lab, whose digest `whole` is,
    and their blocks."""
    return hashlib.sha256(f"{whole}\0{_blocks(lab, 'try')}".encode()).hexdigest()


def faulted(lab: Lab, whole: str, name: str) -> str:
    """A digest of all that a fault's outcome depends on: the lab, whose digest `whole` is, what the
    fault declares, and what is done and undone, whomever it may strike."""
    fault = lab.file.faults[name]
    declared = fault.model_dump_json(exclude={"title", "expect"}, warnings=False)
    total = hashlib.sha256(f"{whole}\0{name}\0{declared}".encode())
    aimed = lab.nodes if fault.on in ("holder", "peer") else lab.cluster.members(fault.on)
    for node, peer in itertools.permutations(lab.nodes, 2):
        if node in aimed:
            try:
                total.update(f"{faults.plan(lab, name, node, peer)}\0".encode())
            except LookupError:  # it is no fault of that node's
                total.update(b"\0")
    return total.hexdigest()


def broken(lab: Lab, whole: str, name: str) -> str:
    """A digest of all that it depends on whether a check fails when its line is broken: the lab,
    whose digest `whole` is, and what is broken."""
    declared = lab.mutations[name].model_dump_json()
    return hashlib.sha256(f"{whole}\0{name}\0{declared}".encode()).hexdigest()


def _build(lab: Lab) -> str:
    """How the lab is built: what it declares, and its steps; not how it is told, tried, broken
    or judged, on which no other lab stands."""
    return f"{lab.name}\0{_declared(lab)}\0{_blocks(lab, 'build', expected=False)}\0"


def _declared(lab: Lab) -> str:
    return lab.file.model_dump_json(exclude={"title", "summary", "faults"})


def _blocks(lab: Lab, section: steps.Section, expected: bool = True) -> str:
    """What a section of the page does, wherever its blocks stand and whatever is said about them;
    `fault` blocks, which are proved by name, are left out."""
    found = []
    for step in steps.parse(lab).section(section):
        if step.kind != "fault":
            bare = dataclasses.replace(step, heading="", line=0, end=0, expect=None)
            seen = (step.expect.text, step.expect.within) if step.expect and expected else None
            found.append((bare, seen) if expected else bare)
    return f"{found}"


def _files(folder: Path) -> list[Path]:
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != FILE and "__pycache__" not in path.parts
    ]


def read(lab: Lab) -> dict[str, Any]:
    """The lab's recorded evidence; empty when there is none."""
    path = lab.folder / FILE
    if not path.exists():
        return {}
    try:
        data = json.loads(path.read_text())
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise WorkshopError(
            f"{lab.name}/{FILE} is damaged; `git checkout` brings it back, or `invoke test "
            f"--lab {lab.number}` makes it anew"
        )
    return data


def stale(lab: Lab, recipe: str) -> str:
    """Why the evidence does not hold, in one line; empty when it does."""
    recorded = read(lab)
    if not recorded:
        return "it was never proved"
    whole = digest(lab, recipe)
    if recorded.get("digest") != whole:
        return f"it changed since it was proved on {recorded.get('date', '?')}"
    return incomplete(lab, whole, recorded)


def _untried(lab: Lab, whole: str, recorded: dict[str, Any]) -> str:
    if experiments(lab) and recorded.get("tried") != tried(lab, whole):
        return "the experiments of its page are not proved"
    return ""


def incomplete(lab: Lab, whole: str, recorded: dict[str, Any]) -> str:
    """What the evidence of a lab with the digest `whole` lacks, of checks, mutations, faults and
    experiments; empty when nothing."""
    for name in dict.fromkeys([*lab.mutations, *_checks(lab)]):
        entry = recorded.get("checks", {}).get(name, {})
        passed = entry.get("before") == "failed" and entry.get("built") == "passed"
        if not passed or not _caught(lab, whole, recorded, name):
            return f"its check {name} is not proved three ways"
    if lacking := _lacking(lab, whole, recorded):
        return f"its fault {lacking[0]} is not proved"
    return _untried(lab, whole, recorded)


def unproved(lab: Lab, recipe: str) -> list[str]:
    """Names of the faults that no proof of the lab as it is now has shown to end as declared."""
    whole = digest(lab, recipe)
    return _lacking(lab, whole, _of_the_same(lab, whole))


def unbroken(lab: Lab, recipe: str) -> list[str]:
    """Names of the mutations that no proof of the lab as it is now has shown to be caught."""
    whole = digest(lab, recipe)
    recorded = _of_the_same(lab, whole)
    return [name for name in lab.mutations if not _caught(lab, whole, recorded, name)]


def _caught(lab: Lab, whole: str, recorded: dict[str, Any], name: str) -> bool:
    """Whether the check was seen to fail when the line was broken that its mutation breaks now."""
    entry = recorded.get("checks", {}).get(name, {})
    known = name in lab.mutations and entry.get("of") == broken(lab, whole, name)
    return known and entry.get("mutated") == "failed"


def _of_the_same(lab: Lab, whole: str) -> dict[str, Any]:
    """What is recorded of the lab as it is now; empty where it was of another state."""
    recorded = read(lab)
    return recorded if recorded.get("digest") == whole else {}


def _lacking(lab: Lab, whole: str, recorded: dict[str, Any]) -> list[str]:
    entries = recorded.get("faults", {})
    return [
        name
        for name in lab.file.faults
        if entries.get(name, {}).get("wrong", "missing")
        or "outage" not in entries[name]
        or entries[name].get("of") != faulted(lab, whole, name)
    ]


def experiments(lab: Lab) -> bool:
    """Whether the page has anything under Try but `fault` blocks, which are proved one by one."""
    return any(step.kind != "fault" for step in steps.parse(lab).section("try"))


def _checks(lab: Lab) -> list[str]:
    """Names of the lab's checks, read without running its `checks.py`."""
    path = lab.folder / "checks.py"
    if not path.exists():
        return []
    try:
        body = ast.parse(manifest.text(path)).body
    except SyntaxError as error:
        raise WorkshopError(f"{lab.name}/checks.py:{error.lineno}: {error.msg}") from None
    found = (node.name for node in body if isinstance(node, ast.FunctionDef))
    return [name for name in found if name.startswith("check_")]


def merged(lab: Lab, recipe: str, found: dict[str, Any]) -> dict[str, Any]:
    """`found`, and what did not run again but was proved of the very same things."""
    whole = digest(lab, recipe)
    known = _of_the_same(lab, whole)
    if not known:
        return found
    kept = ["build_seconds"]
    if not _untried(lab, whole, known):
        kept += ["try_seconds", "measured", "tried"]
    proof: dict[str, Any] = {name: known[name] for name in kept if name in known}
    before, now = known.get("checks", {}), found.get("checks", {})
    checks = {name: {**before.get(name, {}), **now.get(name, {})} for name in {**before, **now}}
    faults = {**known.get("faults", {}), **found.get("faults", {})}
    return {**proof, **found, "checks": checks, "faults": faults}


def write(lab: Lab, recipe: str, accelerator: str, cpu: str, found: dict[str, Any]) -> None:
    """Record evidence; the commit it belongs to is found through git by whoever shows it."""
    record = {
        "digest": digest(lab, recipe),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "accelerator": accelerator,
        "cpu": cpu,
        "box": recipe[:12],
        **found,
    }
    path = lab.folder / FILE
    path.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


def processor() -> str:
    """The processor's model and the number of cores; never the machine's name."""
    import os

    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{model}, {os.cpu_count()} cores"
