"""virsh's words and answers; the tool itself is a script that answers what was recorded."""

from __future__ import annotations

import shlex
from pathlib import Path
from xml.etree import ElementTree

import pytest
from fakes import RECORDED, first_in_path, recorded, refused, tool

from workshop import hypervisor, manifest
from workshop.hypervisor import Libvirt, VirtualBox


class Virsh:
    """A `virsh` (or VBoxManage) that writes down what it is asked."""

    def __init__(self, folder: Path, name: str = "virsh") -> None:
        self.folder, self.name = folder, name
        self.log = folder / "log"
        self.cases: list[str] = []
        self.answer("nothing-matches", "")

    def answer(self, pattern: str, text: str, status: int = 0) -> None:
        """Answer commands that match this pattern of the shell; the newest wins."""
        stream = " >&2" if status else ""
        case = f"{pattern}) printf %s {shlex.quote(text)}{stream}; exit {status};;"
        self.cases.insert(0, case)
        log = f'printf "%s\\n" "$*" >>{self.log}\nfor x; do case $x in *.xml)'
        log += f" cat $x >>{self.folder}/xml;; esac; done"
        tool(self.folder, self.name, f'{log}\ncase "$*" in\n{chr(10).join(self.cases)}\nesac')

    def asked(self) -> list[str]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line.removeprefix("-q -c test:///default ") for line in lines]


@pytest.fixture
def virsh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Virsh:
    first_in_path(monkeypatch, tmp_path / "bin")
    return Virsh(tmp_path / "bin")


@pytest.fixture
def libvirt(labs: Path, virsh: Virsh) -> Libvirt:
    return Libvirt("test:///default", manifest.cluster_of(labs))


def test_states_are_those_of_our_own_machines(libvirt: Libvirt, virsh: Virsh) -> None:
    virsh.answer("*'list --all'", recorded("virsh-list.txt"))
    assert libvirt.states("lamp-ha-868700-") == {
        "lamp-ha-868700-lb1": "running",
        "lamp-ha-868700-lb2": "running",
        "lamp-ha-868700-web1": "off",
        "lamp-ha-868700-db1": "paused",
        "lamp-ha-868700-mgm": "off",
    }


def test_without_machines_there_are_no_states(libvirt: Libvirt) -> None:
    assert libvirt.states("lamp-ha-868700-") == {}


def test_every_verb_is_one_call(libvirt: Libvirt, virsh: Virsh) -> None:
    libvirt.start("d")
    libvirt.start("d", paused=True)
    libvirt.power_off("d")
    libvirt.pause("d")
    libvirt.resume("d")
    libvirt.link("d", "52:54:00:4c:01:0b", up=False)
    libvirt.link("d", "52:54:00:4c:01:0b", up=True)
    libvirt.suspend_to_disk("d")
    libvirt.save("d", "lab-1")
    libvirt.load("d", "lab-1")
    libvirt.forget("d", "lab-1")
    assert virsh.asked() == [
        "start d",
        "start d --paused",
        "destroy d",
        "suspend d",
        "resume d",
        "domif-setlink d 52:54:00:4c:01:0b down",
        "domif-setlink d 52:54:00:4c:01:0b up",
        "managedsave d",
        "qemu-monitor-command d --hmp savevm lab-1",
        "qemu-monitor-command d --hmp loadvm lab-1",
        "qemu-monitor-command d --hmp delvm lab-1",
    ]


def test_a_refusal_is_one_line_with_the_command(libvirt: Libvirt, virsh: Virsh) -> None:
    virsh.answer("*start*", "error: Failed to start\nerror: no memory left\n", status=1)
    with refused("virsh", "start lb1", "no memory left"):
        libvirt.start("lb1")


def test_words_of_qemus_monitor_are_an_error(libvirt: Libvirt, virsh: Virsh) -> None:
    virsh.answer("*loadvm*", "\r\nError: Snapshot 'lab-1' does not exist\r\n\r\n")
    with refused("d: QEMU: Error: Snapshot 'lab-1' does not exist"):
        libvirt.load("d", "lab-1")


