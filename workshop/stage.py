"""The screen before an audience: one calm page, drawn whole, and the terminal put back.

`frame` is pure: a view, a width and a height give the lines. `Stage` owns the terminal.
"""

from __future__ import annotations

import codecs
import collections
import contextlib
import errno
import io
import os
import re
import select
import signal
import subprocess
import sys
import termios
import tty
from collections.abc import Iterator
from dataclasses import dataclass, field

from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding import KeyPress
from rich.console import Console
from rich.text import Text

from workshop import state
from workshop.errors import WorkshopError

LEAST = (60, 16)  # columns and rows below which nothing can be read
WIDEST = 110  # columns a line of text may have, however wide the projector is
PAPER = Console(file=io.StringIO(), width=80)  # Rich wraps text on some console only
# an operating system command such as a window's title, a control sequence, any other escape
ESCAPES = r"\x1b(?:\][^\x07\x1b]*(?:\x07|\x1b\\)?|\[[0-?]*[ -/]*[@-~]|.)"
KEYS = {"pageup": "pgup", "pagedown": "pgdown", "c-m": "enter", "c-j": "enter", "c-h": "backspace"}
LOG = "logs/demo.log"  # what libraries say meanwhile


class Typed(Text):
    """A line of a command after its prompt: what has no room goes on below the command."""

    def __init__(self, prompt: str, command: str) -> None:
        super().__init__(prompt, "dim")
        self.prompt = prompt
        self.append(command, "bold")


@dataclass
class Menu:
    """A list to choose from."""

    title: str
    items: list[str]
    at: int = 0

    def move(self, by: int) -> None:
        """Go up or down, and stay within the list."""
        self.at = min(max(self.at + by, 0), len(self.items) - 1)


@dataclass
class View:
    """What is to be seen."""

    title: str
    place: str
    heading: str = ""
    why: list[str] = field(default_factory=list)
    body: list[Text] = field(default_factory=list)
    result: list[Text] = field(default_factory=list)
    hint: str = ""
    menu: Menu | None = None
    slide: bool = False  # whether it only says something: there is room then
    scroll: int = 0  # lines of the body above its end at which the window ends


