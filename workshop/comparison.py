"""The roads to a highly available database, side by side: `handout/comparison.toml`.

What a lab has measured is taken from its evidence, and said to be stale where it is; anything
else is "not measured yet".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from workshop import evidence, manifest
from workshop.box import recipe_digest
from workshop.errors import WorkshopError
from workshop.manifest import LABS, ROOT, Strict

FILE = ROOT / "handout" / "comparison.toml"
NOT_YET = "not measured yet"


class Road(Strict):
    """One road; `outage` names the fault that measures it: `lab-slug/fault`."""

    name: str
    idea: str
    writes: str
    gives_up: str
    outage: str = ""


class File(Strict):
    """Contents of `comparison.toml`."""

    road: list[Road]


@dataclass(frozen=True)
class Row:
    """A road with what was measured."""

    road: Road
    outage: str


def rows(path: Path = FILE, labs: Path = LABS) -> list[Row]:
    """The comparison, in the file's order."""
    return [Row(road, _outage(road, path, labs)) for road in manifest.read(path, File).road]


def _outage(road: Road, path: Path, labs: Path) -> str:
    if not road.outage:
        return NOT_YET
    slug, _, name = road.outage.partition("/")
    lab = next((lab for lab in manifest.labs(labs) if lab.slug == slug), None)
    if lab is None:  # a lab that is still to be written
        return NOT_YET
    if name not in lab.file.faults:
        raise WorkshopError(
            f"{path.parent.name}/{path.name}: {road.name}: lab {lab.number} has no fault {name!r}"
        )
    entry = evidence.read(lab).get("faults", {}).get(name, {})
    if "outage" not in entry or entry.get("wrong"):
        return NOT_YET
    stale = evidence.stale(lab, recipe_digest(ROOT, added=False))
    return f"{entry['outage']:.1f} s (lab {lab.number}{', stale' if stale else ''})"
