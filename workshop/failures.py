"""Pictures of a lab's faults: who has the address, and what is broken, before a fault,
while it lasts, and after it is undone.

What is broken is read off the fault's own plan, so that the picture shows what happens.
"""

from __future__ import annotations

from dataclasses import dataclass

from workshop import faults
from workshop.manifest import Lab

HIT, OFF, FROZEN, UNPLUGGED = "hit", "off", "frozen", "unplugged"
MARKS = {"off": OFF, "pause": FROZEN, "unplug": UNPLUGGED, "run": HIT}
WORDS = {OFF: "without power", FROZEN: "frozen", UNPLUGGED: "unplugged", HIT: "struck"}


@dataclass(frozen=True)
class Moment:
    """One of a picture's three moments."""

    title: str
    note: str
    holders: list[str]  # who has the address
    unsure: bool  # it is one of the holders
    served: bool
    broken: dict[str, str]  # node: mark
    cut: int  # of the paths between the two machines, how many are cut
    leaves: str = ""  # the server that visitors are kept away from


@dataclass(frozen=True)
class Picture:
    """A fault in three moments; `pair` shares the address, `servers` stand behind it."""

    pair: list[str]
    servers: list[str]
    paths: int  # between the two machines of the pair
    moments: list[Moment]


def picture(
    lab: Lab, name: str, on: str = "", recorded: dict[str, object] | None = None
) -> Picture | None:
    """The picture of a declared fault; None for a lab without a pair that shares an address.

    `recorded` is the fault's evidence, where there is some; `on` aims it elsewhere.
    """
    fault = lab.file.faults[name]
    pair = pair_of(lab)
    if not pair:
        return None
    recorded = recorded or {}
    holder, peer = pair
    aim = on or fault.on
    node = {"holder": holder, "peer": peer}.get(aim, aim)
    if node in lab.cluster.groups:
        node = next(n for n in lab.cluster.members(node) if n in lab.nodes)
    other = peer if node == holder else holder
    plan = faults.plan(lab, name, node, other)
    broken: dict[str, str] = {}
    paths = len([n for n in lab.cluster.networks if n != "management"])
    cut = 0
    if fault.does == "cut":
        cut = paths if fault.options.get("networks", "all") == "all" else 1
    else:
        for action in plan.do:
            broken[action.node] = MARKS.get(action.what, HIT)
    outage = recorded.get("outage") if not recorded.get("wrong") else None
    serving = {
        "holder": [holder],
        "peer": [peer],
        "both": [holder, peer],
        "nobody": [] if broken.get(holder) == OFF else [holder],
        "any": [holder, peer],
    }[fault.serves]
    after = {"holder": [holder], "peer": [peer]}.get(fault.after_heal, [holder, peer])
    return Picture(
        pair,
        servers_of(lab),
        paths,
        [
            Moment("Before", f"{holder} serves.", [holder], False, True, {}, 0),
            Moment(
                "The fault",
                _during(lab, name, serving, outage),
                serving,
                fault.serves == "any",
                fault.serves != "nobody",
                broken,
                cut,
                fault.leaves,
            ),
            Moment(
                "Undone",
                _after(after, recorded.get("heal_outage") if outage is not None else None),
                after,
                len(after) > 1,
                True,
                {},
                0,
            ),
        ],
    )


def _during(lab: Lab, name: str, serving: list[str], outage: object) -> str:
    fault = lab.file.faults[name]
    if fault.serves == "nobody":
        return "Nobody is served until it is undone."
    who = f"{serving[0]} serves"
    if fault.serves == "both":
        who = "Both have the address"
    elif fault.serves == "any":
        who = "One of them serves"
    elif fault.serves == "holder":
        who += " on"
    if fault.leaves:
        who += f" without {fault.leaves}"
    allowed = lab.seconds(fault.outage)
    if outage is None:
        return f"{who}, after at most {allowed:g} s." if allowed else f"{who}."
    return f"{who}, after {outage:.1f} s." if outage else f"{who}, no outage."


def _after(holders: list[str], outage: object) -> str:
    who = f"{holders[0]} serves" if len(holders) == 1 else "One of them serves"
    return f"{who}, after {outage:.1f} s." if outage else f"{who}."


def pair_of(lab: Lab) -> list[str]:
    """The two nodes that share the lab's address: of the first group that the lab names."""
    if not lab.file.address:
        return []
    for name in lab.file.nodes:
        members = lab.cluster.groups.get(name, [])
        if len(members) == 2:
            return list(members)
    return []


def servers_of(lab: Lab) -> list[str]:
    """The group of servers behind the address, where one of the lab's faults takes one out."""
    for fault in lab.file.faults.values():
        for members in lab.cluster.groups.values():
            if fault.leaves in members and set(members) <= set(lab.nodes):
                return list(members)
    return []
