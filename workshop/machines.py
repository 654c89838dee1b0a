"""Create, destroy, power and checkpoint the cluster's virtual machines.

Vagrant creates; everything that has to be fast goes to the hypervisor directly.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import vagrant

from workshop import hypervisor, state
from workshop.box import Box, vagrant_key
from workshop.errors import WorkshopError
from workshop.host import Host
from workshop.manifest import ROOT, Cluster
from workshop.remote import NodeLost, Ssh, parallel
from workshop.waiting import eventually

BOOT_TIMEOUT = 600  # seconds Vagrant waits for a machine
SSH_PORT = 52200  # first of the ports that VirtualBox forwards, on 127.0.0.1 only
VAGRANT_MILESTONES = {
    "Creating domain": "creating",
    "Creating image": "creating disk",
    "Uploading base box": "uploading the box",
    "Starting domain": "starting",
    "Waiting for domain to get an IP": "booting",
    "Waiting for machine to boot": "waiting for ssh",
    "Machine booted and ready": "booted",
    "Importing base box": "importing",
    "Booting VM": "booting",
}
FAMILY = "lamp-ha-"  # how the names of all workshops' machines begin
VAGRANT_PID = "vagrant.pid"
Say = Callable[[str, str], None]  # node, what it is doing


def quiet(_node: str, _doing: str) -> None:
    """Progress that nobody watches."""


class _Vagrant(vagrant.Vagrant):  # type: ignore[misc]
    """python-vagrant with Vagrant in a process group of its own: Ctrl-C reaches the kit,
    which stops Vagrant once and waits for it."""

    def _stream_vagrant_command(self, args: list[Any]) -> Iterator[str]:
        command = self._make_vagrant_command(args)
        with (
            self.err_cm() as errors,
            subprocess.Popen(
                command,
                cwd=self.root,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            ) as process,
        ):
            assert process.stdout is not None
            state.write(VAGRANT_PID, f"{process.pid}\n")
            try:
                state.journal("vagrant-runs")
                yield from process.stdout
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGINT)
                    process.wait(30)
                raise
            finally:
                if process.poll() is None:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(10)
                state.path(VAGRANT_PID).unlink(missing_ok=True)
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)


class Machines:
    """The virtual machines of this workshop."""

    def __init__(self, cluster: Cluster, host: Host, box: Box | None = None) -> None:
        self.cluster = cluster
        self.host = host
        self.box = box
        self.prefix = f"{FAMILY}{state.identifier()}-"
        self.hypervisor: hypervisor.Hypervisor = (
            hypervisor.Libvirt(host.uri, cluster)
            if host.provider == "libvirt"
            else hypervisor.VirtualBox()
        )
        self._remotes: dict[str, Ssh] = {}
        state.key()  # before any thread asks for it

    def domain(self, node: str) -> str:
        """The machine's name in the hypervisor."""
        return self.prefix + node

    def states(self) -> dict[str, str]:
        """Every node: running, paused, off or absent."""
        known = self.hypervisor.states(self.prefix)
        return {node: known.get(self.domain(node), "absent") for node in self.cluster.nodes}

    def running(self) -> list[str]:
        """Nodes that run."""
        return [node for node, what in self.states().items() if what == "running"]

    def recover(self, frozen: list[str]) -> None:
        """Clear up after a command that was killed: end its Vagrant, and wake the machines
        that it left paused, but for those that a fault froze."""
        _end_vagrant()
        for node, what in self.states().items():
            if what == "paused" and node not in frozen:
                self.hypervisor.resume(self.domain(node))

    def orphans(self) -> list[str]:
        """Domains of workshops whose folders are gone: this folder owns the host's cluster."""
        own = {self.domain(node) for node in self.cluster.nodes}
        return sorted(set(self.hypervisor.states(FAMILY)) - own)

    # reaching them

    def address(self, node: str) -> tuple[str, int]:
        """Address and port of the node's ssh."""
        if self.host.provider == "virtualbox":
            return "127.0.0.1", SSH_PORT + self.cluster.nodes[node].host
        return self.cluster.address(node, "management"), 22

    def remote(self, node: str) -> Ssh:
        """The node as root, over its one persistent connection."""
        if node not in self._remotes:
            address, port = self.address(node)
            self._remotes[node] = Ssh(node, address, state.key(), self._known(node), port)
        return self._remotes[node]

    def _known(self, node: str) -> Path:
        return state.path(f"known/{node}")

    def disconnect(self) -> None:
        """Drop every connection."""
        for remote in self._remotes.values():
            remote.close()

    # creating and destroying

    def up(self, nodes: list[str], say: Say = quiet) -> list[str]:
        """Have these nodes running and answering; returns those that were created.

        Half-made machines of an interrupted run are removed first.
        """
        state.claim()
        states = self.states()
        for node in nodes:
            if states[node] != "absent" and not self._known(node).exists():
                say(node, "removing what an interrupted run left")
                self.remove(node)
                states[node] = "absent"
        missing = [node for node in nodes if states[node] == "absent"]
        if missing:
            self._create(missing, say)
        for node in nodes:
            if states[node] == "off":
                say(node, "starting")
                self.hypervisor.start(self.domain(node))
            elif states[node] == "paused":
                say(node, "resuming")
                self.hypervisor.resume(self.domain(node))
        self.wait_for_ssh([n for n in nodes if n not in missing])
        for node in nodes:
            if node not in missing and states[node] != "running":
                say(node, "ready")
        if any(states[node] in ("off", "paused") for node in nodes):
            self.set_clocks(nodes)
        return missing

    def _create(self, nodes: list[str], say: Say) -> None:
        if orphans := self.orphans():
            raise WorkshopError(
                f"{orphans[0]} is of a workshop whose folder is gone, and is in the way; "
                f"{self._orphans_cure(orphans)}"
            )
        for node in nodes:
            state.journal("create", domain=self.domain(node))
            shutil.rmtree(ROOT / ".vagrant" / "machines" / node, ignore_errors=True)
            self._known(node).unlink(missing_ok=True)
        self._resolve()
        self.hypervisor.prepare()
        self._add_box(say)
        log = state.path("logs/vagrant.log")
        runner = self._vagrant()
        state.journal("vagrant", nodes=nodes)
        try:
            with log.open("a") as stream:
                for line in runner.up(
                    vm_name="/^(" + "|".join(nodes) + ")$/",
                    provider=self.host.provider,
                    stream_output=True,
                ):
                    stream.write(line)
                    stream.flush()
                    _report(line, say)
        except subprocess.CalledProcessError:
            errors = state.path("logs/vagrant-errors.log").read_text().split("\n")
            # Ruby's traceback, where there is one, is indented or begins with a path
            words = [line.strip() for line in errors if line and line[0] not in " \t/"][-1:]
            raise WorkshopError(
                f"Vagrant failed: {''.join(words)} (whole story: .workshop/logs/vagrant.log); "
                "run the command again to resume"
            ) from None
        state.journal("vagrant-done")
        for node in nodes:
            say(node, "taking over")
        parallel(self._take_over, nodes)
        state.journal("taken-over")
        for node in nodes:
            say(node, "ready")

    def _resolve(self) -> None:
        if self.box is None:
            raise WorkshopError("there is no box yet; `invoke box` builds it")
        insecure = _insecure_key()
        tcg = self.host.accelerator == "tcg"
        features = ["acpi", "apic", "pae"]
        if tcg:
            # bounds QEMU's translation cache, 1 GiB a machine by default; vagrant-libvirt
            # prints a feature as a bare element, so this one brings its own closing tags
            features[0] = "tcg><tb-cache unit='MiB'>128</tb-cache></tcg><acpi"
        topology = {
            "box": self.box.name,
            "boot_timeout": BOOT_TIMEOUT,
            "disk_cache": "unsafe",
            "keys": [str(state.key()), str(insecure)],
            "libvirt": {
                "uri": self.host.uri,
                "driver": "qemu" if tcg else "kvm",
                "default_prefix": self.prefix,
                "storage_pool_name": hypervisor.POOL,
                "cpus": 1,
                "cpu_mode": "maximum" if tcg else "host-passthrough",
                "graphics_type": "none",
                "video_type": "none",
                "features": features,
                "management_network_name": hypervisor.network_name("management"),
                "management_network_address": self.cluster.networks["management"].cidr,
                "management_network_mode": "none",
                "management_network_keep": True,
            },
            "nodes": {
                node: {
                    "domain": self.domain(node),
                    "memory": spec.memory,
                    "mac": self.cluster.mac(node, "management"),
                    "ssh_port": SSH_PORT + spec.host,
                    "networks": [
                        {
                            "name": hypervisor.network_name(name),
                            "ip": self.cluster.address(node, name),
                            "mac": self._mac(node, name),
                        }
                        for name in self.cluster.networks
                        if name != "management"
                    ],
                }
                for node, spec in self.cluster.nodes.items()
            },
        }
        state.store("topology.json", topology)

    def _mac(self, node: str, network: str) -> str:
        mac = self.cluster.mac(node, network)
        return mac if self.host.provider == "libvirt" else mac.replace(":", "").upper()

    def _add_box(self, say: Say) -> None:
        assert self.box is not None
        home = Path(os.environ.get("VAGRANT_HOME") or Path.home() / ".vagrant.d")
        folder = home / "boxes" / self.box.name.replace("/", "-VAGRANTSLASH-")
        if not list(folder.glob(f"*/{self.host.provider}/metadata.json")):
            say("box", f"adding {self.box.name}")
            runner = self._vagrant()
            try:
                runner.box_add(
                    self.box.name,
                    self.box.file(self.host.provider).as_uri(),
                    provider=self.host.provider,
                    force=True,
                )
            except subprocess.CalledProcessError:
                raise WorkshopError(
                    "Vagrant refused the box (.workshop/logs/vagrant.log); "
                    "`invoke box --rebuild` builds it again"
                ) from None

    def _vagrant(self) -> _Vagrant:
        if shutil.which("vagrant") is None:
            raise WorkshopError("Vagrant is not installed; `./run doctor` installs it")
        keep = vagrant.make_file_cm(str(state.path("logs/vagrant.log")), "a")
        errors = vagrant.make_file_cm(str(state.path("logs/vagrant-errors.log")), "w")
        environment = {**os.environ, "VAGRANT_CHECKPOINT_DISABLE": "1", "VAGRANT_NO_COLOR": "1"}
        return _Vagrant(root=str(ROOT), out_cm=keep, err_cm=errors, env=environment)

    def _take_over(self, node: str) -> None:
        """First contact: this workshop's key in, Vagrant's public one out, names and
        addresses set. The host key is learnt here, on a network nobody else is on."""
        address, port = self.address(node)
        known = self._known(node)
        insecure = Ssh(node, address, _insecure_key(), known, port, user="vagrant")
        insecure.run(f"sudo bash -c {shlex.quote(self._first_script(node))}", timeout=120)
        client = insecure.connection().client
        server_key = client.get_transport().get_remote_server_key()
        insecure.close()
        host = address if port == 22 else f"[{address}]:{port}"
        line = f"{host} {server_key.get_name()} {server_key.get_base64()}\n"
        remote = Ssh(node, address, state.key(), Path("/nonexistent"), port)
        remote.run("true", timeout=60)
        remote.close()
        state.write_file(known, line)
        self._remotes.pop(node, None)

    def _first_script(self, node: str) -> str:
        public = Path(f"{state.key()}.pub").read_text().strip()
        names = "\n".join(f"{self.cluster.address(other)} {other}" for other in self.cluster.nodes)
        interfaces = "\n".join(
            f"auto {network.interface}\niface {network.interface} inet static\n"
            f"    address {self.cluster.address(node, name)}/{network.prefix}"
            for name, network in self.cluster.networks.items()
            if name != "management"
        )
        up = " ".join(n.interface for k, n in self.cluster.networks.items() if k != "management")
        return f"""set -e
date -s @{int(time.time())} >/dev/null
hostnamectl hostname {node} 2>/dev/null || {{ echo {node} >/etc/hostname; hostname {node}; }}
cat >/etc/hosts <<'END'
127.0.0.1 localhost
{names}
END
cat >/etc/network/interfaces.d/workshop <<'END'
{interfaces}
END
ifup {up} >/dev/null 2>&1
mkdir -p -m 700 /root/.ssh
for home in /root /home/vagrant; do
  echo '{public}' >$home/.ssh/authorized_keys
  chmod 600 $home/.ssh/authorized_keys
done
chown -R vagrant:vagrant /home/vagrant/.ssh
printf '%s\\n' 'PS1="\\[\\e[1m\\]\\h\\[\\e[0m\\]:\\w# "' >/root/.bashrc
sync
"""

    def remove(self, node: str) -> None:
        """Destroy one machine and forget it."""
        self.hypervisor.remove(self.domain(node))
        shutil.rmtree(ROOT / ".vagrant" / "machines" / node, ignore_errors=True)
        self._known(node).unlink(missing_ok=True)
        if node in self._remotes:
            self._remotes.pop(node).close()

    def _orphans_cure(self, orphans: list[str]) -> str:
        if self.host.private:
            return "`invoke destroy` removes it"
        words = " ".join(f"virsh undefine --remove-all-storage {name};" for name in orphans)
        return f"if nobody else uses it: {words}"

    def destroy(self) -> list[str]:
        """Remove every machine, network and disk of this workshop, and in the kit's own
        libvirtd those of folders that are gone; says what it removed."""
        self.disconnect()
        _end_vagrant()
        removed = []
        domains = self.hypervisor.states(FAMILY if self.host.private else self.prefix)
        for domain in domains:
            state.journal("remove", domain=domain)
            self.hypervisor.remove(domain)
            removed.append(domain.removeprefix(self.prefix))
        state.journal("removed")
        self.hypervisor.clean()
        state.journal("cleaned")
        shutil.rmtree(ROOT / ".vagrant", ignore_errors=True)
        return removed

    def down(self, say: Say = quiet) -> None:
        """Stop all machines, keeping their memory: the next `up` goes on from there."""
        self.disconnect()
        states = self.states()

        def stop(node: str) -> None:
            if states[node] == "paused":
                self.hypervisor.resume(self.domain(node))
            self.hypervisor.suspend_to_disk(self.domain(node))
            say(node, "saved and off")

        active = [node for node, what in states.items() if what in ("running", "paused")]
        if active:
            parallel(stop, active)

    def wait_for_ssh(self, nodes: list[str], within: float = 180) -> None:
        """Until every node runs a command, at most `within` seconds."""

        def reach(node: str) -> None:
            bound = within * self.host.patience
            try:
                eventually(lambda: self._reaches(node), bound, f"ssh on {node}", pause=0.2)
            except AssertionError:
                raise NodeLost(
                    f"{node} did not answer over ssh within {bound:.0f} s; `invoke reset` brings "
                    "it back as it booted"
                ) from None

        if nodes:
            parallel(reach, nodes)

    def _reaches(self, node: str) -> bool:
        try:
            return self.remote(node).run("true", timeout=20).ok
        except WorkshopError as error:
            if isinstance(error, NodeLost) and "refused this workshop's key" in str(error):
                raise
            return False

    def set_clocks(self, nodes: list[str]) -> None:
        """Give the nodes the time of day: it stood still while they did."""
        parallel(
            lambda n: self.remote(n).run(f"date -s @{time.time():.3f} >/dev/null"),
            nodes,
        )

    # power and links

    def power_off(self, node: str) -> None:
        """Pull the node's plug."""
        self.hypervisor.power_off(self.domain(node))
        self.remote(node).close()

    def power_on(self, node: str, wait: bool = True) -> None:
        """Switch the node on and, unless told otherwise, wait until it answers."""
        if self.states()[node] == "off":
            self.hypervisor.start(self.domain(node))
        if wait:
            self.wait_for_ssh([node])

    def pause(self, node: str) -> None:
        """Freeze the node."""
        self.hypervisor.pause(self.domain(node))

    def resume(self, node: str) -> None:
        """Let a frozen node go on."""
        self.hypervisor.resume(self.domain(node))

    def link(self, node: str, network: str, up: bool) -> None:
        """Plug or pull the node's cable in a network."""
        self.hypervisor.link(self.domain(node), self.cluster.mac(node, network), up)


def _end_vagrant() -> None:
    """End the Vagrant of a killed command, and its children; another process that has the
    number by now is left alone."""
    file = state.path(VAGRANT_PID)
    if not file.exists():
        return
    with contextlib.suppress(ValueError):
        _end_group(int(file.read_text()))
    file.unlink(missing_ok=True)


def _end_group(pid: int) -> None:
    for number, patience in ((signal.SIGINT, 20.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(OSError):
            if b"vagrant" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                return
            os.killpg(pid, number)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if not Path(f"/proc/{pid}").exists():
                return
            time.sleep(0.1)


def _report(line: str, say: Say) -> None:
    match = re.search(r"(?:==>)? *(\w+): (.*)", line)
    for text, doing in VAGRANT_MILESTONES.items():
        if match and text in match[2]:
            say(match[1], doing)


@functools.cache
def _insecure_key() -> Path:
    """The private key that every fresh box accepts, which comes with Vagrant; a copy of this
    user's own, as ssh wants it."""
    original = vagrant_key().with_suffix("")
    return state.write_file(state.path("first-contact"), original.read_text(), 0o600)
