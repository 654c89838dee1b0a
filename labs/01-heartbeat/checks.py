"""What must be true once the heartbeat pair is up."""

import re

from workshop import eventually


def _peers(cluster):
    return [(node, other) for node in cluster.nodes for other in cluster.nodes if other != node]


def check_the_site_answers(cluster):
    """The floating address serves the page, and the page says who served it."""
    answer = eventually(lambda: _page(cluster), 20, f"a page from {cluster.url}")
    assert re.search(cluster.lab.file.says, answer.body), "the page does not say who served it"


def _page(cluster):
    answer = cluster.get(cluster.url)
    return answer if answer.status == 200 else None


def check_one_node_holds_the_address(cluster):
    """Exactly one node holds the floating address."""
    cluster.one_holder()


def check_the_holder_serves(cluster):
    """The node that holds the address is the node that answers."""
    match = re.search(cluster.lab.file.says, cluster.get(cluster.url).body)
    assert match, f"no page from {cluster.url}"
    holder = cluster.one_holder()
    assert match[1] == holder, f"{match[1]} answers for {holder}"


def check_each_node_sees_the_other(cluster):
    """Heartbeat runs on both nodes, and each counts the other as active."""
    for node, other in _peers(cluster):
        seen = cluster.run(node, f"cl_status nodestatus {other}", check=False).output.strip()
        assert seen == "active", f"{node} sees {other} as: {seen or 'nothing'}"


def check_both_links_carry_beats(cluster):
    """The peer is heard on both networks: a single cable is no single point of failure."""
    for node, other in _peers(cluster):
        for link in ("eth1", "eth2"):
            seen = cluster.run(node, f"cl_status hblinkstatus {other} {link}", check=False)
            state = seen.output.strip()
            assert state == "up", f"{node} hears {other} on {link}: {state or 'nothing'}"


def check_the_key_is_private_and_shared(cluster):
    """Both nodes have the same authentication key, and only root can read it."""
    keys = set()
    for node in cluster.nodes:
        file = cluster.host(node).file("/etc/ha.d/authkeys")
        assert file.exists, f"{node} has no authkeys"
        assert file.mode == 0o600, f"{node}: authkeys has mode {file.mode:04o}"
        keys.add(file.sha256sum)
    assert len(keys) == 1, "the nodes have different keys"


def check_nothing_fails_back(cluster):
    """A node that returns does not take the service back: it would be a second outage."""
    for node in cluster.nodes:
        told = cluster.run(node, "cl_status hbparameter -p auto_failback", check=False)
        assert told.output.strip() == "off", f"{node}: auto_failback is {told.output.strip()!r}"


def check_heartbeat_alone_starts_the_service(cluster):
    """After a boot heartbeat starts, and Apache waits for heartbeat."""
    for node in cluster.nodes:
        host = cluster.host(node)
        assert host.service("heartbeat").is_enabled, f"{node}: heartbeat is not enabled"
        assert not host.service("apache2").is_enabled, f"{node}: apache2 starts by itself"


def check_heartbeat_may_start_itself_anew(cluster):
    """systemd does not stop a heartbeat that starts itself anew, as after a split brain."""
    for node in cluster.nodes:
        told = cluster.said(node, "systemctl show -p RemainAfterExit --value heartbeat")
        assert told == "yes", f"{node}: systemd takes the old process's end for heartbeat's"
