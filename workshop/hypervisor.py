"""Power, links and memory of the virtual machines, without Vagrant's seconds of start.

`Libvirt` talks to virsh (about 20 ms a call) and to QEMU's monitor; `VirtualBox` to
VBoxManage (untested).
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Protocol

from workshop import host as hosts
from workshop import state
from workshop.errors import WorkshopError
from workshop.manifest import Cluster

POOL = "lamp-ha"
POOL_PATH = "/var/lib/libvirt/images/lamp-ha"
STATES = {"running": "running", "paused": "paused", "shut off": "off", "crashed": "off"}


class Hypervisor(Protocol):
    """What the kit needs of a hypervisor; `domain` is a machine's name there."""

    def prepare(self) -> None:
        """Make the networks and the storage that the machines use."""

    def states(self, prefix: str) -> dict[str, str]:
        """Domains whose name starts with `prefix`: running, paused or off."""

    def start(self, domain: str, paused: bool = False) -> None:
        """Power on (or wake what was saved)."""

    def power_off(self, domain: str) -> None:
        """Pull the plug."""

    def pause(self, domain: str) -> None:
        """Freeze the machine's processor."""

    def resume(self, domain: str) -> None:
        """Let a frozen machine go on."""

    def link(self, domain: str, mac: str, up: bool) -> None:
        """Plug or pull the cable of the interface with this hardware address."""

    def suspend_to_disk(self, domain: str) -> None:
        """Save memory and stop; `start` goes on from there."""

    def save(self, domain: str, name: str) -> None:
        """Keep memory and disk of a paused machine under `name`."""

    def load(self, domain: str, name: str) -> None:
        """Bring a paused machine back to what `save` kept."""

    def forget(self, domain: str, name: str) -> None:
        """Drop what `save` kept."""

    def remove(self, domain: str) -> None:
        """Destroy the machine and its disks."""

    def clean(self) -> None:
        """Remove networks and storage."""


class Libvirt:
    """Machines under libvirt and QEMU."""

    def __init__(self, uri: str, cluster: Cluster) -> None:
        self.uri = uri
        self.cluster = cluster

    def virsh(self, *words: str, check: bool = True, timeout: float = 60) -> str:
        """Output of one virsh command."""
        return hosts.run("virsh", "-q", "-c", self.uri, *words, check=check, timeout=timeout).stdout

    def prepare(self) -> None:
        active = set(self.virsh("net-list", "--name").split())
        if active >= set(map(network_name, self.cluster.networks)) and self._pool_runs():
            return
        state.journal("networks")
        known = set(self.virsh("net-list", "--all", "--name").split())
        for name in self.cluster.networks:
            full = network_name(name)
            if full not in known:
                self._define("net-define", self._network_xml(name))
            if full not in active:
                self.virsh("net-start", full)
        if POOL not in self.virsh("pool-list", "--all", "--name").split():
            target = f"<target><path>{POOL_PATH}</path></target>"
            self._define("pool-define", f"<pool type='dir'><name>{POOL}</name>{target}</pool>")
            self.virsh("pool-build", POOL)
        if not self._pool_runs():
            self.virsh("pool-start", POOL)
        state.journal("networks-up")

    def _pool_runs(self) -> bool:
        return POOL in self.virsh("pool-list", "--name").split()

    def _define(self, verb: str, xml: str) -> None:
        import tempfile

        with tempfile.NamedTemporaryFile("w", suffix=".xml") as stream:
            stream.write(xml)
            stream.flush()
            self.virsh(verb, stream.name)

    def _network_xml(self, name: str) -> str:
        network = self.cluster.networks[name]
        mask = network.prefix
        entries = "".join(
            f"<host mac='{self.cluster.mac(node, name)}' ip='{self.cluster.address(node, name)}'"
            f" name='{node}'/>"
            for node in self.cluster.nodes
        )
        dhcp = f"<dhcp>{entries}</dhcp>" if name == "management" else ""
        bridge = f"lampha{list(self.cluster.networks).index(name)}"
        return (
            f"<network><name>{network_name(name)}</name>"
            f"<bridge name='{bridge}' stp='off' delay='0'/><dns enable='no'/>"
            f"<ip address='{network.address(1)}' prefix='{mask}'>{dhcp}</ip></network>"
        )

    def states(self, prefix: str) -> dict[str, str]:
        result = {}
        for line in self.virsh("list", "--all").splitlines():
            match = re.match(r"\s*\S+\s+(\S+)\s+(.+?)\s*$", line)
            if match and match[1].startswith(prefix):
                result[match[1]] = STATES.get(match[2], match[2])
        return result

    def start(self, domain: str, paused: bool = False) -> None:
        flags = ["--paused"] if paused else []
        self.virsh("start", domain, *flags, timeout=120)

    def power_off(self, domain: str) -> None:
        self.virsh("destroy", domain)

    def pause(self, domain: str) -> None:
        self.virsh("suspend", domain)

    def resume(self, domain: str) -> None:
        self.virsh("resume", domain)

    def link(self, domain: str, mac: str, up: bool) -> None:
        self.virsh("domif-setlink", domain, mac, "up" if up else "down")

    def suspend_to_disk(self, domain: str) -> None:
        self.virsh("managedsave", domain, timeout=120)

    def _monitor(self, domain: str, command: str) -> None:
        words = self.virsh("qemu-monitor-command", domain, "--hmp", command, timeout=180).strip()
        if words:
            raise WorkshopError(f"{domain}: QEMU: {words.splitlines()[-1]}")

    def save(self, domain: str, name: str) -> None:
        self._monitor(domain, f"savevm {name}")

    def load(self, domain: str, name: str) -> None:
        self._monitor(domain, f"loadvm {name}")

    def forget(self, domain: str, name: str) -> None:
        self._monitor(domain, f"delvm {name}")

    def disk(self, domain: str) -> Path:
        """The machine's disk image, as the hypervisor's host sees it."""
        tree = ElementTree.fromstring(self.virsh("dumpxml", domain))
        source = tree.find("./devices/disk/source")
        if source is None:
            raise WorkshopError(f"{domain} has no disk")
        return Path(source.get("file", ""))

    def remove(self, domain: str) -> None:
        if self.states(domain).get(domain) in ("running", "paused"):
            self.virsh("destroy", domain, check=False)
        self.virsh(
            *("undefine", domain, "--managed-save", "--snapshots-metadata"),
            *("--remove-all-storage",),
            check=False,
        )
        for volume in self._volumes():
            if volume.startswith(domain + "."):
                self.virsh("vol-delete", volume, POOL, check=False)

    def _volumes(self) -> list[str]:
        if not self._pool_runs():
            return []
        self.virsh("pool-refresh", POOL, check=False)
        return [
            line.split()[0] for line in self.virsh("vol-list", POOL).splitlines() if line.strip()
        ]

    def clean(self) -> None:
        for volume in self._volumes():
            self.virsh("vol-delete", volume, POOL)
        if POOL in self.virsh("pool-list", "--all", "--name").split():
            self.virsh("pool-destroy", POOL, check=False)
            self.virsh("pool-delete", POOL, check=False)
            self.virsh("pool-undefine", POOL)
        active = self.virsh("net-list", "--name").split()
        known = self.virsh("net-list", "--all", "--name").split()
        for name in map(network_name, self.cluster.networks):
            if name in active:
                self.virsh("net-destroy", name)
            if name in known:
                self.virsh("net-undefine", name)


