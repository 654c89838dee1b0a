"""Who publishes the handout."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import refused

from workshop import imprint

WHOLE = """\
site_url = "https://example.org/lamp"

[contact]
name = "A. Speaker"
mail = "speaker@example.org"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A whole imprint."""
    path = tmp_path / "handout" / "site.toml"
    path.parent.mkdir()
    path.write_text(WHOLE)
    return path


def test_the_address_ends_with_a_slash(file: Path) -> None:
    assert imprint.whole(file).site_url == "https://example.org/lamp/"


def test_the_checked_in_file_can_be_read() -> None:
    imprint.read()


@pytest.mark.parametrize(
    ("line", "by", "key"),
    [
        ('site_url = "https://example.org/lamp"\n', "", "site_url"),
        ('"A. Speaker"', '"  "', "contact.name"),
        ('"speaker@example.org"', '""', "contact.mail"),
    ],
)
def test_what_is_empty_is_named(file: Path, line: str, by: str, key: str) -> None:
    file.write_text(WHOLE.replace(line, by))
    imprint.read(file)
    with refused(f"handout/site.toml: {key} is empty"):
        imprint.whole(file)


@pytest.mark.parametrize(
    ("line", "by", "words"),
    [
        ("https://", "ftp://", "site_url"),
        ("speaker@example.org", "speaker", "contact.mail"),
        ("speaker@example.org", "a speaker@example.org", "contact.mail"),
        ("mail", "male", "contact.male: unknown key"),
        ("[contact]", "[contact", "not valid TOML"),
    ],
)
def test_what_is_no_address_is_refused(file: Path, line: str, by: str, words: str) -> None:
    file.write_text(WHOLE.replace(line, by))
    with refused("handout/site.toml", words):
        imprint.read(file)
