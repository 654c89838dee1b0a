"""Run commands on the nodes: one persistent connection each, shared by everything.

Every command has a time-out and survives the loss of its node: a node that is gone is a
`NodeLost`, never a hang and never a traceback.
"""

from __future__ import annotations

import io
import logging
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import fabric
import invoke
import paramiko

from workshop.errors import WorkshopError

CONNECT_TIMEOUT = 20.0
logging.getLogger("paramiko").setLevel(logging.CRITICAL)
T = TypeVar("T")


class NodeLost(WorkshopError):
    """The node does not answer over ssh, or stopped answering while a command ran."""


class TimedOut(WorkshopError):
    """The command was still running when its time was over."""


@dataclass(frozen=True)
class Result:
    """What a command on a node left: exit status and output."""

    node: str
    command: str
    status: int
    stdout: str
    stderr: str
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return self.status == 0

    @property
    def output(self) -> str:
        """Standard output, then standard error: what a terminal would show."""
        return self.stdout + self.stderr


class Remote(Protocol):
    """A node that runs commands as root."""

    name: str

    def run(self, command: str, timeout: float = 60, check: bool = True) -> Result:
        """Run a shell command; `check` turns a non-zero exit into a `WorkshopError`.

        `timeout` is in seconds; past it the command is abandoned and `TimedOut` raised.
        """

    def put(self, content: bytes, path: str, mode: str = "0644") -> None:
        """Write a file on the node, its folders included."""

    def close(self) -> None:
        """Drop the connection; the next command opens it anew."""


def checked(result: Result, check: bool) -> Result:
    """`result`, or a `WorkshopError` with the node, the command and its last words."""
    if check and not result.ok:
        words = (result.stderr.strip() or result.stdout.strip() or "no output").splitlines()
        first = result.command.strip().splitlines()[0] if result.command.strip() else ""
        raise WorkshopError(
            f"{result.node}: `{first}` failed with status {result.status}: {words[-1]}"
        )
    return result


