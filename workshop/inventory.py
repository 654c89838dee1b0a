"""The reader's own servers: what an inventory names, and what is accepted in it.

An inventory changes values, never the number of nodes. Each value has a key, its path in the
TOML file (`nodes.lb1.name`), and a token, `@@nodes.lb1.name@@`, that stands for it in the
rendered files. The rules are data (`specification`), so that the page in the browser, which
reads the same data, refuses the same input in the same words. Pure: no network, no machine.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pydantic

from workshop import manifest
from workshop.errors import WorkshopError
from workshop.manifest import Lab, Strict

NETWORKS = ("front", "back")  # those that carry the cluster's traffic
MANAGEMENT = "networks.management.interface"  # may be the same card as one of these
FIREWALL = "open_ports"  # the variable of a lab that closes all other ports
TOKEN = r"@@([a-z0-9_.-]+)@@"  # a secret's placeholder has capitals
OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
# of servers: not 0, not the machine itself, no multicast
ADDRESS = rf"(?!0\.|127\.)(?:22[0-3]|2[01][0-9]|1[0-9][0-9]|[1-9]?[0-9])(?:\.{OCTET}){{3}}"
LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# what Linux and systemd call network cards, and what people rename them to
CARD = "(?:eth|eno|ens|enp|enx|enX|ib|bond|br|team|vlan|venet|veth|wl|lan|wan|dmz|net)"

# regular expressions as Python and JavaScript both read them
KINDS = {
    "domain": {
        "pattern": rf"(?=.{{3,100}}$)(?:{LABEL}\.)+[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?",
        "except": [],
        "says": "{value} is no domain such as shop.example: small letters, digits, - and dots",
    },
    "name": {
        "pattern": "[a-z](?:[a-z0-9-]{0,18}[a-z0-9])?",
        "except": ["localhost", "client"],
        "says": "{value} is no host name: it begins with a letter, goes on with small letters, "
        "digits and -, and has 20 characters at most",
    },
    "interface": {
        "pattern": rf"(?=.{{2,15}}$){CARD}[a-z0-9]*(?:-[a-z0-9]+)?(?:\.[0-9]{{1,4}})?",
        "except": [],
        "says": "{value} is no interface that `ip -brief link` would show, such as eth1, ens18, "
        "enp3s0 or bond0.20",
    },
    "network": {
        "pattern": rf"{ADDRESS}/(?:[89]|1[0-9]|2[0-9])",
        "except": [],
        "says": "{value} is no network such as 10.1.2.0/24, with 8 to 29 bits after the slash",
    },
    "address": {
        "pattern": ADDRESS,
        "except": [],
        "says": "{value} is no address such as 10.1.2.3",
    },
}
# what two fields must have to do with each other; said of the first one
RELATIONS = {
    "first": "{value} is an address inside a network: its first one stands before the slash",
    "inside": "{value} is no address for a server in {field}, {other}",
    "apart": "{value} overlaps {field}, {other}",
    "distinct": "{value} is also {field}",
}


@dataclass(frozen=True)
class Field:
    """One value of an inventory."""

    key: str
    kind: str
    default: str
    group: str
    label: str
    explains: str

    @property
    def token(self) -> str:
        return token(self.key)


@dataclass(frozen=True)
class Relation:
    """What `field` must have to do with `other`."""

    kind: str
    field: str
    other: str


def token(key: str) -> str:
    """What stands for the value of `key` in the rendered files."""
    return f"@@{key}@@"


def floating(labs: list[Lab]) -> dict[str, tuple[str, str]]:
    """Floating addresses: each variable that is an address in one of the networks, with that
    network's name and the address."""
    found: dict[str, tuple[str, str]] = {}
    for lab in labs:
        for name, value in lab.variables.items():
            network = _network_of(lab, value)
            if not network:
                continue
            if found.setdefault(name, (network, str(value)))[1] != value:
                raise WorkshopError(
                    f"{lab.name}/lab.toml: variables.{name}: another lab gives it another "
                    "address; call it something else"
                )
    return found


