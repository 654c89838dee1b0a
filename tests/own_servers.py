"""Somebody's own servers: other values for whatever an inventory may change."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

from workshop import inventory, manifest
from workshop.bundle import PLACES
from workshop.manifest import Lab
from workshop.tokens import Words

NAMES = ("alpha", "bravo", "charlie-1", "delta", "echo", "foxtrot", "golf", "hotel")
CIDRS = {"front": "10.20.30.0/26", "back": "172.16.5.128/25"}
CARDS = {"front": "ens18", "back": "bond0.20", "management": "ens18"}


def other(labs: list[Lab]) -> dict[str, str]:
    """Values that have nothing in common with the course's."""
    found = {"domain": "shop.example"}
    names = iter(NAMES)
    hosts = {name: iter(ipaddress.ip_network(cidr).hosts()) for name, cidr in CIDRS.items()}
    floating = {f"addresses.{name}": net for name, (net, _) in inventory.floating(labs).items()}
    for field in inventory.fields(labs):
        last = field.key.rsplit(".", 1)[1] if "." in field.key else ""
        match field.kind:
            case "network":
                found[field.key] = CIDRS[field.key.split(".")[1]]
            case "interface":
                found[field.key] = CARDS[field.key.split(".")[1]]
            case "name":
                found[field.key] = next(names)
            case "address":
                found[field.key] = str(next(hosts[floating.get(field.key, last)]))
    return found


def moved(labs: list[Lab]) -> dict[str, str]:
    """Other values for the kit's own machines: each keeps its host number in new networks."""
    cidrs = {"front": "10.20.30.0/26", "back": "10.20.31.0/26"}
    cards = {"front": "ens18", "back": "ens19"}
    found = other(labs)
    if inventory.MANAGEMENT in found:
        found[inventory.MANAGEMENT] = "eth0"
    floating = [(f"addresses.{name}", net) for name, (net, _) in inventory.floating(labs).items()]
    for name, cidr in cidrs.items():
        network = ipaddress.ip_network(cidr)
        found |= {f"networks.{name}.cidr": cidr, f"networks.{name}.interface": cards[name]}
        for node, spec in labs[0].cluster.nodes.items():
            if f"nodes.{node}.{name}" in found:
                found[f"nodes.{node}.{name}"] = str(network[spec.host])
        for index, (key, where) in enumerate(floating):
            if where == name:
                found[key] = str(network[60 - index])
    return found


def renamed(lab: Lab, labs: list[Lab], values: dict[str, str], folder: Path) -> Lab:
    """A copy of the lab, in `folder`, whose topology, manifest and checks are for the servers
    that `values` names: so its checks can be run on them."""
    words = Words(labs)

    def copy(source: Path) -> None:
        text = inventory.substitute(words.pattern_of(source.read_text()), values, labs)
        target = folder / source.relative_to(lab.folder.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    copy(lab.folder.parent / "cluster.toml")
    chain = manifest.closure(lab.file.requires, lab.folder.parent)
    for each in (*(manifest.lab(number, lab.folder.parent) for number in chain), lab):
        copy(each.folder / "lab.toml")
        copy(each.folder / "checks.py")
    return manifest.load(folder / lab.name)


def toml(values: dict[str, str], labs: list[Lab]) -> str:
    """The values as an inventory's text."""
    return inventory.substitute(inventory.example(labs), values, labs)


@dataclass
class Block:
    """Commands of the bundle's instructions: where they are typed, and what is seen then."""

    on: list[
        str
    ]  # servers, a role such as `holder`, or `client`; empty above the first heading that names one
    command: str
    refused: bool = False
    repeat: bool = False
    expect: str = ""


def blocks(text: str) -> list[Block]:
    """What a reader of README.md or INSTALL.md types, in order."""
    found: list[Block] = []
    on: list[str] = []
    words = ""
    parsed = MarkdownIt("commonmark").parse(text)
    for index, one in enumerate(parsed):
        if one.type == "heading_open":
            title = parsed[index + 1].content
            for role, place in PLACES.items():
                title = re.sub(rf"On {place}$", f"On {role}", title)
            match = re.fullmatch(r"(?:\d+\. )?On ([^ ]+(?:, [^ ]+)*)", title)
            on, words = (match[1].split(", ") if match else []), ""
            assert match or not re.match(r"\d+\. ", title), f"who is that: {title}"
        elif one.type == "paragraph_open":
            words = parsed[index + 1].content
        elif one.type == "fence" and one.info == "sh":
            found.append(Block(on, one.content.rstrip("\n"), "This is refused" in words))
        elif one.type == "fence" and one.info == "text":
            found[-1].repeat, found[-1].expect = words.startswith("Repeat"), one.content.strip()
    return found
