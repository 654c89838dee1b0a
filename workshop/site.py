"""mkdocs hooks that make the handout: a page per lab from its steps.md, the files to
download, the navigation, what is gathered from the labs, the topology's table and diagram.

HTML lives in handout/parts; this module finds out what goes into it. Nothing is written
beside the built site.
"""

from __future__ import annotations

import functools
import itertools
import logging
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import jinja2
from markupsafe import Markup
from mkdocs.commands import build as mkdocs_build
from mkdocs.config import load_config
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import Abort, PluginError
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page as SitePage

# mkdocs loads this file by its path, also where the package is not installed
if str(CHECKOUT := Path(__file__).resolve().parent.parent) not in sys.path:
    sys.path.append(str(CHECKOUT))

from workshop import (
    box,
    comparison,
    distribution,
    failures,
    faults,
    gathered,
    imprint,
    manifest,
    printed,
    proofs,
    render,
    steps,
)
from workshop.errors import WorkshopError
from workshop.lab_page import BLOCK, LabPage, LabWriter
from workshop.manifest import ROOT, Lab

NETWORKS = ("front", "back")  # those that carry the cluster's traffic

SEARCH = '<div class="md-search" data-md-component="search" role="dialog">'

P = ParamSpec("P")
R = TypeVar("R")


def build(
    site_dir: Path | None = None, config_file: Path = ROOT / "mkdocs.yml", banner: str = ""
) -> float:
    """Build the site and say how many seconds it took; `banner` stands on top of each page.

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
        config = load_config(str(config_file), **options)
        config.extra["banner"] = banner
        mkdocs_build.build(config)
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


class Handout:
    """All that one build of the site needs to know."""

    def __init__(self, config: MkDocsConfig) -> None:
        folder = Path(config.config_file_path).parent / "labs"
        manifest.load.cache_clear()  # `mkdocs serve` builds again in the same process
        manifest.cluster_of.cache_clear()
        self.labs = folder
        self.prose = Path(config.docs_dir)
        self.cluster = manifest.cluster_of(folder)
        self.imprint = imprint.read(self.prose / "site.toml")
        self.parts = jinja2.Environment(
            loader=jinja2.FileSystemLoader(Path(config.docs_dir) / "parts"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.pages = {p.uri: p for p in map(_read, manifest.labs(folder))}
        whole = not self.imprint.missing()
        self.printed = printed.pages(self.imprint, self.prose, folder) if whole else b""
        built = box.cached(ROOT)
        self.distribution = distribution.of(built) if built else None

    def part(self, template: str, **values: Any) -> Markup:
        """The template of handout/parts, filled in."""
        return Markup(self.parts.get_template(template).render(values).strip())

    @functools.cached_property
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
            **self.hero(),
            "printed": printed.NAME if self.printed else "",
            "commands": self.part("remember.html", commands=self.commands()),
            "gotchas": gathered.page_of(pages, "gotcha"),
            "questions": gathered.page_of(pages, "question", level=3),
            "contact": self.part("contact.html", imprint=self.imprint),
            "comparison": self.part(
                "comparison.html", rows=comparison.rows(self.prose / "comparison.toml", self.labs)
            ),
            "nodes": self.cluster.nodes,
            "fault_limit": faults.LIMIT,
            "memory": sum(node.memory for node in self.cluster.nodes.values()),
        }

    def commands(self) -> list[printed.Command]:
        """The commands worth remembering."""
        return printed.commands(self.prose, self.labs)

    def hero(self) -> dict[str, Any]:
        """The first machine of the course that loses its power, in three moments, and whether
        the seconds are those of a proof that holds."""
        for page in self.pages.values():
            proved = page.proved.get("faults", {})
            for name, fault in page.lab.file.faults.items():
                recorded = proved.get(name)
                picture = failures.picture(page.lab, name, recorded=recorded)
                if picture and (fault.does, fault.serves) == ("power_off", "peer"):
                    shown = self.part("failure.html", picture=picture, fault=fault)
                    return {"hero": shown, "measured": bool(recorded)}
        return {"hero": "", "measured": False}


def _read(lab: Lab) -> LabPage:
    page = steps.parse(lab)
    remarks = [r for kind in gathered.KINDS for r in gathered.find(page.text, kind)]
    return LabPage(lab, page, proofs.prove(lab), remarks)


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
    config.site_url = handout.imprint.site_url
    for entry in config.nav or []:
        if isinstance(entry, dict) and "Labs" in entry:
            entry["Labs"] = [{p.title: p.uri} for p in handout.pages.values()]
    return config


@told
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each lab, and its rendered files."""
    handout: Handout = config.extra["handout"]
    if handout.printed:
        files.append(File.generated(config, printed.NAME, content=handout.printed))
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
        return LabWriter(lab_page, handout.part, handout.distribution).write()
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    try:
        return environment.from_string(markdown).render(handout.context)
    except jinja2.TemplateError as error:
        raise WorkshopError(f"handout/{page.file.src_uri}: {error.message}") from None


def on_page_content(html: str, page: SitePage, config: MkDocsConfig, files: Files) -> str:
    """Put the blocks in place of their marks, and an anchor on each gotcha."""
    lab_page = config.extra["handout"].pages.get(page.file.src_uri)
    if lab_page is None:
        return html
    html = gathered.anchored(html, lab_page.remarks)
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


def on_post_page(output: str, page: SitePage, config: MkDocsConfig) -> str:
    """Give the theme's search dialogue the name that it lacks."""
    return _named(output)


def on_post_template(output_content: str, template_name: str, config: MkDocsConfig) -> str:
    """The same for pages that come from no Markdown, such as 404.html."""
    return _named(output_content)


def _named(output: str) -> str:
    return output.replace(SEARCH, SEARCH.replace(">", ' aria-label="Search">'))
