"""What an inventory may say, and how what it may not say is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes import refused, write_lab
from own_servers import other, toml

from workshop import inventory, manifest
from workshop.manifest import Lab

PAIR = """\
title = "A pair"
summary = "Two machines."
nodes = ["directors"]
address = "192.168.56.100"

[variables]
site_address = "192.168.56.100"
deadtime = 10
"""


@pytest.fixture
def pair(labs: Path) -> list[Lab]:
    """One lab with two nodes and a floating address."""
    return [write_lab(labs, toml=PAIR)]


def test_an_inventory_names_what_the_labs_use(pair: list[Lab]) -> None:
    assert inventory.defaults(pair) == {
        "domain": "lamp.test",
        "networks.front.cidr": "192.168.56.0/24",
        "networks.front.interface": "eth1",
        "networks.back.cidr": "192.168.57.0/24",
        "networks.back.interface": "eth2",
        "nodes.lb1.name": "lb1",
        "nodes.lb1.front": "192.168.56.11",
        "nodes.lb1.back": "192.168.57.11",
        "nodes.lb2.name": "lb2",
        "nodes.lb2.front": "192.168.56.12",
        "nodes.lb2.back": "192.168.57.12",
        "addresses.site_address": "192.168.56.100",
    }


def test_a_firewall_has_to_know_where_you_come_in(labs: Path) -> None:
    lab = write_lab(labs, toml=PAIR + 'open_ports = "all management tcp 22 administration"\n')
    known = inventory.defaults([lab])
    assert known[inventory.MANAGEMENT] == "eth0"
    # a server with two cards has no third one for that
    same = known | {inventory.MANAGEMENT: "eth1"}
    assert inventory.complaints(same, inventory.specification([lab])) == {}


def test_the_courses_own_values_are_accepted() -> None:
    labs = manifest.labs()
    assert inventory.complaints(inventory.defaults(labs), inventory.specification(labs)) == {}


def test_what_is_printed_can_be_read(pair: list[Lab], tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text(toml(inventory.defaults(pair), pair))
    assert inventory.read(file, pair) == inventory.defaults(pair)
    file.write_text(toml(other(pair), pair))
    assert inventory.read(file, pair) == other(pair)


def test_a_specification_is_plain_data(pair: list[Lab]) -> None:
    specified = inventory.specification(pair)
    assert json.loads(json.dumps(specified)) == specified


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"domain": "shop"}, "no domain"),
        ({"domain": "shop.example\nnode evil"}, "no domain"),
        ({"domain": "$(reboot).example"}, "no domain"),
        ({"nodes.lb1.name": "Lb1"}, "no host name"),
        ({"nodes.lb1.name": "1st"}, "no host name"),
        ({"nodes.lb1.name": "a-"}, "no host name"),
        ({"nodes.lb1.name": "a_b"}, "no host name"),
        ({"nodes.lb1.name": "a" * 21}, "no host name"),
        ({"nodes.lb1.name": "localhost"}, "no host name"),
        ({"nodes.lb1.name": ""}, "no host name"),
        ({"nodes.lb1.name": "a\n"}, "no host name"),
        ({"nodes.lb1.name": "a`id`"}, "no host name"),
        ({"nodes.lb1.name": "a\\"}, "no host name"),
        ({"nodes.lb1.name": "a'\"<b>"}, "no host name"),
        ({"nodes.lb1.name": "@@domain@@"}, "no host name"),
        ({"nodes.lb1.name": "\u0661a"}, "no host name"),
        ({"nodes.lb2.name": "alpha"}, "is also nodes.lb1.name"),
        ({"networks.front.interface": "lo"}, "no interface"),
        ({"networks.front.interface": "eth0; reboot"}, "no interface"),
        ({"networks.front.interface": "gummiband0"}, "no interface"),
        ({"networks.front.interface": "enp0s31f6enp0s31f6"}, "no interface"),
        ({"networks.back.interface": "ens18"}, "is also networks.front.interface"),
        ({"networks.front.cidr": "10.20.30.0"}, "no network"),
        ({"networks.front.cidr": "10.20.30.0/33"}, "no network"),
        ({"networks.front.cidr": "10.20.30.0/30"}, "no network"),
        ({"networks.front.cidr": "127.0.0.0/24"}, "no network"),
        ({"networks.front.cidr": "10.20.30.1/26"}, "inside a network"),
        ({"networks.back.cidr": "10.20.0.0/16"}, "overlaps networks.front.cidr, 10.20.30.0/26"),
        ({"nodes.lb1.front": "10.20.30.256"}, "no address"),
        ({"nodes.lb1.front": "10.20.30.01"}, "no address"),
        ({"nodes.lb1.front": "10.20.30"}, "no address"),
        ({"nodes.lb1.front": "10.20.30.64"}, "networks.front.cidr, 10.20.30.0/26"),
        ({"nodes.lb1.front": "10.20.30.63"}, "networks.front.cidr"),
        ({"nodes.lb1.front": "10.20.30.0"}, "networks.front.cidr"),
        ({"nodes.lb2.front": "10.20.30.1"}, "is also nodes.lb1.front"),
        ({"addresses.site_address": "10.20.31.9"}, "networks.front.cidr"),
        ({"addresses.site_address": "10.20.30.1"}, "is also nodes.lb1.front"),
    ],
)
def test_bad_input_is_refused_with_its_field(
    pair: list[Lab], change: dict[str, str], words: str
) -> None:
    found = inventory.complaints(other(pair) | change, inventory.specification(pair))
    ((key, value),) = change.items()
    assert words in found[key]
    assert json.dumps(value, ensure_ascii=False) in found[key]
    assert "\n" not in found[key]


def test_a_field_that_is_wrong_by_itself_is_blamed_alone(pair: list[Lab]) -> None:
    change = {"networks.front.cidr": "nonsense", "nodes.lb1.front": "192.0.2.1"}
    found = inventory.complaints(other(pair) | change, inventory.specification(pair))
    assert list(found) == ["networks.front.cidr"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('domain = "', 'domian = "x"\ndomain = "', ["my.toml", "domian", "unknown key"]),
        ("[nodes.lb1]", '[nodes.lb1]\ncolour = "red"', ["nodes.lb1.colour", "unknown key"]),
        ("[nodes.lb1]", "[nodes.lb9]", ["nodes.lb9.name", "unknown key"]),
        ("[nodes.lb1]", '[nodes."a\\nb"]', ["my.toml", "unknown key"]),
        ('front = "10.20.30.1"', "", ["nodes.lb1.front", "missing", "--example"]),
        ('front = "10.20.30.1"', "front = 10", ["nodes.lb1.front", "string"]),
        ('front = "10.20.30.1"', 'front = "10.20.99.1"', ["my.toml: nodes.lb1.front", "10.20.99"]),
        ('name = "alpha"', 'name = "al\\npha"', ["nodes.lb1.name", "no host name"]),
        ("[nodes.lb1]", "[nodes.lb1", ["my.toml", "TOML"]),
        ("[networks.front]", "[networks]", ["networks"]),
    ],
)
def test_a_bad_file_is_refused_in_one_line(
    pair: list[Lab], tmp_path: Path, old: str, new: str, words: list[str]
) -> None:
    text = toml(other(pair), pair)
    assert old in text
    file = tmp_path / "my.toml"
    file.write_text(text.replace(old, new, 1))
    with refused(*words):
        inventory.read(file, pair)


def test_a_file_that_is_not_there(pair: list[Lab], tmp_path: Path) -> None:
    with refused("my.toml", "missing"):
        inventory.read(tmp_path / "my.toml", pair)


def test_one_variable_has_one_address(labs: Path) -> None:
    first = write_lab(labs, toml=PAIR)
    second = write_lab(labs, "02-pair", PAIR.replace("56.100", "56.101"))
    with refused("02-pair/lab.toml", "variables.site_address"):
        inventory.fields([first, second])
