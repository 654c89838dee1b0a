"""A lab's page: its parsed `steps.md` as Markdown for mkdocs, and the blocks that stand in it."""

from __future__ import annotations

import difflib
import html
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup
from pygments import highlight  # type: ignore[import-untyped]
from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]
from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]

from workshop import evidence, failures, manifest, proofs, render, steps, tokens
from workshop.distribution import Distribution, Shipped
from workshop.expectation import lead, special
from workshop.gathered import Remark
from workshop.manifest import Lab
from workshop.proofs import Proof
from workshop.steps import CLIENT, Step

LANGUAGES = {".html": "html", ".php": "php", ".py": "python", ".sh": "bash", ".sql": "sql"}
WORDS = {"holder": "the node that has the address", "peer": "the node that would take over"}
BLOCK = "<!-- step {} -->"
PUT_BACK = "Installed before; this puts it back as it was."
KEPT = 0.2  # share of lines in common below which a file was replaced rather than changed


@dataclass(frozen=True)
class Variant:
    """A file as some nodes get it; those that get the same bytes share one."""

    file: render.File
    nodes: list[str]
    links: dict[str, str]
    code: Markup | None  # None: not a text
    difference: Markup | None  # to what an earlier step or lab put there
    origin: str  # in words: what the distribution has here, or PUT_BACK; empty: see difference
    change: Markup | None  # to the distribution's own file
    placeholders: dict[str, str]


@dataclass(frozen=True)
class Choice:
    """One path of an `install` step, in as many variants as differ between nodes."""

    variants: list[Variant]


@dataclass
class LabPage:
    """A lab with its parsed page and what was made of it."""

    lab: Lab
    page: steps.Page
    proof: Proof
    remarks: list[Remark]
    blocks: list[Markup] = field(default_factory=list)

    @property
    def proved(self) -> dict[str, Any]:
        """The lab's evidence where it holds; empty where it does not."""
        return evidence.read(self.lab) if self.proof.state == "proved" else {}

    @property
    def uri(self) -> str:
        """Source path as mkdocs sees it: beside the other labs, as in the repository."""
        return f"labs/{self.lab.name}/steps.md"

    @property
    def url(self) -> str:
        """Path of the page in the site."""
        return f"labs/{self.lab.name}/index.html"

    @property
    def title(self) -> str:
        return f"{self.lab.number}. {self.lab.title}"