def test_a_host_without_virsh_is_told_the_cure(
    libvirt: Libvirt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with refused("virsh is not installed", "doctor"):
        libvirt.states("lamp-ha-")


def test_prepare_makes_networks_and_pool(libvirt: Libvirt, virsh: Virsh) -> None:
    libvirt.prepare()
    asked = virsh.asked()
    assert [a for a in asked if a.startswith("net-start")] == [
        "net-start lamp-ha-management",
        "net-start lamp-ha-front",
        "net-start lamp-ha-back",
    ]
    assert sum(a.startswith("net-define") for a in asked) == 3
    assert asked[-1] == "pool-start lamp-ha"


def test_prepare_leaves_alone_what_is_there(libvirt: Libvirt, virsh: Virsh) -> None:
    virsh.answer("*net-list*", recorded("virsh-net-list-name.txt"))
    virsh.answer("*pool-list*", "lamp-ha\n\n")
    libvirt.prepare()
    assert not [a for a in virsh.asked() if "list" not in a]


def test_only_the_kits_network_gives_addresses(libvirt: Libvirt, virsh: Virsh) -> None:
    libvirt.prepare()
    text = (virsh.folder / "xml").read_text().split("<pool")[0]
    networks = {n.findtext("name"): n for n in ElementTree.fromstring(f"<x>{text}</x>")}
    hosts = networks["lamp-ha-management"].findall("./ip/dhcp/host")
    assert [(h.get("name"), h.get("ip"), h.get("mac")) for h in hosts] == [
        ("lb1", "192.168.231.11", "52:54:00:4c:00:0b"),
        ("lb2", "192.168.231.12", "52:54:00:4c:00:0c"),
        ("web1", "192.168.231.13", "52:54:00:4c:00:0d"),
    ]
    assert networks["lamp-ha-front"].find("./ip/dhcp/host") is None
    for network in networks.values():
        assert network.find("forward") is None, "the cluster has no way out"
        assert network.find("dns").get("enable") == "no"  # type: ignore[union-attr]


def test_remove_takes_only_this_machines_volumes(libvirt: Libvirt, virsh: Virsh) -> None:
    virsh.answer("*'list --all'", recorded("virsh-list.txt"))
    virsh.answer("*'pool-list --name'", "lamp-ha\n")
    virsh.answer("*vol-list*", recorded("virsh-vol-list.txt"))
    libvirt.remove("lamp-ha-868700-lb1")
    asked = virsh.asked()
    assert "destroy lamp-ha-868700-lb1" in asked
    assert [a for a in asked if a.startswith("vol-delete")] == [
        "vol-delete lamp-ha-868700-lb1.img lamp-ha"
    ]


def test_a_machine_that_is_off_is_not_destroyed_first(libvirt: Libvirt, virsh: Virsh) -> None:
    virsh.answer("*'list --all'", recorded("virsh-list.txt"))
    libvirt.remove("lamp-ha-868700-web1")
    assert "destroy lamp-ha-868700-web1" not in virsh.asked()


def test_clean_touches_only_the_kits_own(libvirt: Libvirt, virsh: Virsh) -> None:
    virsh.answer("*net-list*", recorded("virsh-net-list-name.txt") + "default\n")
    virsh.answer("*pool-list*", "default\nlamp-ha\n")
    virsh.answer("*vol-list*", recorded("virsh-vol-list.txt"))
    libvirt.clean()
    changing = [a for a in virsh.asked() if "list" not in a]
    assert changing
    assert not [a for a in changing if "default" in a]
    assert sum(a.startswith("vol-delete") for a in changing) == 3
    assert sum(a.startswith("net-undefine") for a in changing) == 3


def test_the_disk_is_where_libvirt_says(libvirt: Libvirt, virsh: Virsh) -> None:
    xml = "<domain><devices><disk><source file='/images/lb1.img'/></disk></devices></domain>"
    virsh.answer("*dumpxml*", xml)
    assert libvirt.disk("lb1") == Path("/images/lb1.img")
    virsh.answer("*dumpxml*", "<domain><devices/></domain>")
    with refused("lb1 has no disk"):
        libvirt.disk("lb1")


def test_virtualbox_states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manage = Virsh(tmp_path / "bin", "VBoxManage")
    first_in_path(monkeypatch, tmp_path / "bin")
    manage.answer("*' vms'", '"lamp-ha-1-lb1" {01}\n"lamp-ha-1-lb2" {02}\n"other" {03}\n')
    manage.answer("*runningvms", '"lamp-ha-1-lb1" {01}\n"other" {03}\n')
    assert VirtualBox().states("lamp-ha-1-") == {"lamp-ha-1-lb1": "running", "lamp-ha-1-lb2": "off"}


def test_virtualbox_finds_the_cable_by_its_hardware_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manage = Virsh(tmp_path / "bin", "VBoxManage")
    first_in_path(monkeypatch, tmp_path / "bin")
    manage.answer("showvminfo*", 'macaddress1="080027000000"\nmacaddress2="5254004C010B"\n')
    VirtualBox().link("lb1", "52:54:00:4c:01:0b", up=False)
    assert manage.asked()[-1] == "controlvm lb1 setlinkstate2 off"
    with refused("lb1 has no interface"):
        VirtualBox().link("lb1", "52:54:00:4c:02:0b", up=False)


def test_networks_are_marked_as_the_kits() -> None:
    assert hypervisor.network_name("front") == "lamp-ha-front"
    assert (RECORDED / "virsh-net-list-name.txt").read_text().split() == [
        hypervisor.network_name(name) for name in ("back", "front", "management")
    ]
