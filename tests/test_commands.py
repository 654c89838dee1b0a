"""The commands in dialogue: what is said, what the exit status is."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from fakes import LAB, Fleet, write_lab

from workshop import commands, course, evidence, faults, state
from workshop.checkpoints import BOOTED, Checkpoints

CHECKOUT = Path(__file__).resolve().parent.parent
FAULT = (
    '\n[faults.dark]\ntitle = "The [front] cable"\ndoes = "unplug"\n'
    'expect = "It moves."\nserves = "peer"\n'
)
GOOD = 'def check_it():\n    """It holds."""\n'

# in a copy of the checkout, by real processes


@dataclass(frozen=True)
class Said:
    status: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("error:")]


class Copy:
    """A copy of this checkout with state and caches of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        self.cache = folder / "cache"
        skip = shutil.ignore_patterns(".*", "tests", "site", "packages", "node_modules")
        shutil.copytree(CHECKOUT, self.folder, ignore=skip, symlinks=True)

    def invoke(self, *words: str) -> Said:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("WORKSHOP_")}
        environment |= {"XDG_CACHE_HOME": str(self.cache), "PYTHONPATH": ""}
        done = subprocess.run(
            [str(Path(sys.executable).parent / "invoke"), *words],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
        )
        return Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("copy"))


REFUSED: dict[tuple[str, ...], list[str]] = {
    ("lab", "99"): ["no lab '99'", "1 (heartbeat)"],
    ("break", "1", "nonsense"): ["lab 1 has no fault 'nonsense'", "power-off"],
    ("ssh", "nowhere"): ["'nowhere'", "lb1"],
}


