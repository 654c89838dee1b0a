"""What each Invoke task does."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from pathlib import Path

from rich.table import Table

from workshop import (
    apply,
    faults,
    host,
    manifest,
    mysql_packages,
    plugin,
    render,
    shell,
    state,
    steps,
)
from workshop import box as boxes
from workshop import bundle as bundles
from workshop import show as screen
from workshop.checkpoints import Checkpoints
from workshop.cli import command, confirm, course, machines, running, visitor
from workshop.course import Course
from workshop.course import checkpoint as name_of
from workshop.errors import WorkshopError
from workshop.judge import Trial
from workshop.live import Live
from workshop.machines import Machines
from workshop.manifest import ROOT, Lab
from workshop.steps import CLIENT

STARTS = 20  # seconds in which the demo of a lab that is prepared is to be on the screen


@command
def box(rebuild: bool) -> None:
    """Build the box, or say that it is there."""
    with state.lock("box"):
        found = boxes.build(ROOT, screen.line) if rebuild else boxes.ready(ROOT, screen.line)
        screen.line(f"box {found.name} is ready: {found.folder}")


PACKAGES_CURE = (
    "name a folder with mysql-cluster-*.deb and SHA256SUMS in WORKSHOP_PACKAGES, put them "
    "into packages/, or build them with `invoke packages --build` (an hour)"
)


def _lab(number: str | int) -> Lab:
    """The lab of this number or name, if there is all that building it takes."""
    wanted = manifest.lab(number)
    chain = [*map(manifest.lab, manifest.closure(wanted.file.requires)), wanted]
    if any(lab.file.mysql_cluster for lab in chain) and boxes.package_folder(ROOT) is None:
        raise WorkshopError(f"lab {wanted.number} needs MySQL Cluster packages: {PACKAGES_CURE}")
    return wanted


@command
def packages(build: bool = False) -> None:
    """Say where the MySQL Cluster packages come from, or build them; a damaged one is an error."""
    if build:
        with state.lock("packages"):
            mysql_packages.build(ROOT, screen.line)
    folder = boxes.package_folder(ROOT)
    if folder is None:
        raise WorkshopError(f"no MySQL Cluster packages: {PACKAGES_CURE}")
    found = boxes.package_checksums(folder)
    for name, digest in found.items():
        screen.line(f"{digest[:16]}  {name}")
    screen.line(f"{len(found)} packages from {folder}, as their SHA256SUMS says")


@command
def up(nodes: str) -> None:
    """Have these nodes running."""
    cluster = manifest.cluster_of()
    wanted = [m for name in nodes.split(",") for m in cluster.members(name)]
    with course(f"up {nodes}") as it:
        started = time.monotonic()
        _say_host(it.machines)
        it.up(list(dict.fromkeys(wanted)))
        screen.line(f"up: {', '.join(wanted)} in {time.monotonic() - started:.0f} s")


def _say_host(found: Machines) -> None:
    screen.line(f"virtual machines: {found.host}")


@command
def down() -> None:
    """Stop all machines, memory kept."""
    with machines("down") as found:
        faults.heal(found)
        found.down(lambda node, what: screen.line(f"{node:<5} {what}"))


@command
def destroy() -> None:
    """Remove everything this workshop made."""
    with state.lock("destroy"):
        where = host.detect()
        removed: list[str] = []
        if where.private:
            state.claim()  # another folder's cluster is not touched
        if not where.private or host.running() or host.VAR.exists():
            host.enter(where)
            with contextlib.suppress(WorkshopError):  # damaged state goes with the rest
                faults.forget()
            removed = Machines(manifest.cluster_of(), where).destroy()
        if where.private:
            removed += host.stop()
        state.forget()
        screen.line(f"removed: {', '.join(removed) or 'nothing was there'}")


@command
def status() -> None:
    """A table of the machines."""
    cluster = manifest.cluster_of()
    try:
        states = visitor().states()
    except WorkshopError as error:
        screen.line(str(error))
        return
    table = Table(box=None, pad_edge=False)
    for title in ("node", "state", "memory", "front", "back", "does"):
        table.add_column(title)
    for node, spec in cluster.nodes.items():
        table.add_row(
            node,
            states[node],
            f"{spec.memory} MB",
            cluster.address(node, "front"),
            cluster.address(node, "back"),
            spec.does,
        )
    screen.console.print(table)
    built = state.load("course.json", {"built": []})["built"]
    screen.line(f"labs built by the kit: {', '.join(map(str, built)) or 'none'}")
    for entry in faults.active():
        left = max(entry["until"] - time.time(), 0)
        screen.line(
            f"fault in force: {entry['name']} (undoes itself in {left:.0f} s; `invoke heal`)"
        )


@command
def ssh(node: str, run: str) -> None:
    """A root shell on a node, in place of this process."""
    if node != CLIENT:
        manifest.cluster_of().members(node)  # a mistake is named before anything is looked at
    words = shell.words(visitor(), node, run)
    os.execvp(words[0], words)


@command
def lab(number: str, try_: bool) -> None:
    """Build a lab, check it, and say what to look at."""
    wanted = _lab(number)
    page = steps.parse(wanted)
    with course(f"lab {wanted.number}") as it:
        begin = time.monotonic()
        screen.line(f"Lab {wanted.number}: {wanted.title}")
        _say_host(it.machines)
        seconds, checks = it.lab(wanted)
        took = time.monotonic() - begin
        screen.line(f"built in {seconds:.0f} s, {took:.0f} s with machines and checks")
        _judge(checks, wanted)
        if try_:
            apply.run(Live(it.machines, wanted), page, "try", screen.step_started, screen.step_done)
    _next(wanted)


def _judge(checks: list[plugin.Check], wanted: Lab) -> None:
    bad = [c for c in checks if c.outcome != "passed"]
    if bad:
        raise WorkshopError(
            f"{len(bad)} of {len(checks)} checks did not pass; `invoke reset {wanted.number}` "
            f"goes back to before the lab, `invoke lab {wanted.number}` builds it again"
        )


def _next(wanted: Lab) -> None:
    screen.line("")
    screen.line("Look at:")
    for url in wanted.file.look:
        screen.line(f"  invoke ssh client --run 'curl -s {url}'")
    screen.line(f"  invoke ssh {wanted.nodes[0]}")
    screen.line("Try next:")
    first = list(wanted.file.faults.items())[:3]
    breaks = {f"invoke break {wanted.number} {name}": fault.title for name, fault in first}
    width = max(map(len, breaks), default=0)
    for typed, title in [*breaks.items(), ("invoke heal", "undo it")]:
        screen.line(f"  {typed:<{width}}  {title[:1].lower()}{title[1:]}")
    screen.line(f"Read: labs/{wanted.name}/steps.md, or `invoke serve` for the handout")


@command
def check(number: str) -> None:
    """Run a lab's checks."""
    wanted = manifest.lab(number)
    begin = time.monotonic()
    with running(f"check {wanted.number}") as found:
        it = Live(found, wanted)
        off = [n for n in wanted.nodes if found.states()[n] == "absent"]
        if off:
            raise WorkshopError(
                f"{', '.join(off)} is not there yet; `invoke lab {wanted.number}` builds the lab"
            )
        checks = plugin.run(it, told=screen.check)
    screen.line(f"{len(checks)} checks in {time.monotonic() - begin:.1f} s")
    _judge(checks, wanted)