def _network_of(lab: Lab, value: object) -> str:
    try:
        address = ipaddress.IPv4Address(str(value))
    except ValueError:
        return ""
    networks = lab.cluster.networks
    return next((n for n in NETWORKS if address in ipaddress.ip_network(networks[n].cidr)), "")


def fields(labs: list[Lab]) -> list[Field]:
    """Everything that an inventory names, with the course's own values."""
    if not labs:
        raise WorkshopError("there is no lab yet, so there are no files to render")
    cluster = labs[0].cluster
    found = [
        Field("domain", "domain", str(cluster.variables.get("domain", "lamp.test")),
              "The site", "Domain", "The site's name; pages show it.")
    ]  # fmt: skip
    for name in NETWORKS:
        network = cluster.networks[name]
        key = f"networks.{name}"
        found += [
            Field(f"{key}.cidr", "network", network.cidr, f"The {name} network",
                  "Network", f"For {network.purpose.partition(';')[0]}."),
            Field(f"{key}.interface", "interface", network.interface, f"The {name} network",
                  "Interface", "The same name on every server."),
        ]  # fmt: skip
    if any(FIREWALL in lab.file.variables for lab in labs):
        found.append(
            Field(MANAGEMENT, "interface", cluster.networks["management"].interface,
                  "Administration", "Interface", "Where you come in; it may be one of the above.")
        )  # fmt: skip
    wanted = {node for lab in labs for node in lab.nodes}
    for node, spec in cluster.nodes.items():
        if node not in wanted:
            continue
        found.append(
            Field(f"nodes.{node}.name", "name", node, f"In place of {node}",
                  "Host name", f"The {spec.does}; what uname -n says there.")
        )  # fmt: skip
        for name in NETWORKS:
            found.append(
                Field(f"nodes.{node}.{name}", "address", cluster.address(node, name),
                      f"In place of {node}", f"Address on the {name} network", "")
            )  # fmt: skip
    for variable, (place, address) in floating(labs).items():
        words = variable.replace("_", " ")
        found.append(
            Field(f"addresses.{variable}", "address", address, "Floating addresses",
                  words.capitalize(), f"On the {place} network; no server has it by itself.")
        )  # fmt: skip
    return found


def relations(labs: list[Lab]) -> list[Relation]:
    """What the fields must have to do with each other."""
    known = fields(labs)
    network = {f"addresses.{n}": net for n, (net, _) in floating(labs).items()}
    found = [Relation("first", f.key, f.key) for f in known if f.kind == "network"]
    for field in known:
        if field.kind == "address":
            place = network.get(field.key) or field.key.rsplit(".", 1)[1]
            found.append(Relation("inside", field.key, f"networks.{place}.cidr"))
    for kind, word in {
        "network": "apart",
        "interface": "distinct",
        "name": "distinct",
        "address": "distinct",
    }.items():
        alike = [f.key for f in known if f.kind == kind and f.key != MANAGEMENT]
        found += [
            Relation(word, later, earlier)
            for index, later in enumerate(alike)
            for earlier in alike[:index]
        ]
    return found


def derived(labs: list[Lab]) -> dict[str, str]:
    """Tokens that stand for part of a field: the bits of a network, after its slash."""
    return {f"networks.{name}.prefix": f"networks.{name}.cidr" for name in NETWORKS}


def specification(labs: list[Lab]) -> dict[str, Any]:
    """All of the above as plain data: what the page in the browser goes by."""
    return {
        "token": TOKEN,
        "kinds": KINDS,
        "fields": [asdict(field) for field in fields(labs)],
        "derived": derived(labs),
        "relations": [asdict(relation) for relation in relations(labs)],
        "says": RELATIONS,
    }


def defaults(labs: list[Lab]) -> dict[str, str]:
    """The course's own inventory: key to value."""
    return {field.key: field.default for field in fields(labs)}


