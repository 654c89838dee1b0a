"""Faults of what is around squid: its web servers, and its visitors."""

from workshop import Action, Plan, command


def servers_off(node: str) -> Plan:
    """Pull the plug of both web servers."""
    servers = ("web1", "web2")
    return Plan([Action(n, "off") for n in servers], [Action(n, "on") for n in servers])


def slow_visitors(node: str, visitors: int = 200) -> Plan:
    """Have a node open connections to squid, and say a word every five seconds."""
    options = f"-c {visitors} -r 100 -H -i 5 -l 120 -x 10 -p 2"
    attack = f"slowhttptest {options} -u http://192.168.56.105/robots.txt"
    return command(
        node,
        f"systemd-run --quiet --collect --unit=slow-visitors sh -c 'timeout 150 {attack}'",
        "systemctl stop slow-visitors 2>/dev/null || true",
    )
