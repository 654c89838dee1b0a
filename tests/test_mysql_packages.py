"""Building MySQL Cluster packages: what it takes, and what it leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from workshop import box, mysql_packages
from workshop.errors import WorkshopError


def test_what_is_missing_is_named_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(mysql_packages, "missing", lambda: ["bison", "cmake"])
    with pytest.raises(WorkshopError, match="apt install bison cmake"):
        mysql_packages.build(tmp_path, print)
    assert not mysql_packages.work_folder().exists()
    assert "bison" in mysql_packages.BUILDS_WITH


def test_a_failed_step_names_its_log_and_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("WORKSHOP_PACKAGES", raising=False)
    monkeypatch.setattr(mysql_packages, "missing", list)
    monkeypatch.setattr(mysql_packages, "NEEDED_BYTES", 0)
    work = mysql_packages.work_folder()
    work.mkdir(parents=True)
    (work / "mysql-9.9_9.9.9.orig.tar.gz").write_bytes(b"")
    script = tmp_path / "mysql-cluster" / "build.sh"
    script.parent.mkdir()
    script.write_text(
        '#!/bin/sh\ntest $1 != compile || test -e "$2/ready" || { echo "no space left"; exit 1; }\n'
        'test $1 != package || echo "a package" >"$3/mysql-cluster-x.deb"\n'
    )
    script.chmod(0o755)
    with pytest.raises(WorkshopError, match=r"step compile failed: no space left; .*build\.log"):
        mysql_packages.build(tmp_path, print)
    assert box.package_folder(tmp_path) is None
    (work / "ready").touch()
    mysql_packages.build(tmp_path, print)
    assert box.package_folder(tmp_path) == tmp_path / "packages"
    assert list(box.package_checksums(tmp_path / "packages")) == ["mysql-cluster-x.deb"]
