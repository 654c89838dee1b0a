"""What the distribution ships, read from a small box that is made here."""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
from pathlib import Path

import pytest

from workshop import distribution
from workshop.box import Box
from workshop.distribution import PARTITION, Distribution

SHIPPED = b"colour = grey\nsize = 1\n"
STATUS = f"""\
Package: thing
Conffiles:
 /etc/thing.conf {hashlib.md5(SHIPPED).hexdigest()}
 /etc/changed.conf {hashlib.md5(SHIPPED).hexdigest()}
"""
OWNED = (
    "/etc/thing.conf\n/etc/changed.conf\n/usr/share/doc/thing/examples/other.conf.gz\n/srv/thing\n"
)


def image(folder: Path, files: dict[str, bytes]) -> Box:
    """A box whose disk has these files."""
    root = folder / "root"
    for path, content in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    raw, disk = folder / "disk.raw", folder / "box.img"
    with raw.open("wb") as stream:
        stream.truncate(PARTITION + (8 << 20))
    mke2fs = ["/usr/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-d", str(root)]
    subprocess.run([*mke2fs, "-E", f"offset={PARTITION}", str(raw), "8M"], check=True)
    convert = ["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", str(raw), str(disk)]
    subprocess.run(convert, check=True)
    with tarfile.open(folder / "libvirt.box", "w") as tar:
        tar.add(disk, "box.img")
    manifest = {"image_sha256": "0123456789abcdef0", "packages": {"thing": "1.2-3"}}
    return Box(folder, manifest)


@pytest.fixture
def read(tmp_path: Path) -> Distribution:
    """The distribution's files in a small box."""
    files = {
        "etc/thing.conf": SHIPPED,
        "etc/changed.conf": b"the kit's own\n",
        "var/www/html/index.html": b"It works\n",
        "var/lib/dpkg/status": STATUS.encode(),
        "var/lib/dpkg/info/thing.list": OWNED.encode(),
    }
    found = distribution.of(image(tmp_path, files))
    assert found is not None
    return found


def test_a_package_ships_the_file(read: Distribution) -> None:
    shipped = read.at("etc/thing.conf")
    assert shipped is not None
    assert (shipped.content, shipped.package, shipped.version) == (SHIPPED, "thing", "1.2-3")


def test_what_the_kit_has_changed_is_not_called_the_distributions(read: Distribution) -> None:
    assert read.at("etc/changed.conf") is None


def test_a_file_that_an_installation_made_belongs_to_no_package(read: Distribution) -> None:
    shipped = read.at("var/www/html/index.html")
    assert shipped is not None
    assert (shipped.content, shipped.package) == (b"It works\n", "")


def test_an_example_is_named(read: Distribution) -> None:
    shipped = read.at("etc/other.conf")
    assert shipped is not None
    assert shipped.content is None
    assert shipped.example == "/usr/share/doc/thing/examples/other.conf.gz"


def test_outside_the_folders_that_were_read_nothing_is_claimed(read: Distribution) -> None:
    assert read.at("srv/thing") is None
    other = read.at("srv/other")
    assert other is not None
    assert other.content is None


def test_it_is_read_once(read: Distribution, tmp_path: Path) -> None:
    (tmp_path / "libvirt.box").unlink()
    manifest = {"image_sha256": "0123456789abcdef0", "packages": {"thing": "1.2-3"}}
    again = distribution.of(Box(tmp_path, manifest))
    assert again is not None
    assert again.at("etc/thing.conf") == read.at("etc/thing.conf")


@pytest.mark.parametrize("damage", ["nothing there", "no tar"])
def test_what_cannot_be_read_is_left_out(tmp_path: Path, damage: str) -> None:
    if damage == "no tar":
        (tmp_path / "libvirt.box").write_bytes(b"not a box")
    box = Box(tmp_path, {"image_sha256": "f" * 20, "packages": {}})
    assert distribution.of(box) is None
    assert distribution.of(box) is None


def test_a_box_without_dpkgs_records_is_left_out(tmp_path: Path) -> None:
    assert distribution.of(image(tmp_path, {"etc/thing.conf": SHIPPED})) is None
