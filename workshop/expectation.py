"""What the page says should be seen: in words, and where it stands in an output."""

from __future__ import annotations

import re

from workshop.steps import Expectation, Step


def lead(expect: Expectation) -> str:
    """The words before what should be seen; a pattern is said to be one."""
    return "You should see something that matches" if special(expect) else "You should see"


def special(expect: Expectation) -> bool:
    """Whether it stands for more than its own letters."""
    return bool(expect.pattern and re.search(r"[\\^$*+?{}\[\]|()]", expect.pattern))


def expected(step: Step) -> str:
    """What should become of a step, in words of the page; empty where it only has to work."""
    if step.expect:
        text = " ".join((step.expect.pattern or step.expect.text).split("\n"))
        return f"{lead(step.expect)} {text}"
    if step.fails:
        return "It should be refused."
    return "It goes on in the background." if step.background else ""


def ticked(step: Step, output: dict[str, str]) -> tuple[str, dict[str, tuple[int, int]]]:
    """What was seen of what was expected, and where in each node's output."""
    if not step.expect:
        return "refused, as it should be" if step.fails else "done", {}
    pattern = step.expect.pattern
    wanted = re.escape(step.expect.text) if pattern is None else pattern
    spans: dict[str, tuple[int, int]] = {}
    seen = ""
    for node, text in output.items():
        if match := re.search(wanted, text, re.MULTILINE):
            spans[node] = match.span()
            seen = seen or " / ".join(s.strip() for s in match[0].splitlines() if s.strip())
    return f"as expected: {seen}" if seen else "as expected", spans