class LabWriter:
    """Turns a parsed `steps.md` into the Markdown that mkdocs renders, and its blocks."""

    def __init__(
        self,
        lab_page: LabPage,
        part: Callable[..., Markup],
        distribution: Distribution | None = None,
    ) -> None:
        self.lab_page, self.part, self.distribution = lab_page, part, distribution
        self.lab, self.page = lab_page.lab, lab_page.page
        self.rendered = render.available(self.lab)
        self.recorded = evidence.read(self.lab)
        self.proved = lab_page.proved
        self.placed: dict[tuple[str, str], render.File] = {}  # what an earlier step installed
        for number in manifest.closure(self.lab.file.requires, self.lab.folder.parent):
            self._leave(manifest.lab(number, self.lab.folder.parent))

    def _leave(self, required: Lab) -> None:
        """Note the files as the Build of a required lab leaves them."""
        page, there = steps.parse(required), render.available(required)
        for step in page.section("build"):
            if step.kind == "install":
                for found in render.installed(page, step, there).values():
                    self.placed.update({(file.node, file.path): file for file in found})

    def write(self) -> str:
        """The page's Markdown; fills `blocks`."""
        self.lab_page.blocks.clear()
        lines = self.page.text.split("\n")
        ranges: list[tuple[int, int, Step | None]] = [(s, e, None) for s, e, _ in self.page.notes]
        ranges += [(step.line - 1, step.end, step) for step in self.page.steps]
        result: list[str] = []
        at = number = 0
        for start, end, step in sorted(ranges, key=lambda found: found[0]):
            result += lines[at:start]
            at = end
            if step is not None:
                number += 1
                indent = re.match(r"\s*", lines[start])
                mark = self._mark(self._block(step, number))
                result += ["", (indent[0] if indent else "") + mark, ""]
        result += lines[at:]
        return self._framed("\n".join(result))

    def _framed(self, text: str) -> str:
        """The page between its lead and its proof. Links into handout/ are written as in
        the repository, so that they also work there."""
        text = text.replace("](../../handout/", "](../../")
        requires = [
            (lab, f"../{lab.name}/index.html")
            for lab in (manifest.lab(n, self.lab.folder.parent) for n in self.lab.file.requires)
        ]
        proof = self.lab_page.proof
        lead = self.part("lead.html", lab=self.lab, requires=requires, proof=proof)
        title = self.lab.title
        if text.lstrip().startswith("# "):
            title, _, text = text.lstrip().removeprefix("# ").partition("\n")
        end = self.part("proof.html", lab=self.lab, proof=proof, faults=proofs.figures(self.lab))
        return (
            f"# Lab {self.lab.number}: {title}\n\n{self._mark(lead)}\n\n{text}\n\n"
            f"## Proof\n\n{self._mark(end)}\n"
        )

    def _mark(self, block: Markup) -> str:
        self.lab_page.blocks.append(block)
        return BLOCK.format(len(self.lab_page.blocks) - 1)

    def _block(self, step: Step, number: int) -> Markup:
        common = {"step": step, "number": number, "anchor": f"step-{number}", "where": where(step)}
        if step.kind == "install":
            return self._install(step, common)
        if step.kind == "fault":
            return self._fault(step, common)
        expect = step.expect
        see = lead(expect) if expect else ""
        if expect and step.watch and not special(expect):
            see = "Repeat until you see"
        return self.part(
            "commands.html",
            **common,
            remarks=remarks(step),
            code=code(step.body, "sql" if step.kind == "sql" else "bash"),
            expect=expect,
            see=see,
        )

    def _install(self, step: Step, common: dict[str, Any]) -> Markup:
        by_node = render.installed(self.page, step, self.rendered)
        files = [
            self._choice([by_node[node][index] for node in step.on])
            for index in range(len(step.paths))
        ]
        each = (f for node in step.on for f in by_node[node])
        commands = dict.fromkeys(render.install_command(file) for file in each)
        return self.part("install.html", **common, files=files, commands=code("\n".join(commands)))

    def _choice(self, files: list[render.File]) -> Choice:
        groups: dict[tuple[bytes, str, bytes], list[render.File]] = {}
        for file in files:
            before = self.placed.get((file.node, file.path))
            key = (file.content, file.mode, before.content if before else b"")
            groups.setdefault(key, []).append(file)
        choice = Choice([self._variant(group) for group in groups.values()])
        self.placed |= {(file.node, file.path): file for file in files}
        return choice

    def _variant(self, group: list[render.File]) -> Variant:
        file = group[0]
        before = self.placed.get((file.node, file.path))
        text = _text(file.content)
        names = render.placeholders(self.lab)
        return Variant(
            file,
            [f.node for f in group],
            {f.node: f"../../{download(f)}" for f in group[: 1 if len(group) > 1 else None]},
            None if text is None else code(text, LANGUAGES.get(Path(file.path).suffix, "")),
            difference(before.content, file.content) if before else None,
            *self._origin(file, before),
            {name: stands for name, stands in names.items() if text and stands in text},
        )

    def _origin(self, file: render.File, before: render.File | None) -> tuple[str, Markup | None]:
        """What the distribution has where the file goes, and what changes of it; of a file that
        an earlier step of the page installed, only whether it is put back as it was."""
        if before:
            return (PUT_BACK if before.content == file.content else ""), None
        if self.distribution is None:
            return "The distribution's file was not at hand when this page was built.", None
        shipped = self.distribution.at(file.path)
        said = origin(shipped)
        if shipped and shipped.content is not None and replaced(shipped.content, file.content):
            said += " This one takes its place."
        return said, change(shipped, file.content)

    def _fault(self, step: Step, common: dict[str, Any]) -> Markup:
        fault = self.lab.file.faults[step.target]
        aimed = f" --on {','.join(step.on)}" if step.on else ""
        return self.part(
            "fault.html",
            **common,
            fault=fault,
            strike=code(f"invoke break {self.lab.number} {step.target}{aimed}"),
            heal=code("invoke heal"),
            bound=proofs.bound(self.lab, fault),
            healing=proofs.healing(self.lab, fault),
            measured=proofs.measured(self.lab, step.target, self.recorded, self.lab_page.proof),
            picture=failures.picture(
                self.lab,
                step.target,
                ",".join(step.on),
                self.proved.get("faults", {}).get(step.target),
            ),
        )


