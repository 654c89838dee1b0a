"""A lab's nodes as its checks see them."""

from __future__ import annotations

import socket

import pytest
from fakes import Fleet, refused, web

from workshop.live import Live
from workshop.manifest import Lab


@pytest.fixture
def live(fleet: Fleet, lab: Lab) -> Live:
    return Live(fleet.machines, lab)


def test_the_holder_is_found_among_the_labs_running_nodes(live: Live, fleet: Fleet) -> None:
    fleet.holds("lb1,lb2")
    assert live.holders() == ["lb1", "lb2"]
    fleet.set("lb1", "paused")
    assert live.holders() == ["lb2"]
    assert live.holders("192.168.56.99") == []


def test_roles_are_looked_up_when_they_are_needed(live: Live, fleet: Fleet) -> None:
    for holder, peer in (("lb1", "lb2"), ("lb2", "lb1")):
        fleet.holds(holder)
        assert [live.named(name) for name in ("holder", "peer", "web1")] == [holder, peer, "web1"]
    fleet.holds("lb1,lb2")
    with refused("lab 1 is not whole", "on lb1 and lb2"):
        live.named("peer")
    assert live.named("lb1") == "lb1"


def test_a_check_fails_where_there_is_not_one_holder(live: Live, fleet: Fleet) -> None:
    fleet.holds("lb2")
    assert live.one_holder() == "lb2"
    for holders, words in (("lb1,lb2", "lb1 and lb2"), ("", "no node")):
        fleet.holds(holders)
        with pytest.raises(AssertionError, match=f"the address is on {words}"):
            live.one_holder()


def test_a_nodes_own_address_is_the_networks(live: Live) -> None:
    assert live.address("lb1") == "192.168.56.11"
    assert live.address("lb1", "back") == "192.168.57.11"


def test_a_failing_command_somewhere_is_no_error_everywhere(live: Live, fleet: Fleet) -> None:
    fleet.nodes["lb1"].answers = {"cl_status": (1, "stopped")}
    fleet.nodes["lb2"].answers = {"cl_status": "active"}
    assert live.everywhere("cl_status") == {"lb1": "stopped", "lb2": "active"}


def test_what_a_command_says_whatever_became_of_it(live: Live, fleet: Fleet) -> None:
    fleet.nodes["lb1"].answers = {"is-active": (3, "inactive\n")}
    assert live.said("lb1", "systemctl is-active x") == "inactive"


def test_a_nodes_files_are_seen_by_testinfra(live: Live, fleet: Fleet) -> None:
    fleet.nodes["lb1"].answers = {
        "uname -s": "Linux",
        "cat /etc/os-release": 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n',
        "test -e": "",
        "stat ": "600",
        "": "",
    }
    file = live.host("lb1").file("/etc/ha.d/authkeys")
    assert file.exists
    assert file.mode == 0o600


def test_the_client_is_a_node_too(live: Live) -> None:
    assert live.run("client", "echo here").stdout == "here\n"


def test_a_page_with_its_status(live: Live) -> None:
    with web(lambda path: (200, b"served by lb1") if path == "/" else (404, b"gone")) as url:
        assert (live.get(url).status, live.get(url).body) == (200, "served by lb1")
        assert (live.get(f"{url}x").status, live.get(f"{url}x").body) == (404, "gone")


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.0 200 OK\r\nContent-Le"])
def test_a_server_that_dies_over_its_answer_gives_none(live: Live, answer: bytes) -> None:
    with web(lambda _: answer) as url:
        assert live.get(url).status in (0, 200)


def test_a_page_that_is_cut_short_is_no_answer(live: Live) -> None:
    with web(lambda _: b"HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\nserved by") as url:
        assert live.get(url).status == 0


def test_a_page_that_is_no_text_is_an_answer(live: Live) -> None:
    with web(lambda _: (200, b"\xff\xfe")) as url:
        assert live.get(url).status == 200


def test_nobody_there_is_no_answer(live: Live) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert live.get(f"http://127.0.0.1:{port}/").status == 0
