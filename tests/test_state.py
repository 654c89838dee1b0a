"""What is remembered: whole or not at all, by one command at a time."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fakes import refused

from workshop import state


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_folder_is_its_owners_only() -> None:
    state.path("logs/vagrant.log")
    assert mode(state.FOLDER) == 0o700
    assert (state.FOLDER / "logs").is_dir()


def test_json_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert state.load("course.json", {"built": []}) == {"built": []}
    state.store("course.json", {"built": [1, 2]})
    assert state.load("course.json", {}) == {"built": [1, 2]}


@pytest.mark.parametrize("damage", [b"", b'{"built": [1', b"\0\0\0\0", b"\xff\xfe{}"])
def test_a_damaged_file_is_named_with_the_cure(damage: bytes) -> None:
    state.path("course.json").write_bytes(damage)
    with refused(".workshop/course.json is damaged", "invoke destroy"):
        state.load("course.json", {})


@pytest.mark.parametrize(("text", "default"), [("[]", {}), ("null", {}), ("{}", []), ("7", [])])
def test_a_file_of_another_shape_is_damaged_too(text: str, default: Any) -> None:
    state.path("faults.json").write_text(text)
    with refused(".workshop/faults.json is damaged", "invoke destroy"):
        state.load("faults.json", default)


@pytest.mark.parametrize("call", ["fsync", "open", "replace"])
def test_a_full_disk_leaves_the_old_content(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    state.store("course.json", {"built": [1]})
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with refused("course.json", "No space left on device", "free some space"):
            state.store("course.json", {"built": [1, 2]})
    assert state.load("course.json", {}) == {"built": [1]}
    assert [p.name for p in state.FOLDER.iterdir()] == ["course.json"]


def test_a_full_disk_stops_what_the_journal_would_announce(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", full)
    with refused(".workshop/journal", "No space left on device"):
        state.journal("fault", name="power-off")


def test_the_journal_is_one_line_an_event() -> None:
    state.journal("create", domain="lb1")
    state.journal("fault", name="cut", token="1a")
    events = [json.loads(line) for line in state.path("journal").read_text().splitlines()]
    assert [(e["event"], e.get("domain"), e.get("token")) for e in events] == [
        ("create", "lb1", None),
        ("fault", None, "1a"),
    ]


def test_the_identifier_stays() -> None:
    first = state.identifier()
    assert len(first) == 6
    assert state.identifier() == first


def test_a_secret_is_made_once_and_private() -> None:
    first = state.secret("auth", "sha1 {hex}")
    assert len(first.removeprefix("sha1 ")) == 40
    assert state.secret("auth", "sha1 {hex}") == first
    assert len(state.secret("password", "{word}")) == 20
    assert mode(state.FOLDER / "secrets.json") == 0o600


def test_two_workshops_have_different_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = state.secret("auth", "{hex}")
    monkeypatch.setattr(state, "FOLDER", tmp_path / "other")
    assert state.secret("auth", "{hex}") != first


def test_the_key_is_a_private_key_made_once() -> None:
    key = state.key()
    assert mode(key) == 0o600
    content = key.read_bytes()
    shown = subprocess.run(["ssh-keygen", "-y", "-f", key], capture_output=True, check=True)
    public = Path(f"{key}.pub").read_bytes()
    assert public.split()[:2] == shown.stdout.split()[:2]
    assert state.key().read_bytes() == content


def test_a_key_that_was_being_made_is_made_again() -> None:
    state.path(".key.new").write_text("half")
    state.path(".key.new.pub").write_text("half")
    assert state.key().read_text().startswith("-----BEGIN OPENSSH PRIVATE KEY-----")


# the lock


def test_a_second_command_is_refused_and_told_who_runs() -> None:
    with state.lock("lab 1"):
        with refused("`invoke lab 1 (process", "running in this folder", "Ctrl-C"):  # noqa: SIM117
            with state.lock("check 1"):
                pass
        assert f"(process {os.getpid()})" in state.path("lock").read_text()


def test_the_lock_is_free_after_a_command_that_failed() -> None:
    with pytest.raises(KeyboardInterrupt), state.lock("lab 1"):
        raise KeyboardInterrupt
    with state.lock("check 1"):
        assert "check 1" in state.path("lock").read_text()
    assert state.path("lock").read_text() == ""


def test_the_name_of_a_killed_holder_does_not_lock() -> None:
    state.path("lock").write_text("invoke lab 1 (process 1)")
    with state.lock("check 1"):
        assert "lab 1" not in state.path("lock").read_text()


# one cluster a host


def test_the_host_is_claimed_by_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        (folder / ".workshop").mkdir(parents=True)
    monkeypatch.setattr(state, "ROOT", first)
    state.claim()
    state.claim()
    monkeypatch.setattr(state, "ROOT", second)
    with refused("belongs to", str(first), "invoke destroy"):
        state.claim()


def test_a_claim_ends_with_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    (first / ".workshop").mkdir(parents=True)
    monkeypatch.setattr(state, "ROOT", first)
    state.claim()
    (first / ".workshop").rmdir()
    monkeypatch.setattr(state, "ROOT", second)
    state.claim()
    assert (state.HOST_FOLDER / "owner").read_text() == f"{second}\n"


def test_forget_keeps_lock_and_logs_only() -> None:
    state.claim()
    state.secret("auth", "{hex}")
    state.path("known/lb1").write_text("key")
    state.path("logs/vagrant.log").write_text("story")
    with state.lock("destroy"):
        state.forget()
    assert sorted(p.name for p in state.FOLDER.iterdir()) == ["lock", "logs"]
    assert not (state.HOST_FOLDER / "owner").exists()


def test_forget_leaves_another_folders_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.claim()
    monkeypatch.setattr(state, "ROOT", tmp_path / "second")
    state.forget()
    assert (state.HOST_FOLDER / "owner").exists()


FULL_DISK = """
import os, sys
from pathlib import Path
from workshop import state
from workshop.errors import WorkshopError
state.FOLDER = Path(sys.argv[1]) / ".workshop"
state.store("course.json", {"built": [1], "digests": {}})
state.store("faults.json", [])
state.secret("old", "{hex}")
state.journal("create", domain="before")
filler = os.open(Path(sys.argv[1]) / "filler", os.O_CREAT | os.O_WRONLY)
try:
    while True:
        os.write(filler, bytes(4096))
