"""MySQL Cluster packages from source: up to the end of configure, and from programs to packages.

What lies between them, an hour of compiling, is not repeated here.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from workshop import box, mysql_packages
from workshop.manifest import ROOT

SCRIPT = ROOT / "mysql-cluster" / "build.sh"


def test_sources_are_found_and_configured() -> None:
    mysql_packages.build(ROOT, print, until="configure")
    work = mysql_packages.work_folder()
    targets = subprocess.run(
        ["ninja", "-C", work / "build", "-t", "targets", "all"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    made = {line.split(":")[0] for line in targets.stdout.splitlines()}
    assert {"mysqld", "ndbd", "ndb_mgmd", "ndb_mgm", "auth_socket"} <= made


def test_programs_become_the_packages_the_labs_install(tmp_path: Path) -> None:
    given = box.package_folder(ROOT)
    if given is None:
        pytest.fail("no MySQL Cluster packages to compare with: see `invoke packages`")
    work, out = tmp_path / "work", tmp_path / "out"
    out.mkdir()
    _lay_out_as_compiled(given, tmp_path / "root", work)
    subprocess.run([SCRIPT, "package", work, out], check=True)
    for deb in given.glob("mysql-cluster-*.deb"):
        name = deb.name.split("_")[0]
        built = next(out.glob(f"{name}_*.deb"))
        for field in ("Version", "Depends", "Provides", "Conflicts", "Replaces"):
            assert _field(built, field) == _field(deb, field), f"{name}: {field}"
        assert _files(built) == _files(deb), name


def _lay_out_as_compiled(given: Path, root: Path, work: Path) -> None:
    """Put the programs of finished packages where the compiler would leave them."""
    for deb in given.glob("mysql-cluster-*.deb"):
        subprocess.run(["dpkg-deb", "-x", deb, root], check=True)
    programs, libraries, plugins = (
        work / "build" / f"{kind}_output_directory" for kind in ("runtime", "library", "plugin")
    )
    private = root / "usr/lib/mysql/private"
    data = next(private.glob("icudt*"))
    shutil.copytree(data, work / "src/extra/icu" / data.name)
    shutil.rmtree(data)
    shutil.copytree(private, libraries)
    shutil.copytree(root / "usr/lib/mysql/plugin", plugins)
    for folder in ("usr/bin", "usr/sbin"):
        shutil.copytree(root / folder, programs, dirs_exist_ok=True)
    for program in programs.iterdir():
        subprocess.run(["patchelf", "--set-rpath", libraries, program], check=True)
    shutil.copytree(root / "usr/share/mysql/charsets", work / "src/share/charsets")
    message = work / "build/share/english"
    message.mkdir(parents=True)
    shutil.copy(root / "usr/share/mysql/english/errmsg.sys", message)
    licence = next(root.glob("usr/share/doc/mysql-cluster-*/copyright"))
    shutil.copy(licence, work / "src/LICENSE")
    version = _field(next(given.glob("mysql-cluster-*.deb")), "Version").split("-")[0].split(".")
    parts = zip(("MAJOR", "MINOR", "PATCH"), version, strict=True)
    (work / "src/MYSQL_VERSION").write_text("".join(f"MYSQL_VERSION_{p}={v}\n" for p, v in parts))


def _field(deb: Path, field: str) -> str:
    shown = subprocess.run(
        ["dpkg-deb", "-f", deb, field], capture_output=True, text=True, check=True
    )
    return " ".join(sorted(shown.stdout.split(", "))).strip()


def _files(deb: Path) -> list[str]:
    listed = subprocess.run(["dpkg-deb", "-c", deb], capture_output=True, text=True, check=True)
    return sorted(line.split(maxsplit=5)[5] for line in listed.stdout.splitlines())
