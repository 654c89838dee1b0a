"""The real handout, built and served, and Debian's chromium to look at it."""

from __future__ import annotations

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from workshop import site

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


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

    def open(self, path: str) -> Page:
        """Load a page of the site, with all that belongs to it."""
        self.page.goto(self.site.url + path, wait_until="networkidle")
        return self.page


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves the site and says nothing."""

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """This checkout's site, served on 127.0.0.1."""
    folder = tmp_path_factory.mktemp("site")
    site.build(site_dir=folder)  # reads the box, where there is one, once
    seconds = site.build(site_dir=folder)
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Site(folder, f"http://127.0.0.1:{server.server_port}/", seconds)
        server.shutdown()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The distribution's browser, without a window."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert path, "no chromium here: `./run test` installs it"
    with sync_playwright() as driver:
        # in a container, and as root, its own sandbox cannot be set up
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


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


@pytest.fixture
def looking(chromium: Browser, built: Site) -> Iterator[Looking]:
    """A desktop's browser."""
    context, found = look(chromium, built)
    yield found
    context.close()


@pytest.fixture
def phone(chromium: Browser, built: Site) -> Iterator[Looking]:
    """A browser as wide as a phone."""
    context, found = look(chromium, built, viewport={"width": 390, "height": 844}, has_touch=True)
    yield found
    context.close()
