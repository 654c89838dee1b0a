"""A demo over the fake fleet in a process with a terminal, and the room that looks at it.

The demo is a fork of the tests' own process: that no interpreter has to start is most of the
time that these tests would take. What the nodes answer stands in a file that a test may
change meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pexpect
import ptyprocess
import pyte
import pytest
from fakes import CLUSTER, PLAY, FakeNode, Fleet, be_the_labs, keep_apart, recorded, web, write_play

from workshop import cli, course, demo, evidence, live, manifest, probe, state
from workshop.live import Live
from workshop.remote import Result

CHECKOUT = Path(__file__).resolve().parent.parent
RATE = 40.0  # visitors a second: ten good answers come sooner
SPACE, UP, DOWN, ENTER, ESCAPE = " ", "\x1b[A", "\x1b[B", "\r", "\x1b"


class Fork(pexpect.spawn):  # type: ignore[misc]
    """A function in a process and on a terminal of its own, which waits for `begin`."""

    def __init__(self, work: Callable[[], None], **more: Any) -> None:
        self._work = work
        self._curtain = os.pipe()
        super().__init__(sys.executable, **more)  # a name, no more

    def _spawnpty(
        self, _args: Any, dimensions: tuple[int, int], cwd: str, env: dict[str, str], **_: Any
    ) -> ptyprocess.PtyProcess:
        process, terminal = pty.fork()
        if not process:
            self._run(cwd, env)
        found = ptyprocess.PtyProcess(process, terminal)
        found.setwinsize(*dimensions)
        return found

    def begin(self) -> None:
        for end in reversed(self._curtain):
            os.close(end)

    def _run(self, cwd: str, env: dict[str, str]) -> NoReturn:
        status = 1
        try:
            os.close(self._curtain[1])
            os.read(self._curtain[0], 1)
            os.chdir(cwd)
            os.environ.clear()
            os.environ.update(env)
            logging.getLogger().handlers.clear()  # pytest's
            for number, name in enumerate(("stdin", "stdout", "stderr")):
                stream = os.fdopen(number, "w" if number else "r", closefd=False)
                setattr(sys, name, stream)
                setattr(sys, f"__{name}__", stream)
            self._work()
            status = 0
        except SystemExit as left:
            status = int(left.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)


class Room:
    """A terminal on which a program, or a function of this one, plays; and what can be read
    on it."""

    def __init__(
        self,
        work: list[str] | Callable[[], None],
        size: tuple[int, int] = (24, 80),
        cwd: Path = CHECKOUT,
        **more: str,
    ) -> None:
        environment = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **more}
        for name in ("COLUMNS", "LINES", "NO_COLOR"):
            environment.pop(name, None)
        self.screen = pyte.Screen(size[1], size[0])
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        here: dict[str, Any] = {"dimensions": size, "cwd": str(cwd), "env": environment}
        if callable(work):
            self.child = Fork(work, **here)
        else:
            self.child = pexpect.spawn(work[0], work[1:], **here)
        self.child.delaybeforesend = None
        self.before = self._modes()
        if isinstance(self.child, Fork):
            self.child.begin()

    def _modes(self) -> list[Any]:
        return termios.tcgetattr(self.child.child_fd)[:4]

    def look(self) -> None:
        """Take in what was written since."""
        with contextlib.suppress(pexpect.TIMEOUT, pexpect.EOF):
            while True:
                data = self.child.read_nonblocking(65536, timeout=0.05)
                self.raw += data
                self._stream.feed(data)

    def showed(self, *wanted: str) -> None:
        """All these words were on the screen since the start, one after the other or at once:
        nothing passes by too fast for it. The window must have kept its size."""
        screen = pyte.Screen(self.screen.columns, self.screen.lines)
        stream = pyte.ByteStream(screen)
        left = list(wanted)
        for frame in re.split(rb"(?=\x1b\[1;1H)", self.raw):  # each is drawn from its top
            stream.feed(frame)
            words = " ".join(" ".join(screen.display).split())
            while left and left[0] in words:
                del left[0]
        assert not left, f"{left[0]!r} was never on the screen after what came before it"

    @property
    def text(self) -> str:
        """The screen, its lines as they stand."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    @property
    def words(self) -> str:
        """The screen as one line of words, however they were wrapped."""
        return " ".join(self.text.split())

    def until(self, *wanted: str, within: float = 20) -> str:
        """The screen's words, once all of these are among them."""
        for words in wanted:
            self.see(lambda w=words: " ".join(w.split()) in self.words, words, within)  # type: ignore[misc]
        return self.words

    def see(self, condition: Callable[[], bool], what: str, within: float = 20) -> None:
        """Look until it is so; all that `until` waits for need not be there at once."""
        deadline = time.monotonic() + within
        while True:
            alive = self.child.isalive()
            self.look()
            if condition():
                return
            assert time.monotonic() < deadline, f"no {what!r} on the screen:\n{self.text}"
            assert alive, f"ended without {what!r}:\n{self.text}"

    def press(self, *keys: str) -> None:
        for key in keys:
            self.child.send(key)
            self.look()

    def resize(self, rows: int, columns: int) -> None:
        self.screen.resize(rows, columns)
        self.child.setwinsize(rows, columns)

    def left(self, within: float = 30) -> int:
        """Exit status of the program, once it has ended; the terminal is put back."""
        deadline = time.monotonic() + within
        while self.child.isalive():
            self.look()
            assert time.monotonic() < deadline, f"it does not end:\n{self.text}"
        self.look()
        modes = self._modes()
        self.child.close()
        assert modes == self.before, "echo or line editing was not put back"
        for on, off, what in ((b"1049h", b"1049l", "screen"), (b"25l", b"25h", "cursor")):
            assert self.raw.rfind(b"\x1b[?" + off) >= self.raw.rfind(b"\x1b[?" + on), what
        status = self.child.exitstatus
        return status if status is not None else -int(self.child.signalstatus or 0)

    @property
    def afterwards(self) -> str:
        """What stands on the ordinary screen after the demo."""
        tail = self.raw.rpartition(b"\x1b[?1049l")[2].decode(errors="replace")
        return re.sub(r"\x1b[\[(>=][0-9;?]*[a-zA-Z]?", "", tail).strip()

    def end(self) -> None:
        """Whatever became of the test, the program ends."""
        if self.child.isalive():
            self.child.kill(signal.SIGTERM)
            with contextlib.suppress(pexpect.TIMEOUT, pexpect.EOF):
                self.child.expect(pexpect.EOF, timeout=20)
        self.child.close(force=True)