except OSError:
    os.close(filler)
points = {
    "course.json": lambda: state.store("course.json", {"built": [2], "digests": {"2": "x" * 5000}}),
    "faults.json": lambda: state.store("faults.json", [{"name": "x" * 5000}]),
    "secrets.json": lambda: state.secret("new", "{hex}" * 200),
    "journal": lambda: state.journal("create", domain="x" * 5000),
    "key": lambda: state.key(),
}
for name, work in points.items():
    try:
        work()
    except WorkshopError as error:
        print(name, "refused:", error)
    else:
        print(name, "WRITTEN")
assert state.load("course.json", {}) == {"built": [1], "digests": {}}
assert state.load("faults.json", []) == []
assert state.secret("old", "{hex}")
assert not (state.FOLDER / "key").exists()
(Path(sys.argv[1]) / "filler").unlink()
state.store("course.json", {"built": [1, 2], "digests": {}})
state.key()
print("and on")
"""


def test_five_points_survive_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """On a file system of 128 kB, full to the last block: a mount of this test's own."""
    script = tmp_path / "script.py"
    script.write_text(FULL_DISK)
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=128k none {disk} && exec {sys.executable} {script} {disk}"
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", mount],
        env={**os.environ, "PYTHONPATH": str(Path(state.__file__).parent.parent)},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert [line.split()[1] for line in lines[:-1]] == ["refused:"] * 5
    assert lines[-1] == "and on"
