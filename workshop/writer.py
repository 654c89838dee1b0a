"""Offer writes to a database, open loop, and note what became of each.

Write i is due at t0 + i / RATE, whatever became of the ones before, on a new connection, with an
operation number that nobody else has. Each is noted twice: when it begins, and when its answer
is known. Where the target says so, each node is looked at meanwhile, and what it showed is noted.
`ledger` reads the notes and judges; the two share no code.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TextIO

import pymysql

RATE = 10.0  # writes a second
CONNECT = 2.0  # seconds until a connection that is not open counts as failed
PATIENCE = 3.0  # seconds until a write without an answer counts as unknown
AT_ONCE = 100  # writes that may be waiting for their answer
# a server's error after which the row may be there all the same: error during COMMIT, shutdown,
# and an engine's own error, for which the engine gave no word that all is undone
UNSURE = {1053, 1180, 1296}
COUNTS = 5  # where the target has a counter, every fifth write counts
INSERT = "INSERT INTO ledger (operation) VALUES (%s)"
LOOK = "SELECT operation FROM ledger WHERE operation LIKE %s"


def write(target: dict[str, Any], operation: str) -> tuple[str, str]:
    """Insert one row; what became of it (`ok`, `fail` or `unknown`) and why.

    `fail` is said only where the row cannot be there: nothing was sent, or the server refused.
    """
    return _done(target, lambda cursor: cursor.execute(INSERT, (operation,)))


def count(target: dict[str, Any], operation: str) -> tuple[str, str]:
    """Read the counter and write one more, in one transaction; outcomes as `write` has them.

    The row says what was written, `operation=17`: two rows with one number are a lost update.
    """

    def one_more(cursor: Any) -> None:
        cursor.execute("BEGIN")
        cursor.execute("SELECT n FROM counter WHERE id = 1 FOR UPDATE")
        (seen,) = cursor.fetchone()
        cursor.execute("UPDATE counter SET n = %s WHERE id = 1", (seen + 1,))
        cursor.execute(INSERT, (f"{operation}={seen + 1}",))
        cursor.execute("COMMIT")

    return _done(target, one_more)


def look(target: dict[str, Any], address: str, run: str) -> list[str] | None:
    """The run's rows that the server at `address` shows; None where it gives no answer."""
    try:
        with _connected(target, address) as connection, connection.cursor() as cursor:
            cursor.execute(LOOK, (f"{run}-%",))
            return [operation for (operation,) in cursor.fetchall()]
    except (pymysql.MySQLError, OSError, RuntimeError):
        return None


def _connected(target: dict[str, Any], address: str) -> Any:
    return pymysql.connect(
        host=address,
        port=target["port"],
        user=target["user"],
        password=target["password"],
        database=target["database"],
        connect_timeout=CONNECT,
        read_timeout=PATIENCE,
        write_timeout=PATIENCE,
        autocommit=True,
        ssl_disabled=True,  # a handshake for each write would be most of the work
    )


def _done(target: dict[str, Any], work: Callable[[Any], object]) -> tuple[str, str]:
    try:
        connection = _connected(target, target["host"])
    except (pymysql.MySQLError, OSError, RuntimeError) as error:
        return "fail", _words(error)
    try:
        with connection.cursor() as cursor:
            work(cursor)
    except (pymysql.MySQLError, OSError) as error:
        code = error.args[0] if error.args else 0
        refused = isinstance(code, int) and 1000 <= code < 2000 and code not in UNSURE
        return ("fail" if refused else "unknown"), _words(error)
    finally:
        with contextlib.suppress(Exception):
            connection.close()
    return "ok", ""


def _words(error: BaseException) -> str:
    return " ".join(str(part) for part in error.args) or type(error).__name__


def _noting(out: TextIO) -> Callable[..., None]:
    """Writes a note, which is on the disk when it returns; for any number of threads."""
    lock = threading.Lock()

    def note(**fields: Any) -> None:
        with lock:
            out.write(json.dumps(fields) + "\n")
            out.flush()
            os.fsync(out.fileno())

    return note


def offer(
    target: dict[str, Any],
    run: str,
    out: TextIO,
    ended: Callable[[], bool],
    insert: Callable[[dict[str, Any], str], tuple[str, str]] = write,
    increment: Callable[[dict[str, Any], str], tuple[str, str]] = count,
) -> None:
    """Offer writes until `ended`, and note them; returns when the last answer is known.

    Where `target` says that there is a `counter`, every fifth write counts.
    """
    note = _noting(out)

    def attempt(operation: str, due: float, counts: bool) -> None:
        began = time.time()
        note(operation=operation, due=due, late=round(began - due, 4))
        outcome, why = (increment if counts else insert)(target, operation)
        seconds = round(time.time() - due, 4)
        note(operation=operation, outcome=outcome, seconds=seconds, why=why)

    begin, number = time.time(), 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while not ended():
            due = begin + number / RATE
            time.sleep(max(due - time.time(), 0))
            counts = bool(target.get("counter")) and number % COUNTS == 0
            pool.submit(attempt, f"{run}-{number:06d}", due, counts)
            number += 1


@contextlib.contextmanager
def watched(
    target: dict[str, Any],
    run: str,
    out: TextIO,
    show: Callable[[dict[str, Any], str, str], list[str] | None] = look,
) -> Iterator[None]:
    """While the block runs each node that `target` names, `look_at`, is asked every `look_every`
    seconds for the rows that it shows; what it answers is noted."""
    note, over = _noting(out), threading.Event()

    def watch(node: str, address: str) -> None:
        while not over.wait(target["look_every"]):
            began = time.time()
            found = show(target, address, run)
            if found is not None:
                note(look=node, began=began, found=found)

    watchers = [
        threading.Thread(target=watch, args=each) for each in target.get("look_at", {}).items()
    ]
    for watcher in watchers:
        watcher.start()
    try:
        yield
    finally:
        over.set()
        for watcher in watchers:
            watcher.join()


def main() -> None:
    """Entry of the writer's own process: NOTES LOOKS RUN SECONDS, the target as JSON on standard
    input; it ends when standard input does, or after SECONDS.

    Looks have a file of their own: each has all rows, and the notes are read all the time.
    """
    notes, looks, run, seconds = *sys.argv[1:4], float(sys.argv[4])
    target = json.loads(sys.stdin.readline())
    over = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    deadline = time.monotonic() + seconds
    with open(notes, "a") as out, open(looks, "a") as seen, watched(target, run, seen):
        offer(target, run, out, lambda: over.is_set() or time.monotonic() > deadline)


if __name__ == "__main__":
    main()
