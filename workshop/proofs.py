"""Faults and recorded evidence in the handout's words: bounds, figures, when and where."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from workshop import evidence
from workshop.box import recipe_digest
from workshop.errors import WorkshopError
from workshop.manifest import ROOT, Fault, Lab

ACCELERATORS = {"kvm": "with KVM", "tcg": "without KVM", "virtualbox": "in VirtualBox"}


@dataclass(frozen=True)
class Proof:
    """What a lab's evidence says, in words."""

    state: Literal["proved", "stale", "none"]
    short: str
    why: str = ""  # why it is stale, or how to get one
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """One fault's recorded figures, in seconds, and how far each reaches in the plot."""

    name: str
    fault: Fault
    wrong: str  # not empty: it did not end as declared, and the figures mean nothing
    outage: float
    bound: float  # as declared
    allowed: float | None  # as it was there, on a slow machine more; None: until it is undone
    failed: int
    requests: int
    undone: float
    widest: float
    writes: dict[str, Any]  # of a lab that counts writes: what became of them

    def percent(self, seconds: float) -> float:
        """Share of the plot's width, in per cent."""
        return round(100 * seconds / self.widest, 2) if self.widest else 0.0

    @property
    def kept(self) -> str:
        """What became of the acknowledged writes, in a few words."""
        told = [f"{self.writes['lost']} of {self.writes['ok']} lost"]
        told += [
            f"{self.writes[what]} {word}"
            for what, word in (
                ("duplicated", "duplicated"),
                ("ghosts", "ghosts"),
                ("lost_updates", "lost updates"),
                ("stale", "shown late"),
            )
            if self.writes.get(what)
        ]
        return f"{', '.join(told)}; none for {self.writes['outage']:.1f} s"


def prove(lab: Lab) -> Proof:
    """When, where and how far the lab was last proved."""
    recorded = evidence.read(lab)
    if not recorded:
        text = f"Run ./run test --lab {lab.number} to prove it on your machine."
        return Proof("none", "Not proved yet", text)
    date = recorded.get("date", "?")
    commit = commit_of(lab.folder / evidence.FILE)
    checks = recorded.get("checks", {}).values()
    passed = sum(check.get("built") == "passed" for check in checks)
    caught = sum(check.get("mutated") == "failed" for check in checks)
    faults = recorded.get("faults", {}).values()
    ended = sum(not fault.get("wrong") for fault in faults)
    patience = max((fault.get("patience", 1) for fault in faults), default=1)
    slow = f", slow that day: time bounds x {patience:g}" if patience > 1 else ""
    facts = {
        "Date": date,
        "Commit": commit or "not committed yet",
        "Machine": f"{recorded.get('cpu', 'unknown processor')}, {machine(recorded)}{slow}",
        "Box": f"recipe {recorded['box']}" if "box" in recorded else "not recorded",
        "Outcome": f"{_count(passed, 'check')} passed, {_count(caught, 'mutation')} caught, "
        f"{_count(ended, 'fault')} ended as declared",
    }
    try:
        reason = evidence.stale(lab, recipe_digest(ROOT, added=False))
    except WorkshopError as error:
        reason = f"it cannot be compared: {error}"
    if reason:
        return Proof("stale", f"Proof of {date} is stale", f"Of this lab, {reason}.", facts)
    return Proof("proved", f"Proved on {date}", "", facts)


def figures(lab: Lab) -> list[Measured]:
    """What each declared fault measured when it was last proved; those without figures are
    left out."""
    recorded = evidence.read(lab).get("faults", {})
    there = {n: f for n, f in lab.file.faults.items() if "outage" in recorded.get(n, {})}
    widest = max(
        (
            float(recorded[name].get(key) or 0)
            for name in there
            for key in ("outage", "bound", "heal_outage")
        ),
        default=0.0,
    )
    return [
        Measured(
            name,
            fault,
            recorded[name].get("wrong", ""),
            recorded[name]["outage"],
            lab.seconds(fault.outage),
            None if fault.serves == "nobody" else recorded[name].get("bound", 0.0),
            recorded[name].get("failed", 0),
            recorded[name].get("requests", 0),
            recorded[name].get("heal_outage") or 0.0,
            widest,
            recorded[name].get("writes", {}),
        )
        for name, fault in there.items()
    ]


def bound(lab: Lab, fault: Fault) -> str:
    """The declared outcome of a fault with its bound in seconds."""
    who = {
        "holder": "The same machine serves on",
        "peer": "The other machine serves",
        "both": "Both machines hold the address",
        "nobody": "Nobody serves until you undo the fault",
        "any": "One machine serves",
    }[fault.serves]
    if fault.serves == "nobody":
        return f"{who}."
    at_most = _at_most(lab.seconds(fault.outage))
    if fault.leaves:
        return f"{who}. For {at_most} some visitors see errors; then {fault.leaves} serves nobody."
    return f"{who}; visitors go without for {at_most}."


def healing(lab: Lab, fault: Fault) -> str:
    """What must be true after the fault is undone."""
    who = {
        "holder": "the machine that served before serves",
        "peer": "the machine that took over serves on",
    }.get(fault.after_heal, "exactly one machine serves")
    served = f"Within {lab.seconds(fault.heal_within):g} s {who}"
    if fault.serves == "nobody":  # the outage goes on until then
        return f"{served}."
    return f"{served}; undoing it costs visitors {_at_most(lab.seconds(fault.heal_outage))}."


def _at_most(seconds: float) -> str:
    return f"at most {seconds:g} s" if seconds else "no time at all"


def measured(lab: Lab, name: str, recorded: dict[str, Any], proof: Proof) -> str:
    """What the visitors' probe saw when the fault was last proved, and was undone; and that this
    was of another state of the lab, where it was."""
    entry = recorded.get("faults", {}).get(name, {})
    if "outage" not in entry or entry.get("wrong"):
        return "Not measured yet."
    seen = f"No outage, {entry['requests']} requests all good"
    if entry["failed"]:
        share = f"{entry['failed']} of {entry['requests']} requests failed"
        seen = f"{entry['outage']:.1f} s without service, {share}"
    undone = f"{entry['heal_outage']:.1f} s" if entry.get("heal_outage") else "nothing"
    where = [entry.get("date") or recorded.get("date", "?"), machine(recorded)]
    fault = lab.file.faults[name]
    if fault.serves != "nobody" and entry.get("bound", 0) > lab.seconds(fault.outage):
        where.append(f"a slow machine, which was allowed {entry['bound']:g} s")
    if proof.state == "stale":
        where.append("of another state of this lab: stale")
    return f"{seen}; undoing it cost {undone} ({', '.join(where)})."


def machine(recorded: dict[str, Any]) -> str:
    """The kind of virtual machine that the evidence was made on."""
    accelerator = str(recorded.get("accelerator", "?"))
    return ACCELERATORS.get(accelerator, accelerator)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def commit_of(path: Path) -> str:
    """Short name of the commit that last changed the file; empty without git, or where
    the file has changed since."""
    try:
        changed = git(path.parent, "status", "--porcelain", "--", path.name)
        return "" if changed else git(path.parent, "log", "-1", "--format=%h", "--", path.name)
    except (OSError, subprocess.SubprocessError):
        return ""


def git(folder: Path, *words: str) -> str:
    """What git says of the folder; raises OSError or SubprocessError where it cannot."""
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=5, check=True
    )
    return done.stdout.strip()
