"""What is read from the nodes' own tools."""

from __future__ import annotations

from fakes import FakeNode, recorded

from workshop import facts
from workshop.facts import RealServer, VirtualService
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
    assert facts.vip_holders([], "192.168.56.100") == []


def test_an_address_on_lo_is_not_held() -> None:
    assert facts.vip_holders([node("lb2", recorded("ip-addr-lb2.txt"))], "127.0.0.1") == []
    server = "1: lo    inet 192.168.56.100/32 scope global lo:site"
    assert facts.vip_holders([node("web1", server)], "192.168.56.100") == []


def test_who_does_not_answer_holds_nothing() -> None:
    for error in (NodeLost("lb1 stopped answering"), TimedOut("lb1: too slow")):
        lost = node("lb1", recorded("ip-addr-lb2.txt"))
        lost.error = error
        pair = [lost, node("lb2", recorded("ip-addr-lb2.txt"))]
        assert facts.vip_holders(pair, "192.168.56.100") == ["lb2"]


def test_what_a_director_balances() -> None:
    table = facts.ipvs_table(recorded("ipvsadm-Ln.txt"))
    assert list(table) == ["192.168.56.100:80", "192.168.56.100:8080", "7"]
    site = table["192.168.56.100:80"]
    assert (site.protocol, site.scheduler, site.options) == ("TCP", "rr", "persistent 300")
    assert site.servers == [
        RealServer("192.168.56.13", 80, "Route", 0, 1, 0),
        RealServer("192.168.56.14", 80, "Route", 1, 2, 31),
        RealServer("127.0.0.1", 80, "Local", 1, 0, 0),
    ]
    assert [s.forward for s in table["192.168.56.100:8080"].servers] == ["Masq", "Masq"]
    assert table["7"] == VirtualService("FWM", "wlc", "")


def test_no_table_balances_nothing() -> None:
    empty = "".join(recorded("ipvsadm-Ln.txt").splitlines(keepends=True)[:3])
    assert facts.ipvs_table(empty) == {}
    assert facts.ipvs_table("") == {}
    assert facts.ipvs_table("bash: line 1: ipvsadm: command not found") == {}
