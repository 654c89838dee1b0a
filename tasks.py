"""Invoke tasks. They only wire; the logic lives in the package `workshop`."""

from __future__ import annotations

from typing import Any

from invoke import Collection, task

from workshop import commands
from workshop.cli import optional


@task
def box(_c: Any, rebuild: bool = False) -> None:
    """Build the virtual machines' image, unless it is there already."""
    commands.box(rebuild)


@task(help={"build": "build them from Debian's sources into packages/ (about an hour)"})
def packages(_c: Any, build: bool = False) -> None:
    """Say where the MySQL Cluster packages come from, and verify their checksums."""
    commands.packages(build)


@task(positional=["nodes"], help={"nodes": "nodes or groups, separated by commas; default: all"})
def up(_c: Any, nodes: str | None = optional("up", 1)) -> None:
    """Have machines running: create, start or wake them."""
    commands.up(nodes or "all")


@task
def down(_c: Any) -> None:
    """Stop all machines and keep their memory: `up` goes on from there."""
    commands.down()


@task
def destroy(_c: Any) -> None:
    """Remove machines, networks, disks and daemons of this workshop."""
    commands.destroy()


@task
def status(_c: Any) -> None:
    """Show every machine, what it does, and which labs are built."""
    commands.status()


@task(help={"node": "a node, or `client`: your own machine on the cluster's network"})
def ssh(_c: Any, node: str, run: str = "") -> None:
    """Open a root shell on a node (or run one command there)."""
    commands.ssh(node, run)


@task(help={"number": "number or name of the lab", "try_": "then run its experiments too"})
def lab(_c: Any, number: str, try_: bool = False) -> None:
    """Build a lab on its machines and check it."""
    commands.lab(number, try_)


@task
def check(_c: Any, number: str) -> None:
    """Check that a lab's result holds."""
    commands.check(number)


@task(help={"check": "only say whether configs/ is up to date"})
def render(_c: Any, check: bool = False) -> None:
    """Render every lab's files to configs/."""
    commands.render_all(check)


@task(
    name="break",
    positional=["number", "fault"],
    help={"fault": "without one: list them", "on": "a node, `holder` or `peer`"},
)
def break_(_c: Any, number: str, fault: str | None = optional("break", 2), on: str = "") -> None:
    """Make a declared fault happen and measure what visitors see."""
    commands.break_(number, fault or "", on)


@task
def heal(_c: Any) -> None:
    """Undo every fault that is in force."""
    commands.heal()


@task(
    help={
        "nodes": "nodes or groups, separated by commas",
        "packages": "names of packages, separated by commas",
    }
)
def update(_c: Any, nodes: str, packages: str) -> None:
    """Bring new versions of packages in, one machine after the other, under the probe."""
    commands.update(nodes, packages)


@task(positional=["number"])
def reset(_c: Any, number: str | None = optional("reset", 1)) -> None:
    """Go to the state before a lab (default: the one that is built)."""
    commands.reset(number or "")


@task
def skip(_c: Any, number: str) -> None:
    """Go to the state after a lab."""
    commands.skip(number)


@task(positional=["action", "name"], help={"action": "save, restore, list or drop"})
def checkpoint(_c: Any, action: str, name: str | None = optional("checkpoint", 2)) -> None:
    """Keep the whole cluster under a name of your own, or go back to it."""
    commands.checkpoint(action, name or "")


@task(
    positional=["number"],
    auto_shortflags=False,
    help={
        "auto": "by itself; ends with an error where an expectation fails",
        "pace": "2 takes twice as long, 0 pauses nowhere",
        "prepare": "take the checkpoints from which it starts in seconds; of all labs without N",
        "notes": "the speaker's notes, on a second terminal",
        "from_": "a step's number, `try`, or words of a heading",
        "until": "the same",
    },
)
def demo(
    _c: Any,
    number: str | None = optional("demo", 1),
    auto: bool = False,
    pace: float = 1.0,
    prepare: bool = False,
    notes: bool = False,
    from_: str = "",
    until: str = "",
) -> None:
    """Play a lab before an audience, step by step (? shows the keys)."""
    commands.demo(number or "", auto, pace, prepare, notes, from_, until)


@task
def doctor(_c: Any) -> None:
    """Say what this machine has and lacks, one line each with the cure."""
    commands.doctor()


@task(
    help={
        "inventory": "a TOML file that names your own servers",
        "example": "print one to start from",
    }
)
def bundle(_c: Any, inventory: str = "", example: bool = False) -> None:
    """Make the archives of all configuration files, into dist/."""
    commands.bundle(inventory, example)


@task
def site(_c: Any) -> None:
    """Build the handout as a site, into site/."""
    commands.site()


@task(help={"anyway": "although something is not proved, with a banner that says so"})
def publish(_c: Any, anyway: bool = False) -> None:
    """Build the site for others to read, if every lab is proved."""
    commands.publish(anyway)


@task(help={"anyway": "although handout/site.toml names nobody"})
def handout(_c: Any, anyway: bool = False) -> None:
    """Make the two printed pages, site/handout.pdf."""
    commands.handout(anyway)


@task
def serve(_c: Any, port: int = 8000) -> None:
    """Show the handout on 127.0.0.1 and follow changes."""
    commands.serve(port)


@task(
    help={
        "fast": "only what needs no machine",
        "all_": "every fault of every lab, also of those that are proved",
        "lab": "only this lab",
    }
)
def test(_c: Any, fast: bool = False, all_: bool = False, lab: str = "") -> None:
    """Prove the engine and the labs."""
    commands.test(fast, all_, lab)


@task(positional=["slug"], help={"slug": "small letters, digits and -"})
def new(_c: Any, slug: str) -> None:
    """Make the folder of a new lab, small and whole."""
    commands.new(slug)


@task(help={"rounds": "of each measurement, three at least"})
def bench(_c: Any, rounds: int = 3) -> None:
    """Measure reset, skip, Build and checks against other ways to do the same."""
    commands.bench(rounds)


@task(help={"seed": "draws the signals", "only": "these boundaries, separated by commas"})
def torture(_c: Any, seed: int = 1, only: str = "") -> None:
    """Kill the kit at every boundary of its journal and see whether it survives."""
    commands.torture(seed, only)


namespace = Collection(
    *[box, packages, up, down, destroy, status, ssh, lab, check, render, break_, heal],
    *[reset, skip, checkpoint, demo, doctor, bundle, site, serve, publish, handout],
    *[update, test, new, bench, torture],
)
