"""Faults, and their undoing.

A fault is data: what to do and what undoes it. The undoing is written down before
anything is done, and it happens even if the kit is killed: a timer inside the guest undoes
what was done there, a detached watchdog what was done to the machine from outside, both
within `LIMIT` seconds; and so does the kit's next command.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import inspect
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from workshop import state
from workshop.errors import WorkshopError
from workshop.machines import Machines
from workshop.manifest import Lab
from workshop.remote import NodeLost, TimedOut

LIMIT = 300  # seconds after which a fault undoes itself
ACTION = 90  # seconds that one command of it may take
FILE = "faults.json"


@dataclass(frozen=True)
class Action:
    """One thing done to a node: a power or link change from outside, or a command inside."""

    node: str
    what: Literal["off", "on", "pause", "resume", "unplug", "plug", "run"]
    argument: str = ""  # of run: the command; of plug: the network

    def __str__(self) -> str:
        words = {"off": "power off", "on": "power on", "run": f"`{self.argument}`"}
        network = f" from {self.argument}" if self.what in ("unplug", "plug") else ""
        return f"{self.node}: {words.get(self.what, self.what)}{network}"


@dataclass(frozen=True)
class Plan:
    """A fault ready to happen: what is done, and what undoes it (both in order)."""

    do: list[Action]
    undo: list[Action]


def power_off(node: str) -> Plan:
    """Pull the plug."""
    return Plan([Action(node, "off")], [Action(node, "on")])


def pause(node: str) -> Plan:
    """Freeze the whole machine; its clock stands still with it."""
    return Plan([Action(node, "pause")], [Action(node, "resume")])


def unplug(node: str, network: str = "front") -> Plan:
    """Pull one network cable."""
    return Plan([Action(node, "unplug", network)], [Action(node, "plug", network)])


def command(node: str, run: str, undo: str = "true") -> Plan:
    """Run a command on the node; another one undoes it."""
    return Plan([Action(node, "run", run)], [Action(node, "run", undo)])


def cut(node: str, peer: str, networks: str = "all", direction: str = "both") -> Plan:
    """Drop, silently, what two nodes send each other; everybody else still reaches both.

    `networks` is `all`, `front` or `back`; with `direction="in"` only what the peer sends
    to the node is lost.
    """
    rules = []
    for address in _addresses(peer, networks):
        rules.append(f"add rule inet fault input ip saddr {address} drop")
        if direction == "both":
            rules.append(f"add rule inet fault output ip daddr {address} drop")
    text = "; ".join(
        [
            "add table inet fault",
            "add chain inet fault input { type filter hook input priority -10; }",
            "add chain inet fault output { type filter hook output priority -10; }",
            *rules,
        ]
    )
    return Plan(
        [Action(node, "run", f"nft {shlex.quote(text)}")],
        [Action(node, "run", "nft delete table inet fault 2>/dev/null || true")],
    )


def _addresses(node: str, networks: str) -> list[str]:
    from workshop.manifest import cluster_of

    cluster = cluster_of()
    names = [n for n in cluster.networks if n != "management"]
    if networks != "all":
        if networks not in names:
            raise WorkshopError(
                f"there is no network {networks!r}; there are: all, {', '.join(names)}"
            )
        names = [networks]
    return [cluster.address(node, name) for name in names]


def kill(node: str, process: str) -> Plan:
    """SIGKILL to every process of that name; the undo starts the unit of that name."""
    return command(node, f"pkill -9 -x {process}", f"systemctl restart {process}")


def freeze(node: str, process: str) -> Plan:
    """SIGSTOP to every process of that name."""
    return command(node, f"pkill -STOP -x {process}", f"pkill -CONT -x {process} || true")


def stop_service(node: str, service: str) -> Plan:
    """Stop a service as its crash would: nobody is told."""
    return command(node, f"systemctl stop {service}", f"systemctl start {service}")


def clock_jump(node: str, seconds: int = 3600) -> Plan:
    """Set the wall clock forward."""
    return command(
        node, f"date -s '+{seconds} seconds' >/dev/null", f"date -s '-{seconds} seconds' >/dev/null"
    )


def fill_disk(node: str, folder: str = "/var") -> Plan:
    """Leave not one free block in the folder's file system."""
    file = f"{folder}/fault-fills-the-disk"
    fill = (
        f"fallocate -l $(( $(df --output=avail -B1 {folder} | tail -1) - 1048576 )) {file}; "
        f"dd if=/dev/zero of={file} bs=64k oflag=append conv=notrunc status=none; true"
    )
    return command(node, fill, f"rm -f {file}")