@command
def render_all(check: bool) -> None:
    """Write configs/, or say whether it is up to date."""
    labs = manifest.labs()
    if check:
        changed = render.drift(labs)
        if changed:
            raise WorkshopError(f"configs/{changed[0]} is out of date; `invoke render` renews it")
        screen.line("configs/ is up to date")
        return
    for path in render.write(labs):
        screen.line(f"configs/{path}")


@command
def break_(number: str, fault: str, on: str) -> None:
    """List a lab's faults, or make one happen."""
    wanted = manifest.lab(number)
    if not fault:
        for name, declared in wanted.file.faults.items():
            screen.line(f"{name}: {declared.title}. {declared.expect}")
        screen.line(f"`invoke break {wanted.number} NAME`, then `invoke heal`")
        return
    if fault not in wanted.file.faults:
        known = ", ".join(wanted.file.faults)
        raise WorkshopError(f"lab {wanted.number} has no fault {fault!r}; it has: {known}")
    with running(f"break {wanted.number} {fault}") as found:
        force = faults.active()
        if force:
            raise WorkshopError(f"{force[0]['name']} is still in force; `invoke heal` first")
        trial = Trial(Live(found, wanted), fault, on or None)
        screen.line(f"{trial.declared.title}: {fault} on {trial.node}; watching {trial.live.url}")
        screen.line(f"expected: {trial.declared.expect}")
        verdict = trial.strike()
        screen.line(f"seen: {verdict}")
        if written := trial.written():
            screen.line(f"writes, by seconds since the fault:\n{written}")
        screen.line(
            f"the fault is in force; it undoes itself in {faults.LIMIT // 60} minutes, or "
            "now with: invoke heal"
        )
        if verdict.wrong:
            raise WorkshopError(f"{fault} on {trial.node}: {verdict.wrong}")


@command
def heal() -> None:
    """Undo every fault."""
    with running("heal") as found:
        healed = faults.heal(found)
    screen.line(f"healed: {', '.join(healed) or 'no fault was in force'}")


