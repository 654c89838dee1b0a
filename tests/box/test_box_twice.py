"""Two builds from the same packages give the same image, proved on a reduced list."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from workshop import box
from workshop.manifest import ROOT


def test_two_builds_give_the_same_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / "box", checkout / "box")
    monkeypatch.setenv("WORKSHOP_PACKAGES", "")
    digests = []
    for name in ("first", "second"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        built = box.build(checkout, print, package_list="packages-small.txt")
        digests.append((built.digest, box.sha256(built.file("libvirt"))))
    assert digests[0] == digests[1]