class VirtualBox:
    """Machines under VirtualBox (untested: the reference machine has none)."""

    def manage(self, *words: str, check: bool = True) -> str:
        """Output of one VBoxManage command."""
        return hosts.run("VBoxManage", *words, check=check, timeout=180).stdout

    def prepare(self) -> None:
        """Vagrant makes what VirtualBox needs."""

    def states(self, prefix: str) -> dict[str, str]:
        running = re.findall(r'"([^"]+)"', self.manage("list", "runningvms"))
        known = re.findall(r'"([^"]+)"', self.manage("list", "vms"))
        return {n: "running" if n in running else "off" for n in known if n.startswith(prefix)}

    def start(self, domain: str, paused: bool = False) -> None:
        self.manage("startvm", domain, "--type", "headless")
        if paused:
            self.pause(domain)

    def power_off(self, domain: str) -> None:
        self.manage("controlvm", domain, "poweroff")

    def pause(self, domain: str) -> None:
        self.manage("controlvm", domain, "pause")

    def resume(self, domain: str) -> None:
        self.manage("controlvm", domain, "resume")

    def link(self, domain: str, mac: str, up: bool) -> None:
        info = self.manage("showvminfo", domain, "--machinereadable")
        wanted = mac.replace(":", "").upper()
        match = re.search(rf'macaddress(\d)="{wanted}"', info)
        if not match:
            raise WorkshopError(f"{domain} has no interface {mac}")
        self.manage("controlvm", domain, f"setlinkstate{match[1]}", "on" if up else "off")

    def suspend_to_disk(self, domain: str) -> None:
        self.manage("controlvm", domain, "savestate")

    def save(self, domain: str, name: str) -> None:
        self.manage("snapshot", domain, "take", name)

    def load(self, domain: str, name: str) -> None:
        self.power_off(domain)
        self.manage("snapshot", domain, "restore", name)
        self.start(domain, paused=True)

    def forget(self, domain: str, name: str) -> None:
        self.manage("snapshot", domain, "delete", name)

    def remove(self, domain: str) -> None:
        self.manage("controlvm", domain, "poweroff", check=False)
        self.manage("unregistervm", domain, "--delete", check=False)

    def clean(self) -> None:
        """Vagrant's host-only network stays: other machines may use it."""


def network_name(name: str) -> str:
    """Name of a network of the cluster in the hypervisor."""
    return f"lamp-ha-{name}"
