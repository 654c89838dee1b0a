"""Lab 2 on somebody's own servers: installed from the bundle alone, as its README says.

The kit's machines play the servers: freshly booted, with other host names, other interfaces
and other networks. Nothing is typed but what stands in the bundle; its one `scp` is done over
the kit's connection, which has the key.
"""

from __future__ import annotations

import shlex
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from own_servers import Block, blocks, moved, renamed, toml

from workshop import bundle, facts, manifest, plugin
from workshop.checkpoints import BOOTED
from workshop.course import Course
from workshop.live import Live
from workshop.manifest import Lab
from workshop.remote import Remote, Result, parallel
from workshop.steps import CLIENT, Expectation
from workshop.waiting import eventually

HOME = "/root/lamp-ha-configs"
WITHIN = 150  # seconds that a block is repeated until it shows what it should
LONGEST = 300  # seconds that one block may take

NETWORK = """set -e
ifdown {old} 2>/dev/null || true
{rename}
printf '127.0.0.1 localhost\\n' >/etc/hosts
printf '%s' {text} >/etc/network/interfaces.d/workshop
ifup {new}
"""


class Renamed:
    """A machine of the kit under the name of the server that it plays."""

    def __init__(self, remote: Remote, name: str) -> None:
        self._remote, self.name = remote, name

    def __getattr__(self, key: str) -> Any:
        return getattr(self._remote, key)


class Servers:
    """The kit's machines, as `Live` wants them, under the servers' names."""

    def __init__(self, course: Course, played: dict[str, str]) -> None:
        self.machines, self.host = course.machines, course.machines.host
        self.played = played  # server to machine

    def remote(self, name: str) -> Renamed:
        return Renamed(self.machines.remote(self.played[name]), name)

    def states(self) -> dict[str, str]:
        states = self.machines.states()
        return {name: states[machine] for name, machine in self.played.items()}


@pytest.fixture
def servers(course: Course, tmp_path: Path) -> Iterator[Live]:
    """Four servers that have names, addresses and nothing else; and lab 2 as their own."""
    labs, lab = manifest.labs(), manifest.lab(2)
    course.reset(lab)  # all four exist, and have a checkpoint from when they booted
    course.reset(manifest.lab(1))  # nothing is built, and the kit knows
    course.checkpoints.restore(BOOTED, lab.nodes)
    values = moved(labs)
    own = renamed(lab, labs, values, tmp_path / "labs")
    played = dict(zip(own.nodes, lab.nodes, strict=True))
    live = Live(Servers(course, played), own)  # type: ignore[arg-type]
    parallel(lambda name: live.run(name, _network(lab, own, name, played[name])), own.nodes)
    shown = live.client.run("ip -o -4 addr show").stdout
    bridge = facts.addresses(shown)[lab.cluster.networks["front"].address(1)]
    front = own.cluster.networks["front"]
    live.client.run(f"ip address add {front.address(1)}/{front.prefix} dev {bridge}")
    try:
        yield live
    finally:
        live.client.run(f"ip address del {front.address(1)}/{front.prefix} dev {bridge}")
        course.reset(manifest.lab(1))


def _network(lab: Lab, own: Lab, name: str, machine: str) -> str:
    """What gives the machine the interfaces and addresses of the server it plays."""
    old, new = lab.cluster.networks, own.cluster.networks
    names = ("front", "back")
    text = "".join(
        f"auto {new[n].interface}\niface {new[n].interface} inet static\n"
        f"    address {own.cluster.address(name, n)}/{new[n].prefix}\n"
        for n in names
    )
    rename = "\n".join(
        f"ip link set {old[n].interface} down\n"
        f"ip link set {old[n].interface} name {new[n].interface}"
        for n in names
    )
    assert lab.cluster.address(machine, "front") != own.cluster.address(name, "front")
    return NETWORK.format(
        old=" ".join(old[n].interface for n in names),
        new=" ".join(new[n].interface for n in names),
        rename=rename,
        text=shlex.quote(text),
    )


def _unpacked(tmp_path: Path) -> Path:
    """The bundle for these servers, made from an inventory's file."""
    labs = manifest.labs()
    file = tmp_path / "my.toml"
    file.write_text(toml(moved(labs), labs))
    for path in bundle.write(labs, file, tmp_path):
        if path.name.endswith(".tar.gz"):
            with tarfile.open(path) as archive:
                archive.extractall(tmp_path, filter="data")
    return tmp_path / bundle.NAME


def _copy(folder: Path, remote: Remote) -> None:
    """`scp -pr . root@SERVER:/root/lamp-ha-configs`."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    remote.put_many(  # type: ignore[attr-defined]
        [
            (f"{HOME}/{p.relative_to(folder)}", f"{p.stat().st_mode & 0o7777:04o}", p.read_bytes())
            for p in files
        ]
    )


def _type(live: Live, block: Block) -> None:
    """Type a block on each of its servers, and see what it promises."""

    def once(name: str) -> Result:
        if name == CLIENT:
            return live.run(name, block.command, LONGEST, check=False)
        command = f"cd {HOME} && bash -ec {shlex.quote(block.command)}"
        return live.run(name, command, LONGEST, check=False)

    def seen() -> bool:
        for result in parallel(once, list(map(live.named, block.on))).values():
            assert result.ok != block.refused, f"{result.node}: {result.output}"
            if block.expect:
                shown = Expectation(block.expect, 0).met(result.output)
                assert shown, f"{result.node}: {result.output}"
        return True

    what = f"{','.join(block.on)}: {block.command.splitlines()[0]}"
    print(what)
    if block.repeat:
        eventually(seen, WITHIN * live.machines.host.patience, what, 1)
    else:
        seen()


def test_lab_2_is_installed_from_the_bundle_alone(servers: Live, tmp_path: Path) -> None:
    before = {check.name: check.outcome for check in plugin.run(servers)}
    assert "passed" not in before.values(), before
    folder = _unpacked(tmp_path)
    readme = blocks((folder / "README.md").read_text())
    for block in readme:
        if block.command.startswith("scp "):
            parallel(lambda name: _copy(folder, servers.remote(name)), servers.nodes)
        elif block.on:
            _type(servers, block)
        else:
            subprocess.run(["bash", "-ec", block.command], cwd=folder, check=True)
    for lab in (manifest.lab(1), manifest.lab(2)):
        for block in blocks((folder / lab.name / "INSTALL.md").read_text()):
            _type(servers, block)

    def outcomes() -> bool:
        checks = plugin.run(servers)
        wrong = {c.name: (c.outcome, c.message) for c in checks if c.outcome != "passed"}
        assert wrong == {}
        assert {c.name for c in checks} == set(manifest.lab(2).mutations)
        return True

    eventually(outcomes, 60 * servers.machines.host.patience, "lab 2's checks pass", 2)