def netem(node: str, interface: str = "eth1", how: str = "delay 100ms") -> Plan:
    """Delay, lose or reorder what the node sends on an interface (tc-netem's words)."""
    return command(
        node,
        f"tc qdisc replace dev {interface} root netem {how}",
        f"tc qdisc del dev {interface} root 2>/dev/null || true",
    )


def plan(lab: Lab, name: str, node: str, peer: str) -> Plan:
    """The declared fault `name` of a lab, aimed at `node`."""
    if name not in lab.file.faults:
        known = ", ".join(lab.file.faults) or "none"
        raise WorkshopError(f"lab {lab.number} has no fault {name!r}; it has: {known}")
    declared = lab.file.faults[name]
    function = _functions(lab).get(declared.does)
    if function is None:
        raise WorkshopError(f"{lab.name}/lab.toml: faults.{name}: there is no {declared.does!r}")
    options: dict[str, Any] = dict(declared.options)
    if "peer" in inspect.signature(function).parameters:
        options["peer"] = peer
    try:
        result: Plan = function(node, **options)
    except (TypeError, WorkshopError) as error:
        raise WorkshopError(f"{lab.name}/lab.toml: faults.{name}: {error}") from None
    return result


def _functions(lab: Lab) -> dict[str, Callable[..., Plan]]:
    known: dict[str, Callable[..., Plan]] = {
        f.__name__: f
        for f in (
            *(power_off, pause, unplug, cut, command, kill),
            *(freeze, stop_service, clock_jump, fill_disk, netem),
        )
    }
    own = lab.folder / "faults.py"
    if own.exists():
        spec = importlib.util.spec_from_file_location(f"faults_{lab.number}", own)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise WorkshopError(f"{lab.name}/faults.py: {type(error).__name__}: {error}") from None
        known |= {n: f for n, f in vars(module).items() if inspect.isfunction(f)}
    return known


# doing and undoing


def active() -> list[dict[str, Any]]:
    """Faults that are in force, oldest first."""
    known: list[dict[str, Any]] = state.load(FILE, [])
    return known


def inject(machines: Machines, name: str, what: Plan, limit: float = LIMIT) -> str:
    """Make the fault happen; returns its token. The undoing is arranged for first."""
    token = f"{int(time.time() * 1000):x}"
    entry: dict[str, Any] = {
        "token": token,
        "name": name,
        "until": time.time() + limit,
        "undo": [asdict(action) for action in what.undo],
        "watchdog": 0,
    }
    state.store(FILE, [*active(), entry])
    state.journal("fault", name=name, token=token)
    try:
        if any(action.what != "run" for action in what.undo):
            entry["watchdog"] = _watchdog(token, limit)
            state.store(FILE, [*(e for e in active() if e["token"] != token), entry])
        runs = [action for action in what.undo if action.what == "run"]
        for node in dict.fromkeys(action.node for action in runs):
            arm = (
                f"systemd-run --quiet --collect --on-active={limit:.0f} --unit=heal-{token} "
                "--timer-property=AccuracySec=1s"
            )
            undo = "\n".join(a.argument for a in runs if a.node == node)
            machines.remote(node).run(f"{arm} sh -c {shlex.quote(undo)}")
        for action in what.do:
            perform(machines, action, check=False)
    except BaseException:
        heal(machines, token)  # a fault that half happened is no fault
        raise
    state.journal("faulted", name=name)
    return token


