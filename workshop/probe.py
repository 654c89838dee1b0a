"""An open-loop availability probe: what a visitor would have seen.

Request i is due at t0 + i / rate, whatever became of the ones before; latency counts from
the time it was due, each request uses a new connection, and its content is checked. So an
outage cannot hide behind a prober that waits. A run whose prober was late is void.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

RATE = 10.0  # requests a second, where a lab does not say otherwise
TIMEOUT = 1.0  # seconds until a request counts as failed, on the reference machine
GOOD_AGAIN = 10  # consecutive good answers that end an outage
LATE = 0.2  # seconds by which the prober's 99th percentile may be late


@dataclass(frozen=True)
class Sample:
    """One request: when it was due (seconds, wall clock), how late it was sent, how long
    the answer took, whether it was good, and who answered."""

    due: float
    late: float
    seconds: float
    good: bool
    by: str = ""
    why: str = ""


@dataclass(frozen=True)
class Outage:
    """What the visitors saw in one run."""

    requests: int
    failed: int
    seconds: float  # longest outage: last good before the first bad, to good again
    ended: bool  # whether service was back at the end
    servers: list[str]  # who answered, in order of first appearance
    void: bool  # the prober itself was late: measure again

    def __str__(self) -> str:
        if not self.requests:
            return "nothing was measured"
        if self.void:
            return "void: the prober itself was late; run it again on a quieter machine"
        if not self.failed:
            return f"no outage: {self.requests} requests, all good"
        lost = f"{self.failed} of {self.requests} requests failed"
        open_end = "" if self.ended else ", and still no service at the end"
        return f"{self.seconds:.1f} s outage, {lost}{open_end}"


def measure(samples: list[Sample]) -> Outage:
    """The longest outage in a run of samples, and the totals.

    A single failure surrounded by good answers is an outage of the time between them.
    """
    longest, ended = 0.0, True
    last_good: float | None = None
    start: float | None = None
    back: float | None = None
    streak = 0
    for sample in samples:
        if sample.good:
            if start is not None:
                if streak == 0:
                    back = sample.due
                streak += 1
                if streak >= GOOD_AGAIN and back is not None:
                    longest = max(longest, back - start)
                    start, back = None, None
            last_good = sample.due
        else:
            if start is None:
                start = last_good if last_good is not None else sample.due
            streak, back = 0, None
    if start is not None:
        end = back if back is not None else samples[-1].due
        longest, ended = max(longest, end - start), back is not None
    servers = list(dict.fromkeys(s.by for s in samples if s.good and s.by))
    lateness = sorted(s.late for s in samples)
    void = bool(lateness) and lateness[int(len(lateness) * 0.99) - 1] > LATE
    failed = sum(not s.good for s in samples)
    return Outage(len(samples), failed, round(longest, 2), ended, servers, void)


class Probe:
    """A prober in a process of its own, bounded in time; results are read as they come."""

    def __init__(
        self,
        url: str,
        says: str,
        output: Path,
        timeout: float = TIMEOUT,
        seconds: float = 900,
        rate: float = RATE,
    ) -> None:
        self.url, self.says, self.output = url, says, output
        self.timeout, self.seconds, self.rate = timeout, seconds, rate
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Probe:
        self.output.parent.mkdir(parents=True, exist_ok=True)
        self.output.unlink(missing_ok=True)
        command = [sys.executable, "-m", "workshop.probe", self.url, self.says]
        command += [str(self.output), str(self.timeout), str(self.seconds), str(self.rate)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, start_new_session=True, cwd=_root()
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            self._process.wait(10)

    def samples(self) -> list[Sample]:
        """What was measured so far, in the order the requests were due."""
        try:
            lines = self.output.read_text().splitlines()
        except FileNotFoundError:  # the prober has not begun
            return []
        found = []
        for line in lines:
            with contextlib.suppress(json.JSONDecodeError, TypeError):
                found.append(Sample(**json.loads(line)))
        return sorted(found, key=lambda s: s.due)

    def answered(self) -> list[Sample]:
        """The samples of requests before which none is open: one that hangs comes to its end
        after those that were due later."""
        found = self.samples()
        for number, (sample, following) in enumerate(itertools.pairwise(found), 1):
            if following.due - sample.due > 1.5 / self.rate:
                return found[:number]
        return found

    def good_lately(self, count: int = GOOD_AGAIN) -> bool:
        """Whether the newest `count` requests were all good."""
        newest = self.answered()[-count:]
        return len(newest) == count and all(s.good for s in newest)

    def outage(self) -> Outage:
        """What the visitors saw so far."""
        return measure(self.samples())


def _root() -> Path:
    return Path(__file__).resolve().parent.parent


async def request(url: str, says: str, due: float, timeout: float = TIMEOUT) -> Sample:
    """One GET over a new connection, judged by its status and its content; it fails `timeout`
    seconds after it was due."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    late = time.time() - due
    try:
        async with asyncio.timeout(max(due + timeout - time.time(), 0.01)):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                path = parts.path or "/"
                query = f"?{parts.query}" if parts.query else ""
                get = f"GET {path}{query} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n"
                writer.write(get.encode())
                await writer.drain()
                answer = (await reader.read(65536 * 4)).decode(errors="replace")
                while more := await reader.read(65536):
                    answer += more.decode(errors="replace")
            finally:
                writer.close()
    except TimeoutError:
        return Sample(due, late, time.time() - due, False, why="no answer in time")
    except OSError as error:
        return Sample(due, late, time.time() - due, False, why=os.strerror(error.errno or 0))
    seconds = time.time() - due
    words = answer.split(" ", 2)
    status = words[1] if answer.startswith("HTTP/") and len(words) > 1 else "?"
    match = re.search(says, answer)
    if status != "200":
        return Sample(due, late, seconds, False, why=f"status {status}")
    if not match:
        return Sample(due, late, seconds, False, why="wrong content")
    return Sample(due, late, seconds, True, by=match[1] if match.groups() else "")


async def _main(
    url: str, says: str, output: Path, timeout: float, seconds: float, rate: float
) -> None:
    begin = time.time()
    with output.open("a", buffering=1) as stream:

        async def one(due: float) -> None:
            stream.write(json.dumps(asdict(await request(url, says, due, timeout))) + "\n")

        pending: set[asyncio.Task[None]] = set()
        number = 0
        parent = os.getppid()
        while number / rate < seconds and os.getppid() == parent:
            due = begin + number / rate
            await asyncio.sleep(max(due - time.time(), 0))
            task = asyncio.create_task(one(due))
            pending.add(task)
            task.add_done_callback(pending.discard)
            number += 1
        await asyncio.gather(*pending)


def main() -> None:
    """Entry of the prober's own process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("says")
    parser.add_argument("output", type=Path)
    parser.add_argument("timeout", type=float)
    parser.add_argument("seconds", type=float)
    parser.add_argument("rate", type=float)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    asyncio.run(_main(**vars(arguments)))


if __name__ == "__main__":
    main()
