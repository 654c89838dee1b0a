"""What is read from the nodes' own tools."""

from __future__ import annotations

from fakes import FakeNode, recorded

from workshop import facts
from workshop.facts import NdbMember, RealServer, VirtualService
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
        RealServer("127.0.0.1", 80, "Route", 1, 0, 1),
        RealServer("192.168.56.13", 80, "Route", 0, 0, 48),
        RealServer("192.168.56.14", 80, "Route", 2, 1, 0),
    ]
    assert [s.forward for s in table["192.168.56.100:8080"].servers] == ["Masq", "Masq"]
    assert table["7"] == VirtualService("FWM", "wlc", "")


def test_no_table_balances_nothing() -> None:
    empty = "".join(recorded("ipvsadm-Ln.txt").splitlines(keepends=True)[:3])
    assert facts.ipvs_table(empty) == {}
    assert facts.ipvs_table("") == {}
    assert facts.ipvs_table("bash: line 1: ipvsadm: command not found") == {}


def test_members_of_an_ndb_cluster() -> None:
    members = facts.ndb_members(recorded("ndb_mgm-show.txt"))
    assert list(members) == [3, 4, 1, 2, 11, 12, 21, 22]
    assert members[3] == NdbMember(3, "NDB", "192.168.57.21", True, "", True)
    assert members[4] == NdbMember(4, "NDB", "192.168.57.22", True)
    assert members[2] == NdbMember(2, "MGM", "192.168.57.11", True)
    assert members[11] == NdbMember(11, "API", "192.168.57.21", True)
    assert members[21] == NdbMember(21, "API", "192.168.57.21", False)


def test_ndb_members_that_start_or_are_away_or_may_be_anybody() -> None:
    shown = """[ndbd(NDB)]\t2 node(s)
id=3 (not connected, accepting connect from 192.168.57.21)
id=4\t@192.168.57.22  (mysql-9.7.2 ndb-9.7.2, starting, Nodegroup: 0)

[mysqld(API)]\t1 node(s)
id=13 (not connected, accepting connect from any host)
"""
    members = facts.ndb_members(shown)
    assert not members[3].connected
    assert (members[4].connected, members[4].state, members[4].president) == (
        True,
        "starting",
        False,
    )
    assert members[13].address == "any host"


def test_no_list_has_no_ndb_members() -> None:
    assert facts.ndb_members("") == {}
    assert facts.ndb_members("Unable to connect with connect string: nodeid=0,localhost:1186") == {}
    assert facts.ndb_members("id=3\t@192.168.57.21  (mysql)") == {}
