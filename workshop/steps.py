"""Parse `steps.md`: the page that is also the program.

Five fences are executable (`install`, `sh`, `sql`, `expect`, `fault`); `notes` holds what
only the speaker sees; `text` is shown and never run. Anything else is an
error that names file and line.
"""

from __future__ import annotations

import re
import shlex
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import jinja2
from markdown_it import MarkdownIt

from workshop import manifest
from workshop.errors import WorkshopError
from workshop.manifest import ROLES, Lab

Section = Literal["build", "try"]

KEYS = {
    "install": {"on", "stage"},
    "sh": {"on", "fails", "background", "session", "watch"},
    "sql": {"on", "fails", "background", "session", "watch"},
    "expect": {"within"},
    "fault": {"on"},
    "notes": set(),
    "text": set(),
}
FLAGS = {"fails", "background", "watch"}
CLIENT = "client"


@dataclass(frozen=True)
class Expectation:
    """What the reader should see: a text, or a regular expression between slashes."""

    text: str
    line: int
    within: float = 0.0

    def met(self, output: str) -> bool:
        """Whether `output` shows what is expected."""
        if pattern := self.pattern:
            return re.search(pattern, output, re.MULTILINE) is not None
        return self.text in output

    @property
    def pattern(self) -> str | None:
        """The regular expression, or None where a plain text is expected."""
        if len(self.text) > 1 and self.text.startswith("/") and self.text.endswith("/"):
            return self.text[1:-1]
        return None


@dataclass(frozen=True)
class Step:
    """One executable block of the page."""

    kind: Literal["install", "sh", "sql", "fault"]
    section: Section
    heading: str
    on: list[str]
    body: str
    line: int
    end: int
    file: str
    stage: str = ""
    fails: bool = False
    background: bool = False
    session: str = ""
    watch: bool = False
    expect: Expectation | None = None
    target: str = ""

    @property
    def where(self) -> str:
        """File and line, for messages."""
        return f"{self.file}:{self.line}"

    @property
    def paths(self) -> list[str]:
        """Of an `install`: the destinations, without the leading slash."""
        return [line.strip().lstrip("/") for line in self.body.splitlines() if line.strip()]


@dataclass
class Page:
    """A parsed `steps.md`: its text with variables filled in, and the steps found in it."""

    lab: Lab
    text: str
    steps: list[Step] = field(default_factory=list)
    notes: list[tuple[int, int, str]] = field(default_factory=list)

    def section(self, name: Section) -> list[Step]:
        """The steps of Build or of Try, in order."""
        return [step for step in self.steps if step.section == name]


def parse(lab: Lab) -> Page:
    """The lab's page; every mistake in it is a `WorkshopError` naming file and line."""
    path = lab.folder / "steps.md"
    name = f"{lab.name}/steps.md"
    try:
        source = manifest.text(path)
    except FileNotFoundError:
        raise WorkshopError(f"{name} is missing: a lab is its page") from None
    page = Page(lab, fill_in(source, name, lab))
    section: Section | None = None
    heading = ""
    last: int | None = None  # index of the step that an `expect` would belong to
    for kind, token in _tokens(page.text):
        if kind == "heading":
            level, title = token
            if level <= 2:
                section = {"build": "build", "try": "try"}.get(title.lower())  # type: ignore[assignment]
            heading = title
            last = None
            continue
        start, end, info, body = token
        where = f"{name}:{start + 1}"
        lines = page.text.split("\n")
        if not re.match(r"\s*(```+|~~~+)\s*$", lines[end - 1]) or end - 1 == start:
            raise WorkshopError(f"{where}: the fence is not closed")
        word, attributes = _attributes(info, where)
        if word == "notes":
            page.notes.append((start, end, body))
            continue
        if word == "text":
            continue
        if word == "expect":
            if last is None or _between(page.text, page.steps[last].end, start):
                raise WorkshopError(f"{where}: expect stands directly below the block it judges")
            page.steps[last] = _expect(page.steps[last], attributes, body, start, where, end)
            last = None
            continue
        if section is None:
            raise WorkshopError(f"{where}: {word} stands under '## Build' or '## Try' only")
        page.steps.append(
            _step(lab, word, attributes, body, start, end, section, heading, name, where)
        )
        last = len(page.steps) - 1
    return page


def sql_command(lab: Lab, query: str) -> str:
    """The shell command that runs SQL through the lab's client program."""
    return f"{lab.file.client} --table -e {shlex.quote(query)}"


def fill_in(source: str, name: str, lab: Lab) -> str:
    """`source` with the lab's variables filled in, line for line."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    try:
        return environment.from_string(source).render(context(lab))
    except jinja2.TemplateSyntaxError as error:
        raise WorkshopError(f"{name}:{error.lineno}: {error.message}") from None
    except jinja2.UndefinedError as error:
        line = _line_of(source, str(error))
        raise WorkshopError(f"{name}:{line}: {error.message}; define it in lab.toml") from None
    except Exception as error:  # whatever an expression may do wrong
        raise WorkshopError(f"{name}:{_failing_line(error)}: {error}") from None


def context(lab: Lab) -> dict[str, Any]:
    """What templates may use: variables, networks, and every node's addresses."""
    cluster = lab.cluster
    return {
        **lab.variables,
        "networks": dict(cluster.networks),
        "nodes": {
            node: {name: cluster.address(node, name) for name in cluster.networks} | {"name": node}
            for node in cluster.nodes
        },
        "groups": cluster.groups,
        "lab": {"number": lab.number, "title": lab.title, "folder": f"/root/lab-{lab.number}"},
    }


