"""Faults of whoever attacks, and of whoever defends and gets it wrong."""

import shlex

from workshop import Plan, command

SITE = "http://192.168.56.105"
DROP_ALL = """\
table inet firewall
delete table inet firewall
table inet firewall {
    chain input { type filter hook input priority filter; policy drop; }
}
"""


def password_guesser(node: str) -> Plan:
    """Have a node try ten wrong passwords."""
    guess = f"curl -s --max-time 3 -o /dev/null -d name=alex -d password=$i {SITE}/login.php"
    return command(node, f"for i in $(seq 10); do {guess} || true; done")


def locked_out(node: str, seconds: int) -> Plan:
    """Try rules on a node that drop everything, for some seconds."""
    file = "/root/locked-out.nft"
    trial = f"cat >{file} <<'RULES'\n{DROP_ALL}RULES\nfirewall-try {file} {seconds}"
    back = "nft -f /etc/nftables.conf"
    return command(node, f"systemd-run --quiet --collect bash -c {shlex.quote(trial)}", back)
