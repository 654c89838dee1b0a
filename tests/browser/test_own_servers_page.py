"""The page *Your own servers*: what the command line gives, to the byte, and nothing it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from conftest import Looking, Site, look
from own_servers import other, toml
from playwright.sync_api import Browser, Page, expect

from workshop import bundle, inventory, manifest

LABS = manifest.labs()
PAGE = "own-servers.html"


def fill(page: Page, values: dict[str, str]) -> None:
    """Type the values into the form, as a reader does."""
    for key, value in values.items():
        page.locator(f'input[name="{key}"]').fill(value)


def downloaded(page: Page) -> bytes:
    """What the download button gives."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as .zip").click()
    assert download.value.suggested_filename == f"{bundle.OWN}.zip"
    return Path(download.value.path()).read_bytes()


def from_the_command_line(tmp_path: Path, values: dict[str, str]) -> bytes:
    """What `invoke bundle --inventory` gives."""
    file = tmp_path / "my.toml"
    file.write_text(toml(values, LABS))
    bundle.write(LABS, file, tmp_path / "dist")
    return (tmp_path / "dist" / f"{bundle.OWN}.zip").read_bytes()


def test_browser_and_command_line_give_the_same_bytes(looking: Looking, tmp_path: Path) -> None:
    page = looking.open(PAGE)
    values = other(LABS)
    fill(page, values)
    assert downloaded(page) == from_the_command_line(tmp_path, values)
    page.get_by_role("button", name="Back to the course's values").click()
    expect(page.locator('input[name="domain"]')).to_have_value("lamp.test")
    assert downloaded(page) == bundle.zipped(bundle.files(LABS))
    assert looking.complaints == []


def test_it_works_from_disk(chromium: Browser, built: Site, tmp_path: Path) -> None:
    context, looking = look(chromium, built)
    page = looking.page
    page.goto((built.folder / PAGE).as_uri())
    fill(page, other(LABS))
    assert downloaded(page) == from_the_command_line(tmp_path, other(LABS))
    assert looking.complaints == []
    assert [url for url in looking.asked if not url.startswith(("file:", "blob:", "data:"))] == []
    context.close()


def test_the_archives_of_the_course_are_those_of_the_command(looking: Looking) -> None:
    made = bundle.archives(LABS)
    page = looking.open("index.html")
    for name in made:
        link = page.locator(f'a[href$="{name}"]').first
        answer = page.request.get(link.evaluate("link => link.href"))
        assert answer.body() == made[name]
    lab = looking.open(f"labs/{LABS[0].name}/index.html")
    for name in (f"{bundle.NAME}.zip", f"{bundle.NAME}.tar.gz"):
        link = lab.locator(f'.lead a[href$="{name}"]')
        assert lab.request.get(link.evaluate("link => link.href")).body() == made[name]


BAD = [
    {"domain": "shop.example<script>"},
    {"domain": "shop"},
    {"nodes.lb1.name": ""},
    {"nodes.lb1.name": "a$(reboot)"},
    {"nodes.lb1.name": 'a"\\'},
    {"nodes.lb1.name": "@@domain@@"},
    {"nodes.lb1.name": "\u0661"},
    {"nodes.lb2.name": "alpha"},
    {"networks.front.interface": "lo"},
    {"networks.back.interface": "ens18"},
    {"networks.front.cidr": "10.20.30.1/26"},
    {"networks.front.cidr": "300.20.30.0/26"},
    {"networks.back.cidr": "10.20.0.0/16"},
    {"networks.front.cidr": "192.168.200.192/27"},
    {"nodes.lb1.front": "10.20.30.64"},
    {"nodes.lb1.front": "10.20.30.63"},
    {"nodes.lb1.front": "10.20.30.01"},
    {"addresses.site_address": "10.20.30.1"},
    {"addresses.site_address": "223.255.255.254"},
    {"nodes.lb1.name": " alpha", "nodes.lb2.name": "localhost", "domain": "-.-"},
]


@pytest.fixture(scope="module")
def form(chromium: Browser, built: Site) -> Page:
    """The page, with other values in its form."""
    _, looking = look(chromium, built)
    return looking.open(PAGE)


@pytest.mark.parametrize("change", BAD, ids=[json.dumps(change)[1:-1] for change in BAD])
def test_both_refuse_the_same_in_the_same_words(form: Page, change: dict[str, str]) -> None:
    values = other(LABS) | change
    fill(form, values)
    wanted = inventory.complaints(values, inventory.specification(LABS))
    assert wanted
    for field in inventory.fields(LABS):
        box = form.locator(f'input[name="{field.key}"]')
        error = form.locator(f"#own-{field.key.replace('.', '-')}-error")
        assert error.inner_text() == wanted.get(field.key, "")
        assert box.get_attribute("aria-invalid") == str(field.key in wanted).lower()
        assert error.get_attribute("id") in (box.get_attribute("aria-describedby") or "")
    first = next(iter(wanted))
    form.get_by_role("button", name="Download as .zip").click()
    expect(form.locator(f'input[name="{first}"]')).to_be_focused()
    expect(form.get_by_role("status")).to_contain_text("cannot be used yet")


def test_the_preview_shows_the_file_and_marks_the_readers_values(looking: Looking) -> None:
    page = looking.open(PAGE)
    values = other(LABS)
    fill(page, values)
    files = {f.path: f.content.decode() for f in bundle.files(LABS, values)}
    for option in page.locator("#own-file option").all():
        path = option.inner_text()
        page.locator("#own-file").select_option(value=option.get_attribute("value"))
        assert page.locator("#own-preview").evaluate("pre => pre.textContent") == files[path]
    page.locator("#own-file").select_option(label="01-heartbeat/alpha/etc/ha.d/ha.cf")
    marked = page.locator("#own-preview mark").all_inner_texts()
    assert marked == re.findall(
        r"ens18|bond0\.20|10\.20\.30\.\d+|172\.16\.5\.\d+|alpha|bravo",
        files["01-heartbeat/alpha/etc/ha.d/ha.cf"],
    )


def test_nothing_that_is_typed_becomes_markup(looking: Looking) -> None:
    page = looking.open(PAGE)
    evil = "<img src=x onerror=window.hit=1>"
    fill(page, dict.fromkeys(inventory.defaults(LABS), evil))
    assert page.locator(".own-servers img").count() == 0
    assert page.evaluate("window.hit") is None
    assert looking.complaints == []


def test_it_is_filled_in_with_the_keyboard_alone(looking: Looking) -> None:
    page = looking.open(PAGE)
    page.locator('input[name="domain"]').focus()
    for field in inventory.fields(LABS):
        focused = page.evaluate("document.activeElement.name")
        assert focused == field.key
        page.keyboard.press("Control+A")
        page.keyboard.type(other(LABS)[field.key])
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Download as .zip"
    with page.expect_download():
        page.keyboard.press("Enter")


def test_every_field_has_a_label(looking: Looking) -> None:
    page = looking.open(PAGE)
    for field in inventory.fields(LABS):
        group = page.get_by_role("group", name=field.group, exact=True)
        expect(group.get_by_label(field.label, exact=True)).to_have_attribute("name", field.key)


def test_it_fits_a_phone(phone: Looking) -> None:
    page = phone.open(PAGE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    fill(page, {"nodes.lb1.name": "x" * 100})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
