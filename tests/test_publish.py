"""The gate: nothing is published that is not proved."""

from __future__ import annotations

import datetime
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from fakes import keyed, refused
from test_site import FIRST, checkout

from workshop import evidence, manifest, publish, render, site
from workshop.box import Box, recipe_digest
from workshop.manifest import ROOT

WHOLE = 'site_url = "https://example.org/"\n[contact]\nname = "A"\nmail = "a@example.org"\n'
FAULT = """
[faults.power-off]
title = "No power"
does = "power_off"
expect = "The other one."
serves = "peer"
outage = 30
"""
PROVED: dict[str, Any] = {
    "checks": {"check_it": {"before": "failed", "built": "passed", "mutated": "failed"}},
    "faults": {
        "power-off": {
            "wrong": "", "outage": 20.0, "bound": 30.0, "failed": 200, "requests": 300,
            "heal_outage": 0.0,
        }
    },
}  # fmt: skip
LAB = {
    **FIRST,
    "lab.toml": FIRST["lab.toml"] + FAULT,
    "checks.py": "def check_it():\n    pass\n",
    "mutations.toml": '[check_it]\non = "lb1"\nrun = "false"\n',
}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose one lab is proved and whose imprint is whole; its mkdocs.yml."""
    built = Box(tmp_path, {"packages": {"apache2": "2.4.62-1"}})
    monkeypatch.setattr(publish.box, "cached", lambda *_: built)
    monkeypatch.setattr(site.distribution, "of", lambda _: None)
    found = checkout(tmp_path, {"01-first": LAB})
    (tmp_path / "handout" / "site.toml").write_text(WHOLE)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / ".gitignore").write_text("*\n")
    manifest.load.cache_clear()
    render.write(manifest.labs(tmp_path / "labs"), tmp_path / "configs")
    prove(tmp_path, PROVED)
    return found


def prove(folder: Path, found: dict[str, Any]) -> None:
    """Record evidence of the lab as it is."""
    manifest.load.cache_clear()
    lab = manifest.lab(1, folder / "labs")
    recipe = recipe_digest(ROOT, added=False)
    evidence.write(lab, recipe, "tcg", "A processor", keyed(lab, recipe, found))


def run(config: Path, anyway: bool = False) -> Path:
    """Publish, saying nothing."""
    return publish.publish(lambda _: None, anyway, config, config.parent / "labs")


def pages(folder: Path) -> list[str]:
    """The HTML of every page."""
    return [path.read_text() for path in folder.rglob("*.html") if "configs" not in path.parts]


def test_what_is_proved_is_published(config: Path) -> None:
    folder = run(config)
    assert not any("Draft" in page for page in pages(folder))
    assert (folder / "handout.pdf").read_bytes().startswith(b"%PDF-")
    assert '<link rel="canonical" href="https://example.org/' in (folder / "setup.html").read_text()


def test_checksums_are_those_of_the_site(config: Path) -> None:
    folder = run(config)
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, capture_output=True
    )
    assert done.returncode == 0
    listed = {line.split("  ")[1] for line in (folder / "SHA256SUMS").read_text().splitlines()}
    there = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert there - listed == {"SHA256SUMS", ".gitignore"}


def test_the_bill_names_python_and_debian_packages(config: Path) -> None:
    bill = json.loads((run(config) / "sbom.cdx.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    purls = [component["purl"] for component in bill["components"]]
    assert "pkg:deb/debian/apache2@2.4.62-1" in purls
    assert any(re.fullmatch(r"pkg:pypi/mkdocs-material@[0-9.]+", purl) for purl in purls)
    assert not any("/workshop@" in purl for purl in purls)


def test_the_bill_is_the_same_for_the_same_packages() -> None:
    at = ("abc", datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
    assert publish.bill({"a": "1"}, at) == publish.bill({"a": "1"}, at)
    assert publish.bill({"a": "1"}, at) != publish.bill({"a": "2"}, at)


def break_check(folder: Path) -> None:
    prove(folder, PROVED | {"checks": {}})


def skip_mutation(folder: Path) -> None:
    check = {"before": "failed", "built": "passed", "mutated": "skipped"}
    prove(folder, PROVED | {"checks": {"check_it": check}})


def break_fault(folder: Path) -> None:
    fault = {**PROVED["faults"]["power-off"], "wrong": "it took 40 s"}
    prove(folder, PROVED | {"faults": {"power-off": fault}})


def forget(folder: Path) -> None:
    (folder / "labs/01-first/proved.json").unlink()


def change_lab(folder: Path) -> None:
    path = folder / "labs/01-first/checks.py"
    path.write_text(path.read_text() + "\n# one more word\n")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (break_check, "its check check_it is not proved three ways"),
        (skip_mutation, "its check check_it is not proved three ways"),
        (break_fault, "its fault power-off is not proved"),
        (forget, "it was never proved"),
        (change_lab, "it changed since it was proved"),
    ],
)
def test_what_is_not_proved_is_refused(config: Path, damage: Any, words: str) -> None:
    damage(config.parent)
    manifest.load.cache_clear()
    with refused("not published", f"lab 1: {words}", "./run test --lab 1"):
        run(config)
    assert not (config.parent / "site/index.html").exists()
    folder = run(config, anyway=True)
    for page in pages(folder):
        assert f"Draft, not to be relied on: lab 1: {words}" in page


def test_an_empty_imprint_is_refused(config: Path) -> None:
    (config.parent / "handout/site.toml").write_text(WHOLE.replace("https://example.org/", ""))
    with refused("not published: handout/site.toml: site_url is empty"):
        run(config)


def test_configs_that_were_not_rendered_are_refused(config: Path) -> None:
    (config.parent / "configs/01-first/lb1/etc/one.conf").write_text("colour green\n")
    with refused("configs/01-first/lb1/etc/one.conf is out of date", "invoke render"):
        run(config)


def test_a_site_without_labs_is_refused() -> None:
    assert publish.lacking([], "recipe") == ["there is no lab"]
