"""Two pages to print."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fakes import refused

from workshop import manifest, printed
from workshop.imprint import Contact, Imprint

WHO = Imprint(
    site_url="https://example.org/lamp/",
    contact=Contact(name="A. Speaker", mail="speaker@example.org"),
)


def test_two_pages_and_the_same_bytes_again() -> None:
    found = printed.pages(WHO)
    assert found.startswith(b"%PDF-")
    assert found == printed.pages(WHO)


def test_without_an_imprint_it_can_still_be_looked_at() -> None:
    assert printed.pages(Imprint()).startswith(b"%PDF-")


def test_every_key_idea_is_taken_from_the_page() -> None:
    found = {
        idea.title: idea for idea in printed.ideas((printed.PROSE / "key-ideas.md").read_text())
    }
    assert len(found) == 8
    assert found["Split brain"].question.endswith("?")
    assert any(text.startswith("**Replication:** ") for text in next(
        idea.answer for title, idea in found.items() if title.startswith("Replication")
    ))  # fmt: skip
    assert not any("{{" in text for idea in found.values() for text in idea.answer)


def test_a_third_page_is_refused(tmp_path: Path) -> None:
    shutil.copytree(printed.PROSE, tmp_path / "handout")
    page = tmp_path / "handout" / "key-ideas.md"
    page.write_text(
        page.read_text().replace("\n\n## Fencing", 40 * "\n\nOne more thing." + "\n\n## Fencing")
    )
    with refused("3 pages instead of 2", "printed/pages.typ"):
        printed.pages(WHO, tmp_path / "handout")


def test_a_mistake_in_the_layout_is_one_line(tmp_path: Path) -> None:
    shutil.copytree(printed.PROSE, tmp_path / "handout")
    (tmp_path / "handout" / "printed" / "pages.typ").write_text("#nothing-of-the-kind")
    with refused("printed/pages.typ", "unknown variable"):
        printed.pages(WHO, tmp_path / "handout")


@pytest.mark.parametrize(
    "command", manifest.read(printed.PROSE / "commands.toml", printed.Commands).command, ids=str
)
def test_a_command_comes_from_its_lab(command: printed.Command) -> None:
    folders = list(manifest.LABS.glob(f"[0-9][0-9]-{command.lab}"))
    assert folders, f"no lab {command.lab}"
    words = command.words or command.type
    sources = [p for p in folders[0].rglob("*") if p.suffix in (".md", ".toml", ".py", ".j2")]
    texts = [p.read_text().replace("{{ site_address }}", "192.168.56.100") for p in sources]
    assert any(words in text for text in texts), words
