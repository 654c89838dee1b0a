"""A lab's page as scenes: what a speaker shows one after the other.

A scene is one executable block with the sentences above it, or a section that only says
something. Nothing here touches a machine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.token import Token

from workshop.errors import WorkshopError
from workshop.steps import Page, Section, Step


@dataclass(frozen=True)
class Scene:
    """One thing to show; `step` is None where the page only says something."""

    number: int  # from 1
    section: Section
    heading: str
    why: list[str]  # sentences from just above the block, code in backticks
    step: Step | None
    notes: str  # what the speaker wants to say in this section
    prose: str  # all the section says, as it is written
    opens: bool  # whether it is the first of its section: a state worth keeping


@dataclass
class _Part:
    """What stands between two headings."""

    section: Section
    heading: str
    line: int
    end: int = 0
    paragraphs: list[tuple[int, str]] = field(default_factory=list)


def of(page: Page) -> list[Scene]:
    """The page's scenes in order; an error where it has nothing to show."""
    found: list[Scene] = []
    for part in _parts(page):
        steps = [s for s in page.steps if part.line < s.line <= part.end]
        notes = "\n\n".join(b.strip() for start, _, b in page.notes if _within(start, part))
        prose = _prose(page, part)
        first = len(found)
        if not steps and (part.paragraphs or notes):
            why = [s for _, text in part.paragraphs for s in sentences(text)]
            found.append(
                Scene(first + 1, part.section, part.heading, why, None, notes, prose, True)
            )
        above, why = part.line, []
        for step in steps:
            between = [text for line, text in part.paragraphs if above <= line < step.line]
            why = sentences(between[-1]) if between else why
            opens = len(found) == first
            found.append(
                Scene(len(found) + 1, part.section, part.heading, why, step, notes, prose, opens)
            )
            above = step.end
    if not found:
        raise WorkshopError(f"{page.lab.name}/steps.md has nothing to show yet")
    return found


def find(scenes: list[Scene], words: str) -> int:
    """Index of the scene that a speaker names: a number, `try`, or words of a heading."""
    if words.isdecimal() and 1 <= int(words) <= len(scenes):
        return int(words) - 1
    if words.lower() in ("build", "try"):
        for index, scene in enumerate(scenes):
            if scene.section == words.lower():
                return index
    for index, scene in enumerate(scenes):
        if words.strip() and words.lower() in scene.heading.lower():
            return index
    raise WorkshopError(
        f"no step {words!r}: name one of 1 to {len(scenes)}, `build`, `try`, or words of a heading"
    )


def last(scenes: list[Scene], words: str) -> int:
    """Index of the last scene of what a speaker names: words mean a whole section."""
    index = find(scenes, words)
    if words.isdecimal():
        return index
    named = "section" if words.lower() in ("build", "try") else "heading"
    wanted = getattr(scenes[index], named)
    return max(i for i, scene in enumerate(scenes) if getattr(scene, named) == wanted)


def sentences(text: str) -> list[str]:
    """The sentences of a paragraph."""
    return [s for s in re.split(r"(?<=[.!?])\s+(?=[A-Z0-9`*(])", text.strip()) if s]


def _within(line: int, part: _Part) -> bool:
    return part.line <= line < part.end


def _parts(page: Page) -> list[_Part]:
    """The page's opening and the sections of Build and Try; what follows them is left out."""
    tokens = MarkdownIt("commonmark").parse(page.text)
    last = len(page.text.split("\n"))
    parts: list[_Part] = []
    section: Section | None = "build"  # the opening stands before Build
    current: _Part | None = None
    for index, token in enumerate(tokens):
        if token.type == "heading_open" and token.map:
            title = tokens[index + 1].content.strip()
            if token.tag == "h2":
                section = {"build": "build", "try": "try"}.get(title.lower())  # type: ignore[assignment]
            if current is not None:
                current.end = token.map[0]
            current = _Part(section, title, token.map[0], last) if section else None
            parts += [current] if current else []
        elif token.type == "paragraph_open" and not token.level and token.map and current:
            text = _plain(tokens[index + 1])
            if not text.startswith(("!!!", "???")):
                current.paragraphs.append((token.map[0], text))
    return parts


def _plain(inline: Token) -> str:
    """A paragraph's words: emphasis and links gone, code left in backticks."""
    words = []
    for child in inline.children or []:
        if child.type == "code_inline":
            words.append(f"`{child.content}`")
        elif child.type in ("softbreak", "hardbreak"):
            words.append(" ")
        elif child.type == "text":
            words.append(child.content)
    return "".join(words)


def _prose(page: Page, part: _Part) -> str:
    """The section's text without its blocks."""
    lines = page.text.split("\n")
    kept, fenced = [], ""
    for line in lines[part.line + 1 : part.end]:
        mark = re.match(r"\s*(```+|~~~+)", line)
        if mark and not fenced:
            fenced = mark[1]
        elif fenced:
            fenced = "" if line.strip() == fenced else fenced
        else:
            kept.append(line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()
