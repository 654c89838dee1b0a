"""Read-only views of the cluster: parse what the nodes' own tools say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from workshop.remote import NodeLost, Remote, TimedOut, parallel


def addresses(text: str) -> dict[str, str]:
    """`ip -o -4 addr show` as {address: interface}."""
    found = re.findall(r"^\d+:\s+(\S+)\s+inet\s+([\d.]+)", text, re.MULTILINE)
    return {address: interface for interface, address in found}


def vip_holders(nodes: Iterable[Remote], address: str) -> list[str]:
    """Names of the nodes that hold `address` where others can see it, so not on lo; a node
    that does not answer holds nothing that could be seen."""
    by_name = {node.name: node for node in nodes}

    def holds(name: str) -> bool:
        try:
            shown = by_name[name].run("ip -o -4 addr show", timeout=15)
        except (NodeLost, TimedOut):
            return False
        return addresses(shown.stdout).get(address, "lo") != "lo"

    return [name for name, held in parallel(holds, by_name).items() if held]


@dataclass(frozen=True)
class RealServer:
    """A server behind a virtual service, as the kernel's table has it."""

    address: str
    port: int
    forward: str  # Route (direct routing), Masq (NAT), Tunnel or Local
    weight: int  # 0: no new visitors
    active: int  # connections that are open
    inactive: int  # connections that ended, or are about to


@dataclass(frozen=True)
class VirtualService:
    """What a director balances, and how."""

    protocol: str  # TCP, UDP, SCTP, or FWM for a firewall mark
    scheduler: str
    options: str  # what else is said of it, such as `persistent 300`
    servers: list[RealServer] = field(default_factory=list)


def ipvs_table(text: str) -> dict[str, VirtualService]:
    """`ipvsadm -Ln` as {`address:port`, or the firewall mark: service}; empty for a table
    without services, and for what is no table at all."""
    found: dict[str, VirtualService] = {}
    service: VirtualService | None = None
    for line in text.splitlines():
        if match := re.match(r"(TCP|UDP|SCTP|FWM)\s+(\S+)(?:\s+IPv6)?\s+(\S+)\s*(.*)", line):
            service = VirtualService(match[1], match[3], match[4].strip())
            found[match[2]] = service
        elif service and (
            match := re.match(r"\s+->\s+(\S+):(\d+)\s+(\w+)\s+(\d+)\s+(\d+)\s+(\d+)", line)
        ):
            address, forward = match[1], match[3]
            port, *counts = (int(match[i]) for i in (2, 4, 5, 6))
            service.servers.append(RealServer(address, port, forward, *counts))
    return found


@dataclass(frozen=True)
class NdbMember:
    """A slot of an NDB cluster, as the management server sees it."""

    number: int
    kind: str  # NDB (data node), MGM (management server) or API (SQL node or tool)
    address: str  # where it is, or from where it would be let in; `any host` lets in anybody
    connected: bool
    state: str = ""  # of a data node: `starting`, or empty where it is started
    president: bool = False  # the data node that speaks for all


def ndb_members(text: str) -> dict[int, NdbMember]:
    """`ndb_mgm -e show` as {node number: member}; empty for what is no such list."""
    found: dict[int, NdbMember] = {}
    kind = ""
    for line in text.splitlines():
        if match := re.match(r"\[\w+\((NDB|MGM|API)\)\]", line):
            kind = match[1]
        elif kind and (match := re.match(r"id=(\d+)\s+@(\S+)\s*(.*)", line)):
            number, said = int(match[1]), match[3]
            state = "starting" if "starting" in said else ""
            found[number] = NdbMember(number, kind, match[2], True, state, ", *" in said)
        elif kind and (
            match := re.match(r"id=(\d+) \(not connected, accepting connect from (.*)\)", line)
        ):
            number = int(match[1])
            found[number] = NdbMember(number, kind, match[2], False)
    return found
