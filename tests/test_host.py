"""The machine underneath: what is found there, and what is said when it does not fit."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

import pytest
from fakes import HOST, first_in_path, refused, tool

from workshop import host, state
from workshop.host import Host

PRIVATE = Host("libvirt", "tcg", "for a test", True, "test:///default")


def test_a_command_gives_its_output() -> None:
    assert host.run("echo", "a b").stdout == "a b\n"
    assert host.run("false", check=False).returncode == 1


def test_a_command_reads_nothing_from_the_terminal() -> None:
    assert host.run("cat").stdout == ""


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["sh", "-c", "echo one >&2; echo two >&2; exit 3"], ["sh -c", "two"]),
        (["sh", "-c", "echo only; exit 3"], ["only"]),
        (["false"], ["`false` failed", "no message"]),
        (["nosuch-tool", "x"], ["nosuch-tool is not installed", "doctor"]),
    ],
)
def test_a_failure_is_one_line(command: list[str], words: list[str]) -> None:
    with refused(*words):
        host.run(*command)


def test_a_command_that_takes_too_long_is_one_line() -> None:
    with refused("`sleep 5`", "did not end within 0 s"):
        host.run("sleep", "5", timeout=0.05)


def test_patience_is_what_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKSHOP_PATIENCE", "2.5")
    assert HOST.patience == 2.5


@pytest.mark.parametrize(("seconds", "factor"), [(0.5, 1), (1.8, 1.8), (100, host.SLOWEST)])
def test_patience_grows_with_a_slow_processor(
    monkeypatch: pytest.MonkeyPatch, seconds: float, factor: float
) -> None:
    clock = itertools.count()
    monkeypatch.delenv("WORKSHOP_PATIENCE")
    monkeypatch.setattr(host.bz2, "compress", lambda _: None)
    monkeypatch.setattr(host.time, "process_time", lambda: next(clock) * seconds * host.REFERENCE)
    host.slowness.cache_clear()
    assert PRIVATE.patience == factor
    assert str(PRIVATE).endswith(f", time bounds x {factor:g}") is (factor > 1)
    assert Host("libvirt", "kvm", "it works", True, "").patience == 1
    monkeypatch.undo()
    host.slowness.cache_clear()
    assert 1 <= host.slowness() <= host.SLOWEST


def test_a_busy_neighbour_is_no_slow_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sample of many that nobody disturbed says what the processor can."""
    now, seconds = [0.0], itertools.chain([4.0] * 30, [1.5], itertools.repeat(4.0))

    def compress(_: bytes) -> None:
        now[0] += next(seconds) * host.REFERENCE

    monkeypatch.setattr(host.bz2, "compress", compress)
    monkeypatch.setattr(host.time, "process_time", lambda: now[0])
    host.slowness.cache_clear()
    assert host.slowness() == 1.5
    host.slowness.cache_clear()


@pytest.mark.parametrize("value", ["", "abc", "0", "-1", "nan"])
def test_a_patience_that_is_no_factor_is_refused(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("WORKSHOP_PATIENCE", value)
    with refused("WORKSHOP_PATIENCE", value):
        HOST.patience  # noqa: B018


def test_an_unknown_provider_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKSHOP_PROVIDER", "xen")
    with refused("WORKSHOP_PROVIDER=xen", "libvirt", "virtualbox"):
        host.detect()


def test_virtualbox_is_taken_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKSHOP_PROVIDER", "virtualbox")
    found = host.detect()
    assert (found.provider, found.accelerator, found.private) == ("virtualbox", "virtualbox", False)
    host.enter(found)


@pytest.mark.parametrize(
    ("tools", "provider"),
    [(["virsh"], "libvirt"), (["VBoxManage"], "virtualbox"), (["virsh", "VBoxManage"], "libvirt")],
)
def test_the_provider_is_what_is_installed(
    monkeypatch: pytest.MonkeyPatch, tools: list[str], provider: str
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name if name in tools else None)
    monkeypatch.setattr(host, "kvm_usable", lambda _kernel: (False, "for a test"))
    assert host.detect().provider == provider


@pytest.mark.parametrize("systemd", [True, False])
def test_the_kit_brings_libvirtd_where_systemd_does_not(
    monkeypatch: pytest.MonkeyPatch, systemd: bool
) -> None:
    monkeypatch.setenv("WORKSHOP_PROVIDER", "libvirt")
    monkeypatch.setattr(host, "systemd_runs", lambda: systemd)
    monkeypatch.setattr(host, "kvm_usable", lambda _kernel: (True, "usable: for a test"))
    found = host.detect()
    assert found.private is not systemd
    assert found.accelerator == "kvm"
    assert (str(host.RUN) in found.uri) is not systemd


@pytest.mark.skipif(not os.access("/dev/kvm", os.R_OK | os.W_OK), reason="there is no /dev/kvm")
@pytest.mark.parametrize(
    ("verdict", "usable"), [("usable: a kernel ran under it in 3.1 s", True), ("it hung", False)]
)
def test_a_verdict_on_kvm_holds_until_the_next_boot(verdict: str, usable: bool) -> None:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    state.HOST_FOLDER.mkdir()
    (state.HOST_FOLDER / "kvm").write_text(f"{boot} {verdict}\n")
    assert host.kvm_usable(None) == (usable, verdict)
    (state.HOST_FOLDER / "kvm").write_text(f"an-earlier-boot {verdict}\n")
    assert host.kvm_usable(None) == (False, "/dev/kvm is not tried yet")


def test_libvirt_that_does_not_answer_is_one_line_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "echo 'error: failed to connect' >&2\necho \"error: No such file: '/x'\" >&2; exit 1"
    tool(tmp_path / "bin", "virsh", script)
    first_in_path(monkeypatch, tmp_path / "bin")
    with refused("libvirt does not answer", "test:///default", "'/x'", "systemctl start libvirtd"):
        host.enter(HOST)


def test_without_systemd_only_root_may_enter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with refused("needs root"):
        host.enter(PRIVATE)


@pytest.mark.parametrize(
    ("content", "running"),
    [(None, False), ("", False), ("none", False), ("4194305", False), (str(os.getpid()), True)],
)
def test_the_kits_libvirtd_runs_if_the_process_it_noted_lives(
    content: str | None, running: bool
) -> None:
    host.RUN.mkdir()
    if content is not None:
        (host.RUN / "libvirtd.pid").write_text(content)
    assert host.running() is running


def test_stop_removes_the_folders_and_may_be_repeated() -> None:
    for folder in (host.RUN, host.VAR):
        (folder / "etc").mkdir(parents=True)
    assert host.stop() == []
    assert not host.RUN.exists()
    assert not host.VAR.exists()
    assert host.stop() == []
