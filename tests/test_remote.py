"""Commands on nodes, and what is said when a node does not play along."""

from __future__ import annotations

import io
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest
from fakes import refused

from workshop import remote, state
from workshop.errors import WorkshopError
from workshop.remote import Local, NodeLost, Recorded, Result, Ssh, TimedOut, checked, parallel

HOST_KEY = paramiko.RSAKey.generate(1024)


class Sshd(paramiko.ServerInterface):
    """A small ssh server: runs commands here with bash, or takes a tar archive."""

    def __init__(self, key: Path) -> None:
        self.allowed = Path(f"{key}.pub").read_text().split()[1]
        self.host_key = HOST_KEY
        self.archives: list[bytes] = []
        self.status: int | None = None  # exit status to give, whatever was run
        self.logins = 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.transports: list[paramiko.Transport] = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            transport = paramiko.Transport(client)
            transport.add_server_key(self.host_key)
            self.transports.append(transport)
            transport.start_server(server=self, event=threading.Event())

    def close(self) -> None:
        self.socket.close()
        self.lose()

    def lose(self) -> None:
        """Have every connection end without a word."""
        gone, self.transports = self.transports, []
        for transport in gone:
            transport.close()

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        if key.get_base64() == self.allowed:
            self.logins += 1
            return paramiko.AUTH_SUCCESSFUL
        return paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=self.work, args=(channel, command.decode()), daemon=True).start()
        return True

    def work(self, channel: paramiko.Channel, command: str) -> None:
        if command == "vanish":
            self.lose()
            return
        if command.startswith("tar "):
            self.archives.append(channel.makefile("rb").read())
            status, out, err = 0, b"", b"tar: no space" if self.status else b""
        else:
            done = subprocess.run(["bash", "-c", command], capture_output=True)
            status, out, err = done.returncode, done.stdout, done.stderr
        try:
            channel.sendall(out)
            channel.sendall_stderr(err)
            channel.send_exit_status(status if self.status is None else self.status)
            channel.close()
        except (OSError, EOFError):
            pass  # whoever asked has gone


@pytest.fixture
def key() -> Path:
    return state.key()


@pytest.fixture
def sshd(key: Path) -> Iterator[Sshd]:
    server = Sshd(key)
    yield server
    server.close()


@pytest.fixture
def node(sshd: Sshd, key: Path, tmp_path: Path) -> Iterator[Ssh]:
    found = Ssh("lb1", "127.0.0.1", key, tmp_path / "known", sshd.port)
    yield found
    found.close()


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


# over ssh


def test_a_command_gives_status_and_output(node: Ssh) -> None:
    done = node.run("echo out; echo err >&2; exit 3", check=False)
    assert (done.status, done.stdout, done.stderr, done.ok) == (3, "out\n", "err\n", False)
    assert done.output == "out\nerr\n"
    assert 0 < done.seconds < 10


def test_one_connection_serves_all_commands(node: Ssh, sshd: Sshd) -> None:
    for word in ("one", "two", "three"):
        assert node.run(f"echo {word}").stdout == f"{word}\n"
    assert sshd.logins == 1
    node.close()
    assert node.run("echo again").ok
    assert sshd.logins == 2


def test_a_failure_names_node_command_and_last_words(node: Ssh) -> None:
    with refused("lb1: `echo starting", "failed with status 5", "no such unit"):
        node.run("echo starting\necho reading >&2; echo 'no such unit' >&2\nexit 5")


def test_a_closed_port_is_a_lost_node(key: Path, tmp_path: Path) -> None:
    node = Ssh("lb1", "127.0.0.1", key, tmp_path / "known", closed_port())
    for attempt in (lambda: node.run("true"), lambda: node.put(b"x", "/etc/x")):
        with refused("lb1: no ssh at 127.0.0.1", "invoke status", kind=NodeLost):
            attempt()


