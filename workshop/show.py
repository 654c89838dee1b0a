"""What the kit prints: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live as RichLive
from rich.markup import escape
from rich.table import Table

from workshop.apply import Done
from workshop.plugin import Check
from workshop.steps import Step

console = Console(highlight=False, soft_wrap=True, emoji=False)
MARKS = {"passed": "[green]PASS[/]", "failed": "[red]FAIL[/]", "unknown": "[yellow]UNKNOWN[/]"}


def line(text: str) -> None:
    """One plain line."""
    console.print(escape(text))


def error(text: str) -> None:
    """One line that says what is wrong and what to do next."""
    Console(stderr=True, highlight=False, soft_wrap=True, emoji=False).print(
        f"[red]error:[/] {escape(text)}"
    )


class Board:
    """What each machine is doing: a table on a terminal, a line a change elsewhere."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[str, float]] = {}
        self._live: RichLive | None = None
        self._begin = time.monotonic()

    def __call__(self, node: str, doing: str) -> None:
        elapsed = time.monotonic() - self._begin
        if self._rows.get(node, ("", 0.0))[0] == doing:
            return
        self._rows[node] = (doing, elapsed)
        if self._live is None:
            line(f"{elapsed:6.1f} s  {node:<5} {doing}")
        else:
            self._live.update(self._table())

    def _table(self) -> Table:
        table = Table(box=None, show_header=False, pad_edge=False)
        for node, (doing, at) in self._rows.items():
            style = "green" if doing == "ready" else ""
            table.add_row(f"{at:6.1f} s", node, f"[{style}]{doing}[/]" if style else doing)
        return table

    @contextmanager
    def shown(self) -> Iterator[Board]:
        """The board, live while the block runs where the output is a terminal."""
        if not console.is_terminal:
            yield self
            return
        with RichLive(self._table(), console=console, refresh_per_second=4) as self._live:
            try:
                yield self
            finally:
                self._live = None


def step_started(step: Step) -> None:
    """Say what is about to run."""
    what = {"install": "install " + ", ".join("/" + p for p in step.paths)}.get(
        step.kind, step.target or step.body.strip().splitlines()[0]
    )
    kind = "break" if step.kind == "fault" else ""
    where = ",".join(step.on)
    line(f"  {where:<8} {kind}{' ' if kind else ''}{what}")


def step_done(done: Done) -> None:
    """Say what the reader should see, and did."""
    if done.step.kind == "fault":
        for node, output in done.output.items():
            for text in output.strip().splitlines():
                line(f"  {node:<8}   {text}")
    elif done.step.expect:
        console.print(f"           [green]as expected[/]: {escape(done.step.expect.text)}")


def check(result: Check) -> None:
    """One line a check."""
    text = f"  {MARKS[result.outcome]}  {escape(result.says)}"
    console.print(text)
    if result.message and result.outcome != "passed":
        console.print(f"        {escape(result.message)}")
