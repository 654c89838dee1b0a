"""What this machine has and lacks, for `invoke doctor`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from workshop import box, faults, host, manifest, state
from workshop.errors import WorkshopError
from workshop.machines import Machines

DISK = 12  # GB that box, its copies and checkpoints of seven machines may take
SPARE = 1500  # MB the host itself keeps


@dataclass(frozen=True)
class Finding:
    """One line of `doctor`: what was found, whether it is well, and the cure."""

    ok: bool
    what: str
    cure: str = ""


def examine() -> Iterator[Finding]:
    """Every finding, in the order in which to cure them."""
    for look in (_programs, _memory, _disk, _kvm, _libvirt, _box, _leftovers):
        yield from _guarded(look)


def _guarded(look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except WorkshopError as error:
        yield Finding(False, str(error), "see the line")


def _programs() -> Iterator[Finding]:
    if shutil.which("vagrant") is None:
        yield Finding(False, "Vagrant is not installed", "./run doctor installs it")
    else:
        version = host.run("vagrant", "--version", timeout=60).stdout.strip()
        yield Finding(True, version)
    names = [n for n in ("virsh", "VBoxManage") if shutil.which(n)]
    what = f"providers: {', '.join(names) or 'none'}"
    yield Finding(bool(names), what, "./run doctor installs libvirt")


def _memory() -> Iterator[Finding]:
    cluster = manifest.cluster_of()
    need = sum(node.memory + 150 for node in cluster.nodes.values()) + SPARE
    words = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(words["MemAvailable"].split()[0]) // 1024
    what = f"memory: {free} MB free; all {len(cluster.nodes)} machines want {need} MB"
    running = host.running()
    yield Finding(free >= need or running, what, "lab 1 needs 1 GB only; close something for more")


def _disk() -> Iterator[Finding]:
    place = state.HOST_FOLDER if state.HOST_FOLDER.exists() else Path.home()
    for folder in {os.stat(p).st_dev: p for p in (place, Path("/var/lib"))}.values():
        free = shutil.disk_usage(folder).free / 1e9
        what = f"disk: {free:.0f} GB free at {folder}; the whole course wants {DISK} GB"
        yield Finding(free >= DISK, what, f"free some space at {folder}")


def _kvm() -> Iterator[Finding]:
    found = box.cached(manifest.ROOT)
    where = host.detect(found.kernel if found else None)
    slow = "" if where.accelerator == "kvm" else "; machines run without it, three times slower"
    yield Finding(True, f"KVM: {where.why}{slow}")


def _libvirt() -> Iterator[Finding]:
    where = host.detect()
    if where.provider != "libvirt":
        yield Finding(True, f"provider: {where.provider}, {where.why}")
    elif where.private:
        state_now = "runs" if host.running() else "is started when it is needed"
        root = os.geteuid() == 0
        what = f"libvirt: systemd does not run here; the kit's own libvirtd {state_now}"
        yield Finding(root, what, "run as root")
    else:
        done = host.run("virsh", "-c", where.uri, "version", check=False)
        cure = "systemctl start libvirtd; usermod -aG libvirt $USER"
        yield Finding(done.returncode == 0, f"libvirt at {where.uri}", cure)


def _box() -> Iterator[Finding]:
    found = box.cached(manifest.ROOT)
    if found:
        yield Finding(True, f"box: {found.name}")
    else:
        yield Finding(True, "box: not built yet; the first `invoke up` builds it")


def _leftovers() -> Iterator[Finding]:
    for entry in faults.active():
        yield Finding(False, f"the fault {entry['name']} is in force", "invoke heal")
    if host.running():
        where = host.detect()
        host.enter(where)
        machines = Machines(manifest.cluster_of(), where)
        half = [
            node
            for node, what in machines.states().items()
            if what != "absent" and not state.path(f"known/{node}").exists()
        ]
        for node in half:
            yield Finding(False, f"{node} is half made", f"invoke up {node}, or invoke destroy")
        for name in machines.orphans():
            yield Finding(False, f"{name} belongs to no folder that still stands", "invoke destroy")
