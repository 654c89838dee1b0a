"""Who publishes the handout, and where: `handout/site.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from workshop import manifest
from workshop.errors import WorkshopError
from workshop.manifest import ROOT, Strict

FILE = ROOT / "handout" / "site.toml"


def _address(url: str) -> str:
    if url and not url.startswith(("https://", "http://")):
        raise ValueError("an address begins with https:// or http://")
    return url


def _folder(url: str) -> str:
    return url if not url or url.endswith("/") else f"{url}/"


def _mail(address: str) -> str:
    user, _, domain = address.partition("@")
    if address and (not user or "." not in domain or any(c.isspace() for c in address)):
        raise ValueError("a mail address is somebody@example.org")
    return address


class Contact(Strict):
    """Whom to ask."""

    name: str = ""
    mail: Annotated[str, AfterValidator(_mail)] = ""
    url: Annotated[str, AfterValidator(_address)] = ""


class Imprint(Strict):
    """The site's address, which ends with a slash, and whom to ask; both may be empty."""

    site_url: Annotated[str, AfterValidator(_address), AfterValidator(_folder)] = ""
    contact: Contact = Contact()

    def missing(self) -> list[str]:
        """The keys that a published handout needs and that are empty."""
        needed = {
            "site_url": self.site_url,
            "contact.name": self.contact.name,
            "contact.mail": self.contact.mail,
        }
        return [key for key, value in needed.items() if not value.strip()]


def read(path: Path = FILE) -> Imprint:
    """The imprint; unknown keys and what is no address are refused."""
    return manifest.read(path, Imprint)


def whole(path: Path = FILE) -> Imprint:
    """The imprint, with nothing missing."""
    found = read(path)
    if missing := found.missing():
        raise WorkshopError(f"{path.parent.name}/{path.name}: {missing[0]} is empty: fill it in")
    return found
