"""What is read from the nodes' own tools."""

from __future__ import annotations

from fakes import FakeNode, recorded

from workshop import facts
from workshop.remote import NodeLost, TimedOut


def node(name: str, shown: str) -> FakeNode:
    return FakeNode(name, {"ip -o -4 addr show": shown})


def test_addresses_with_their_interfaces() -> None:
    assert facts.addresses(recorded("ip-addr-lb2.txt")) == {
        "127.0.0.1": "lo",
        "192.168.231.12": "eth0",
        "192.168.56.12": "eth1",
        "192.168.56.100": "eth1",
        "192.168.57.12": "eth2",
    }
    assert facts.addresses("") == {}


def test_the_holder_is_who_shows_the_address() -> None:
    pair = [node("lb1", recorded("ip-addr-lb1.txt")), node("lb2", recorded("ip-addr-lb2.txt"))]
    assert facts.vip_holders(pair, "192.168.56.100") == ["lb2"]
    assert facts.vip_holders(pair, "192.168.56.10") == []
    assert facts.vip_holders(pair, "127.0.0.1") == ["lb1", "lb2"]
    assert facts.vip_holders([], "192.168.56.100") == []


def test_who_does_not_answer_holds_nothing() -> None:
    for error in (NodeLost("lb1 stopped answering"), TimedOut("lb1: too slow")):
        lost = node("lb1", recorded("ip-addr-lb2.txt"))
        lost.error = error
        pair = [lost, node("lb2", recorded("ip-addr-lb2.txt"))]
        assert facts.vip_holders(pair, "192.168.56.100") == ["lb2"]
