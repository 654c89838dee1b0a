"""The contract that every lab in labs/ meets, without a machine."""

from __future__ import annotations

import ast
import contextlib
import re
import stat
from pathlib import Path

import pytest

from workshop import faults, manifest, render, steps
from workshop.errors import WorkshopError
from workshop.manifest import Fault, Lab, Mutation

FOLDERS = manifest.lab_folders()
LABS: dict[str, Lab] = {}
for folder in FOLDERS:
    with contextlib.suppress(WorkshopError):  # the first test says what is wrong
        LABS[folder.name] = manifest.load(folder)
MANY = pytest.mark.parametrize("lab", LABS.values(), ids=LABS)
PRIVATE = re.compile(rb"PRIVATE KEY|\$(?:1|2[aby]|5|6|y)\$[./0-9A-Za-z]{8}|sha1 [0-9a-f]{40}")


def each(what: str) -> pytest.MarkDecorator:
    """One test for each fault or mutation of each lab."""
    found: list[tuple[Lab, str, Fault | Mutation]] = []
    for lab in LABS.values():
        items = lab.file.faults if what == "fault" else lab.mutations
        found += [(lab, name, item) for name, item in items.items()]
    names = [f"{lab.number}-{name}" for lab, name, _ in found]
    return pytest.mark.parametrize(("lab", "name", "item"), found, ids=names)


def checks(lab: Lab) -> dict[str, str | None]:
    """The lab's checks with their docstrings."""
    tree = ast.parse((lab.folder / "checks.py").read_text())
    return {
        node.name: ast.get_docstring(node)
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("check_")
    }


@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])
def test_every_lab_parses(folder: Path) -> None:
    lab = manifest.load(folder)
    assert lab.nodes
    assert lab.variables
    steps.parse(lab)
    render.files(lab)


@MANY
def test_numbers_are_given_once(lab: Lab) -> None:
    assert [other.name for other in LABS.values() if other.number == lab.number] == [lab.name]


@MANY
def test_the_page_builds_and_tries(lab: Lab) -> None:
    page = steps.parse(lab)
    assert page.section("build"), "a lab builds something"
    assert page.section("try"), "a lab lets the reader break something"
    assert not re.search(r"\b(TODO|FIXME|XXX)\b", page.text)


@MANY
def test_every_install_finds_its_file_for_every_node(lab: Lab) -> None:
    page = steps.parse(lab)
    files = render.available(lab)
    for step in page.steps:
        if step.kind == "install":
            found = render.installed(page, step, files)
            assert set(found) == set(step.on)


@MANY
def test_every_file_is_installed_by_the_page(lab: Lab) -> None:
    page = steps.parse(lab)
    files = render.available(lab)
    used = set()
    for step in page.steps:
        if step.kind == "install":
            for found in render.installed(page, step, files).values():
                used |= set(found)
    assert [f for f in files if f.lab == lab.number and f not in used] == []


@MANY
def test_files_are_for_nodes_of_the_lab(lab: Lab) -> None:
    assert {file.node for file in render.files(lab)} <= set(lab.nodes)


@MANY
def test_every_check_says_what_must_be_true(lab: Lab) -> None:
    found = checks(lab)
    assert found, "a lab without checks proves nothing"
    assert [name for name, says in found.items() if not says] == []


@MANY
def test_every_check_is_proved_by_a_mutation_and_every_mutation_proves_one(lab: Lab) -> None:
    assert set(checks(lab)) == set(lab.mutations)


@each("mutation")
def test_a_mutation_breaks_a_line_that_is_there(lab: Lab, name: str, item: Mutation) -> None:
    assert item.file or item.run, "it does something"
    nodes = lab.cluster.members(item.on)
    assert set(nodes) <= set(lab.nodes)
    if item.file and item.replace:
        assert item.replace != item.by
        assert item.file.startswith("/")
        for node in nodes:
            text = content(lab, node, item.file.lstrip("/"))
            assert text is not None, f"{node} gets no {item.file}"
            assert item.replace in text, f"{node}: {item.file} has no {item.replace!r}"
    else:
        stray = item.file or item.replace or item.by
        assert not stray, "file and replace belong together"


