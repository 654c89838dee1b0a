"""Faults that only heartbeat knows."""

from workshop import Action, Plan, command

FORGED = """\
import socket, time
lines = [">>>", "t=status", "st=dead", "src={peer}", "seq=1", "hg=1", "ts=1", "ttl=3"]
lines += ["auth=1 " + 40 * "0", "<<<", ""]
packet = "\\n".join(lines).encode()
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(50):
    sender.sendto(packet, ("{node}", 694))
    time.sleep(0.05)
"""


def forged_message(node: str, peer: str) -> Plan:
    """Tell a node, signed with a wrong key, that its peer is dead; fifty times."""
    script = FORGED.format(node=node, peer=peer)
    return command(peer, f"python3 -c '{script}'")


def alone(node: str, peer: str) -> Plan:
    """One server: the peer's heartbeat is stopped, then the node loses its power."""
    start = "systemctl start heartbeat"
    return Plan(
        [Action(peer, "run", "systemctl stop heartbeat"), Action(node, "off")],
        [Action(node, "on"), Action(peer, "run", start)],
    )
