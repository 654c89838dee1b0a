"""Faults of an application, and of the daemon that should notice them."""

from workshop import Action, Plan, command

SWITCH = "/run/greeter-mode"
REPAIR = f"rm -f {SWITCH}; systemctl reset-failed greeter; systemctl start greeter"


def application(node: str, mode: str) -> Plan:
    """Have the application on a web server fail in one of its ways."""
    return command(node, f"echo {mode} >{SWITCH}", REPAIR)


def unwatched(node: str, signal: str) -> Plan:
    """Send ldirectord on the director a signal, then have the application on web1 fail."""
    return Plan(
        [
            Action(node, "run", f"pkill -{signal} -x ldirectord"),
            Action("web1", "run", f"echo 500 >{SWITCH}"),
        ],
        [
            Action(node, "run", "pkill -CONT -x ldirectord || true"),
            Action("web1", "run", REPAIR),
        ],
    )