def complaints(values: dict[str, str], specified: dict[str, Any]) -> dict[str, str]:
    """What is wrong with each value, by key; empty when all is well. A relation is judged
    only between two values that are well by themselves."""
    found: dict[str, str] = {}

    def complain(key: str, text: str, other: str = "") -> None:
        words = {"value": json.dumps(values[key], ensure_ascii=False)}
        words |= {"field": other, "other": values.get(other, "")}
        found[key] = re.sub(r"\{(\w+)\}", lambda match: words[match[1]], text)

    for field in specified["fields"]:
        key, kind = field["key"], specified["kinds"][field["kind"]]
        if not re.fullmatch(kind["pattern"], values[key]) or values[key] in kind["except"]:
            complain(key, kind["says"])
    for relation in specified["relations"]:
        key, other = relation["field"], relation["other"]
        if key in found or other in found:
            continue
        if not HOLDS[relation["kind"]](values[key], values[other]):
            complain(key, specified["says"][relation["kind"]], other)
    return found


def number(address: str) -> int:
    """An address as a number."""
    return int(ipaddress.IPv4Address(address))


def span(network: str) -> tuple[int, int]:
    """First and last address of a network, as numbers."""
    found = ipaddress.IPv4Network(network, strict=False)
    return int(found[0]), int(found[-1])


def _inside(address: str, network: str) -> bool:
    first, last = span(network)
    return first < number(address) < last


def _apart(one: str, other: str) -> bool:
    (first, last), (begin, end) = span(one), span(other)
    return last < begin or end < first


HOLDS: dict[str, Callable[[str, str], bool]] = {
    "first": lambda one, _: number(one.partition("/")[0]) == span(one)[0],
    "inside": _inside,
    "apart": _apart,
    "distinct": lambda one, other: one != other,
}


def substitute(text: str, values: dict[str, str], labs: list[Lab]) -> str:
    """`text` with each token replaced by its value, in one pass."""
    known = values | {key: values[of].partition("/")[2] for key, of in derived(labs).items()}
    return re.sub(TOKEN, lambda match: known[match[1]], text)


class Inventory(Strict):
    """An inventory's TOML file."""

    domain: str
    networks: dict[str, dict[str, str]]
    nodes: dict[str, dict[str, str]]
    addresses: dict[str, str] = pydantic.Field(default_factory=dict)


def read(path: Path, labs: list[Lab]) -> dict[str, str]:
    """The inventory in a file: key to value. What is wrong with it is a `WorkshopError` that
    names file and key."""
    path = path.resolve()
    values: dict[str, str] = {}
    for key, value in manifest.read(path, Inventory).model_dump().items():
        values |= _flat(key, value)
    wanted = defaults(labs)
    for key in [*values, *wanted]:
        if key not in wanted:
            shown = key if re.fullmatch(r"[\w.-]+", key) else json.dumps(key)
            raise WorkshopError(f"{path.name}: {shown}: unknown key")
        if key not in values:
            raise WorkshopError(f"{path.name}: {key}: is missing; `invoke bundle --example`")
    for key, what in complaints(values, specification(labs)).items():
        raise WorkshopError(f"{path.name}: {key}: {what}")
    return values


def _flat(key: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        return {key: value}
    return {k: v for name, inner in value.items() for k, v in _flat(f"{key}.{name}", inner).items()}


def example(labs: list[Lab]) -> str:
    """An inventory with a token for each value: what `inventory.toml` is rendered from."""
    lines = ["# Your own servers, for `invoke bundle --inventory` and the page in the browser."]
    table = ""
    for field in fields(labs):
        above, _, name = field.key.rpartition(".")
        if above != table:
            table = above
            lines += ["", f"[{table}]"]
        comment = f"  # {field.explains}" if field.explains else ""
        lines.append(f'{name} = "{field.token}"{comment}')
    return "\n".join(lines) + "\n"
