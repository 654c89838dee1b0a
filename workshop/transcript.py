"""A command and what it said, as lines of the screen."""

from __future__ import annotations

from rich.text import Text

from workshop.performance import Act, Outcome
from workshop.stage import Typed, clean

LINES = 300  # of a command's output that are kept


def block(act: Act, typed: int | None = None) -> list[Text]:
    """A command on its node, as far as it is typed."""
    badges = Text()
    for node in act.on:
        badges.append(f" {node} ", "bold black on cyan").append(" ")
    text = act.command if typed is None else act.command[:typed]
    lines = [
        Typed(act.prompt if not i else " " * len(act.prompt), line)
        for i, line in enumerate(text.expandtabs(8).split("\n"))
    ]
    return [badges, *lines]


def output(outcome: Outcome) -> list[Text]:
    """What a command said, each text once with the nodes that said it."""
    groups: dict[str, list[str]] = {}
    for node, text in outcome.output.items():
        if text.strip():
            groups.setdefault(text, []).append(node)
    lines: list[Text] = []
    for text, nodes in groups.items():
        if len(outcome.output) > 1:
            lines.append(Text(f"{', '.join(nodes)}:", "cyan"))
        whole = Text(text)
        if nodes[0] in outcome.spans:
            whole.stylize("bold green", *outcome.spans[nodes[0]])
        plain = clean(text)
        shown = whole if plain == text else Text(plain)
        shown.rstrip()
        lines += list(shown.split("\n"))[-LINES:]
    return lines


def tick(says: str) -> Text:
    """What was seen, ticked."""
    return Text("\u2713 ", "bold green").append(one_line(says), "green")


def one_line(text: str) -> str:
    """The text on one line, without what would move the cursor."""
    return " ".join(clean(text).split())