@command
def update(nodes: str, packages: str) -> None:
    """Bring new versions of packages in, one machine after the other."""
    from workshop import rolling

    cluster = manifest.cluster_of()
    names = [member for name in nodes.split(",") for member in cluster.members(name)]
    wanted = list(dict.fromkeys(names))
    with running(f"update {nodes}") as found:
        built = [manifest.lab(n) for n in state.load("course.json", {"built": []})["built"]]
        watched = [each for each in built if each.file.address and set(wanted) <= set(each.nodes)]
        if not watched:
            raise WorkshopError(
                f"no lab is built that has visitors and {', '.join(wanted)}; `invoke status` says "
                "what is built"
            )

        def told(done: rolling.Updated) -> None:
            taken = "; ".join(done.packages) or "nothing is newer"
            screen.line(f"{done.node:<5} {taken} ({done.seconds:.0f} s)")

        seen = rolling.update(Live(found, watched[-1]), wanted, packages.split(","), told)
        screen.line(f"visitors of {watched[-1].file.address}: {seen}")


def _ask(it: Course) -> None:
    """Have the reader agree where own changes would be lost."""
    if it.changed() and not confirm("What you changed on the nodes will be lost. Go on?"):
        raise WorkshopError("nothing was changed; `invoke checkpoint save NAME` keeps it")


@command
def reset(number: str) -> None:
    """Go to the state before a lab."""
    with course(f"reset {number}".strip()) as it:
        built = it.built
        wanted = _lab(number or (built[-1] if built else 1))
        _ask(it)
        begin = time.monotonic()
        restored = it.reset(wanted)
        detail = f" (restore itself {restored.load:.1f} s)" if restored else ""
        screen.line(
            f"before lab {wanted.number} after {time.monotonic() - begin:.1f} s{detail}; "
            f"next: invoke lab {wanted.number}"
        )


@command
def skip(number: str) -> None:
    """Go to the state after a lab."""
    wanted = _lab(number)
    with course(f"skip {wanted.number}") as it:
        _ask(it)
        begin = time.monotonic()
        it.skip(wanted)
        screen.line(f"after lab {wanted.number}, in {time.monotonic() - begin:.1f} s")


@command
def checkpoint(action: str, name: str) -> None:
    """The reader's own checkpoints."""
    if action == "list":
        for known, record in state.load("checkpoints.json", {}).items():
            made = time.strftime("%Y-%m-%d %H:%M", time.localtime(record["time"]))
            screen.line(f"{known:<16} {made}  {', '.join(record['nodes'])}")
        return
    if action not in ("save", "restore", "drop"):
        raise WorkshopError(f"{action!r}: there are save, restore, list and drop")
    if not name or not name.replace("-", "").replace("_", "").isalnum():
        raise WorkshopError(f"`invoke checkpoint {action} NAME`: a name of letters, digits and -")
    if action in ("save", "drop") and (name == "booted" or name.startswith(("lab-", "demo-"))):
        raise WorkshopError(f"{name} is the kit's own; choose another name")
    with course(f"checkpoint {action} {name}") as it:
        kept: Checkpoints = it.checkpoints
        if action == "save":
            seconds = kept.save(name, "", it.machines.running())
            known = state.load("own.json", {})
            known[name] = state.load("course.json", {"built": [], "digests": {}})
            state.store("own.json", known)
            screen.line(f"saved {name} in {seconds:.1f} s")
        elif action == "restore":
            faults.forget()
            done = kept.restore(name)
            known = state.load("own.json", {})
            if name in known:
                state.store("course.json", known[name])
            screen.line(f"restored {name} in {done.total:.1f} s (load itself {done.load:.1f} s)")
        else:
            kept.drop(name)
            screen.line(f"dropped {name}")


@command
def demo(
    number: str, auto: bool, pace: float, prepare: bool, notes: bool, start: str, until: str
) -> None:
    """Play a lab before an audience, get ready for it, or follow it on a second terminal."""
    from workshop import demo as demos
    from workshop import notes as prompter
    from workshop import pacing

    if notes:
        with contextlib.suppress(KeyboardInterrupt):
            prompter.follow()
        return
    if prepare:
        wanted = [manifest.lab(number)] if number else manifest.labs()
        with course(f"demo {number} --prepare".replace("  ", " ")) as it:
            _ask(it)
            for each in wanted:
                _prepare(it, each)
        return
    if not number:
        raise WorkshopError("which lab? `invoke demo 1` plays lab 1")
    one = _lab(number)
    pacing.manner(one, pace, start, until)  # refused before anything is touched
    with course(f"demo {one.number}") as it:
        _ask(it)
        demos.play(it, one, auto, pace, start, until)


