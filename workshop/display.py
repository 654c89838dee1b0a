"""What the audience sees of where the demo stands."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from workshop.controls import HELP, Controls
from workshop.performance import Act
from workshop.player import Phase, Player
from workshop.stage import View
from workshop.transcript import block, one_line, tick

BAR = 40  # seconds of visitors' luck that are shown
GLANCE = 0.5  # seconds between two looks at what the probe found
HINTS = {
    Phase.SAYS: "space next   b back   ? keys",
    Phase.TYPING: "",
    Phase.READY: "space run   b back   ? keys",
    Phase.RUNNING: "Ctrl-C stops it",
    Phase.DONE: "space next   r once more   b back   ? keys",
    Phase.FAILED: "b back to the last good state   r once more   g go to a step   ? keys",
    Phase.MOVING: "one moment",
    Phase.END: "b back   g go to a step   q quit",
}


class Display:
    """Makes the screen of a player and the controls."""

    def __init__(self, player: Player, controls: Controls) -> None:
        self.player, self.controls = player, controls
        self._visitors = Visitors(player)

    def view(self) -> View:
        """The screen as it should be now."""
        player, controls = self.player, self.controls
        lab, scene = player.performance.lab, player.scene
        part = {"build": "Build", "try": "Try"}[scene.section]
        place = f"{part}  {scene.number} of {len(player.scenes)}"
        view = View(f"Lab {lab.number}: {lab.title}", place)
        if controls.helping:
            view.heading = "Keys"
            view.body = [Text(f"{key:<10}").append(what, "dim") for key, what in HELP]
            view.hint = "any key goes back"
            return view
        if controls.menu:
            view.menu = controls.menu
            view.hint = "up, down   enter takes it   escape leaves it"
            return view
        view.heading, view.why, view.scroll = scene.heading, scene.why, player.scroll
        view.slide = not (scene.step or player.aside)
        if player.aside:
            view.heading, view.why = lab.file.faults[player.aside].title, []
        view.body = [*player.said]
        if player.acts and player.phase not in (Phase.DONE, Phase.MOVING, Phase.END):
            at_hand = block(player.acts[player.act], player.typed)
            view.body += [*([Text()] if player.said else []), *at_hand]
        if player.phase is Phase.FAILED and player.reason:
            view.body.append(Text(player.reason, "dim"))
        view.result = list(self._result())
        view.hint = self._hint()
        return view

    def _result(self) -> Iterator[Text]:
        player = self.player
        act = player.acts[player.act] if player.acts else None
        elapsed = f"{player.now() - player.since:3.0f} s  "
        if player.message:
            yield Text(player.message, "yellow")
        if player.phase is Phase.RUNNING and act:
            what = "stopping" if player.stopping else act.expected or "running"
            yield Text(elapsed).append(what)
            if act.probe and (bar := self._visitors.bar(act)):
                yield bar
        elif player.phase is Phase.MOVING:
            yield Text(f"{elapsed}{player.performance.doing}", "dim")
        elif player.phase is Phase.DONE:
            yield tick(player.result)
            if act and act.probe and (bar := self._visitors.last):
                yield bar
        elif player.phase is Phase.FAILED:
            yield Text(one_line(player.result), "yellow")
        elif player.phase is Phase.END:
            yield Text("That was it. Thank you.", "bold")
        elif act and act.expected:
            yield Text(act.expected)

    def _hint(self) -> str:
        if self.controls.leaving:
            return "q again leaves the demo; any other key stays"
        if self.player.manner.auto:
            return "playing by itself   Ctrl-C ends it"
        words = HINTS[self.player.phase]
        if self.player.phase is Phase.FAILED or not (self.controls.over_by and words):
            return words
        return f"{words}   up, down scroll"


class Visitors:
    """One mark for each second: what those saw who asked for the page."""

    def __init__(self, player: Player) -> None:
        self.player = player
        self.last = Text()
        self._run = 0.0  # when the act began that `last` is about
        self._next = 0.0

    def bar(self, act: Act) -> Text:
        """The marks of the act that runs."""
        if self._run != self.player.began:
            self._run, self._next, self.last = self.player.began, 0.0, Text()
        if act.probe is None or self.player.now() < self._next:
            return self.last
        seconds: dict[int, bool] = {}
        by = ""
        try:
            samples = act.probe.samples()
        except FileNotFoundError:  # the probe begins anew, between the look for its file and this
            return self.last
        for sample in samples:
            if sample.due >= self._run:
                second = int(sample.due)
                seconds[second] = seconds.get(second, True) and sample.good
                by = sample.by or by if sample.good else ""
        if seconds:
            bar = Text("visitors ")
            for good in [seconds[s] for s in sorted(seconds)][-BAR:]:
                bar.append("\u25a0" if good else "\u00b7", "green" if good else "bold red")
            bar.append(f" {by}" if by else " no answer", "green" if by else "bold red")
            self.last = bar
        self._next = self.player.now() + GLANCE
        return self.last
