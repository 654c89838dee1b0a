"""The words that open a shell on a node, or run one command there."""

from __future__ import annotations

from workshop import manifest, state
from workshop.course import CHANGED
from workshop.errors import WorkshopError
from workshop.machines import Machines
from workshop.steps import CLIENT


def words(machines: Machines, node: str, run: str = "", mark: bool = True) -> list[str]:
    """Program and arguments of a root shell on the node; `client` is the reader's own
    machine. With `mark` the node remembers that somebody was there.

    A node that does not run is a `WorkshopError`.
    """
    if node == CLIENT:
        if run:
            return ["bash", "-c", run]
        return ["env", r"PS1=client:\w\$ ", "bash", "--norc"]
    members = manifest.cluster_of().members(node)
    if members != [node]:
        raise WorkshopError(f"{node!r} is a group; name one of: {', '.join(members)}")
    what = machines.states()[node]
    if what != "running":
        raise WorkshopError(f"{node} is {what}; `invoke up {node}` starts it")
    address, port = machines.address(node)
    known = state.path(f"known/{node}")
    ssh = [
        "ssh",
        "-q",
        "-i",
        str(state.key()),
        "-p",
        str(port),
        "-o",
        f"UserKnownHostsFile={known}",
    ]
    ssh += ["-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR"]
    if run:
        return [*ssh, f"root@{address}", run]
    return [*ssh, "-t", f"root@{address}", f"touch {CHANGED}; exec bash -i" if mark else "bash -i"]
