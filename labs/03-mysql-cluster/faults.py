"""Faults of an NDB cluster."""

from workshop import Action, Plan, cut

NODES = ("db1", "db2")
MANAGEMENT = ("mgm", "lb1")
# angel and data node have one name; a node that fell out, and only that, is started anew
KILL = "pkill -9 -x ndbd"
START = "systemctl is-active --quiet ndbd || systemctl restart ndbd"


def data_node_killed(node: str) -> Plan:
    """Kill the data node and its angel, so that nobody starts it anew."""
    return Plan([Action(node, "run", KILL)], [Action(node, "run", START)])


def data_node_frozen(node: str) -> Plan:
    """Freeze the data node; when it thaws it finds itself excluded and stops."""
    thaw = f"pkill -CONT -x ndbd; timeout 60 sh -c 'while pgrep -x ndbd; do sleep 1; done'; {START}"
    return Plan([Action(node, "run", "pkill -STOP -x ndbd")], [Action(node, "run", thaw)])


def data_nodes_cut(node: str) -> Plan:
    """Cut the two database machines from each other, and from nobody else."""
    other = next(each for each in NODES if each != node)
    plan = cut(node, other, "back")
    return Plan(plan.do, [*plan.undo, *(Action(each, "run", START) for each in (node, other))])


def no_arbitrator(node: str) -> Plan:
    """Stop both management servers; then kill one of two data nodes."""
    stop = [Action(each, "run", "systemctl stop ndb_mgmd") for each in MANAGEMENT]
    start = [Action(each, "run", "systemctl start ndb_mgmd") for each in MANAGEMENT]
    return Plan(
        [*stop, Action(node, "run", KILL)],
        [*start, *(Action(each, "run", START) for each in NODES)],
    )


def all_data_nodes_off(node: str) -> Plan:
    """Pull the plugs of both database machines."""
    return Plan(
        [Action(each, "off") for each in NODES],
        [Action(each, "on") for each in NODES],
    )
