"""Faults of two servers that copy each other."""

import shlex

from workshop import Action, Plan, cut


def _alone(seconds: int, command: str) -> str:
    """The command, once nobody else on the node undoes something: where undoing takes long, the
    kit's watchdog begins it, too."""
    return f"timeout {seconds} flock /run/undoing sh -c {shlex.quote(command)}"


SQL = "timeout 20 mariadb -e"
# ends the undoing: the server that was away follows again, and has everything. A start that is
# under way is waited for, with what each start ends with.
CAUGHT_UP = "systemctl start mariadb; replica-wait 40"
# this server becomes a copy of the other one
REBUILD = _alone(160, "systemctl start mariadb && replica-seed && replica-wait 20")
IS_WRITER = "/etc/ha.d/resource.d/database-writer status"
# it is the writer again, as before. Asked for once a minute: each request starts a dozen shells on
# both servers, which are busy enough.
BACK = _alone(
    170,
    f"n=0; until {IS_WRITER}; do [ $((n % 12)) != 0 ] || /usr/share/heartbeat/hb_takeover all; "
    "n=$((n + 1)); sleep 5; done",
)
# the node knows whom it follows; half a second for what goes there, and to nobody else: a band of
# its own, since what servers send to clients is in the third one
SLOW = r"""
peer=$(sed -n 's/^host = //p' /etc/mysql/peer.cnf)
card=$(ip -o route get $peer | sed 's/.* dev \([^ ]*\).*/\1/')
tc qdisc replace dev $card root handle 1: prio bands 4
tc qdisc replace dev $card parent 1:4 handle 30: netem delay 500ms
tc filter add dev $card protocol ip parent 1: prio 1 u32 match ip dst $peer/32 flowid 1:4
"""
# on the replica: what the writer's server sends is not heard, what its heartbeat sends is. Nor does
# the writer hear that its replica gives up: it would not wait for one that took its leave.
DEAF = r"""
peer=$(sed -n 's/^host = //p' /etc/mysql/peer.cnf)
nft "add table inet fault
add chain inet fault input { type filter hook input priority -10; }
add rule inet fault input ip saddr $peer tcp sport 3306 drop
add chain inet fault output { type filter hook output priority -10; }
add rule inet fault output ip daddr $peer tcp dport 3306 drop"
"""
# until the writer no longer waits for its replica
FALLEN_BACK = r"""
timeout 60 sh -c "until mariadb -Ne 'SHOW STATUS LIKE \"Rpl_semi_sync_master_status\"' |
    grep -q OFF; do sleep 0.5; done"
sleep 2
"""
OTHER = {"db1": "db2", "db2": "db1"}


def writer_off(node: str) -> Plan:
    """Slow the link to the replica, then pull the writer's plug."""
    return Plan(
        [Action(node, "run", SLOW), Action(node, "off")],
        [Action(node, "on"), Action(node, "run", CAUGHT_UP), Action(node, "run", BACK)],
    )


def writer_off_asynchronous(node: str) -> Plan:
    """The same, where the writer does not wait for its replica's word."""
    alone = f"{SQL} 'SET GLOBAL rpl_semi_sync_master_enabled = OFF'; sleep 2"
    return Plan(
        [Action(node, "run", SLOW), Action(node, "run", alone), Action(node, "off")],
        [Action(node, "on"), Action(node, "run", REBUILD), Action(node, "run", BACK)],
    )


def fallen_back_writer_off(node: str) -> Plan:
    """Let nothing reach the replica until the writer goes on without; then pull its plug."""
    return Plan(
        [
            Action(OTHER[node], "run", DEAF),
            Action(node, "run", FALLEN_BACK),
            Action(node, "off"),
        ],
        [
            Action(OTHER[node], "run", "nft delete table inet fault 2>/dev/null || true"),
            Action(node, "on"),
            Action(node, "run", REBUILD),
            Action(node, "run", BACK),
        ],
    )


def replica_off(node: str) -> Plan:
    """Pull the replica's plug."""
    return Plan([Action(node, "off")], [Action(node, "on"), Action(node, "run", CAUGHT_UP)])


def both_off(node: str) -> Plan:
    """Pull both plugs at once. The one that comes back first is the writer, and uses numbers again
    that the other one may have seen: the other one becomes a copy."""
    return Plan(
        [Action(each, "off") for each in OTHER],
        [
            Action(node, "on"),
            Action(node, "run", f"timeout 170 sh -c 'until {IS_WRITER}; do sleep 1; done'"),
            Action(OTHER[node], "on"),
            Action(OTHER[node], "run", REBUILD),
        ],
    )


def writer_frozen(node: str) -> Plan:
    """Freeze mariadbd; whoever finds it so kills it, so there is nothing to thaw but a leftover."""
    thaw = f"pkill -CONT -x mariadbd; {CAUGHT_UP}"
    return Plan(
        [Action(node, "run", "pkill -STOP -x mariadbd")],
        [Action(node, "run", thaw), Action(node, "run", BACK)],
    )


def replica_frozen(node: str) -> Plan:
    """Freeze mariadbd on the replica; it thaws and catches up."""
    thaw = f"pkill -CONT -x mariadbd; {CAUGHT_UP}"
    return Plan([Action(node, "run", "pkill -STOP -x mariadbd")], [Action(node, "run", thaw)])


def _cut(node: str, after: str, **how: str) -> Plan:
    """Cut the node from the other one; mend it, and then do what has to be done."""
    plan = cut(node, OTHER[node], **how)
    mend = " ; ".join(action.argument for action in plan.undo)
    return Plan(plan.do, [Action(node, "run", f"{mend} ; {after}")])


def replication_cut(node: str) -> Plan:
    """Cut the network that replication uses; heartbeat has the other one, too."""
    return _cut(node, CAUGHT_UP, networks="back")


def replication_deaf(node: str) -> Plan:
    """The writer hears nothing of its replica on that network, and the replica hears it."""
    plan = _cut(node, "true", networks="back", direction="in")
    return Plan(plan.do, [*plan.undo, Action(OTHER[node], "run", CAUGHT_UP)])


def sql_thread_stopped(node: str) -> Plan:
    """Stop applying what is received."""
    return Plan(
        [Action(node, "run", f"{SQL} 'STOP SLAVE SQL_THREAD'")],
        [Action(node, "run", f"{SQL} 'START SLAVE SQL_THREAD'; {CAUGHT_UP}")],
    )


def io_thread_stopped(node: str) -> Plan:
    """Stop receiving, in good order: the writer is told that its replica takes its leave."""
    return Plan(
        [Action(node, "run", f"{SQL} 'STOP SLAVE IO_THREAD'")],
        [Action(node, "run", f"{SQL} 'START SLAVE IO_THREAD'; {CAUGHT_UP}")],
    )


def both_promote(node: str) -> Plan:
    """Cut all links. Undone in the order that saves what can be saved: first the loser stops
    and gives up the address, then the cable is mended, then the loser becomes a copy."""
    plan = cut(node, OTHER[node])
    mend = " ; ".join(action.argument for action in plan.undo)
    undo = f"systemctl stop heartbeat ; {mend} ; {REBUILD} ; systemctl start heartbeat"
    return Plan(plan.do, [Action(node, "run", undo)])