def _failing_line(error: Exception) -> int:
    """Line of the template in which an expression failed: Jinja keeps it in the traceback."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == "<template>"]
    return frames[-1].lineno or 1 if frames else 1


def _line_of(source: str, message: str) -> int:
    names = re.findall(r"'([^']+)'", message)
    for number, line in enumerate(source.splitlines(), 1):
        if names and "{{" in line and names[-1] in line:
            return number
    return 1


def _tokens(text: str) -> Iterator[tuple[str, Any]]:
    tokens = MarkdownIt("commonmark").parse(text)
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            yield "heading", (int(token.tag[1]), tokens[index + 1].content.strip())
        elif token.type == "fence" and token.map:
            yield "fence", (token.map[0], token.map[1], token.info.strip(), token.content)


def _attributes(info: str, where: str) -> tuple[str, dict[str, str]]:
    try:
        words = shlex.split(info)
    except ValueError as error:
        raise WorkshopError(f"{where}: {error} in the fence's attributes") from None
    if not words or words[0] not in KEYS:
        known = ", ".join(KEYS)
        raise WorkshopError(f"{where}: unknown fence {info.split(' ')[0]!r}; there are: {known}")
    word, attributes = words[0], {}
    for item in words[1:]:
        key, _, value = item.partition("=")
        if word == "fault" and "=" not in item and "name" not in attributes:
            attributes["name"] = key
            continue
        if key not in KEYS[word]:
            known = ", ".join(sorted(KEYS[word])) or "none"
            raise WorkshopError(f"{where}: {word} has no attribute {key!r}; it has: {known}")
        if (key in FLAGS) == bool(value):
            form = key if key in FLAGS else f"{key}=VALUE"
            raise WorkshopError(f"{where}: write {form}, not {item!r}")
        attributes[key] = value or "yes"
    return word, attributes


def _between(text: str, end: int, start: int) -> bool:
    return any(line.strip() for line in text.splitlines()[end:start])


def _expect(
    step: Step, attributes: dict[str, str], body: str, start: int, where: str, end: int
) -> Step:
    if step.kind in ("install", "fault"):
        what = {"install": "an install has no output", "fault": "a fault's outcome is declared"}
        raise WorkshopError(f"{where}: {what[step.kind]}: there is nothing to expect here")
    within = attributes.get("within", "0s")
    match = re.fullmatch(r"(\d+(?:\.\d+)?)s", within)
    if not match:
        raise WorkshopError(f"{where}: within={within!r} is no time such as 30s")
    seconds = float(match[1])
    if seconds and not step.watch:
        raise WorkshopError(f"{where}: only a block marked watch is run again: within needs it")
    text = body.strip()
    if not text:
        raise WorkshopError(f"{where}: expect is empty")
    expectation = Expectation(text, start + 1, seconds)
    if expectation.pattern is not None:
        try:
            re.compile(expectation.pattern)
        except re.error as error:
            raise WorkshopError(f"{where}: not a regular expression: {error}") from None
    return Step(**{**step.__dict__, "expect": expectation, "end": end})


def _step(
    lab: Lab,
    word: Any,
    attributes: dict[str, str],
    body: str,
    start: int,
    end: int,
    section: Section,
    heading: str,
    name: str,
    where: str,
) -> Step:
    nodes: list[str] = []
    target = ""
    if word == "fault":
        target = attributes.get("name", "")
        if target not in lab.file.faults:
            known = ", ".join(lab.file.faults) or "none"
            raise WorkshopError(
                f"{where}: lab {lab.number} has no fault {target!r}; it has: {known}"
            )
        nodes = [attributes["on"]] if "on" in attributes else []
        if nodes and nodes[0] not in (*ROLES, *lab.nodes):
            known = ", ".join([*ROLES, *lab.nodes])
            raise WorkshopError(f"{where}: a fault is aimed at one of {known}, not {nodes[0]!r}")
    elif "on" not in attributes:
        raise WorkshopError(f"{where}: {word} needs on=NODE or on=GROUP")
    elif not body.strip():
        raise WorkshopError(f"{where}: {word} is empty")
    else:
        for item in attributes["on"].split(","):
            if word == "sh" and (item == CLIENT or (item in ROLES and lab.file.address)):
                nodes.append(item)
                continue
            try:
                members = lab.cluster.members(item)
            except WorkshopError as error:
                raise WorkshopError(f"{where}: {error}") from None
            for member in members:
                if member not in lab.nodes:
                    raise WorkshopError(f"{where}: {member} is not among the nodes of this lab")
                nodes.append(member)
    return Step(
        kind=word,
        section=section,
        heading=heading,
        on=list(dict.fromkeys(nodes)),
        body=body.rstrip("\n"),
        line=start + 1,
        end=end,
        file=name,
        stage=attributes.get("stage", ""),
        fails="fails" in attributes,
        background="background" in attributes,
        session=attributes.get("session", ""),
        watch="watch" in attributes,
        target=target,
    )
