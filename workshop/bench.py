"""Measure the kit against other ways to do the same: ratios within one run."""

from __future__ import annotations

import functools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from workshop import apply, evidence, host, plugin, render, state, steps
from workshop.course import Course
from workshop.errors import WorkshopError
from workshop.hypervisor import Libvirt
from workshop.live import Live
from workshop.manifest import ROOT, Lab

PEERS = ROOT / "tests" / "peers"
WAIT = "lab Build: waiting until the daemons serve"  # the daemons take it, whoever installs them


@dataclass(frozen=True)
class Row:
    """One measurement: its values in one run, in `unit`."""

    name: str
    unit: str
    values: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def __str__(self) -> str:
        low, high = min(self.values), max(self.values)
        return f"| {self.name} | {low:.1f} | {self.median:.1f} | {high:.1f} | {self.unit} |"


@dataclass(frozen=True)
class Ratio:
    """How many times longer `slow` takes than `fast`, by their medians."""

    name: str
    value: float


def run(
    course: Course, lab: Lab, rounds: int, say: Callable[[str], None]
) -> tuple[list[Row], list[Ratio]]:
    """All measurements, `rounds` of each in turn; the machines end up after the lab."""
    times: dict[str, list[float]] = {}

    def measure(name: str, work: Callable[[], object]) -> None:
        begin = time.monotonic()
        work()
        times.setdefault(name, []).append(time.monotonic() - begin)
        say(f"{name}: {times[name][-1]:.1f} s")

    page = steps.parse(lab)
    live = Live(course.machines, lab)
    ansible = _ansible(course, lab)
    cold = "destroy and up"
    for _ in range(rounds):
        measure(cold, lambda: _anew(course, lab))
        course.skip(lab)
        measure("reset", lambda: course.reset(lab))
        steps_done: list[apply.Done] = []
        ended = steps_done.append
        measure("lab Build", functools.partial(apply.run, live, page, "build", ended=ended))
        waits = [done.seconds for done in steps_done if done.step.watch]
        times.setdefault(WAIT, []).append(sum(waits))
        course.reset(lab)
        measure("Build by Ansible", ansible)
        course.skip(lab)
        measure("skip", lambda: course.skip(lab))
        measure("check", lambda: plugin.run(live))
        measure("check, a connection a command", lambda: plugin.run(_Unconnected(live)))
    rows = [Row(name, "s", values) for name, values in times.items()]
    rows += _sizes(course, lab)
    by_name = {row.name: row.median for row in rows}
    ratios = [
        Ratio("destroy and up : reset", by_name[cold] / by_name["reset"]),
        Ratio("destroy and up : skip", by_name[cold] / by_name["skip"]),
        Ratio("Build by Ansible : lab Build", by_name["Build by Ansible"] / by_name["lab Build"]),
        Ratio(
            "the same, both without that wait",
            (by_name["Build by Ansible"] - by_name[WAIT]) / (by_name["lab Build"] - by_name[WAIT]),
        ),
        Ratio(
            "check with a connection a command : check",
            by_name["check, a connection a command"] / by_name["check"],
        ),
    ]
    return rows, ratios


def _anew(course: Course, lab: Lab) -> None:
    course.machines.destroy()
    course.machines.hypervisor.prepare()
    for name in ("checkpoints.json", "course.json"):
        state.path(name).unlink(missing_ok=True)
    course.up(lab.nodes)


class _Unconnected(Live):
    """The same checks with a new ssh connection for each command."""

    def __init__(self, live: Live) -> None:
        super().__init__(live.machines, live.lab)

    def run(self, node: str, command: str, timeout: float = 60, check: bool = True):  # type: ignore[no-untyped-def]
        self.remote(node).close()
        return super().run(node, command, timeout, check)


def peer() -> Path:
    """Ansible's program, in a virtual environment of its own, installed where it is missing:
    to be called first outside the cluster's network, in which there is no internet."""
    home = state.path("peers")
    program = home / "bin" / "ansible-playbook"
    if not program.exists():
        host.run(sys.executable, "-m", "venv", str(home), timeout=120)
        host.run(
            *(str(home / "bin" / "pip"), "install", "--quiet", "--require-hashes"),
            *("-r", str(PEERS / "requirements.txt")),
            timeout=600,
        )
    return program


def _ansible(course: Course, lab: Lab) -> Callable[[], None]:
    """The lab's Build by Ansible."""
    program = peer()
    rendered = state.path("peer-files")
    for file in render.files(lab, apply.secrets_of(lab)):
        target = rendered / file.node / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
    inventory = ["[directors]"]
    for node in lab.nodes:
        address, port = course.machines.address(node)
        known = state.path(f"known/{node}")
        inventory.append(
            f"{node} ansible_host={address} ansible_port={port} ansible_user=root "
            f"ansible_ssh_private_key_file={state.key()} "
            "ansible_python_interpreter=/usr/bin/python3 "
            f"ansible_ssh_common_args='-o UserKnownHostsFile={known}'"
        )
    hosts = state.write("peer-inventory", "\n".join(inventory) + "\n")
    environment = {
        **os.environ,
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=15s",
        "ANSIBLE_LOCALHOST_WARNING": "False",
    }

    def play() -> None:
        done = subprocess.run(
            [program, "-i", hosts, "-e", f"rendered={rendered}", PEERS / f"lab-{lab.number}.yml"],
            env=environment,
            text=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=600,
            check=False,
        )
        if done.returncode:
            raise WorkshopError(f"Ansible failed: {done.stdout.strip().splitlines()[-1:]}")

    return play


def _sizes(course: Course, lab: Lab) -> list[Row]:
    """Memory of each machine's process beyond what the machine has, and its disk, in MB."""
    hypervisor = course.machines.hypervisor
    if not isinstance(hypervisor, Libvirt):
        return []
    extra, disk = [], []
    for node in lab.nodes:
        domain = course.machines.domain(node)
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = entry.read_bytes()
                if words.startswith(b"/usr/bin/qemu") and f"guest={domain},".encode() in words:
                    status = (entry.parent / "status").read_text()
                    resident = int(status.split("VmRSS:")[1].split()[0]) / 1024
                    extra.append(resident - course.machines.cluster.nodes[node].memory)
            except OSError:
                continue
        blocks = hypervisor.virsh("domblkinfo", domain, "vda").split("Allocation:")[1].split()[0]
        disk.append(int(blocks) / 1e6)
    return [
        Row("memory a machine takes beyond its own", "MB", extra),
        Row("disk a machine takes, checkpoints included", "MB", disk),
    ]


def report(rows: list[Row], ratios: list[Ratio], where: host.Host) -> tuple[str, str]:
    """The measurements as Markdown and as JSON."""
    lines = [
        f"{evidence.processor()}, {where.provider}, {where.accelerator}",
        "",
        "| what | least | median | most | unit |",
        "|---|---:|---:|---:|---|",
        *map(str, rows),
        "",
        "| ratio of medians, one run | |",
        "|---|---:|",
        *(f"| {ratio.name} | {ratio.value:.1f} |" for ratio in ratios),
    ]
    data = {
        "machine": evidence.processor(),
        "accelerator": where.accelerator,
        "rows": [asdict(row) for row in rows],
        "ratios": [asdict(ratio) for ratio in ratios],
    }
    return "\n".join(lines) + "\n", json.dumps(data, indent=1) + "\n"