def frame(view: View, width: int, height: int) -> tuple[list[Text], int]:
    """The screen's lines, `height` of them and none longer than `width`; and by how many
    lines the body may be scrolled up."""
    if width < LEAST[0] or height < LEAST[1]:
        words = Text(f"Please make this window larger: {LEAST[0]} by {LEAST[1]} at least.")
        return _filled(_wrapped(words, width), width, height), 0
    margin = 2 if width < 90 else max(4, (width - WIDEST) // 2)
    inner = min(width - 2 * margin, WIDEST)

    def block(*texts: Text) -> list[Text]:
        return [
            Text(" " * margin).append_text(line) for text in texts for line in _wrapped(text, inner)
        ]

    place = Text(f" {view.place} ")
    bar = Text(f" {view.title}", style="reverse", end="")
    bar.truncate(width - place.cell_len, overflow="ellipsis", pad=True)
    bar.append_text(place)
    top = [bar, Text()]
    if view.heading:
        top += block(Text(view.heading, style="bold"))
        top += [Text()] if height > 30 or view.slide else []
    below = block(*view.result)
    hint = Text(" " * margin + view.hint, style="dim")
    hint.truncate(width, overflow="ellipsis")
    bottom = [*below, Text(), hint] if below else [Text(), hint]
    if view.menu:
        top = [bar, Text(), *block(Text(view.menu.title, style="bold")), Text()]
        bottom = [Text(), hint]
        room = height - len(top) - len(bottom)
        return _filled([*top, *_listed(view.menu, room, margin, inner), *bottom], width, height), 0
    # what a command says matters more than why: it has half of the screen, and all of what
    # the sentences leave
    body = block(*view.body)
    spare = height - len(top) - len(bottom) - 2
    rows = spare - min(len(body), max(spare // 2, 3)) if body else spare
    why = block(code(fitting(view.why, inner, min(rows, 3 if body else rows))))
    top += [*why, Text()] if why else [Text()]
    room = height - len(top) - len(bottom)
    over = max(len(body) - room, 0)
    end = len(body) - min(view.scroll, over)
    shown = body[max(end - room, 0) : end]
    if over and shown:
        above = max(end - room, 0)
        if above:
            shown[0] = Text(" " * margin + f"... {above + 1} lines above", style="dim")
        if end < len(body):
            shown[-1] = Text(" " * margin + f"... {len(body) - end + 1} lines below", style="dim")
    shown += [Text()] * (room - len(shown))
    return _filled([*top, *shown, *bottom], width, height), over


def fitting(sentences: list[str], width: int, rows: int) -> str:
    """As many sentences as have room in so many rows; the first one in any case."""
    text = sentences[0] if sentences else ""
    for sentence in sentences[1:]:
        longer = f"{text} {sentence}"
        if len(_wrapped(Text(longer.replace("`", "")), width)) > rows:
            break
        text = longer
    return text


def code(text: str) -> Text:
    """Words of the page, with what stands in backticks marked as code."""
    result = Text()
    for index, part in enumerate(text.split("`")):
        result.append(part, style="cyan" if index % 2 else "")
    return result


def clean(output: str) -> str:
    """A command's output without what would move the cursor."""
    plain = re.sub(ESCAPES, "", output)
    return re.sub(r"[^\n -~\xa0-\U0010ffff]", "", plain.expandtabs(8))


def _wrapped(text: Text, width: int) -> list[Text]:
    if text.cell_len <= width and "\n" not in text.plain:
        return [text]
    if isinstance(text, Typed):
        indent = len(text.prompt)
        prompt, command = text.divide([indent])
        first, *rest = command.wrap(PAPER, width - indent, tab_size=8)
        return [prompt.append_text(first), *(Text(" " * indent).append_text(r) for r in rest)]
    return list(text.wrap(PAPER, width, tab_size=8))


def _listed(menu: Menu, room: int, margin: int, inner: int) -> list[Text]:
    first = min(max(menu.at - room // 2, 0), max(len(menu.items) - room, 0))
    lines = []
    for index, item in list(enumerate(menu.items))[first : first + room]:
        chosen = index == menu.at
        line = Text(f"{'>' if chosen else ' '} {item}", style="reverse bold" if chosen else "")
        line.truncate(inner, overflow="ellipsis")
        lines.append(Text(" " * margin).append_text(line))
    return lines + [Text()] * (room - len(lines))


def _filled(lines: list[Text], width: int, height: int) -> list[Text]:
    """Exactly `height` lines of exactly `width` cells: nothing of what was there remains."""
    result = []
    for line in [*lines, *([Text()] * height)][:height]:
        line = line.copy()
        line.rstrip()
        line.truncate(width, pad=True)
        result.append(line)
    return result


class Stage:
    """The terminal, for as long as the demo has it."""

    def __init__(self) -> None:
        given, shown = sys.__stdin__, sys.__stdout__
        if not (given and shown and given.isatty() and shown.isatty()):
            raise WorkshopError("the demo needs a terminal to play on; run it in one, unredirected")
        # copies: whoever takes the standard ones meanwhile, as pytest does, takes not these
        self._in, self._out = os.dup(given.fileno()), os.dup(shown.fileno())
        self._encoding = shown.encoding or "utf-8"
        self._before = termios.tcgetattr(self._in)
        self._drawn = ""
        self._keys: collections.deque[KeyPress] = collections.deque()
        self._parser = Vt100Parser(self._keys.append)
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")

    @contextlib.contextmanager
    def shown(self) -> Iterator[Stage]:
        """The stage, until the block ends: by whatever way, the terminal is put back."""
        with _quiet():
            try:
                self._enter()
                yield self
            finally:
                self._leave()

    def _enter(self) -> None:
        self._drawn = ""
        tty.setcbreak(self._in)  # no echo, but Ctrl-C is still a signal: it reaches children
        self._write("\x1b[?1049h\x1b[?25l")

    def _leave(self) -> None:
        with contextlib.suppress(OSError, termios.error):  # the window may be gone
            termios.tcsetattr(self._in, termios.TCSADRAIN, self._before)
            self._write("\x1b[?25h\x1b[?1049l")

    def draw(self, view: View) -> int:
        """Show the view; returns by how many lines its body may be scrolled up."""
        width, height = os.get_terminal_size(self._out)
        lines, over = frame(view, width, height)
        console = Console(
            file=io.StringIO(), force_terminal=True, color_system="standard", width=width,
            height=height, legacy_windows=False, highlight=False, emoji=False,
        )  # fmt: skip
        text = f"{width} {height}\n"
        for row, line in enumerate(lines):
            with console.capture() as captured:
                console.print(line, end="", soft_wrap=True)
            text += f"\x1b[{row + 1};1H{captured.get()}"
        if text != self._drawn:
            self._drawn = text
            self._write(text.partition("\n")[2])
        return over

    def _write(self, text: str) -> None:
        data = text.encode(self._encoding, errors="replace")
        while data:
            data = data[os.write(self._out, data) :]

    def key(self, within: float) -> str:
        """The next key's name or character; empty where none came in so many seconds."""
        if not self._keys and select.select([self._in], [], [], within)[0]:
            data = os.read(self._in, 1024)
            if not data:
                raise OSError(errno.EIO, "the terminal is gone")
            self._parser.feed(self._decoder.decode(data))
        elif not self._keys:
            self._parser.flush()  # an escape after which nothing came is the key of that name
        if not self._keys:
            return ""
        key = self._keys.popleft()
        return KEYS.get(key.key, key.key)

    def suspended(self, words: list[str]) -> int:
        """Give the terminal to another program until it ends; returns its status."""
        self._leave()
        self._write("`exit` comes back to the demo\r\n")
        interrupt = signal.signal(signal.SIGINT, lambda *_: None)  # it is the other one's
        try:
            return subprocess.run(
                words, stdin=self._in, stdout=self._out, stderr=self._out
            ).returncode
        finally:
            signal.signal(signal.SIGINT, interrupt)
            self._enter()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What libraries print goes to the log, and Ctrl-Z does not leave a broken screen."""
    stop = signal.signal(signal.SIGTSTP, lambda *_: None)
    sys.stdout.flush()
    sys.stderr.flush()
    before = {number: os.dup(number) for number in (1, 2)}
    with state.path(LOG).open("a", buffering=1) as log:
        try:
            for number in before:
                os.dup2(log.fileno(), number)
            with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                yield
        finally:
            for number, copy in before.items():
                os.dup2(copy, number)
                os.close(copy)
            signal.signal(signal.SIGTSTP, stop)
