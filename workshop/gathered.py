"""What the labs' pages say in passing and the handout gathers: gotchas and questions.

A lab marks them with `!!! gotcha "title"` and `??? question "title"`.
"""

from __future__ import annotations

import functools
import html
import posixpath
import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workshop.lab_page import LabPage

KINDS = {"gotcha": "!!!", "question": "???"}


@dataclass(frozen=True)
class Remark:
    """A gotcha or a question of a lab's page, and where it stands in the site."""

    kind: str
    title: str
    body: str
    anchor: str
    under: str  # the heading of the section that shows it


def find(text: str, kind: str) -> list[Remark]:
    """Every gotcha or question of a page, in order."""
    found: list[Remark] = []
    lines = text.split("\n")
    under = ""
    for index, line in enumerate(lines):
        if heading := re.fullmatch(r"#{2,4} (.+)", line):
            under = heading[1].strip()
        match = re.fullmatch(rf'{re.escape(KINDS[kind])} {kind}(?:\s+"(.*)")?\s*', line)
        if not match:
            continue
        body = []
        for following in lines[index + 1 :]:
            if following.strip() and not following.startswith("    "):
                break
            body.append(following)
        title = match[1] or kind.capitalize()
        anchor = f"{kind}-" + re.sub(r"\W+", "-", title.lower()).strip("-")
        said = textwrap.dedent("\n".join(body)).strip()
        found.append(Remark(kind, title, said, anchor, under))
    return found


def anchored(page: str, remarks: Iterable[Remark]) -> str:
    """The rendered page with an anchor on each of the remarks, which stand in its order."""
    for remark in remarks:
        plain = {
            "gotcha": '<div class="admonition gotcha">',
            "question": '<details class="question">',
        }[remark.kind]
        page = page.replace(plain, f'{plain[:-1]} id="{remark.anchor}">', 1)
    return page


def page_of(pages: list[LabPage], kind: str, level: int = 2) -> str:
    """All remarks of this kind as Markdown, under headings of this level, each with a link
    to where it stands."""
    result = []
    said = {"gotcha": "Shown in", "question": "Asked in"}[kind]
    for page in pages:
        for remark in page.remarks:
            if remark.kind != kind:
                continue
            under = f", under <q>{html.escape(remark.under)}</q>" if kind == "gotcha" else ""
            body = re.sub(
                r"\]\((?![a-z]+:|/)([^)]+)\)", functools.partial(_from_root, page), remark.body
            )
            result.append(
                f"{level * '#'} {remark.title}\n\n{body}\n\n"
                f'<a class="shown" href="{page.url}#{remark.anchor}">'
                f"{said} lab {page.lab.number}: {html.escape(page.lab.title)}{under}</a>\n"
            )
    return "\n".join(result) or "The labs have none yet.\n"


def _from_root(page: LabPage, link: re.Match[str]) -> str:
    """A link of a lab's page as it must read on a page at the site's root."""
    target = link[1].replace("../../handout/", "../../")
    if target.startswith("#"):
        return f"]({page.uri}{target})"
    return f"]({posixpath.normpath(posixpath.join(posixpath.dirname(page.uri), target))})"
