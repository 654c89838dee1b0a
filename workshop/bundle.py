"""The config bundle: every lab's files, how to install them, and what they sum up to.

One list of files with tokens serves all: the bundle of the course's own values, the one for the
reader's servers, and the page in the browser. Archives are the same to the byte wherever and
whenever they are made.
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from workshop import inventory, render, steps, tokens
from workshop.inventory import NETWORKS, token
from workshop.manifest import ROOT, Lab
from workshop.steps import Step
from workshop.tokens import TokenFile, Words

NAME = "lamp-ha-configs"  # of the archives, and of the folder in them
OWN = "lamp-ha-own-servers"  # of the archives for the reader's own servers
TARGET = ROOT / "dist"
PARTS = ROOT / "handout" / "parts" / "bundle"
SUMS = "SHA256SUMS"
STORED = 0xFFFF  # bytes that a stored block of gzip's format holds at most
PLACES = {"holder": "the server that has the address", "peer": "the other server"}
SHELL = {"hex": "$(openssl rand -hex 20)", "word": "$(openssl rand -hex 10)"}


@dataclass(frozen=True)
class File:
    """One file of a bundle."""

    path: str
    content: bytes
    mode: str


def files(
    labs: list[Lab],
    values: dict[str, str] | None = None,
    tokened: list[TokenFile] | None = None,
) -> list[File]:
    """The bundle's files for these values of an inventory, by default the course's own;
    `tokened` are the labs' `token_files` where they are known already."""
    values = values or inventory.defaults(labs)
    found = [
        File(
            inventory.substitute(each.path, values, labs),
            inventory.substitute(each.text, values, labs).encode(),
            each.mode,
        )
        for each in tokened or token_files(labs)
    ]
    return [*found, File(SUMS, _sums({f.path: f.content for f in found}), "0644")]


def _sums(contents: dict[str, bytes]) -> bytes:
    """The SHA-256 of each content by name, as `sha256sum --check` reads it."""
    lines = (f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in contents.items())
    return "".join(lines).encode()


def token_files(labs: list[Lab]) -> list[TokenFile]:
    """The bundle's files, all but the sums, with tokens for what an inventory may change."""
    configs = tokens.configs(labs)
    words = Words(labs)
    nodes = _nodes(labs)
    hosts = "".join(
        f"{token(f'nodes.{node}.front')} {token(f'nodes.{node}.name')}\n" for node in nodes
    )
    readme = _part(
        "README.md",
        labs=labs,
        networks=NETWORKS,
        nodes=nodes,
        floating=[f.key for f in inventory.fields(labs) if f.key.startswith("addresses.")],
        secrets=_secrets(labs, configs),
    )
    installs = [
        TokenFile(
            f"{lab.name}/INSTALL.md",
            words.checked(_install(lab, labs, words), f"{lab.name}/steps.md"),
        )
        for lab in labs
    ]
    return [
        TokenFile("README.md", words.checked(readme, "README.md")),
        TokenFile("LICENSE", (ROOT / "LICENSE").read_text()),
        TokenFile("PACKAGES", _packages()),
        TokenFile("hosts", hosts),
        TokenFile("inventory.toml", inventory.example(labs)),
        *installs,
        *configs,
    ]


def _nodes(labs: list[Lab]) -> list[str]:
    wanted = {node for lab in labs for node in lab.nodes}
    return [node for node in labs[0].cluster.nodes if node in wanted] if labs else []


def _part(template: str, **values: Any) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PARTS),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template(template).render(values, token=token)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _secrets(labs: list[Lab], configs: list[TokenFile]) -> list[dict[str, Any]]:
    """Each placeholder, the files it stands in, and what makes a secret of its form."""
    forms: dict[str, str] = {}
    for lab in labs:
        forms |= lab.file.secrets
    found = []
    for name, form in forms.items():
        stands = render.placeholder(name)
        paths = [file.path for file in configs if stands in file.text]
        command = form.format(**SHELL)
        found.append({"placeholder": stands, "paths": paths, "command": command})
    return [secret for secret in found if secret["paths"]]


def _packages() -> str:
    """The box's packages without those that only a virtual machine needs."""
    sections = (ROOT / "box" / "packages.txt").read_text().split("\n\n")
    return "# Debian 12 packages of the workshop, by purpose; a '#' begins a comment.\n\n" + (
        "\n\n".join(section for section in sections[2:])
    )


# What to type


