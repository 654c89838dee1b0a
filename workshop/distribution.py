"""What the distribution itself ships where a lab puts a file: read from the box, as it was
before any lab, and never committed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from workshop import state
from workshop.box import Box

FOLDERS = ("/etc", "/var/www", "/var/lib/dpkg")  # where labs put files, and dpkg's records
PARTITION = 1 << 20  # bytes before the box's one partition
COMMON = ("sbin", "usr/sbin")  # where debugfs may lie outside a user's PATH


@dataclass(frozen=True)
class Shipped:
    """What is known of a path in the box; `content` is None where it has no file there."""

    content: bytes | None
    package: str = ""  # which ships it; empty: made when a package was installed
    version: str = ""
    example: str = ""  # an example of it that a package ships elsewhere


@dataclass(frozen=True)
class Distribution:
    """The folders of a box that were read, and who owns what in them."""

    folder: Path
    versions: dict[str, str]
    owners: dict[str, str] = field(default_factory=dict)
    pristine: dict[str, str] = field(default_factory=dict)  # path: MD5 as shipped

    def at(self, path: str) -> Shipped | None:
        """What the box has at `path` (without its leading slash); None where that part of
        the box was not read, or where the file is the kit's own and not the package's."""
        if not any(f"/{path}".startswith(f"{top}/") for top in FOLDERS):
            return Shipped(None) if f"/{path}" not in self.owners else None
        file = self.folder / path
        package = self.owners.get(f"/{path}", "")
        if not file.is_file():
            return Shipped(None, example=self._example(path))
        content = file.read_bytes()
        wanted = self.pristine.get(f"/{path}")
        if wanted and hashlib.md5(content, usedforsecurity=False).hexdigest() != wanted:
            return None
        return Shipped(content, package, self.versions.get(package, ""))

    def _example(self, path: str) -> str:
        name = re.escape(Path(path).name)
        pattern = re.compile(rf"/usr/share/doc/.*/{name}(\.gz)?")
        return next((owned for owned in sorted(self.owners) if pattern.fullmatch(owned)), "")


def of(box: Box) -> Distribution | None:
    """The distribution's files in this box, read once and kept in `.workshop/`; None where
    they cannot be had (another provider's box, no room, a tool missing)."""
    kept = state.path(f"distribution/{box.digest[:16]}")
    if not (kept / "whole").exists():
        shutil.rmtree(kept.parent, ignore_errors=True)
        kept.parent.mkdir(parents=True)
        try:
            with _disk(box.file("libvirt"), kept.parent) as disk:
                kept.mkdir()
                _dump(disk, kept)
        except (OSError, KeyError, tarfile.TarError, subprocess.SubprocessError):
            shutil.rmtree(kept.parent, ignore_errors=True)
            return None
        (kept / "whole").touch()
    return _read(kept, {str(n): str(v) for n, v in box.manifest["packages"].items()})


@contextmanager
def _disk(box: Path, scratch: Path) -> Iterator[Path]:
    """The box's disk as a raw image, which is a second's or two's work and a gigabyte."""
    with tarfile.open(box) as tar:
        member = tar.getmember("box.img")
    inside = {"driver": "file", "filename": str(box)}
    part = {"driver": "raw", "offset": member.offset_data, "size": member.size, "file": inside}
    image = "json:" + json.dumps({"driver": "qcow2", "file": part})
    with tempfile.TemporaryDirectory(dir=scratch, prefix=".disk") as folder:
        raw = Path(folder) / "disk.raw"
        _run("qemu-img", "convert", "-O", "raw", image, str(raw))
        yield raw


def _dump(disk: Path, target: Path) -> None:
    """Copy FOLDERS out of the disk's ext4 partition."""
    for folder in FOLDERS:
        into = target / folder.lstrip("/")
        into.parent.mkdir(parents=True, exist_ok=True)
        _run("debugfs", "-R", f"rdump {folder} {into.parent}", f"{disk}?offset={PARTITION}")
    if not (target / "var/lib/dpkg/status").exists():  # debugfs never fails
        raise OSError("dpkg's records are not there")


def _run(program: str, *words: str) -> None:
    path = os.pathsep.join([os.environ.get("PATH", ""), *(f"/{folder}" for folder in COMMON)])
    found = shutil.which(program, path=path)
    if not found:
        raise FileNotFoundError(program)
    subprocess.run([found, *words], check=True, capture_output=True, timeout=300)


def _read(folder: Path, versions: dict[str, str]) -> Distribution:
    owners: dict[str, str] = {}
    for records in (folder / "var/lib/dpkg/info").glob("*.list"):
        package = records.stem.partition(":")[0]
        for line in records.read_text().splitlines():
            owners.setdefault(line, package)
    pristine = {}
    for line in (folder / "var/lib/dpkg/status").read_text().splitlines():
        if match := re.fullmatch(r" (/\S+) ([0-9a-f]{32})", line):
            pristine[match[1]] = match[2]
    return Distribution(folder, versions, owners, pristine)
