"""Faults of what is around squid: its web servers, and its visitors."""

import shlex

from workshop import Action, Plan, command


def servers_off(node: str, seconds: int = 16, servers: tuple[str, ...] = ("web1", "web2")) -> Plan:
    """Pull the plugs of web servers, and wait until squid had to ask one: what it has in memory
    hides for a while that nobody is there."""
    wait = Action("mgm", "run", f"sleep {seconds}")
    return Plan([*(Action(n, "off") for n in servers), wait], [Action(n, "on") for n in servers])


def server_off(node: str, seconds: int = 26) -> Plan:
    """The same with one server; squid asks both in turn, so it may take two turns."""
    return servers_off(node, seconds, (node,))


def slow_visitors(node: str, visitors: int = 200) -> Plan:
    """Have a node open connections to squid, and say a word every five seconds."""
    options = f"-c {visitors} -r 100 -H -i 5 -l 30 -x 10 -p 2"
    attack = f"slowhttptest {options} -u http://192.168.56.105/robots.txt"
    # who was cut off comes back
    again = shlex.quote(f"while :; do {attack}; done")
    there = "[ $(ss -Htn dst 192.168.56.105 | wc -l) -ge 100 ]"
    return command(
        node,
        f"systemd-run --quiet --collect --unit=slow-visitors timeout 150 sh -c {again}; "
        f"timeout 30 sh -c 'until {there}; do sleep 0.5; done'",
        "systemctl stop slow-visitors 2>/dev/null || true",
    )
