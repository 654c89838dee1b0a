"""The box's cache and its refusals, without root and without a VM."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from workshop import box
from workshop.errors import WorkshopError

CHECKOUT = Path(__file__).parent.parent


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a small recipe, an empty cache and no MySQL packages."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("WORKSHOP_PACKAGES", raising=False)
    monkeypatch.setattr(box, "require_tools", lambda: None)
    folder = tmp_path / "class" / "checkout"
    (folder / "box").mkdir(parents=True)
    (folder / "box" / "packages.txt").write_text("apache2  # web\n")
    return folder


def add_packages(folder: Path, content: bytes = b"deb") -> Path:
    folder.mkdir(parents=True)
    name = "mysql-cluster-community-server_1_amd64.deb"
    (folder / name).write_bytes(content)
    (folder / "SHA256SUMS").write_text(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
    return folder


def add_box(checkout: Path) -> Path:
    """A finished box in the cache, as `build` leaves it."""
    folder = box.cache_folder() / box.recipe_digest(checkout)[:16]
    folder.mkdir(parents=True)
    (folder / "libvirt.box").write_bytes(b"a disk")
    entry = {"bytes": 6, "sha256": hashlib.sha256(b"a disk").hexdigest()}
    manifest = {"image_sha256": "ab" * 32, "files": {"libvirt.box": entry}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def fake_run(content: bytes = b"a disk") -> Callable[[box.Builder], Path]:
    def run(builder: box.Builder) -> Path:
        out = builder.work / "out"
        out.mkdir()
        (out / "libvirt.box").write_bytes(content)
        (out / "manifest.json").write_text('{"image_sha256": "00", "files": {}}')
        return out

    return run


def test_digest_follows_the_recipe_and_the_packages(checkout: Path) -> None:
    first = box.recipe_digest(checkout)
    assert box.recipe_digest(checkout) == first
    (checkout / "box" / "README.md").write_text("words change nothing")
    assert box.recipe_digest(checkout) == first
    (checkout / "box" / "init").write_text("#!/bin/busybox sh\n")
    second = box.recipe_digest(checkout)
    add_packages(checkout / "packages")
    assert len({first, second, box.recipe_digest(checkout)}) == 3


def test_packages_are_sought_in_order(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert box.package_folder(checkout) is None
    shared = add_packages(checkout.parent / "shared" / "mysql-cluster")
    assert box.package_folder(checkout) == shared
    own = add_packages(checkout / "packages")
    assert box.package_folder(checkout) == own
    named = add_packages(checkout.parent / "usb")
    monkeypatch.setenv("WORKSHOP_PACKAGES", str(named))
    assert box.package_folder(checkout) == named
    monkeypatch.setenv("WORKSHOP_PACKAGES", "")
    assert box.package_folder(checkout) is None


def test_named_folder_without_packages_is_an_error(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKSHOP_PACKAGES", str(checkout))
    with pytest.raises(WorkshopError, match=r"WORKSHOP_PACKAGES=.*holds no"):
        box.package_folder(checkout)


def test_altered_package_is_named(checkout: Path) -> None:
    folder = add_packages(checkout / "packages")
    deb = next(folder.glob("*.deb"))
    deb.write_bytes(b"cut")
    with pytest.raises(WorkshopError, match=f"{deb.name} does not match"):
        box.recipe_digest(checkout)


def test_unlisted_packages_and_missing_sums_are_named(checkout: Path) -> None:
    folder = add_packages(checkout / "packages")
    (folder / "extra.deb").write_bytes(b"extra")
    with pytest.raises(WorkshopError, match=r"extra\.deb does not match"):
        box.recipe_digest(checkout)
    (folder / "SHA256SUMS").unlink()
    with pytest.raises(WorkshopError, match="SHA256SUMS is missing"):
        box.recipe_digest(checkout)


def test_cached_box_is_found(checkout: Path) -> None:
    assert box.cached(checkout) is None
    folder = add_box(checkout)
    found = box.cached(checkout, thorough=True)
    assert found is not None
    assert found.file("libvirt") == folder / "libvirt.box"
    assert found.name == "lamp-ha/bookworm-abababababab"


@pytest.mark.parametrize(
    ("content", "thorough", "words"),
    [
        (b"a di", False, "cut short"),
        (b"a disc", True, "its checksum differs"),
        (None, False, "is missing"),
    ],
)
def test_damaged_box_is_reported_and_not_used(
    checkout: Path, content: bytes | None, thorough: bool, words: str
) -> None:
    file = add_box(checkout) / "libvirt.box"
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    said: list[str] = []
    assert box.cached(checkout, said.append, thorough=thorough) is None
    assert len(said) == 1
    assert words in said[0]
    assert "building it again" in said[0]


def test_half_a_manifest_is_damage(checkout: Path) -> None:
    (add_box(checkout) / "manifest.json").write_text('{"files": {')
    said: list[str] = []
    assert box.cached(checkout, said.append) is None
    assert "manifest.json is damaged" in said[0]


def test_too_little_space_says_what_to_do(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=2_500_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(WorkshopError, match=r"2\.5 GB free.*needs 6 GB.*XDG_CACHE_HOME"):
        box.build(checkout, lambda line: None)


def test_missing_tool_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool, path: tool != "qemu-img")
    with pytest.raises(WorkshopError, match="apt-get install qemu-utils"):
        box.require_tools()


@pytest.mark.parametrize("failure", [WorkshopError("no mirror"), KeyboardInterrupt()])
def test_failed_build_leaves_the_old_box_and_nothing_else(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    monkeypatch.setattr(box, "require_space", lambda cache: None)
    monkeypatch.setattr(box, "as_root", lambda command, environment: command)
    folder = add_box(checkout)

    def fail(builder: box.Builder) -> Path:
        (builder.work / "disk.raw").write_bytes(b"half")
        raise failure

    monkeypatch.setattr(box.Builder, "run", fail)
    with pytest.raises(type(failure)):
        box.build(checkout, lambda line: None)
    assert [path.name for path in box.cache_folder().iterdir() if path.is_dir()] == [folder.name]
    assert box.cached(checkout) is not None


def test_leftover_of_a_killed_build_is_cleared(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(box, "require_space", lambda cache: None)
    monkeypatch.setattr(box, "as_root", lambda command, environment: command)
    monkeypatch.setattr(box.Builder, "run", fake_run())
    (box.cache_folder() / ".building" / "root").mkdir(parents=True)
    built = box.build(checkout, lambda line: None)
    assert not (box.cache_folder() / ".building").exists()
    assert built.file("libvirt").read_bytes() == b"a disk"


def test_second_build_waits_and_takes_the_first_ones_box(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(builder: box.Builder) -> Path:
        raise AssertionError("built twice")

    monkeypatch.setattr(box.Builder, "run", never)
    cache = box.cache_folder()
    cache.mkdir(parents=True)
    said: list[str] = []
    built: list[box.Box] = []
    with box.lock(cache, said.append) as (_, waited):
        assert not waited
        second = Thread(target=lambda: built.append(box.build(checkout, said.append)))
        second.start()
        while not said:
            second.join(0.01)
        add_box(checkout)
    second.join(2)
    assert said == ["box: another build is running; waiting for it"]
    assert built[0].digest == "ab" * 32


def test_the_recipe_names_no_host_and_every_listed_file_exists() -> None:
    recipe = CHECKOUT / "box"
    names = [
        name
        for line in (recipe / "packages.txt").read_text().splitlines()
        for name in line.split("#")[0].split()
    ]
    assert len(names) == len(set(names))
    assert {"heartbeat", "ldirectord", "mariadb-server", "linux-image-cloud-amd64"} <= set(names)
    for path in recipe.rglob("*"):
        if path.is_file():
            assert not re.search(r"\bdeb\.\w+\.org|\.debian\.", path.read_text()), path


def test_evidence_does_not_depend_on_what_is_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "packages.txt").write_text("curl\n")
    monkeypatch.setenv("WORKSHOP_PACKAGES", "")
    without = box.recipe_digest(tmp_path)
    monkeypatch.delenv("WORKSHOP_PACKAGES")
    packages = tmp_path / "packages"
    packages.mkdir()
    deb = packages / "mysql-cluster-community-server_9.7.2_amd64.deb"
    deb.write_text("a package")
    (packages / "SHA256SUMS").write_text(f"{box.sha256(deb)}  {deb.name}\n")
    assert box.recipe_digest(tmp_path) != without
    assert box.recipe_digest(tmp_path, added=False) == without