class Ssh:
    """A node reached by ssh through Fabric."""

    def __init__(
        self, name: str, address: str, key: Path, known: Path, port: int = 22, user: str = "root"
    ) -> None:
        self.name = name
        self.address = address
        self.port = port
        self.user = user
        self._key = key
        self._known = known
        self._connection: fabric.Connection | None = None
        self._lock = threading.Lock()

    def connection(self) -> fabric.Connection:
        """The open connection, made where there is none."""
        with self._lock:
            if self._connection is None or not self._connection.is_connected:
                self._connection = self._open()
            return self._connection

    def _open(self) -> fabric.Connection:
        config = fabric.Config(overrides={"load_ssh_configs": False})
        connection = fabric.Connection(
            self.address,
            user=self.user,
            port=self.port,
            config=config,
            connect_timeout=CONNECT_TIMEOUT,
            connect_kwargs={
                "key_filename": str(self._key),
                "allow_agent": False,
                "look_for_keys": False,
                "banner_timeout": CONNECT_TIMEOUT,
                "auth_timeout": CONNECT_TIMEOUT,
            },
        )
        client = connection.client
        if self._known.exists():
            client.load_host_keys(str(self._known))
            client.set_missing_host_key_policy(paramiko.RejectPolicy())
        try:
            connection.open()
        except paramiko.BadHostKeyException:
            raise NodeLost(f"{self.name}: another machine answers at {self.address}") from None
        except paramiko.AuthenticationException:
            raise NodeLost(
                f"{self.name}: ssh refused this workshop's key; `invoke destroy` and `invoke up`"
            ) from None
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise NodeLost(
                f"{self.name}: no ssh at {self.address} ({error or type(error).__name__}); "
                "`invoke status` shows what runs"
            ) from None
        transport = client.get_transport()
        if transport is not None:
            transport.set_keepalive(5)
        return connection

    def run(self, command: str, timeout: float = 60, check: bool = True) -> Result:
        started = time.monotonic()
        try:
            done = self.connection().run(
                command, hide=True, warn=True, pty=False, in_stream=False, timeout=timeout
            )
        except invoke.exceptions.CommandTimedOut:
            self.close()
            raise TimedOut(
                f"{self.name}: `{command.strip().splitlines()[0]}` did not end within "
                f"{timeout:.0f} s"
            ) from None
        except (OSError, EOFError, paramiko.SSHException, invoke.exceptions.ThreadException):
            self.close()
            raise NodeLost(f"{self.name} stopped answering; `invoke status` shows why") from None
        result = Result(
            self.name, command, done.exited, done.stdout, done.stderr, time.monotonic() - started
        )
        if done.exited == -1:
            self.close()
            raise NodeLost(f"{self.name} stopped answering; `invoke status` shows why")
        return checked(result, check)

    def put(self, content: bytes, path: str, mode: str = "0644") -> None:
        self.put_many([(path, mode, content)])

    def put_many(self, files: Iterable[tuple[str, str, bytes]]) -> None:
        """Write several files (path, mode, content) in one go."""
        import tarfile

        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for path, mode, content in files:
                entry = tarfile.TarInfo(path.lstrip("/"))
                entry.size, entry.mode, entry.mtime = len(content), int(mode, 8), int(time.time())
                archive.addfile(entry, io.BytesIO(content))
        try:
            transport = self.connection().client.get_transport()
            if transport is None:
                raise EOFError
            channel = transport.open_session(timeout=CONNECT_TIMEOUT)
            channel.settimeout(60)
            channel.exec_command("tar -C / --no-overwrite-dir -xpf -")
            channel.sendall(buffer.getvalue())
            channel.shutdown_write()
            words = channel.makefile_stderr().read().decode()
            status = channel.recv_exit_status()
        except (OSError, EOFError, paramiko.SSHException):
            self.close()
            raise NodeLost(f"{self.name} stopped answering while files were sent") from None
        if status:
            raise WorkshopError(f"{self.name}: files were not written: {words.strip()}")

    def close(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            transport = connection.client.get_transport()
            if transport is not None:
                transport.close()  # not the polite way round: the node may be gone


class Local:
    """The reader's own machine, on the cluster's front network."""

    name = "client"

    def run(self, command: str, timeout: float = 60, check: bool = True) -> Result:
        started = time.monotonic()
        try:
            done = subprocess.run(
                ["bash", "-c", command],
                text=True,
                errors="replace",
                capture_output=True,
                timeout=timeout,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            first = command.strip().splitlines()[0]
            raise TimedOut(f"client: `{first}` did not end within {timeout:.0f} s") from None
        seconds = time.monotonic() - started
        return checked(
            Result("client", command, done.returncode, done.stdout, done.stderr, seconds), check
        )

    def put(self, content: bytes, path: str, mode: str = "0644") -> None:
        raise WorkshopError("nothing is installed on the client")

    def close(self) -> None:
        """There is no connection to drop."""


class Recorded:
    """A node for tests: answers commands from what was recorded."""

    def __init__(self, name: str, answers: dict[str, str | tuple[int, str]]) -> None:
        self.name = name
        self.answers = answers
        self.ran: list[str] = []
        self.files: dict[str, bytes] = {}

    def run(self, command: str, timeout: float = 60, check: bool = True) -> Result:
        self.ran.append(command)
        for known, answer in self.answers.items():
            if known in command:
                status, text = (0, answer) if isinstance(answer, str) else answer
                return checked(Result(self.name, command, status, text, ""), check)
        raise NodeLost(f"{self.name}: nothing recorded for `{command}`")

    def put(self, content: bytes, path: str, mode: str = "0644") -> None:
        self.files[path] = content

    def close(self) -> None:
        """There is no connection to drop."""


def parallel(work: Callable[[str], T], nodes: Iterable[str]) -> dict[str, T]:
    """`work` for every node at once; the first error is raised when all have ended."""
    names = list(nodes)
    if len(names) == 1:
        return {names[0]: work(names[0])}
    with ThreadPoolExecutor(max_workers=max(len(names), 1)) as pool:
        futures = {name: pool.submit(work, name) for name in names}
    return {name: future.result() for name, future in futures.items()}


def answers(address: str, port: int, timeout: float = 1.0) -> bool:
    """Whether something accepts connections at this address."""
    try:
        with socket.create_connection((address, port), timeout=timeout):
            return True
    except OSError:
        return False
