"""Read-only views of the cluster: parse what the nodes' own tools say."""

from __future__ import annotations

import re
from collections.abc import Iterable

from workshop.remote import NodeLost, Remote, TimedOut, parallel


def addresses(text: str) -> dict[str, str]:
    """`ip -o -4 addr show` as {address: interface}."""
    found = re.findall(r"^\d+:\s+(\S+)\s+inet\s+([\d.]+)", text, re.MULTILINE)
    return {address: interface for interface, address in found}


def vip_holders(nodes: Iterable[Remote], address: str) -> list[str]:
    """Names of the nodes that hold `address`; a node that does not answer holds nothing
    that could be seen."""
    by_name = {node.name: node for node in nodes}

    def holds(name: str) -> bool:
        try:
            shown = by_name[name].run("ip -o -4 addr show", timeout=15)
        except (NodeLost, TimedOut):
            return False
        return address in addresses(shown.stdout)

    return [name for name, held in parallel(holds, by_name).items() if held]