def heal(machines: Machines, token: str | None = None) -> list[str]:
    """Undo one fault or all, newest first; returns their names."""
    healed = []
    for entry in reversed(active()):
        if token in (None, entry["token"]):
            _undo(machines, entry)
            healed.append(str(entry["name"]))
    return healed


def forget() -> None:
    """Strike all faults off the list (a restored checkpoint knows none) and end their
    watchdogs."""
    for entry in active():
        _end_watchdog(entry)
    if active():
        state.store(FILE, [])


def frozen() -> list[str]:
    """Nodes that a fault in force has frozen."""
    return [a["node"] for entry in active() for a in entry["undo"] if a["what"] == "resume"]


def _undo(machines: Machines, entry: dict[str, Any]) -> None:
    state.journal("heal", name=entry["name"])
    for fields in entry["undo"]:
        action = Action(**fields)
        with contextlib.suppress(NodeLost, TimedOut):
            if action.what == "run":
                machines.remote(action.node).run(
                    f"systemctl stop heal-{entry['token']}.timer 2>/dev/null; {action.argument}",
                    timeout=ACTION * machines.host.patience,
                    check=False,
                )
            else:
                perform(machines, action)
    state.store(FILE, [e for e in active() if e["token"] != entry["token"]])
    state.journal("healed", name=entry["name"], token=entry["token"])
    _end_watchdog(entry)


def perform(machines: Machines, action: Action, check: bool = True) -> None:
    """Do one action; a machine that is already in the wanted state is left alone."""
    now = machines.states().get(action.node) if action.what != "run" else ""
    if action.what == "run":
        timeout = ACTION * machines.host.patience
        machines.remote(action.node).run(action.argument, timeout=timeout, check=check)
    elif action.what == "off" and now != "off":
        machines.power_off(action.node)
    elif action.what == "on" and now == "off":
        machines.power_on(action.node)
        machines.set_clocks([action.node])
    elif action.what == "pause" and now == "running":
        machines.pause(action.node)
    elif action.what == "resume" and now == "paused":
        machines.resume(action.node)
        machines.set_clocks([action.node])
    elif action.what in ("unplug", "plug"):
        machines.link(action.node, action.argument, action.what == "plug")


@contextlib.contextmanager
def fault(machines: Machines, name: str, what: Plan) -> Iterator[str]:
    """The fault, for as long as the block runs; always healed."""
    token = inject(machines, name, what)
    try:
        yield token
    finally:
        heal(machines, token)


# the watchdog: a process of its own that outlives the kit


def _watchdog(token: str, limit: float) -> int:
    log = state.path("logs/watchdog.log").open("a")
    process = subprocess.Popen(
        [sys.executable, "-m", "workshop.faults", token, str(limit)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd=Path(__file__).resolve().parent.parent,
        start_new_session=True,
    )
    return process.pid


def _end_watchdog(entry: dict[str, Any]) -> None:
    pid = int(entry.get("watchdog", 0))
    if pid and pid != os.getpid():
        with contextlib.suppress(OSError):
            if entry["token"].encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGTERM)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def main() -> None:
    """Entry of the watchdog: waits, and heals the fault unless somebody already did."""
    from workshop import host, manifest

    parser = argparse.ArgumentParser()
    parser.add_argument("token")
    parser.add_argument("limit", type=float)
    arguments = parser.parse_args()
    time.sleep(arguments.limit)
    if any(entry["token"] == arguments.token for entry in active()):
        machines = Machines(manifest.cluster_of(), host.detect())
        print(f"healing {arguments.token}: {heal(machines, arguments.token)}", flush=True)


if __name__ == "__main__":
    main()
