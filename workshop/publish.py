"""The publish gate: a site only of labs that are proved, with checksums and a bill of materials."""

from __future__ import annotations

import datetime
import importlib.metadata
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

from cyclonedx.model import Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from workshop import box, evidence, imprint, manifest, proofs, render, site
from workshop.errors import WorkshopError
from workshop.manifest import LABS, ROOT, Lab

SUMS = "SHA256SUMS"
BILL = "sbom.cdx.json"
Say = Callable[[str], None]


def publish(
    say: Say, anyway: bool = False, config_file: Path = ROOT / "mkdocs.yml", labs: Path = LABS
) -> Path:
    """Build the site for others to read, and give its folder.

    Raises WorkshopError, naming which lab to run, unless everything is proved and the
    imprint is whole; `anyway` builds it all the same, with that in a banner on each page.
    """
    checkout = config_file.parent
    lacks = lacking(manifest.labs(labs), box.recipe_digest(ROOT, added=False))
    if drifted := render.drift(manifest.labs(labs), checkout / "configs"):
        lacks.append(f"configs/{drifted[0]} is out of date: run `invoke render`")
    named = imprint.read(checkout / "handout" / "site.toml").missing()
    if named:
        lacks.append(f"handout/site.toml: {named[0]} is empty: fill it in")
    if lacks and not anyway:
        raise WorkshopError(f"not published: {'; '.join(lacks)}")
    banner = f"Draft, not to be relied on: {'; '.join(lacks)}." if lacks else ""
    seconds = site.build(config_file=config_file, banner=banner)
    folder = checkout / "site"
    built = box.cached(ROOT)
    (folder / BILL).write_text(bill(built.manifest["packages"] if built else {}, commit(checkout)))
    (folder / SUMS).write_text(checksums(folder))
    if not built:
        say(
            f"{BILL} lacks the box's packages, and the pages what changes of Debian's files: "
            "`invoke box` builds it, then publish again"
        )
    if banner:
        say(banner)
    say(f"{folder.name}/index.html, {SUMS} and {BILL}, built in {seconds:.1f} s")
    return folder


def lacking(labs: list[Lab], recipe: str) -> list[str]:
    """What is not proved, a line for each lab, with what to run."""
    if not labs:
        return ["there is no lab"]
    reasons = {lab.number: evidence.stale(lab, recipe) for lab in labs}
    return [
        f"lab {number}: {reason}: run `./run test --lab {number}`"
        for number, reason in reasons.items()
        if reason
    ]


def checksums(folder: Path) -> str:
    """The SHA-256 of each file below the folder, as `sha256sum --check` reads it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return "".join(
        f"{box.sha256(path)}  {path.relative_to(folder)}\n"
        for path in files
        if path.name not in (SUMS, ".gitignore") or path.parent != folder
    )


def bill(packages: dict[str, str], at: tuple[str, datetime.datetime]) -> str:
    """CycloneDX bill of materials, as JSON: the Python packages that build and prove the
    site, and the box's Debian packages. The same for the same packages and commit."""
    name, when = at
    components = [
        _component("pypi", "", found.metadata["Name"].lower().replace("_", "-"), found.version)
        for found in importlib.metadata.distributions()
        if found.metadata["Name"] != "workshop"
    ]
    components += [_component("deb", "debian", each, packages[each]) for each in packages]
    bom = Bom(components=components)
    whole = Component(
        name="lamp-ha-workshop",
        version=name or "not committed",
        type=ComponentType.APPLICATION,
        bom_ref="lamp-ha-workshop",
    )
    bom.register_dependency(whole, components)
    bom.metadata = BomMetaData(
        timestamp=when,
        component=whole,
        properties=[Property(name="box", value="included" if packages else "not built here")],
    )
    parts = "\n".join(sorted(str(component.purl) for component in components))
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, f"{name}\n{parts}")
    outputter = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6)
    return outputter.output_as_string(indent=1) + "\n"


def _component(kind: str, namespace: str, name: str, version: str) -> Component:
    purl = PackageURL(kind, namespace or None, name, version)
    return Component(name=name, version=version, purl=purl, bom_ref=str(purl))


def commit(checkout: Path) -> tuple[str, datetime.datetime]:
    """The checkout's commit and its time; without git nothing and the epoch."""
    try:
        name, _, when = proofs.git(checkout, "log", "-1", "--format=%h %cI").partition(" ")
        return name, datetime.datetime.fromisoformat(when)
    except (OSError, ValueError, subprocess.SubprocessError):
        return "", datetime.datetime.fromtimestamp(0, datetime.UTC)
