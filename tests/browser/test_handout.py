"""What a reader meets: in light and dark, on a phone, with a keyboard, without a network."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from eyes import Looking, Site, look
from justhtml import JustHTML
from playwright.sync_api import Browser, expect

from workshop import box, evidence, manifest, render, steps
from workshop.lab_page import PUT_BACK
from workshop.manifest import ROOT, Lab

LAB = manifest.labs()[0]
EACH_LAB = pytest.mark.parametrize("lab", manifest.labs(), ids=lambda lab: lab.slug)
HOME_BYTES = 500_000
SECONDS = 10


def page_of(lab: Lab) -> str:
    return f"labs/{lab.name}/index.html"


def test_it_is_built_in_time(built: Site) -> None:
    assert built.seconds < SECONDS


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_every_page_is_accessible_quiet_and_asks_nobody_else(
    chromium: Browser, built: Site, scheme: str, width: int
) -> None:
    shown: dict[str, object] = {"viewport": {"width": width, "height": 900}}
    context, looking = look(chromium, built, color_scheme=scheme, reduced_motion="reduce", **shown)
    found = []
    for path in built.pages:
        page = looking.open(path, until="networkidle")
        assert page.locator("body").get_attribute("data-md-color-scheme") == (
            "slate" if scheme == "dark" else "default"
        )
        for violation in Axe().run(page).response["violations"]:
            nodes = [node["html"][:160] for node in violation["nodes"][:3]]
            found.append(f"{path}: {violation['id']} ({violation['impact']}): {nodes}")
    context.close()
    assert not found, "\n".join(found)
    assert looking.complaints == []
    assert [url for url in looking.asked if not url.startswith(built.url)] == []


def test_every_page_fits_a_phone(phone: Looking, built: Site) -> None:
    wide = {}
    for path in built.pages:
        page = phone.open(path)
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > 390:
            wide[path] = width
    assert wide == {}
    assert phone.complaints == []


def test_every_page_is_valid_html(built: Site) -> None:
    found = []
    for path in built.pages:
        parsed = JustHTML((built.folder / path).read_text(), collect_errors=True, sanitize=False)
        found += [f"{path}:{error.line}: {error.message}" for error in parsed.errors]
    assert found == []


def test_every_link_and_anchor_leads_somewhere(looking: Looking, built: Site) -> None:
    ids: dict[str, set[str]] = {}
    links: set[tuple[str, str]] = set()
    for path in built.pages:
        page = looking.open(path)
        listed = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
        ids[path] = set(listed)
        assert len(listed) == len(ids[path]), f"{path}: an id twice"
        hrefs = page.evaluate("[...document.querySelectorAll('a[href]')].map(a => a.href)")
        links |= {(path, href) for href in hrefs}
    dead = []
    for path, href in sorted(links):
        target = urlsplit(href)
        if not href.startswith(built.url) or path == "404.html":
            continue
        there = unquote(target.path).lstrip("/") or "index.html"
        anchor = unquote(target.fragment)
        if not (built.folder / there).is_file() or (
            anchor and anchor != "__skip" and there in ids and anchor not in ids[there]
        ):
            dead.append(f"{path}: {href}")
    assert dead == []


def test_the_home_page_is_light(looking: Looking) -> None:
    page = looking.open("index.html", until="networkidle")
    expect(page.locator(".failure svg").first).to_be_visible()
    # the theme fetches the index of the search beforehand, after all that is shown
    shown = {url: size for url, size in looking.bytes.items() if "/search/" not in url}
    weight = sum(shown.values())
    assert 20_000 < weight < HOME_BYTES, shown


def test_a_published_handout_says_whom_to_ask_and_has_pages_to_print(looking: Looking) -> None:
    page = looking.open("contact.html")
    expect(page.locator("main a[href='mailto:kim@example.org']")).to_be_visible()
    expect(page.locator("main a[href='https://example.org/ask']")).to_be_visible()
    canonical = page.locator("link[rel=canonical]").get_attribute("href")
    assert canonical == "https://lamp.example.org/contact.html"
    page = looking.open("index.html")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="two pages to print").evaluate(
            "link => { link.download = 'handout.pdf'; link.click(); }"
        )
    assert Path(waiting.value.path()).read_bytes().startswith(b"%PDF-")


def test_the_pages_lead_into_each_other(looking: Looking) -> None:
    page = looking.open("index.html")
    page.locator(".md-sidebar--primary").get_by_role("link", name="Set-up").click()
    expect(page).to_have_title(re.compile("Set-up"))
    page.get_by_role("link", name="Next: The cluster").click()
    expect(page.locator("h1")).to_contain_text("The cluster")
    page.locator(".md-sidebar--primary").get_by_role("link", name=LAB.title).click()
    expect(page.locator("h1")).to_contain_text(LAB.title)
    page.locator(".lead").get_by_role("link", name=re.compile("[Pp]ro")).click()
    expect(page).to_have_url(re.compile("#proof$"))
    page.go_back()
    page.go_back()
    expect(page.locator("h1")).to_contain_text("The cluster")


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_the_search_finds_a_page(looking: Looking, built: Site, scheme: str) -> None:
    base = built.url if scheme == "http" else f"{built.folder.as_uri()}/"
    page = looking.page
    page.goto(f"{base}index.html", wait_until="networkidle")
    page.keyboard.press("/")
    page.keyboard.type("split brain")
    first = page.locator(".md-search-result__link").first
    expect(first).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("article")).to_contain_text(re.compile("split brain", re.IGNORECASE))
    assert page.url.startswith(base)
    assert page.url != f"{base}index.html"
    assert looking.complaints == []


@EACH_LAB
def test_the_copy_button_takes_the_commands_and_nothing_else(
    chromium: Browser, built: Site, lab: Lab
) -> None:
    context, looking = look(chromium, built)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = looking.open(page_of(lab))
    commands = [step for step in steps.parse(lab).steps if step.kind in ("sh", "sql")]
    shown = page.locator(".step-sh, .step-sql")
    assert shown.count() == len(commands) > 0
    for index, step in enumerate(commands):
        page.evaluate("navigator.clipboard.writeText('')")
        shown.nth(index).locator("button[data-clipboard-target]").click()
        page.wait_for_function("navigator.clipboard.readText().then(text => text !== '')")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied.rstrip("\n") == step.body
    expect(page.locator(".md-dialog")).to_contain_text("Copied")
    context.close()


@EACH_LAB
def test_a_file_is_downloaded_as_it_was_rendered(looking: Looking, lab: Lab) -> None:
    page = looking.open(page_of(lab))
    files = {(f.node, f.path): f for f in render.files(lab)}
    for link in page.locator("a.download:visible").all()[:3]:
        with page.expect_download() as waiting:
            link.click()
        href = link.get_attribute("href") or ""
        node, _, path = href.split(f"configs/{lab.name}/")[1].partition("/")
        assert waiting.value.suggested_filename == Path(path).name
        assert Path(waiting.value.path()).read_bytes() == files[node, path].content


def test_a_file_that_differs_has_a_tab_for_each_node(looking: Looking) -> None:
    page = looking.open(page_of(LAB))
    tabs = page.locator(".tabbed-set").first
    node = tabs.locator("label").last.inner_text()
    expect(tabs.get_by_text(f"on {node}", exact=False).last).to_be_hidden()
    tabs.locator("input").first.focus()
    page.keyboard.press("ArrowRight")
    expect(tabs.get_by_text(f"on {node}", exact=False).last).to_be_visible()


def test_everything_can_be_reached_with_the_keyboard(looking: Looking) -> None:
    page = looking.open("setup.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent").strip() == "Skip to content"
    page.keyboard.press("Enter")
    wanted = page.evaluate(
        """() => {
            const found = document.querySelectorAll('article a[href], article button');
            return [...found].filter(e => e.checkVisibility()).map((e, i) => e.dataset.seen = i);
        }"""
    )
    reached, presses = set(), 0
    while len(reached) < len(wanted) and presses < 300:
        page.keyboard.press("Tab")
        presses += 1
        seen = page.evaluate("document.activeElement.dataset.seen")
        if seen is not None:
            reached.add(int(seen))
    assert reached == set(wanted)


def test_the_reader_can_change_to_dark(looking: Looking) -> None:
    page = looking.open("index.html")
    background = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(background)
    page.get_by_title("Switch to dark").click()
    expect(page.locator("body")).to_have_attribute("data-md-color-scheme", "slate")
    assert page.evaluate(background) != before


@EACH_LAB
def test_on_paper_every_node_has_its_file_and_no_menu(looking: Looking, lab: Lab) -> None:
    page = looking.open(page_of(lab))
    page.emulate_media(media="print")
    expect(page.locator(".md-sidebar--primary")).to_be_hidden()
    for block in page.locator(".tabbed-block").all():
        expect(block).to_be_visible()


@EACH_LAB
def test_each_fault_has_its_picture_and_its_figures(looking: Looking, lab: Lab) -> None:
    page = looking.open(page_of(lab))
    faults = [step for step in steps.parse(lab).steps if step.kind == "fault"]
    assert page.locator(".step-fault .failure").count() == len(faults) > 0
    recorded = evidence.read(lab).get("faults", {})
    rows = page.locator(".measured tbody tr")
    assert rows.count() == len(recorded)
    for index, name in enumerate(name for name in lab.file.faults if name in recorded):
        entry, row = recorded[name], rows.nth(index)
        expect(row).to_contain_text(f"{entry['outage']:.1f} s")
        share = float(row.locator("rect.outage").get_attribute("width") or "nan")
        widest = max(
            max(each[key] or 0 for key in ("outage", "bound", "heal_outage"))
            for each in recorded.values()
        )
        assert share == pytest.approx(100 * entry["outage"] / widest, abs=0.01)


@EACH_LAB
def test_what_changes_of_the_distributions_file_is_told(looking: Looking, lab: Lab) -> None:
    page = looking.open(page_of(lab))
    told = page.locator(".step-install .file").all()
    assert told
    for file in told:
        text = file.text_content() or ""
        # a file that an earlier step installed is compared with that
        known = rf"Debian|distribution's file was not at hand|What changes|{re.escape(PUT_BACK)}"
        assert re.search(known, text), text[:200]
    if box.cached(ROOT):
        assert "was not at hand" not in (page.locator("main").text_content() or "")


def test_somewhere_the_distributions_own_file_is_shown(built: Site) -> None:
    pages = [(built.folder / page_of(lab)).read_text() for lab in manifest.labs()]
    shown = sum(page.count('<details class="difference shipped">') for page in pages)
    assert bool(shown) is bool(box.cached(ROOT))


def test_gathered_questions_lead_to_their_lab(looking: Looking) -> None:
    page = looking.open("contact.html")
    link = page.locator("a.shown").first
    href = urljoin(page.url, link.get_attribute("href") or "")
    link.click()
    expect(page).to_have_url(href)
    expect(page.locator(f"[id='{urlsplit(href).fragment}']")).to_be_visible()
