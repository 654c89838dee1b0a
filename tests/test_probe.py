"""The probe: what counts as an outage, and what counts as a good answer."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from fakes import recorded, web

from workshop.probe import Outage, Probe, Sample, measure, request
from workshop.waiting import eventually

SAYS = r"served by (\w+)"


def samples(pattern: str, late: float = 0.0) -> list[Sample]:
    """One sample every 0.1 s: a letter answers well, a dot does not."""
    return [
        Sample(100 + i / 10, late, 0.01, mark != ".", by="" if mark == "." else f"lb{mark}")
        for i, mark in enumerate(pattern)
    ]


@pytest.mark.parametrize(
    ("pattern", "seconds", "failed", "ended"),
    [
        ("1" * 20, 0.0, 0, True),
        ("1111111111.1111111111", 0.2, 1, True),
        ("11111.....2222222222", 0.6, 5, True),
        ("11111.....", 0.5, 5, False),
        ("..........", 0.9, 10, False),
        (".....2222222222", 0.5, 5, True),
        # a good answer between failures does not end the outage
        ("11111..2..2222222222", 0.6, 4, True),
        # service is back, though not for long enough to be sure
        ("11111.....22222", 0.6, 5, True),
        # two outages: the longer one counts
        ("1" * 10 + ".." + "1" * 10 + "...." + "1" * 10, 0.5, 6, True),
    ],
)
def test_an_outage_is_from_the_last_good_answer_to_good_again(
    pattern: str, seconds: float, failed: int, ended: bool
) -> None:
    found = measure(samples(pattern))
    assert found.seconds == pytest.approx(seconds, abs=0.01)
    assert (found.requests, found.failed, found.ended) == (len(pattern), failed, ended)
    assert not found.void


def test_who_answered_in_order_of_appearance() -> None:
    assert measure(samples("111...222111")).servers == ["lb1", "lb2"]


def test_a_prober_that_was_late_voids_its_run() -> None:
    assert measure(samples("1" * 50, late=0.3)).void
    assert "void" in str(measure(samples("1" * 50, late=0.3)))
    rarely = samples("1" * 199) + samples("1", late=5)
    assert not measure(rarely).void


def test_a_recorded_power_failure() -> None:
    lines = recorded("probe-power-off.jsonl").splitlines()
    found = measure([Sample(**json.loads(line)) for line in lines])
    assert found == Outage(328, 232, 23.3, True, ["lb1", "lb2"], False)
    assert str(found) == "23.3 s outage, 232 of 328 requests failed"


def test_an_outage_in_words() -> None:
    assert str(measure(samples("1" * 20))) == "no outage: 20 requests, all good"
    assert "still no service at the end" in str(measure(samples("11111.....")))


def test_no_samples_are_no_proof_of_service() -> None:
    assert "all good" not in str(measure([]))


# one request


def ask(url: str, timeout: float = 1) -> Sample:
    return asyncio.run(request(url, SAYS, time.time(), timeout))


def test_a_good_answer_says_who_gave_it() -> None:
    with web(lambda path: (200, b"served by lb1")) as url:
        found = ask(url)
    assert (found.good, found.by, found.why) == (True, "lb1", "")
    assert 0 <= found.late <= found.seconds < 1


def test_path_and_query_are_asked_for() -> None:
    with web(lambda path: (200, f"served by {path.strip('/?')}".encode())) as url:
        assert ask(f"{url}page").by == "page"
        assert ask(f"{url}?query").by == "query"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((503, b"served by lb1"), "status 503"),
        ((404, b"served by lb1"), "status 404"),
        ((200, b"It works!"), "wrong content"),
        ((200, b"\xff\xfe"), "wrong content"),
        (b"", "status ?"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "status ?"),
        (b"HTTP/", ""),
    ],
)
def test_an_answer_that_is_no_good_says_why(answer: tuple[int, bytes] | bytes, why: str) -> None:
    with web(lambda path: answer) as url:
        found = ask(url)
    assert not found.good
    assert why in found.why


def test_nobody_at_the_address_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    found = ask(f"http://127.0.0.1:{port}/")
    assert (found.good, found.why) == (False, "Connection refused")


def test_no_answer_in_time_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = ask(f"http://127.0.0.1:{silent.getsockname()[1]}/", 0.1)
    assert (found.good, found.why) == (False, "no answer in time")
    assert 0.1 <= found.seconds < 0.5


# the process


def test_the_prober_measures_on_its_own_and_ends_with_its_block(tmp_path: Path) -> None:
    down = False
    output = tmp_path / "probe" / "x.jsonl"
    with (
        web(lambda path: (503, b"") if down else (200, b"served by lb1")) as url,
        Probe(url, SAYS, output) as probe,
    ):
        eventually(lambda: probe.good_lately(2), 10, "good answers", pause=0.02)
        down = True
        eventually(lambda: probe.outage().failed, 10, "a failure", pause=0.02)
        assert not probe.good_lately(1)
        process = probe._process
    found = probe.samples()
    assert process is not None
    assert process.poll() == 0
    steps = [b.due - a.due for a, b in itertools.pairwise(found)]
    assert steps == pytest.approx([0.1] * len(steps), abs=0.01)


def test_a_lab_says_how_many_visitors_come(tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"
    with (
        web(lambda path: (200, b"served by lb1")) as url,
        Probe(url, SAYS, output, rate=40) as probe,
    ):
        eventually(lambda: probe.good_lately(8), 10, "good answers", pause=0.02)
    found = probe.samples()
    steps = [b.due - a.due for a, b in itertools.pairwise(found)]
    assert steps == pytest.approx([0.025] * len(steps), abs=0.005)


def test_samples_come_in_the_order_they_were_due_and_half_a_line_is_skipped(tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"
    first, second = samples("12")
    lines = [json.dumps(asdict(second)), json.dumps(asdict(first)), '{"due": 1', '{"nonsense": 1}']
    output.write_text("\n".join(lines))
    assert Probe("", SAYS, output).samples() == [first, second]
    assert Probe("", SAYS, tmp_path / "none").samples() == []


@pytest.mark.parametrize(
    ("pattern", "lately"), [("1" * 10, True), ("1" * 9, False), ("1" * 9 + ".", False)]
)
def test_good_lately_needs_enough_answers(tmp_path: Path, pattern: str, lately: bool) -> None:
    output = tmp_path / "x.jsonl"
    output.write_text("\n".join(json.dumps(asdict(s)) for s in samples(pattern)))
    assert Probe("", SAYS, output).good_lately() is lately


def test_a_request_that_is_still_open_is_waited_for(tmp_path: Path) -> None:
    """One server of two hangs: its requests come to their end long after the other one's."""
    every = [replace(s, good=bool(i % 2)) for i, s in enumerate(samples("1" * 40))]
    ended = [s for s in every if s.good or s.due < every[20].due]
    output = tmp_path / "x.jsonl"
    output.write_text("\n".join(json.dumps(asdict(s)) for s in ended))
    probe = Probe("", SAYS, output)
    assert len(probe.samples()) == 30
    assert probe.answered() == every[:20]
    assert not probe.good_lately()
