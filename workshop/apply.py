"""Run a lab's steps: what a reader would type, typed by the kit."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass

from workshop import render, state
from workshop.errors import WorkshopError
from workshop.live import Live
from workshop.manifest import Lab
from workshop.remote import NodeLost, Result, TimedOut, parallel
from workshop.steps import CLIENT, Page, Section, Step, sql_command

STEP_TIMEOUT = 300.0  # seconds one command of a page may take


@dataclass(frozen=True)
class Done:
    """A step that ran: its output by node and the seconds it took."""

    step: Step
    output: dict[str, str]
    seconds: float


Started = Callable[[Step], None]
Ended = Callable[[Done], None]


def secrets_of(lab: Lab) -> dict[str, str]:
    """The workshop's own secrets that this lab's templates need, made where missing."""
    return {name: state.secret(name, form) for name, form in render.secret_names(lab).items()}


def stage(live: Live) -> list[render.File]:
    """Lay all files that the lab may install down on its nodes, below /root/lab-N."""
    rendered = render.available(live.lab, secrets_of(live.lab))
    files = [file for file in rendered if file.node in live.nodes]
    by_node: dict[str, list[tuple[str, str, bytes]]] = {}
    for file in files:
        entry = (render.staged_path(file), "0600", file.content)
        by_node.setdefault(file.node, []).append(entry)
    parallel(lambda n: live.machines.remote(n).put_many(by_node[n]), by_node)
    return files


def run(
    live: Live,
    page: Page,
    section: Section,
    started: Started = lambda _step: None,
    ended: Ended = lambda _done: None,
    faults: bool = True,
) -> float:
    """Run the steps of one section in order, `fault` blocks only if wanted; seconds it took.

    The first step that does not do what the page says is a `WorkshopError` that names
    file, line, node and command.
    """
    begin = time.monotonic()
    rendered = stage(live)
    state.journal("staged", lab=live.lab.number)
    for step in page.section(section):
        if step.kind == "fault" and not faults:
            continue
        state.journal("step", at=step.where)
        started(step)
        ended(execute(live, page, step, rendered))
    return time.monotonic() - begin


def execute(live: Live, page: Page, step: Step, rendered: list[render.File]) -> Done:
    """Run one step and judge it by its `expect`."""
    begin = time.monotonic()
    try:
        output = _dispatch(live, page, step, rendered)
    except WorkshopError as error:
        raise WorkshopError(f"{step.where}: {error}") from None
    return Done(step, output, time.monotonic() - begin)


def _dispatch(live: Live, page: Page, step: Step, rendered: list[render.File]) -> dict[str, str]:
    if step.kind == "install":
        files = render.installed(page, step, rendered)
        commands = {
            node: " && ".join(render.install_command(f) for f in wanted)
            for node, wanted in files.items()
        }
        return {n: r.output for n, r in parallel(lambda n: live.run(n, commands[n]), files).items()}
    if step.kind == "fault":
        from workshop.judge import Trial

        trial = Trial(live, step.target, next(iter(step.on), None))
        verdict = trial.strike()
        after = trial.recover()
        for outcome in (verdict, after):
            if outcome.wrong:
                raise WorkshopError(f"fault {step.target} on {trial.node}: {outcome.wrong}")
        return {trial.node: f"{verdict}\nhealed: {after}\n"}
    if step.session:
        raise WorkshopError("session= is not supported yet")
    return _commands(live, step)


def _commands(live: Live, step: Step) -> dict[str, str]:
    deadline = time.monotonic() + (
        step.expect.within * live.machines.host.patience if step.expect else 0
    )
    while True:
        results, wrong = {}, ""
        try:
            results = parallel(lambda n: _one(live, n, step), map(live.named, step.on))
        except WorkshopError as error:
            wrong = str(error)  # the address is on its way
        wrong = wrong or next((w for r in results.values() if (w := _judge(step, r))), "")
        if not wrong:
            return {node: result.output for node, result in results.items()}
        if not step.watch or time.monotonic() >= deadline:
            raise WorkshopError(wrong)
        time.sleep(0.5)


def _one(live: Live, node: str, step: Step) -> Result:
    command = step.body
    if step.kind == "sql":
        command = sql_command(live.lab, step.body)
    if step.background:
        command = f"nohup bash -c {shlex.quote(step.body)} >/root/background.log 2>&1 </dev/null &"
    elif node != CLIENT and step.kind == "sh":
        # -e: a reader sees a failure and stops, and so does the kit
        command = f"bash -ec {shlex.quote(step.body)}"
    try:
        timeout = STEP_TIMEOUT * live.machines.host.patience
        return live.run(node, command, timeout=timeout, check=False)
    except (NodeLost, TimedOut) as error:
        return Result(node, step.body, 255, "", str(error))


def _judge(step: Step, result: Result) -> str:
    """What is wrong with a result, in one line; empty when it is as the page says."""
    first = step.body.strip().splitlines()[0]
    if step.fails and result.ok:
        return f"{result.node}: `{first}` should have been refused, and was not"
    if not step.fails and not result.ok:
        words = (result.output.strip() or "no output").splitlines()[-1]
        return f"{result.node}: `{first}` failed with status {result.status}: {words}"
    if step.expect and not step.expect.met(result.output):
        shown = " | ".join(result.output.strip().splitlines()[-4:]) or "nothing"
        within = f" within {step.expect.within:.0f} s" if step.expect.within else ""
        return (
            f"{result.node}: `{first}`: expected {step.expect.text!r} (line "
            f"{step.expect.line}){within}, saw: {shown}"
        )
    return ""
