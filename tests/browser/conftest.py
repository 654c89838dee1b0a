"""The real handout, built and served, and Debian's chromium to look at it."""

from __future__ import annotations

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator

import pytest
from eyes import Looking, Site, look
from playwright.sync_api import Browser, sync_playwright

from workshop import imprint, site
from workshop.imprint import Contact, Imprint

WHO = Imprint(
    site_url="https://lamp.example.org/",
    contact=Contact(name="Kim Example", mail="kim@example.org", url="https://example.org/ask"),
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves the site and says nothing."""

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """This checkout's site as somebody would publish it, served on 127.0.0.1."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(imprint, "read", lambda *_: WHO)
        site.build(site_dir=folder)  # reads the box, where there is one, once
        seconds = site.build(site_dir=folder)
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Site(folder, f"http://127.0.0.1:{server.server_port}/", seconds)
        server.shutdown()


@pytest.fixture(scope="module")  # the driver's loop must not outlive these tests
def chromium() -> Iterator[Browser]:
    """The distribution's browser, without a window."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert path, "no chromium here: `./run test` installs it"
    with sync_playwright() as driver:
        # in a container, and as root, its own sandbox cannot be set up
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


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