def _install(lab: Lab, labs: list[Lab], words: Words) -> str:
    page, available = tokens.page(lab, labs)
    listed: list[dict[str, Any]] = []
    heading = ""
    itself = {step.line: step for step in steps.parse(lab).section("build")}
    for step in page.section("build"):
        if step.kind == "fault":
            continue
        words.faithful(step.body, itself[step.line].body, step.where)
        entries = _installs(page, step, available) if step.kind == "install" else _typed(lab, step)
        for entry in entries:
            names = [PLACES.get(node, node) for node in entry["on"]]
            entry["on"] = [words.replaced(name) for name in names]
            entry["command"] = words.replaced(entry["command"])
            entry["heading"] = words.replaced(step.heading) if step.heading != heading else ""
            entry |= {"see": "", "expect": ""}
            if step.expect:
                pattern = step.expect.pattern
                entry["see"] = "Repeat it until you see" if step.watch else "You should see"
                entry["see"] += ":" if pattern is None else ", as a regular expression:"
                entry["expect"] = words.pattern_of(step.expect.text)
            heading = step.heading
            listed.append(entry)
    return _part("INSTALL.md", lab=lab, steps=listed)


def _installs(page: steps.Page, step: Step, available: list[render.File]) -> list[dict[str, Any]]:
    """An `install` step, node by node, for each has a folder of its own."""
    return [
        {
            "on": [node],
            "command": "\n".join(
                f"install -D -m {file.mode} {tokens.place(file)} /{file.path}" for file in wanted
            ),
            "remarks": [],
        }
        for node, wanted in render.installed(page, step, available).items()
    ]


def _typed(lab: Lab, step: Step) -> list[dict[str, Any]]:
    """A step's commands; what they take from below /root/lab-N lies in the node's folder."""
    command = step.body
    if step.kind == "sql":
        command = steps.sql_command(lab, step.body)
    remarks = ["This is refused, and is meant to be."] if step.fails else []
    remarks += ["Leave it running."] if step.background else []
    staged = re.compile(rf"/root/lab-{lab.number}(@\w+|)/")
    if not staged.search(command):
        return [{"on": list(step.on), "command": command, "remarks": remarks}]
    return [
        {
            "on": [node],
            "command": staged.sub(rf"{lab.name}/{node}\g<1>/", command),
            "remarks": remarks,
        }
        for node in step.on
    ]


# Archives


def zipped(bundle: list[File]) -> bytes:
    """The bundle as a .zip that compresses nothing: the same bytes from any program."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for file in bundle:
            entry = zipfile.ZipInfo(f"{NAME}/{file.path}", (1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix, so that modes count
            entry.external_attr = (0o100000 | int(file.mode, 8)) << 16
            archive.writestr(entry, file.content)
    return buffer.getvalue()


def tarred(bundle: list[File]) -> bytes:
    """The bundle as a .tar.gz that compresses nothing, all of it root's and of 1 January 1980."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for file in bundle:
            entry = tarfile.TarInfo(f"{NAME}/{file.path}")
            entry.size, entry.mode, entry.mtime = len(file.content), int(file.mode, 8), 315532800
            entry.uname = entry.gname = "root"
            archive.addfile(entry, io.BytesIO(file.content))
    return _gzipped(buffer.getvalue())


def _gzipped(data: bytes) -> bytes:
    """`data` in gzip's format, in blocks that are stored: what a library makes of the header and
    of compression differs from one version to the next."""
    head = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # deflated, no flags, no time, any system
    parts = [data[at : at + STORED] for at in range(0, len(data), STORED)]
    blocks = [struct.pack("<BHH", 0, len(part), len(part) ^ 0xFFFF) + part for part in parts]
    last = struct.pack("<BHH", 1, 0, 0xFFFF)
    end = struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)
    return b"".join([head, *blocks, last, end])


def archives(
    labs: list[Lab],
    values: dict[str, str] | None = None,
    tokened: list[TokenFile] | None = None,
) -> dict[str, bytes]:
    """Both archives and their sums, by file name, of what `files` gives."""
    bundle = files(labs, values, tokened)
    name = OWN if values else NAME
    made = {f"{name}.zip": zipped(bundle), f"{name}.tar.gz": tarred(bundle)}
    return made | {f"{name}.{SUMS}": _sums(made)}


def write(labs: list[Lab], own: Path | None = None, target: Path | None = None) -> list[Path]:
    """Make the archives, for the inventory in `own` if given; the files written."""
    values = inventory.read(own, labs) if own else None
    target = target or TARGET
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for name, data in archives(labs, values).items():
        (target / name).write_bytes(data)
        written.append(target / name)
    return written


def example(labs: list[Lab]) -> str:
    """An inventory to start from: the course's own."""
    return inventory.substitute(inventory.example(labs), inventory.defaults(labs), labs)


def description(labs: list[Lab], tokened: list[TokenFile] | None = None) -> dict[str, Any]:
    """What the page in the browser needs to make the same bundle; `tokened` as in `files`."""
    return {
        **inventory.specification(labs),
        "folder": NAME,
        "download": f"{OWN}.zip",
        "sums": SUMS,
        "files": [vars(file) for file in tokened or token_files(labs)],
    }