def _prepare(it: Course, wanted: Lab) -> None:
    """Have the checkpoints from which the lab's demo starts, and say how fast it does."""
    it.skip(wanted)
    if name_of(wanted.number) not in it.checkpoints.all():
        raise WorkshopError(
            f"lab {wanted.number} is built and its checks do not pass; `invoke check "
            f"{wanted.number}` says why"
        )
    begin = time.monotonic()
    it.reset(wanted)
    took = time.monotonic() - begin
    late = f", more than {STARTS}: this machine is slow, or busy" if took > STARTS else ""
    screen.line(f"the demo of lab {wanted.number} starts in {took:.0f} s{late}")


@command
def doctor() -> None:
    """One line for everything this machine needs."""
    from workshop import diagnosis

    bad = 0
    for finding in diagnosis.examine():
        mark = "[green]ok[/]  " if finding.ok else "[red]bad[/] "
        cure = "" if finding.ok else f"; cure: {finding.cure}"
        screen.console.print(f"{mark} {finding.what}{cure}")
        bad += not finding.ok
    if bad:
        raise WorkshopError(f"{bad} finding{'s' if bad > 1 else ''} to cure before labs can run")


@command
def bundle(inventory: str, example: bool) -> None:
    """Make the config bundle, or one for the reader's own servers."""
    labs = manifest.labs()
    if example:
        sys.stdout.write(bundles.example(labs))
        return
    for path in bundles.write(labs, Path(inventory) if inventory else None):
        screen.line(f"{os.path.relpath(path)}: {path.stat().st_size} bytes")


@command
def site() -> None:
    """Build the handout into site/."""
    from workshop import site as handout

    screen.line(f"site/index.html, built in {handout.build():.1f} s")


@command
def publish(anyway: bool) -> None:
    """Build the site for others to read, if everything on it is proved."""
    from workshop import publish as gate

    gate.publish(screen.line, anyway)


@command
def handout(anyway: bool) -> None:
    """The two printed pages, as PDF."""
    from workshop import imprint, printed

    found = imprint.read() if anyway else imprint.whole()
    target = ROOT / "site" / printed.NAME
    target.write_bytes(printed.pages(found))
    screen.line(f"site/{printed.NAME}, {printed.PAGES} pages")


@command
def serve(port: int) -> None:
    """Show the handout on 127.0.0.1."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except (OSError, OverflowError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise WorkshopError(
            f"port {port} of 127.0.0.1 cannot be had: {why}; `invoke serve --port 8001` takes "
            "another one"
        ) from None
    screen.line(f"http://127.0.0.1:{port}/ (Ctrl-C stops it)")
    words = [sys.executable, "-m", "mkdocs", "serve", "--dev-addr", f"127.0.0.1:{port}", "--quiet"]
    os.environ["NO_MKDOCS_2_WARNING"] = "1"  # the theme's advertisement
    os.chdir(ROOT)
    os.execv(sys.executable, words)


@command
def new(slug: str) -> None:
    """Make a new lab's folder."""
    from workshop import skeleton

    folder = skeleton.create(slug)
    number = int(folder.name[:2])
    screen.line(f"labs/{folder.name}/ is made; next: invoke render, then invoke lab {number}")


@command
def bench(rounds: int) -> None:
    """Ratios within one run, as Markdown on the screen and both forms in .workshop/."""
    from workshop import bench as benchmarks

    if rounds < 3:
        raise WorkshopError("three rounds at least: one figure says nothing")
    benchmarks.peer()
    with course("bench") as it:
        it.reset(manifest.lab(1))
        rows, ratios = benchmarks.run(it, manifest.lab(1), rounds, screen.line)
        text, data = benchmarks.report(rows, ratios, it.machines.host)
        state.write("bench.md", text)
        state.write("bench.json", data)
    screen.line("")
    screen.line(text)
    screen.line("kept in .workshop/bench.md and bench.json")


@command
def torture(seed: int, only: str) -> None:
    """Kill the kit at every boundary of its journal."""
    from workshop import torture as blows

    def told(blow: blows.Blow) -> None:
        what = blow.survived or ("survived" if blow.hit else "never hit")
        where = f"{blow.signal:<8} at {blow.point.boundary:<13} of `{blow.point.command}`"
        screen.line(f"{where}: {what} ({blow.seconds:.0f} s)")

    begin = time.monotonic()
    found = blows.run(seed, [name for name in only.split(",") if name], told)
    hit = sum(blow.hit for blow in found)
    seconds = time.monotonic() - begin
    screen.line(f"seed {seed}: {hit} of {len(found)} boundaries hit in {seconds:.0f} s")
    blows.judge(found)


@command
def test(fast: bool, everything: bool, only: str) -> None:
    """Prove the engine and the labs."""
    from workshop import suite

    suite.run(fast, everything, manifest.lab(only).number if only else None)
