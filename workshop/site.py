"""mkdocs hooks that make the handout: a page per lab from its steps.md, the files to
download, the navigation, the gathered gotchas, the topology's table and diagram.

HTML lives in handout/parts; this module finds out what goes into it. Nothing is written
beside the built site.
"""

from __future__ import annotations

import difflib
import functools
import html
import itertools
import logging
import os
import posixpath
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

import jinja2
from markupsafe import Markup
from mkdocs.commands import build as mkdocs_build
from mkdocs.config import load_config
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import Abort, PluginError
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page as SitePage
from pygments import highlight  # type: ignore[import-untyped]
from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]
from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]

# mkdocs loads this file by its path, also where the package is not installed
if str(CHECKOUT := Path(__file__).resolve().parent.parent) not in sys.path:
    sys.path.append(str(CHECKOUT))

from workshop import evidence, faults, manifest, render, steps
from workshop.box import recipe_digest
from workshop.errors import WorkshopError
from workshop.manifest import ROOT, Fault, Lab
from workshop.steps import CLIENT, Step

NETWORKS = ("front", "back")  # those that carry the cluster's traffic
LANGUAGES = {".html": "html", ".php": "php", ".py": "python", ".sh": "bash", ".sql": "sql"}
ACCELERATORS = {"kvm": "with KVM", "tcg": "without KVM", "virtualbox": "in VirtualBox"}
WORDS = {"holder": "the node that has the address", "peer": "the node that would take over"}
BLOCK = "<!-- step {} -->"

P = ParamSpec("P")
R = TypeVar("R")


def build(site_dir: Path | None = None, config_file: Path = ROOT / "mkdocs.yml") -> float:
    """Build the site and say how many seconds it took.

    Whatever mkdocs complains about, even a warning, is a `WorkshopError` of one line.
    """
    begin = time.monotonic()
    complaints = Complaints()
    logger = logging.getLogger("mkdocs")
    logger.addHandler(complaints)
    options = {"site_dir": str(site_dir)} if site_dir else {}
    # an advertisement of the theme's, which would stand in each build's output
    os.environ.setdefault("NO_MKDOCS_2_WARNING", "1")
    try:
        mkdocs_build.build(load_config(str(config_file), **options))
    except Abort as error:
        raise WorkshopError(complaints.first or str(error)) from None
    finally:
        logger.removeHandler(complaints)
    return time.monotonic() - begin


class Complaints(logging.Handler):
    """Keeps the first warning or error that mkdocs logs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.first = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of the record."""
        self.first = self.first or record.getMessage().strip().splitlines()[0]


@dataclass(frozen=True)
class Proof:
    """What a lab's evidence says, in words."""

    state: Literal["proved", "stale", "none"]
    short: str
    long: str


@dataclass(frozen=True)
class Gotcha:
    """A `!!! gotcha "title"` of a lab's page, and where it stands in the site."""

    title: str
    body: str
    anchor: str


@dataclass(frozen=True)
class Variant:
    """A file as some nodes get it; those that get the same bytes share one."""

    file: render.File
    nodes: list[str]
    links: dict[str, str]
    code: Markup | None  # None: not a text
    difference: Markup | None
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
    gotchas: list[Gotcha]
    blocks: list[Markup] = field(default_factory=list)

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