def content(lab: Lab, node: str, path: str) -> str | None:
    """The file as Build leaves it on the node: the last stage that the page installs."""
    page = steps.parse(lab)
    files = render.available(lab)
    found = None
    for step in page.section("build"):
        if step.kind == "install" and node in step.on:
            for file in render.installed(page, step, files)[node]:
                if file.path == path:
                    found = file.content.decode()
    if found is None:
        for number in reversed(manifest.closure(lab.file.requires)):
            found = found or content(manifest.lab(number), node, path)
    return found


@MANY
def test_every_expectation_names_a_digit_a_node_or_an_address(lab: Lab) -> None:
    nodes = "|".join(map(re.escape, lab.cluster.nodes))
    for step in steps.parse(lab).steps:
        if step.expect is not None:
            where = f"{step.file}:{step.expect.line}: {step.expect.text!r}"
            assert re.search(rf"\d|\b(?:{nodes})", step.expect.text), f"{where} matches too easily"
            assert not step.expect.met(""), f"{where} is met by nothing at all"


@each("fault")
def test_a_fault_can_be_planned_and_its_bounds_evaluated(lab: Lab, name: str, item: Fault) -> None:
    for bound in (item.outage, item.settle, item.heal_within, item.heal_outage, item.heal_settle):
        assert 0 <= lab.seconds(bound) < faults.LIMIT
    members = lab.nodes if item.on in ("holder", "peer") else lab.cluster.members(item.on)
    assert set(members) <= set(lab.nodes)
    for node in members:
        for peer in lab.nodes:
            plan = faults.plan(lab, name, node, peer)
            assert plan.do
            assert plan.undo
            assert {a.node for a in [*plan.do, *plan.undo]} <= set(lab.nodes)


@each("fault")
def test_a_fault_is_shown_in_full_sentences(lab: Lab, name: str, item: Fault) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    assert not item.title.endswith(".")
    assert item.expect.endswith((".", "!", "?"))


@MANY
def test_what_a_lab_says_of_itself(lab: Lab) -> None:
    assert lab.title
    assert lab.file.summary.endswith(".")
    assert re.compile(lab.file.says).groups <= 1
    for url in lab.file.look:
        assert url.startswith("http://")
    if lab.file.address:
        assert lab.file.says, "the probe has to know a good answer"


@MANY
def test_labs_require_earlier_labs_only(lab: Lab) -> None:
    assert all(number < lab.number for number in lab.file.requires)


@MANY
def test_labs_use_the_engine_through_its_front_door(lab: Lab) -> None:
    for path in lab.folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                assert not node.module.startswith("workshop."), f"{path.name}:{node.lineno}"
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
                assert not [n for n in names if n.startswith("workshop.")], path.name


# configs/


def test_configs_have_no_drift() -> None:
    assert render.drift(list(LABS.values())) == []


@MANY
def test_configs_show_placeholders_where_nodes_get_secrets(lab: Lab) -> None:
    marks = {name: f"-the-secret-{name}-" for name in render.secret_names(lab)}
    public = {(f.node, f.stage, f.path): f.content for f in render.files(lab)}
    for file in render.files(lab, marks):
        expected = file.content
        for name, mark in marks.items():
            expected = expected.replace(mark.encode(), render.placeholder(name).encode())
        assert public[file.node, file.stage, file.path] == expected


def test_configs_hold_no_secret() -> None:
    for path in render.CONFIGS.rglob("*"):
        if path.is_file():
            assert not PRIVATE.search(path.read_bytes()), path
            assert stat.S_ISREG(path.lstat().st_mode), f"{path} is a link"


def test_no_file_of_a_lab_holds_a_secret() -> None:
    for lab in LABS.values():
        for path in lab.folder.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert not PRIVATE.search(path.read_bytes()), path


def test_the_engine_names_no_lab() -> None:
    for path in Path(manifest.__file__).parent.glob("*.py"):
        text = path.read_text()
        for lab in LABS.values():
            assert lab.name not in text, f"{path.name} names {lab.name}"