def test_something_else_on_the_port_is_a_lost_node(
    key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "CONNECT_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        node = Ssh("lb1", "127.0.0.1", key, tmp_path / "known", silent.getsockname()[1])
        with refused("lb1: no ssh at 127.0.0.1", kind=NodeLost):
            node.run("true")


def test_a_wrong_key_is_said_to_be_refused(sshd: Sshd, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    node = Ssh("lb1", "127.0.0.1", other, tmp_path / "known", sshd.port)
    with refused("lb1: ssh refused this workshop's key", "invoke destroy", kind=NodeLost):
        node.run("true")


@pytest.mark.parametrize("content", [None, "", "no key at all"])
def test_a_damaged_key_is_one_line(sshd: Sshd, tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "damaged"
    if content is not None:
        file.write_text(content)
    node = Ssh("lb1", "127.0.0.1", file, tmp_path / "known", sshd.port)
    with refused("lb1: "):
        node.run("true")


def test_another_machine_at_the_address_is_not_trusted(
    sshd: Sshd, key: Path, tmp_path: Path
) -> None:
    known = tmp_path / "known"
    other = paramiko.RSAKey.generate(1024)
    known.write_text(f"[127.0.0.1]:{sshd.port} {other.get_name()} {other.get_base64()}\n")
    node = Ssh("lb1", "127.0.0.1", key, known, sshd.port)
    with refused("lb1: another machine answers at 127.0.0.1", kind=NodeLost):
        node.run("true")


def test_the_known_machine_is_trusted(sshd: Sshd, key: Path, tmp_path: Path) -> None:
    known = tmp_path / "known"
    ours = sshd.host_key
    known.write_text(f"[127.0.0.1]:{sshd.port} {ours.get_name()} {ours.get_base64()}\n")
    node = Ssh("lb1", "127.0.0.1", key, known, sshd.port)
    assert node.run("true").ok
    node.close()


def test_a_command_that_takes_too_long_is_abandoned(node: Ssh) -> None:
    started = time.monotonic()
    with refused("lb1: `sleep 2`", "did not end within 0 s", kind=TimedOut):
        node.run("sleep 2\ntrue", timeout=0.1)
    assert time.monotonic() - started < 1.5
    assert node.run("echo back").stdout == "back\n"


def test_a_node_that_vanishes_under_a_command_is_lost_and_found_again(node: Ssh) -> None:
    with refused("lb1 stopped answering", "invoke status", kind=NodeLost):
        node.run("vanish", timeout=5)
    assert node.run("echo back").stdout == "back\n"


def test_files_arrive_with_their_modes_and_folders(node: Ssh, sshd: Sshd) -> None:
    node.put_many([("/root/lab-1/etc/x", "0600", b"one"), ("/etc/y", "0755", b"two")])
    with tarfile.open(fileobj=io.BytesIO(sshd.archives[0])) as archive:
        found = {m.name: (m.mode, archive.extractfile(m).read()) for m in archive.getmembers()}  # type: ignore[union-attr]
    assert found == {"root/lab-1/etc/x": (0o600, b"one"), "etc/y": (0o755, b"two")}


def test_files_that_are_not_written_are_an_error(node: Ssh, sshd: Sshd) -> None:
    sshd.status = 2
    with refused("lb1: files were not written: tar: no space"):
        node.put(b"x", "/etc/x")


# on the reader's own machine


def test_the_client_runs_commands_here() -> None:
    done = Local().run("echo out; echo err >&2; exit 3", check=False)
    assert (done.node, done.status, done.output) == ("client", 3, "out\nerr\n")


def test_a_clients_failure_is_one_line() -> None:
    with refused("client: `echo reading`", "status 4", "no route"):
        Local().run("echo reading\necho 'no route' >&2; exit 4")


@pytest.mark.parametrize("command", ["sleep 0.3", "sleep 0.3\nsleep 0.3"])
def test_a_client_that_takes_too_long_is_one_line(command: str) -> None:
    with refused("client: `sleep 0.3", "did not end within 0 s", kind=TimedOut):
        Local().run(command, timeout=0.05)


def test_a_client_may_show_bytes_that_are_no_text() -> None:
    assert "done" in Local().run(r"printf '\377\n'; echo done").stdout


def test_nothing_is_put_on_the_client() -> None:
    with refused("client"):
        Local().put(b"x", "/etc/x")


# around them


@pytest.mark.parametrize(
    ("stdout", "stderr", "words"),
    [
        ("one\ntwo\n", "", "two"),
        ("one\n", "warning\nerror: gone\n", "error: gone"),
        ("", "\n", "no output"),
    ],
)
def test_a_failures_last_words(stdout: str, stderr: str, words: str) -> None:
    result = Result("lb1", "systemctl start x\ntrue", 1, stdout, stderr)
    with refused(f"lb1: `systemctl start x` failed with status 1: {words}"):
        checked(result, True)
    assert checked(result, False) is result


def test_an_empty_command_that_fails_is_an_error_too() -> None:
    with refused("lb1", "status 1"):
        checked(Result("lb1", "", 1, "", ""), True)


def test_parallel_works_on_all_nodes_at_once() -> None:
    meeting = threading.Barrier(3, timeout=5)

    def work(name: str) -> str:
        meeting.wait()
        return name.upper()

    assert parallel(work, ["lb1", "lb2", "web1"]) == {"lb1": "LB1", "lb2": "LB2", "web1": "WEB1"}
    assert parallel(work, []) == {}


def test_parallel_lets_all_end_before_it_raises() -> None:
    ended: list[str] = []

    def work(name: str) -> None:
        if name == "lb1":
            raise NodeLost("lb1 is gone")
        time.sleep(0.05)
        ended.append(name)

    with refused("lb1 is gone", kind=NodeLost):
        parallel(work, ["lb1", "lb2"])
    assert ended == ["lb2"]


def test_a_recorded_node_answers_what_was_recorded_and_nothing_else() -> None:
    node = Recorded("lb1", {"uptime": "up 3 days", "false": (1, "no")})
    assert node.run("uptime -p").stdout == "up 3 days"
    with refused("lb1: `false` failed with status 1: no"):
        node.run("false")
    with refused("nothing recorded", kind=NodeLost):
        node.run("reboot")
    assert node.ran == ["uptime -p", "false", "reboot"]


@pytest.mark.parametrize(("port", "expected"), [(lambda s: s.port, True), (closed_port, False)])
def test_answers_tells_whether_something_listens(
    sshd: Sshd, port: Callable[..., int], expected: bool
) -> None:
    number = port(sshd) if expected else port()
    assert remote.answers("127.0.0.1", number) is expected


def test_every_way_to_lose_a_node_is_the_users_business() -> None:
    assert issubclass(NodeLost, WorkshopError)
    assert issubclass(TimedOut, WorkshopError)
