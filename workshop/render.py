"""Render a lab's files: pure, no network.

`labs/NN-slug/files/WHO[@STAGE]/etc/...` becomes `/etc/...` on the nodes that WHO names;
`.j2` is a Jinja template, anything else is taken as it is. A node's own file wins over
its group's.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import jinja2

from workshop import manifest
from workshop.errors import WorkshopError
from workshop.manifest import ROOT, Lab
from workshop.steps import Page, Step, context

CONFIGS = ROOT / "configs"
PLACEHOLDER = "@@SET-{name}@@"


@dataclass(frozen=True)
class File:
    """One file as a node gets it."""

    node: str
    path: str  # destination without the leading slash
    content: bytes
    mode: str
    stage: str = ""
    source: str = ""  # where it comes from, below labs/
    lab: int = 0  # number of the lab whose file it is


def placeholder(name: str) -> str:
    """What stands for the secret `name` in published files; no daemon accepts it."""
    return PLACEHOLDER.format(name=name.upper().replace("_", "-"))


def placeholders(lab: Lab) -> dict[str, str]:
    """All secrets of the lab, and those it requires, as placeholders."""
    return {name: placeholder(name) for name in secret_names(lab)}


def secret_names(lab: Lab) -> dict[str, str]:
    """Names and forms of the secrets that the lab's templates may use."""
    forms: dict[str, str] = {}
    for number in manifest.closure(lab.file.requires, lab.folder.parent):
        forms |= manifest.lab(number, lab.folder.parent).file.secrets
    return forms | lab.file.secrets


def files(lab: Lab, secrets: dict[str, str] | None = None) -> list[File]:
    """Every file of the lab for every node, with `secrets` or, without, placeholders."""
    values = placeholders(lab) if secrets is None else secrets
    found: dict[tuple[str, str, str], File] = {}
    for owner, stage, source in _sources(lab):
        nodes = [node for node in lab.cluster.members(owner) if node in lab.nodes]
        relative = source.relative_to(lab.folder / "files").parts[1:]
        path = "/".join(relative).removesuffix(".j2")
        for node in nodes:
            key = (node, stage, path)
            if key in found:
                continue  # the node's own file is there already
            content = _content(lab, source, node, values)
            mode = lab.file.modes.get(path, "0644")
            label = str(source.relative_to(lab.folder.parent))
            found[key] = File(node, path, content, mode, stage, label, lab.number)
    unknown = set(lab.file.modes) - {f.path for f in found.values()}
    if unknown:
        raise WorkshopError(f"{lab.name}/lab.toml: modes: no file {sorted(unknown)[0]!r} in files/")
    return [found[key] for key in sorted(found)]


def _sources(lab: Lab) -> list[tuple[str, str, Path]]:
    """(owner, stage, file) of everything below files/, single nodes first."""
    base = lab.folder / "files"
    result = []
    for folder in sorted(base.iterdir()) if base.exists() else []:
        owner, _, stage = folder.name.partition("@")
        try:
            lab.cluster.members(owner)
        except WorkshopError as error:
            raise WorkshopError(f"{lab.name}/files/{folder.name}: {error}") from None
        result += [(owner, stage, p) for p in sorted(folder.rglob("*")) if p.is_file()]
    return sorted(result, key=lambda item: (item[0] not in lab.cluster.nodes, item))


def _content(lab: Lab, source: Path, node: str, secrets: dict[str, str]) -> bytes:
    if source.suffix != ".j2":
        return source.read_bytes()
    values = context(lab)
    values["node"] = values["nodes"][node]
    values["secrets"] = secrets
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True
    )
    name = source.relative_to(lab.folder.parent)
    try:
        text = manifest.text(source, str(name))
        return environment.from_string(text).render(values).encode()
    except jinja2.UndefinedError as error:
        raise WorkshopError(f"{name}: {error.message}; define it in {lab.name}/lab.toml") from None
    except jinja2.TemplateSyntaxError as error:
        raise WorkshopError(f"{name}:{error.lineno}: {error.message}") from None
    except WorkshopError:
        raise
    except Exception as error:  # whatever an expression may do wrong
        raise WorkshopError(f"{name}: {error}") from None


def available(lab: Lab, secrets: dict[str, str] | None = None) -> list[File]:
    """The lab's files and those of the labs it requires, which an `install` may name."""
    folder = lab.folder.parent
    required = [
        manifest.lab(number, folder) for number in manifest.closure(lab.file.requires, folder)
    ]
    return [file for each in (*required, lab) for file in files(each, secrets)]


def installed(page: Page, step: Step, rendered: list[File]) -> dict[str, list[File]]:
    """The files, of those `available`, that an `install` step puts in place, by node; a path
    that no file provides is an error that names the step's line."""
    return {
        node: [_find(page.lab, path, node, step, rendered) for path in step.paths]
        for node in step.on
    }


def _find(lab: Lab, path: str, node: str, step: Step, rendered: list[File]) -> File:
    owner, name = lab, path
    other, _, rest = path.partition(":")
    if rest:
        try:
            owner, name = manifest.lab(other, lab.folder.parent), rest.lstrip("/")
        except WorkshopError as error:
            raise WorkshopError(f"{step.where}: {path}: {error}") from None
        if owner.number not in manifest.closure(lab.file.requires, lab.folder.parent):
            raise WorkshopError(f"{step.where}: {path}: this lab does not require {other!r}")
    for file in rendered:
        if (file.lab, file.node, file.stage, file.path) == (owner.number, node, step.stage, name):
            return file
    stage = f"@{step.stage}" if step.stage else ""
    raise WorkshopError(f"{step.where}: no file in files/ gives {node}{stage} /{path}")


def staged_path(file: File) -> str:
    """Where the rendered file lies on the node before it is installed."""
    stage = f"@{file.stage}" if file.stage else ""
    return f"/root/lab-{file.lab}{stage}/{file.path}"


def install_command(file: File) -> str:
    """The command that puts the file in place: the page shows it, the engine runs it."""
    return f"install -D -m {file.mode} {staged_path(file)} /{file.path}"


def published(lab: Lab) -> dict[str, bytes]:
    """Content of `configs/NN-slug/`: path to bytes, with a MANIFEST of owners and modes."""
    result: dict[str, bytes] = {}
    lines = []
    for file in files(lab):
        stage = f"@{file.stage}" if file.stage else ""
        path = f"{file.node}{stage}/{file.path}"
        result[path] = file.content
        lines.append(f"root:root {file.mode} {path}\n")
    if result:
        result["MANIFEST"] = "".join(sorted(lines)).encode()
    return result


def write(labs: list[Lab], target: Path = CONFIGS) -> list[str]:
    """Write `configs/` anew; returns the paths that changed, relative to it."""
    changed = drift(labs, target)
    for lab in labs:
        shutil.rmtree(target / lab.name, ignore_errors=True)
        for path, content in published(lab).items():
            file = target / lab.name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    names = {lab.name for lab in labs}
    for folder in target.glob("[0-9][0-9]-*"):
        if folder.name not in names:
            shutil.rmtree(folder)
    return changed


def drift(labs: list[Lab], target: Path = CONFIGS) -> list[str]:
    """Paths below `configs/` that differ from what the labs render to."""
    wanted = {f"{lab.name}/{path}": data for lab in labs for path, data in published(lab).items()}
    there = {
        str(p.relative_to(target)): p.read_bytes()
        for folder in target.glob("[0-9][0-9]-*")
        for p in folder.rglob("*")
        if p.is_file()
    }
    return sorted(p for p in wanted.keys() | there.keys() if wanted.get(p) != there.get(p))
