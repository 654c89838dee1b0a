"""A browser that remembers what a page asked for and complained of."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, BrowserContext, Page


@dataclass(frozen=True)
class Site:
    """The built site, and where it is served."""

    folder: Path
    url: str
    seconds: float

    @property
    def pages(self) -> list[str]:
        """Paths of all pages, but not of the HTML among the files to download."""
        found = (path.relative_to(self.folder) for path in self.folder.rglob("*.html"))
        return sorted(str(path) for path in found if path.parts[0] != "configs")


@dataclass
class Looking:
    """A browser's page, what it asked for and what it complained of."""

    page: Page
    site: Site
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    bytes: dict[str, int] = field(default_factory=dict)

    def open(self, path: str, until: Literal["load", "networkidle"] = "load") -> Page:
        """Load a page of the site."""
        self.page.goto(self.site.url + path, wait_until=until)
        return self.page


def look(chromium: Browser, built: Site, **options: object) -> tuple[BrowserContext, Looking]:
    """A fresh browser context and its page; `options` as playwright's new_context has them."""
    context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})  # type: ignore[arg-type]
    looking = Looking(context.new_page(), built)
    looking.page.on("request", lambda request: looking.asked.append(request.url))
    looking.page.on("pageerror", lambda error: looking.complaints.append(str(error)))
    looking.page.on(
        "console",
        lambda said: (
            looking.complaints.append(said.text) if said.type in ("error", "warning") else None
        ),
    )
    looking.page.on(
        "requestfinished",
        lambda done: looking.bytes.__setitem__(done.url, done.sizes()["responseBodySize"]),
    )
    return context, looking