def where(step: Step) -> str:
    """Where the block's commands are typed, in words."""
    if step.kind == "fault":
        return "on your machine"
    nodes = ", ".join(WORDS.get(node, node) for node in step.on if node != CLIENT)
    if step.kind == "sql":
        return f"SQL on {nodes}"
    places = [f"on {nodes} as root"] if nodes else []
    if CLIENT in step.on:
        places.append("on your machine")
    return " and ".join(places)


def remarks(step: Step) -> list[str]:
    """What else a reader must know before typing the block."""
    found = []
    if step.session:
        found.append(f"session {step.session}: keep it open")
    if step.background:
        found.append("leave it running")
    if step.watch:
        found.append("repeat until it is so" if step.expect else "repeat as you like")
    return found


def code(text: str, language: str = "") -> Markup:
    """A block of code with a copy button; without a language, only comments are marked."""
    text = text.rstrip("\n")
    if not language:
        lines = (html.escape(line, quote=False) for line in text.split("\n"))
        body = "\n".join(
            f'<span class="c1">{line}</span>' if line.lstrip().startswith("#") else line
            for line in lines
        )
    else:
        lexer = get_lexer_by_name(language, stripnl=False)
        body = highlight(text, lexer, HtmlFormatter(nowrap=True)).rstrip("\n")
    return Markup(f'<div class="highlight"><pre><code>{body}\n</code></pre></div>')


def difference(before: bytes, after: bytes) -> Markup | None:
    """What changed between two contents of a file; None where nothing did."""
    old, new = _text(before), _text(after)
    if old is None or new is None or old == new:
        return None
    lines = list(difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=2))[2:]
    shown = (line for line in lines if not line.startswith("@@"))
    body = highlight("\n".join(shown), get_lexer_by_name("diff"), HtmlFormatter(nowrap=True))
    # no <code>: a difference is to be read, not to be copied; it scrolls by keyboard, too
    return Markup(f'<div class="highlight"><pre tabindex="0">{body}</pre></div>')


def origin(shipped: Shipped | None) -> str:
    """What the distribution has at a path, in words."""
    if shipped is None:
        return "The box has a file of its own here, and Debian's is not at hand."
    if shipped.content is not None:
        if shipped.package:
            return f"Debian's {shipped.package} {shipped.version} ships this file."
        return "Debian makes a file here when it installs the package."
    if shipped.example:
        return f"Debian ships no such file; {shipped.example} is an example of one."
    return "Debian ships no such file."


def change(shipped: Shipped | None, content: bytes) -> Markup | None:
    """What a lab changes of the distribution's file, comments left out; None where there is
    none, or where the lab keeps next to nothing of it and a difference would say only that."""
    if shipped is None or shipped.content is None or replaced(shipped.content, content):
        return None
    return difference(settings(shipped.content), settings(content))


def replaced(before: bytes, after: bytes) -> bool:
    """Whether so little is kept that one file takes the other one's place."""
    old, new = settings(before).splitlines(), settings(after).splitlines()
    return difflib.SequenceMatcher(None, old, new, autojunk=False).ratio() < KEPT


def settings(content: bytes) -> bytes:
    """The lines that are neither empty nor a comment."""
    lines = content.splitlines(keepends=True)
    return b"".join(line for line in lines if line.strip() and not line.lstrip().startswith(b"#"))


def _text(content: bytes) -> str | None:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def download(file: render.File) -> str:
    """Path of the rendered file in the site, as in the repository's configs/."""
    return f"configs/{tokens.place(file)}"