@pytest.fixture(scope="module")
def refusals(copy: Copy) -> dict[tuple[str, ...], Said]:
    """All those commands' dialogues, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(REFUSED, pool.map(lambda words: copy.invoke(*words), REFUSED), strict=True))


@pytest.mark.parametrize("words", REFUSED, ids=" ".join)
def test_a_command_that_is_refused_says_so_in_one_line(
    refusals: dict[tuple[str, ...], Said], words: tuple[str, ...]
) -> None:
    said = refusals[words]
    assert said.status != 0
    assert len(said.errors) == 1
    assert said.err.splitlines() == said.errors
    assert "Traceback" not in said.out + said.err
    for word in REFUSED[words]:
        assert word in said.errors[0]


def test_a_second_command_is_refused_while_the_first_holds_the_lock(copy: Copy) -> None:
    (copy.folder / ".workshop").mkdir(exist_ok=True)
    with (copy.folder / ".workshop" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("invoke lab 1 (process 4242)")
        lock.flush()
        said = copy.invoke("check", "1")
    assert said.status == 1
    assert said.err.splitlines() == [
        "error: `invoke lab 1 (process 4242)` is running in this folder; wait for it, or stop it "
        "with Ctrl-C"
    ]


def test_configs_are_rendered_checked_and_found_out_of_date(copy: Copy) -> None:
    assert copy.invoke("render").status == 0
    rendered = next(p for p in sorted((copy.folder / "configs").rglob("*")) if p.is_file())
    rendered.write_text("edited by hand")
    said = copy.invoke("render", "--check")
    assert said.status == 1
    name = rendered.relative_to(copy.folder)
    assert said.err == f"error: {name} is out of date; `invoke render` renews it\n"


# in this process, over the fake fleet


class Desk:
    """Commands over the fake fleet; `run` gives status, output lines and error lines."""

    def __init__(self, fleet: Fleet, labs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.fleet, self.labs, self.capsys = fleet, labs, capsys

    def run(self, work: Callable[..., None], *words: object) -> tuple[int, str, list[str]]:
        status = 0
        self.capsys.readouterr()
        try:
            work(*words)
        except SystemExit as end:
            status = int(end.code or 0)
        captured = self.capsys.readouterr()
        return status, captured.out, captured.err.splitlines()

    def refused(self, work: Callable[..., None], *words: object) -> str:
        status, _, lines = self.run(work, *words)
        assert status == 1
        assert len(lines) == 1
        assert lines[0].startswith("error: ")
        return lines[0]

    def works(self, work: Callable[..., None], *words: object) -> str:
        status, out, lines = self.run(work, *words)
        assert (status, lines) == (0, [])
        return out


@pytest.fixture
def desk(
    fleet: Fleet,
    labs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    as_the_labs: Callable[[Path], None],
    capsys: pytest.CaptureFixture[str],
) -> Desk:
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "packages.txt").write_text("apache2\n")
    for module in (course, evidence):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    as_the_labs(labs)
    fleet.here(monkeypatch)
    write_lab(labs, toml=LAB + FAULT, checks=GOOD)
    for node in fleet.nodes.values():
        node.answers = {"test -e /root/.changed": (1, ""), "": ""}
    with commands.machines("a test") as found:
        Checkpoints(found).save(BOOTED, "", ["lb1", "lb2"])
    return Desk(fleet, labs, capsys)


def test_lab_builds_checks_and_says_what_to_look_at(desk: Desk) -> None:
    out = desk.works(commands.lab, "1", False)
    assert "PASS  It holds." in out
    assert "Try next:" in out
    assert re.search("(?m)^  invoke break 1 dark  [a-z].*\n  invoke heal {10}undo it$", out), out
    assert desk.fleet.nodes["lb1"].files


def test_lab_whose_checks_fail_is_an_error(desk: Desk) -> None:
    write_lab(desk.labs, toml=LAB, checks=GOOD + "    assert False, 'it does not'\n")
    assert "1 of 1 checks did not pass" in desk.refused(commands.lab, "1", False)


def test_a_broken_page_is_one_line_with_its_place(desk: Desk) -> None:
    write_lab(desk.labs, toml=LAB + FAULT, steps="## Build\n\n```bash\nls\n```\n")
    desk.fleet.hypervisor.did.clear()
    assert "01-pair/steps.md:3: unknown fence 'bash'" in desk.refused(commands.lab, "1", False)
    assert desk.fleet.hypervisor.did == []


def test_check_says_what_holds(desk: Desk) -> None:
    assert "1 checks in" in desk.works(commands.check, "1")


def test_check_of_machines_that_are_not_there(desk: Desk) -> None:
    desk.fleet.hypervisor.domains.clear()
    assert "lb1, lb2 is not there yet; `invoke lab 1`" in desk.refused(commands.check, "1")


def test_status_shows_machines_labs_and_faults(desk: Desk) -> None:
    faults.inject(desk.fleet.machines, "dark", faults.Plan([], []))
    out = desk.works(commands.status)
    assert [line.split()[:2] for line in out.splitlines()[1:4]] == [
        ["lb1", "running"],
        ["lb2", "running"],
        ["web1", "absent"],
    ]
    assert "labs built by the kit: none" in out
    assert "fault in force: dark" in out


def test_faults_are_listed_as_they_are_written(desk: Desk) -> None:
    out = desk.works(commands.break_, "1", "", "")
    assert "dark: The [front] cable. It moves." in out


def test_nothing_is_broken_twice(desk: Desk) -> None:
    faults.inject(desk.fleet.machines, "earlier", faults.Plan([], []))
    assert "earlier is still in force; `invoke heal`" in desk.refused(
        commands.break_, "1", "dark", ""
    )


def test_heal_says_what_it_healed(desk: Desk) -> None:
    assert desk.works(commands.heal) == "healed: no fault was in force\n"
    faults.inject(desk.fleet.machines, "dark", faults.Plan([], []))
    assert desk.works(commands.heal) == "healed: dark\n"


def test_reset_and_skip_say_where_the_course_stands(desk: Desk) -> None:
    desk.works(commands.lab, "1", False)
    assert "before lab 1 after" in desk.works(commands.reset, "")
    assert "after lab 1, in" in desk.works(commands.skip, "1")


def test_own_checkpoints_are_saved_listed_restored_and_dropped(desk: Desk) -> None:
    desk.works(commands.lab, "1", False)
    assert "saved mine" in desk.works(commands.checkpoint, "save", "mine")
    assert "mine" in desk.works(commands.checkpoint, "list", "")
    desk.works(commands.reset, "1")
    assert "restored mine" in desk.works(commands.checkpoint, "restore", "mine")
    assert state.load("course.json", {})["built"] == [1]
    assert "dropped mine" in desk.works(commands.checkpoint, "drop", "mine")
    assert "no checkpoint 'mine'" in desk.refused(commands.checkpoint, "restore", "mine")


@pytest.mark.parametrize("name", ["", "a b", "../x", "ü!", "-", "--hmp;quit"])
def test_a_checkpoints_name_is_a_word(desk: Desk, name: str) -> None:
    assert "a name of letters, digits and -" in desk.refused(commands.checkpoint, "save", name)


def test_a_demo_is_prepared_and_starts_in_seconds(desk: Desk) -> None:
    out = desk.works(commands.demo, "", False, 1.0, True, False, "", "")
    assert "the demo of lab 1 starts in 0 s" in out
    known = desk.works(commands.checkpoint, "list", "")
    assert "lab-1" in known
    assert state.load("course.json", {})["built"] == []


def test_a_demo_that_starts_late_is_said_to(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "STARTS", -1)
    said = desk.works(commands.demo, "1", False, 1.0, True, False, "", "")
    assert "starts in 0 s, more than -1: this machine is slow, or busy" in said


def test_a_port_that_is_taken_is_one_line(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = desk.refused(commands.serve, port)
    assert f"port {port} of 127.0.0.1 cannot be had: Address already in use" in said
    assert "--port" in said
    assert "port 70000 of 127.0.0.1 cannot be had" in desk.refused(commands.serve, 70000)


def test_a_lab_that_does_not_hold_is_not_prepared(desk: Desk) -> None:
    write_lab(desk.labs, toml=LAB, checks=GOOD + "    assert False, 'it does not'\n")
    said = desk.refused(commands.demo, "1", False, 1.0, True, False, "", "")
    assert "lab 1 is built and its checks do not pass; `invoke check 1`" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("", False, 1.0, False, False, "", ""), "which lab? `invoke demo 1`"),
        (("1", False, 1.0, False, False, "", ""), "the demo needs a terminal"),
        (("1", False, 99.0, False, False, "", ""), "--pace 99"),
        (("1", False, 1.0, False, False, "nothing", ""), "no step 'nothing'"),
        (("", False, 1.0, False, True, "", ""), "no demo runs in this folder"),
        (("7", False, 1.0, False, False, "", ""), "7"),
    ],
)
def test_a_demo_that_cannot_be_played_is_one_line(
    desk: Desk, words: tuple[object, ...], said: str
) -> None:
    desk.fleet.hypervisor.did.clear()
    assert said in desk.refused(commands.demo, *words)
    assert desk.fleet.did("load") == []


@pytest.mark.parametrize("name", ["booted", "lab-1", "demo-1-3"])
def test_the_kits_own_checkpoints_are_not_to_be_dropped(desk: Desk, name: str) -> None:
    assert "the kit's own" in desk.refused(commands.checkpoint, "drop", name)


def test_up_and_down(desk: Desk) -> None:
    assert "saved and off" in desk.works(commands.down)
    assert desk.fleet.machines.running() == []
    assert "up: lb1, lb2 in" in desk.works(commands.up, "directors")
    assert desk.fleet.machines.running() == ["lb1", "lb2"]


def test_ssh_becomes_ssh_with_the_kits_own_key(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execvp", lambda _file, words: became.append(words))
    desk.works(commands.ssh, "lb1", "uptime")
    words = became[0]
    assert words[0] == "ssh"
    assert words[-2:] == ["root@192.168.231.11", "uptime"]
    assert str(state.FOLDER / "key") in words
    desk.works(commands.ssh, "lb2", "")
    assert "-t" in became[1]
    assert course.CHANGED in became[1][-1], "a reader's shell leaves its mark"


def test_ssh_to_a_machine_that_is_off_says_how_to_start_it(desk: Desk) -> None:
    assert "web1 is absent; `invoke up web1`" in desk.refused(commands.ssh, "web1", "")


def test_destroy_says_what_it_removed_and_may_be_repeated(desk: Desk) -> None:
    assert "removed: lb1, lb2" in desk.works(commands.destroy)
    assert not (state.FOLDER / "key").exists()
    assert "removed: nothing was there" in desk.works(commands.destroy)


@pytest.mark.parametrize("name", ["faults.json", "course.json", "checkpoints.json"])
def test_destroy_cures_damaged_state_as_the_error_promises(desk: Desk, name: str) -> None:
    state.path(name).write_text("{")
    assert "removed: lb1, lb2" in desk.works(commands.destroy)
    assert not (state.FOLDER / name).exists()


@pytest.mark.parametrize(
    ("name", "work", "words"),
    [
        ("checkpoints.json", commands.checkpoint, ("list", "")),
        ("checkpoints.json", commands.reset, ("1",)),
        ("course.json", commands.lab, ("1", False)),
        ("faults.json", commands.heal, ()),
        ("own.json", commands.checkpoint, ("save", "mine")),
    ],
)
def test_damaged_state_is_one_line(
    desk: Desk, name: str, work: Callable[..., None], words: tuple[object, ...]
) -> None:
    state.path(name).write_text('{"half')
    assert f".workshop/{name} is damaged" in desk.refused(work, *words)


@pytest.mark.parametrize(
    ("work", "words", "line"),
    [
        (commands.lab, ("99", False), "no lab '99'; there are: 1 (pair)"),
        (commands.skip, ("99",), "no lab '99'"),
        (commands.reset, ("99",), "no lab '99'"),
        (commands.test, (True, False, "99"), "no lab '99'"),
        (commands.break_, ("99", "", ""), "no lab '99'"),
        (commands.break_, ("1", "nonsense", ""), "lab 1 has no fault 'nonsense'; it has: dark"),
        (commands.ssh, ("nowhere", ""), "no node or group 'nowhere'"),
        (commands.ssh, ("directors", ""), "'directors' is a group; name one of: lb1, lb2"),
        (commands.up, ("lb1,lb9",), "no node or group 'lb9'"),
        (commands.up, ("lb1,",), "no node or group ''"),
        (commands.checkpoint, ("frobnicate", ""), "save, restore, list and drop"),
        (commands.checkpoint, ("restore", "nosuch"), "no checkpoint 'nosuch'"),
    ],
)
def test_what_does_not_exist_is_refused_before_anything_is_done(
    desk: Desk, work: Callable[..., None], words: tuple[object, ...], line: str
) -> None:
    desk.fleet.hypervisor.did.clear()
    assert line in desk.refused(work, *words)
    assert [done for done in desk.fleet.hypervisor.did if done != ("prepare",)] == []


def test_a_disk_that_is_full_is_one_line(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert "No space left on device" in desk.refused(commands.lab, "1", False)


def test_a_node_that_does_not_come_up_is_one_line(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.fleet.lose("lb1")
    wait = desk.fleet.machines.wait_for_ssh.__func__  # type: ignore[attr-defined]
    monkeypatch.setattr(wait, "__defaults__", (0.05,))
    assert "lb1" in desk.refused(commands.up, "lb1")


def test_packages_says_where_they_come_from(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "debs"
    folder.mkdir()
    deb = folder / "mysql-cluster-x.deb"
    deb.write_bytes(b"a package")
    digest = hashlib.sha256(b"a package").hexdigest()
    (folder / "SHA256SUMS").write_text(f"{digest}  {deb.name}\n")
    monkeypatch.setenv("WORKSHOP_PACKAGES", str(folder))
    assert f"1 packages from {folder}" in desk.works(commands.packages).replace("\n", "")
    deb.write_bytes(b"another")
    assert "does not match" in desk.refused(commands.packages)
    monkeypatch.setenv("WORKSHOP_PACKAGES", "")
    assert "no MySQL Cluster packages" in desk.refused(commands.packages)