class Theatre:
    """Starts demos of the play in rooms, with a folder for state, labs and answers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rooms: list[Room] = []
        self.answers: dict[str, dict[str, Any]] = {}
        (folder / "labs").mkdir(parents=True)
        (folder / "labs" / "cluster.toml").write_text(CLUSTER)
        self.waits()
        without = recorded("ip-addr-lb1.txt").replace("127.0.0.1", "127.0.0.9")
        self.answer("all", "there", "no such thing\n", 1)
        self.answer("all", "start", "Started.\n")
        self.answer("all", "ip -o -4", without)
        self.answer("lb1", "ip -o -4", recorded("ip-addr-lb2.txt"))
        self.answer("client", "ask", "<p>served by lb1</p>\n")

    def waits(self, seconds: int = 60) -> None:
        """For how long the play waits for its page: longer than any test, unless it says so."""
        write_play(self.folder / "labs", PLAY.replace("within=5s", f"within={seconds}s"))

    def answer(self, node: str, command: str, output: str, status: int = 0) -> None:
        """What a node says from now on to a command that has these words."""
        self.answers.setdefault(node, {})[command] = [status, output]
        target = self.folder / "answers.json"
        target.with_suffix(".new").write_text(json.dumps(self.answers))
        target.with_suffix(".new").replace(target)

    def play(self, size: tuple[int, int] = (24, 80), **options: Any) -> Room:
        return self.room(lambda: perform(self.folder, **options), size)

    def room(self, work: Callable[[], None], size: tuple[int, int] = (24, 80)) -> Room:
        """A room in which this function plays."""
        found = Room(work, size)
        self.rooms.append(found)
        return found

    def log(self) -> str:
        """What libraries and the demo itself said aside."""
        return (self.folder / "home/.workshop/logs/demo.log").read_text()

    def loaded(self) -> list[str]:
        """Checkpoints that were loaded, in order."""
        return self._checkpoints("load")

    def saved(self) -> list[str]:
        """Checkpoints that were saved, in order."""
        return self._checkpoints("save")

    def _checkpoints(self, verb: str) -> list[str]:
        done = [line.split() for line in (self.folder / "did").read_text().splitlines()]
        return list(dict.fromkeys(words[2] for words in done if words[0] == verb))


# what is played


def perform(folder: Path, unprepared: bool = False, **options: Any) -> None:
    """Play the lab below folder/labs; with these options of `demo.play`."""

    def brisk(words: list[str], **more: Any) -> Any:
        return subprocess.Popen([*words[:-1], str(RATE)], **more)  # the rate is the last word

    patch = pytest.MonkeyPatch()
    patch.setattr(probe, "subprocess", SimpleNamespace(Popen=brisk, DEVNULL=subprocess.DEVNULL))
    keep_apart(folder / "home", patch)
    be_the_labs(folder / "labs", patch)
    (folder / "box").mkdir()
    (folder / "box" / "packages.txt").write_text("apache2\n")
    for module in (course, evidence):
        patch.setattr(module, "ROOT", folder)

    class Actor(FakeNode):
        def run(self, command: str, timeout: float = 60, check: bool = True) -> Result:
            known = json.loads((folder / "answers.json").read_text())
            answers = {**known.get("all", {}), **known.get(self.name, {})}
            self.answers = {word: (a[0], a[1]) for word, a in answers.items()} | {"": ""}
            return super().run(command, timeout, check)

    with web(lambda _path: (200, b"<p>served by <strong>lb1</strong>")) as url:
        patch.setattr(Live, "url", url)
        patch.setattr(probe, "LATE", 60.0)  # a busy machine is not what is tested here
        fleet = Fleet(folder / "labs", patch)
        fleet.here(patch)
        patch.setattr(live, "Local", lambda: Actor("client", {}))
        for name in fleet.nodes:
            fleet.nodes[name] = Actor(name, {})
        did = (folder / "did").open("w", buffering=1)
        do = fleet.hypervisor._do

        def told(verb: str, domain: str, becomes: str | None = None, *more: str) -> None:
            print(verb, domain, *more, file=did)
            do(verb, domain, becomes, *more)

        patch.setattr(fleet.hypervisor, "_do", told)
        it = course.Course(fleet.machines)
        it.checkpoints.save("booted", "", ["lb1", "lb2"])
        if not unprepared:
            it.checkpoints.save("lab-1", it._key([1]), ["lb1", "lb2"])

        if "breaks the screen" in manifest.lab(1).title:
            patch.setattr(demo.Stage, "draw", lambda *_: 1 // 0)

        @cli.command
        def play() -> None:
            with state.lock("demo 1"):
                patch.setattr(demo.Performance, "keep", _noisily(demo.Performance.keep))
                demo.play(it, manifest.lab(1), **options)

        play()


def _noisily(method: Any) -> Any:
    """A method during which libraries say all they can."""

    def noisy(*arguments: Any) -> Any:
        logging.getLogger("noise").warning("NOISE of a log")
        warnings.warn("NOISE of a warning", stacklevel=1)
        print("NOISE on standard output")
        print("NOISE on standard error", file=sys.stderr)
        subprocess.run(["sh", "-c", "echo NOISE of a child; echo NOISE >&2"], check=True)
        return method(*arguments)

    return noisy


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Theatre]:
    """A theatre; its rooms are empty at the end."""
    theatre = Theatre(folder)
    try:
        yield theatre
    finally:
        for room in theatre.rooms:
            room.end()
