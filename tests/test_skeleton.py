"""A new lab is small and whole."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest
from fakes import refused

from workshop import manifest, render, skeleton, steps


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of labs with the real topology and no lab."""
    shutil.copy(manifest.LABS / "cluster.toml", tmp_path / "cluster.toml")
    return tmp_path


def test_a_new_lab_parses_and_renders(folder: Path) -> None:
    lab = manifest.load(skeleton.create("my-lab", folder))
    page = steps.parse(lab)
    assert lab.name == "01-my-lab"
    assert [step.kind for step in page.section("build")] == ["install", "sh"]
    found = render.files(lab)
    for step in page.steps:
        if step.kind == "install":
            assert render.installed(page, step, found)["web1"]
    mutation = lab.mutations["check_the_file_says_hello"]
    assert any(mutation.replace in f.content.decode() for f in found)


def test_its_checks_and_mutations_fit(folder: Path) -> None:
    path = skeleton.create("my-lab", folder)
    names = {n.name for n in ast.parse((path / "checks.py").read_text()).body
             if isinstance(n, ast.FunctionDef)}  # fmt: skip
    assert names == set(manifest.load(path).mutations)


def test_it_is_numbered_after_the_last(folder: Path) -> None:
    skeleton.create("first", folder)
    assert skeleton.create("second", folder).name == "02-second"


@pytest.mark.parametrize("name", ["", "Two", "a b", "../x", "1st"])
def test_a_bad_name_is_refused(folder: Path, name: str) -> None:
    with refused("small letters"):
        skeleton.create(name, folder)


def test_a_name_that_is_taken_is_refused(folder: Path) -> None:
    skeleton.create("first", folder)
    with refused("'first'", "already"):
        skeleton.create("first", folder)
