"""Two pages to print: key ideas, commands, the comparison, and whom to ask.

What stands in them comes from where the site has it too; the layout is handout/printed/pages.typ.
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import segno
import typst

from workshop import comparison, manifest
from workshop.errors import WorkshopError
from workshop.imprint import Imprint
from workshop.manifest import LABS, ROOT, Strict

NAME = "handout.pdf"
PROSE = ROOT / "handout"
PAGES = 2


class Command(Strict):
    """A command worth remembering; `words` of it stand in the lab's folder."""

    says: str
    type: str
    lab: str
    words: str = ""


class Commands(Strict):
    """Contents of `commands.toml`."""

    command: list[Command]


@dataclass(frozen=True)
class Idea:
    """A key idea: its question, and the answer in a few paragraphs."""

    title: str
    question: str
    answer: list[str]


def ideas(text: str) -> list[Idea]:
    """The sections of key-ideas.md that begin with a question in italics; what leads to
    something that the site fills in is left out."""
    found = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title, _, rest = section.partition("\n")
        match = re.match(r"\s*\*([^*]+)\*\s+", rest)
        if not match:
            continue
        paragraphs = [" ".join(part.split()) for part in re.split(r"\n{2,}", rest[match.end() :])]
        kept = [
            re.sub(r"^\*\*(.+?)\*\* : ", r"**\1:** ", paragraph)  # a term and what it means
            for paragraph in paragraphs
            if paragraph and "{{" not in paragraph and not paragraph.endswith(":")
        ]
        found.append(Idea(title.strip(), match[1], kept))
    return found


def commands(folder: Path = PROSE, labs: Path = LABS) -> list[Command]:
    """The commands worth remembering, of the labs that are there."""
    there = {lab.slug for lab in manifest.labs(labs)}
    listed = manifest.read(folder / "commands.toml", Commands).command
    return [command for command in listed if command.lab in there]


def pages(imprint: Imprint, folder: Path = PROSE, labs: Path = LABS) -> bytes:
    """The PDF, with the same bytes for the same content."""
    found = [{"number": lab.number, "title": lab.title} for lab in manifest.labs(labs)]
    data = {
        "imprint": imprint.model_dump(),
        "ideas": [asdict(idea) for idea in ideas(manifest.text(folder / "key-ideas.md"))],
        "commands": [command.model_dump() for command in commands(folder, labs)],
        "comparison": [
            {**row.road.model_dump(), "outage": row.outage}
            for row in comparison.rows(folder / "comparison.toml", labs)
        ],
        "labs": found,
        "qr": square(imprint.site_url) if imprint.site_url else "",
    }
    layout = folder / "printed" / "pages.typ"
    options: dict[str, Any] = {
        "root": layout.parent,
        "ignore_system_fonts": True,
        "sys_inputs": {"data": json.dumps(data)},
    }
    try:
        drawn = typst.compile(layout, format="svg", **options)
        count = len(drawn) if isinstance(drawn, list) else 1
        if count != PAGES:
            raise WorkshopError(
                f"the printed handout has {count} pages instead of {PAGES}: change the sizes in "
                f"{layout.parent.name}/{layout.name}, or what stands in handout/*.toml"
            )
        result = typst.compile(layout, format="pdf", timestamp=0, pdf_standards="ua-1", **options)
    except typst.TypstError as error:
        raise WorkshopError(f"{layout.parent.name}/{layout.name}: {error.message}") from None
    assert isinstance(result, bytes)
    return result


def square(url: str) -> str:
    """The QR code of an address, as SVG."""
    stream = io.BytesIO()
    segno.make(url, error="m").save(stream, kind="svg", border=0, xmldecl=False)
    return stream.getvalue().decode()
