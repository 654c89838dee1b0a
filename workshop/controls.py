"""The speaker's keys and menus."""

from __future__ import annotations

from collections.abc import Callable

from workshop import shell
from workshop.player import Player
from workshop.stage import Menu
from workshop.steps import CLIENT

SCROLL = 5  # lines
FORWARD = {" ", "enter", "right", "pgdown", "n"}
BACK = {"b", "left", "pgup", "backspace"}
IN_MENU = {"up": -1, "down": 1, "k": -1, "j": 1, "pgup": -10, "pgdown": 10}
HELP = [
    ("space", "next: finish typing, run, go on (also enter, right, page down)"),
    ("b", "back: the state before this step, or before the one before it"),
    ("r", "run this step once more"),
    ("g", "go to a step"),
    ("s", "a shell on a node; `exit` comes back here"),
    ("f", "make one of the lab's faults happen"),
    ("h", "heal: undo every fault"),
    ("up, down", "scroll what a command said"),
    ("Ctrl-C", "stop what is running"),
    ("q, q", "quit"),
]


class Controls:
    """What a key means now; `visit` gives the terminal to another program."""

    def __init__(
        self, player: Player, visit: Callable[[list[str]], int] = lambda _words: 0
    ) -> None:
        self.player, self.visit = player, visit
        self.leaving = self.helping = False
        self.menu: Menu | None = None
        self.over_by = 0  # lines by which the window is too small
        self._chosen: Callable[[int], None] = lambda _index: None
        self.keys: dict[str, Callable[[], None]] = {
            "r": player.again,
            "g": self.list_scenes,
            "f": self.list_faults,
            "h": player.heal,
            "s": self.list_nodes,
        }

    def press(self, key: str) -> None:
        """Do what a key means now."""
        player = self.player
        if self.helping or self.leaving:
            leave = self.leaving and key == "q"
            self.helping = self.leaving = False
            player.over = player.over or leave
            return
        if self.menu:
            self._choose(key)
            return
        player.message = ""
        if key in ("up", "down"):
            at = min(player.scroll, self.over_by)
            at += SCROLL if key == "up" else -SCROLL
            player.scroll = min(max(at, 0), self.over_by)
        elif key == "?":
            self.helping = True
        elif key == "q":
            self.leaving = True
        elif player.busy:
            wait = "One moment; Ctrl-C stops what is running."
            player.message = "" if key in FORWARD else wait
        elif key in FORWARD:
            player.forward()
        elif key in BACK:
            player.back()
        elif key in self.keys:
            self.keys[key]()

    def interrupt(self) -> None:
        """Ctrl-C: stop what runs; where nothing does, ask whether to leave."""
        if self.player.manner.auto:
            raise KeyboardInterrupt
        if self.player.busy and not self.player.stopping:
            self.player.stop()
            return
        self.player.over = self.leaving
        self.leaving = True

    # menus

    def _offer(self, title: str, items: list[str], at: int, chosen: Callable[[int], None]) -> None:
        self.menu, self._chosen = Menu(title, items, at), chosen

    def _choose(self, key: str) -> None:
        assert self.menu is not None
        if key in IN_MENU:
            self.menu.move(IN_MENU[key])
        elif key in ("enter", " "):
            at, self.menu = self.menu.at, None
            self._chosen(at)
        else:
            self.menu = None

    def list_scenes(self) -> None:
        """Offer every scene."""
        items = [
            f"{s.number:>3}  {s.section.title():<5}  {s.heading}"
            + (f": {s.step.target or s.step.body.strip().splitlines()[0]}" if s.step else "")
            for s in self.player.scenes
        ]
        self._offer("Go to", items, self.player.index, self.player.go)

    def list_faults(self) -> None:
        """Offer the lab's faults."""
        declared = self.player.performance.lab.file.faults
        if not declared:
            self.player.message = "This lab declares no fault."
            return
        names = list(declared)
        wide = max(map(len, names))
        items = [f"{name:<{wide}}  {fault.title}" for name, fault in declared.items()]
        self._offer("What shall break?", items, 0, lambda at: self.player.strike(names[at]))

    def list_nodes(self) -> None:
        """Offer a shell on each node, and on this machine."""
        performance = self.player.performance
        nodes = [*performance.lab.nodes, CLIENT]

        def chosen(at: int) -> None:
            words = shell.words(performance.course.machines, nodes[at], mark=False)
            self.player.changed = True
            self.visit(words)

        self._offer("A shell on", [*nodes[:-1], "client (this machine)"], 0, chosen)