class Handout:
    """All that one build of the site needs to know."""

    def __init__(self, config: MkDocsConfig) -> None:
        folder = Path(config.config_file_path).parent / "labs"
        manifest.load.cache_clear()  # `mkdocs serve` builds again in the same process
        manifest.cluster_of.cache_clear()
        self.cluster = manifest.cluster_of(folder)
        self.parts = jinja2.Environment(
            loader=jinja2.FileSystemLoader(Path(config.docs_dir) / "parts"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.pages = {p.uri: p for p in map(_read, manifest.labs(folder))}

    def part(self, template: str, **values: Any) -> Markup:
        """The template of handout/parts, filled in."""
        return Markup(self.parts.get_template(template).render(values).strip())

    def context(self) -> dict[str, Any]:
        """What the prose of handout/*.md may use."""
        pages = list(self.pages.values())
        shown = {"cluster": self.cluster, "networks": NETWORKS}
        return {
            **self.cluster.variables,
            "labs": [p.lab for p in pages],
            "lab_table": self.part("labs.html", labs=[(p.lab, p.url, p.proof) for p in pages]),
            "cluster_table": self.part("cluster.html", **shown),
            "network_table": self.part("networks.html", **shown),
            "diagram": self.part("diagram.svg", **shown),
            "gotchas": _gathered(pages),
            "nodes": self.cluster.nodes,
            "fault_limit": faults.LIMIT,
            "memory": sum(node.memory for node in self.cluster.nodes.values()),
        }


def _read(lab: Lab) -> LabPage:
    page = steps.parse(lab)
    return LabPage(lab, page, prove(lab), find_gotchas(page.text))


# Hooks


def told(hook: Callable[P, R]) -> Callable[P, R]:
    """A hook whose `WorkshopError` mkdocs shows as one line."""

    @functools.wraps(hook)
    def telling(*arguments: P.args, **options: P.kwargs) -> R:
        try:
            return hook(*arguments, **options)
        except WorkshopError as error:
            raise PluginError(str(error)) from None

    return telling


@told
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Read the labs and put them into the navigation."""
    handout = config.extra["handout"] = Handout(config)
    for entry in config.nav or []:
        if isinstance(entry, dict) and "Labs" in entry:
            entry["Labs"] = [{p.title: p.uri} for p in handout.pages.values()]
    return config


@told
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each lab, and its rendered files."""
    handout: Handout = config.extra["handout"]
    for uri, lab_page in handout.pages.items():
        page = File.generated(config, uri, content=lab_page.page.text)
        page.dest_uri = lab_page.url
        files.append(page)
        for path, content in render.published(lab_page.lab).items():
            files.append(
                File.generated(
                    config,
                    f"configs/{lab_page.lab.name}/{path}",
                    content=content,
                    inclusion=InclusionLevel.INCLUDED,  # also what begins with a dot
                )
            )
    return files


@told
def on_page_markdown(markdown: str, page: SitePage, config: MkDocsConfig, files: Files) -> str:
    """Fill in the prose; of a lab's page, put a mark where each block will stand."""
    handout: Handout = config.extra["handout"]
    lab_page = handout.pages.get(page.file.src_uri)
    if lab_page is not None:
        return LabWriter(handout, lab_page).write()
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    try:
        return environment.from_string(markdown).render(handout.context())
    except jinja2.TemplateError as error:
        raise WorkshopError(f"handout/{page.file.src_uri}: {error.message}") from None


def on_page_content(html: str, page: SitePage, config: MkDocsConfig, files: Files) -> str:
    """Put the blocks in place of their marks, and an anchor on each gotcha."""
    lab_page = config.extra["handout"].pages.get(page.file.src_uri)
    if lab_page is None:
        return html
    for gotcha in lab_page.gotchas:
        plain = '<div class="admonition gotcha">'
        html = html.replace(plain, f'<div class="admonition gotcha" id="{gotcha.anchor}">', 1)
    mark = re.escape(BLOCK).replace(r"\{\}", r"(\d+)")
    pattern = re.compile(rf"(?:<p>)?{mark}(?:</p>)?")
    html = pattern.sub(lambda match: str(lab_page.blocks[int(match[1])]), html)
    # the theme's copy button finds its block by the nearest id: each block has its own
    numbers = itertools.count(1)
    return re.sub(
        r'<div class="([^"]*\bhighlight)">',
        lambda match: f'<div class="{match[1]}" id="code-{next(numbers)}">',
        html,
    )


# A lab's page


class LabWriter:
    """Turns a parsed `steps.md` into the Markdown that mkdocs renders, and its blocks."""

    def __init__(self, handout: Handout, lab_page: LabPage) -> None:
        self.handout, self.lab_page = handout, lab_page
        self.lab, self.page = lab_page.lab, lab_page.page
        self.rendered = render.available(self.lab)
        self.recorded = evidence.read(self.lab)
        self.placed: dict[tuple[str, str], render.File] = {}  # what an earlier step installed
        for number in manifest.closure(self.lab.file.requires, self.lab.folder.parent):
            for file in render.files(manifest.lab(number, self.lab.folder.parent)):
                self.placed[file.node, file.path] = file

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
            (self.handout.pages[f"labs/{lab.name}/steps.md"].lab, f"../{lab.name}/index.html")
            for lab in (manifest.lab(n, self.lab.folder.parent) for n in self.lab.file.requires)
        ]
        proof = self.lab_page.proof
        lead = self.handout.part("lead.html", lab=self.lab, requires=requires, proof=proof)
        title = self.lab.title
        if text.lstrip().startswith("# "):
            title, _, text = text.lstrip().removeprefix("# ").partition("\n")
        end = self.handout.part(
            "proof.html", lab=self.lab, proof=proof, faults=self.recorded.get("faults", {})
        )
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
        see = "You should see"
        if expect and expect.pattern and re.search(r"[\\^$*+?{}\[\]|()]", expect.pattern):
            see += " something that matches"
        elif step.watch:
            see = "Repeat until you see"
        return self.handout.part(
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
        return self.handout.part(
            "install.html", **common, files=files, commands=code("\n".join(commands))
        )

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
            {name: stands for name, stands in names.items() if text and stands in text},
        )

    def _fault(self, step: Step, common: dict[str, Any]) -> Markup:
        fault = self.lab.file.faults[step.target]
        aimed = f" --on {','.join(step.on)}" if step.on else ""
        return self.handout.part(
            "fault.html",
            **common,
            fault=fault,
            strike=code(f"invoke break {self.lab.number} {step.target}{aimed}"),
            heal=code("invoke heal"),
            bound=bound(self.lab, fault),
            healing=healing(self.lab, fault),
            measured=measured(self.recorded, step.target),
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
    # no <code>: a difference is to be read, not to be copied
    return Markup(f'<div class="highlight"><pre>{body}</pre></div>')


def _text(content: bytes) -> str | None:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def download(file: render.File) -> str:
    """Path of the rendered file in the site, as in the repository's configs/."""
    stage = f"@{file.stage}" if file.stage else ""
    return f"configs/{file.source.split('/')[0]}/{file.node}{stage}/{file.path}"


# Faults and evidence, in words


def bound(lab: Lab, fault: Fault) -> str:
    """The declared outcome of a fault with its bound in seconds."""
    who = {
        "holder": "The same machine serves on",
        "peer": "The other machine serves",
        "both": "Both machines hold the address",
        "nobody": "Nobody serves until you undo the fault",
        "any": "One machine serves",
    }[fault.serves]
    if fault.serves == "nobody":
        return f"{who}."
    at_most = _at_most(lab.seconds(fault.outage))
    if fault.leaves:
        return f"{who}. For {at_most} some visitors see errors; then {fault.leaves} serves nobody."
    return f"{who}; visitors go without for {at_most}."


def healing(lab: Lab, fault: Fault) -> str:
    """What must be true after the fault is undone."""
    who = {
        "holder": "the machine that served before serves",
        "peer": "the machine that took over serves on",
    }.get(fault.after_heal, "exactly one machine serves")
    return (
        f"Within {lab.seconds(fault.heal_within):g} s {who}; undoing it costs visitors "
        f"{_at_most(lab.seconds(fault.heal_outage))}."
    )


def _at_most(seconds: float) -> str:
    return f"at most {seconds:g} s" if seconds else "no time at all"


def measured(recorded: dict[str, Any], name: str) -> str:
    """What the visitors' probe saw when the fault was last proved, and was undone."""
    entry = recorded.get("faults", {}).get(name, {})
    if "outage" not in entry or entry.get("wrong"):
        return "Not measured yet."
    seen = f"No outage, {entry['requests']} requests all good"
    if entry["failed"]:
        share = f"{entry['failed']} of {entry['requests']} requests failed"
        seen = f"{entry['outage']:.1f} s without service, {share}"
    undone = f"{entry['heal_outage']:.1f} s" if entry.get("heal_outage") else "nothing"
    return f"{seen}; undoing it cost {undone} ({recorded.get('date', '?')}, {_machine(recorded)})."


def _machine(recorded: dict[str, Any]) -> str:
    accelerator = str(recorded.get("accelerator", "?"))
    return ACCELERATORS.get(accelerator, accelerator)


def prove(lab: Lab) -> Proof:
    """When, where and how far the lab was last proved."""
    recorded = evidence.read(lab)
    if not recorded:
        text = f"Run ./run test --lab {lab.number} to prove it on your machine."
        return Proof("none", "Not proved yet", text)
    date = recorded.get("date", "?")
    commit = commit_of(lab.folder / evidence.FILE)
    checks = recorded.get("checks", {}).values()
    passed = sum(check.get("built") == "passed" for check in checks)
    caught = sum(check.get("mutated") == "failed" for check in checks)
    ended = sum(not fault.get("wrong") for fault in recorded.get("faults", {}).values())
    long = (
        f"{'Commit ' + commit if commit else 'Not committed yet'}; "
        f"{recorded.get('cpu', 'unknown processor')}, {_machine(recorded)}: "
        f"{_count(passed, 'check')} passed, {_count(caught, 'mutation')} caught, "
        f"{_count(ended, 'fault')} ended as declared."
    )
    try:
        reason = evidence.stale(lab, recipe_digest(ROOT, added=False))
    except WorkshopError as error:
        reason = f"it cannot be compared: {error}"
    if reason:
        return Proof("stale", f"Proof of {date} is stale", f"Of this lab, {reason}. {long}")
    return Proof("proved", f"Proved on {date}", long)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def commit_of(path: Path) -> str:
    """Short name of the commit that last changed the file; empty without git, or where
    the file has changed since."""
    try:
        changed = _git(path.parent, "status", "--porcelain", "--", path.name)
        return "" if changed else _git(path.parent, "log", "-1", "--format=%h", "--", path.name)
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=5, check=True
    )
    return done.stdout.strip()


# Gotchas


def find_gotchas(text: str) -> list[Gotcha]:
    """Every `!!! gotcha "title"` of a page, in order."""
    found: list[Gotcha] = []
    lines = text.split("\n")
    for index, line in enumerate(lines):
        match = re.fullmatch(r'!!! gotcha(?:\s+"(.*)")?\s*', line)
        if not match:
            continue
        body = []
        for following in lines[index + 1 :]:
            if following.strip() and not following.startswith("    "):
                break
            body.append(following)
        title = match[1] or "Gotcha"
        anchor = "gotcha-" + re.sub(r"\W+", "-", title.lower()).strip("-")
        found.append(Gotcha(title, textwrap.dedent("\n".join(body)).strip(), anchor))
    return found


def _gathered(pages: list[LabPage]) -> str:
    """All gotchas as Markdown, each with a link to where it is shown."""
    result = []
    for page in pages:
        for gotcha in page.gotchas:
            body = re.sub(
                r"\]\((?![a-z]+:|/)([^)]+)\)", functools.partial(_from_root, page), gotcha.body
            )
            result.append(
                f"## {gotcha.title}\n\n{body}\n\n"
                f'<a class="shown" href="{page.url}#{gotcha.anchor}">'
                f"Shown in lab {page.lab.number}: {html.escape(page.lab.title)}</a>\n"
            )
    return "\n".join(result) or "The labs have none yet.\n"


def _from_root(page: LabPage, link: re.Match[str]) -> str:
    """A link of a lab's page as it must read on a page at the site's root."""
    target = link[1].replace("../../handout/", "../../")
    if target.startswith("#"):
        return f"]({page.uri}{target})"
    return f"]({posixpath.normpath(posixpath.join(posixpath.dirname(page.uri), target))})"
