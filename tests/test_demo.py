"""The demo's logic on a made-up clock, and the whole of it in a real (pseudo) terminal."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import CLUSTER, FakeNode, Fleet, recorded, refused, write_play
from theatre import DOWN, ENTER, ESCAPE, UP, Room, Theatre, opened

from workshop import course, demo, evidence, faults, live, notes, scenes, steps
from workshop.course import Course
from workshop.demo import Demo, Manner, Phase, keystrokes
from workshop.faults import Plan
from workshop.manifest import Lab
from workshop.performance import Hands, Job, Performance

PAIR = ["lb1", "lb2"]


class Prompt(Hands):
    """Hands that do everything at once, or when they are told to."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.waits = False

    def do(self, work: Callable[[], Any]) -> Job:
        job = Job(work)
        self.jobs.append(job)
        if not self.waits:
            job()
        return job


class Evening:
    """A demo of eight scenes, a clock that a test moves, and nodes that answer."""

    def __init__(self, fleet: Fleet, client: FakeNode, lab: Lab) -> None:
        self.fleet, self.client = fleet, client
        page = steps.parse(lab)
        it = Course(fleet.machines)
        it.checkpoints.save("booted", "", PAIR)
        it.checkpoints.save("lab-1", it._key([1]), PAIR)
        for name in PAIR:
            fleet.nodes[name].answers = {"there": (1, "no"), "": "yes\n"}
        self.performance = Performance(it, page, scenes.of(page))
        self.time = 0.0
        self.visited: list[list[str]] = []
        self.hands = Prompt()
        self.demo = self.start()

    def start(self, **manner: Any) -> Demo:
        self.demo = Demo(
            self.performance, Manner(**manner), lambda: self.time, self.hands, self._visit
        )
        self.demo.begin()
        self.demo.tick()
        return self.demo

    def _visit(self, words: list[str]) -> int:
        self.visited.append(words)
        return 0

    def press(self, *keys: str) -> Phase:
        for key in keys:
            self.demo.press(key)
            self.demo.tick()
        return self.demo.phase

    def wait(self, seconds: float) -> Phase:
        for _ in range(int(seconds * 10)):
            self.time += 0.1
            self.demo.tick()
        return self.demo.phase

    def to(self, number: int) -> Demo:
        """Have this scene typed and ready."""
        self.demo._go(number - 1)
        self.demo.tick()
        self.press(" ")
        return self.demo

    @property
    def body(self) -> str:
        return "\n".join(line.plain for line in self.demo.view().body)

    @property
    def result(self) -> str:
        return "\n".join(line.plain for line in self.demo.view().result)


@pytest.fixture
def evening(
    fleet: Fleet,
    labs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    as_the_labs: Callable[[Path], None],
) -> Evening:
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "packages.txt").write_text("apache2\n")
    for module in (course, evidence):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    as_the_labs(labs)
    client = FakeNode("client", {"": "<p>served by lb2\n"})
    monkeypatch.setattr(live, "Local", lambda: client)
    return Evening(fleet, client, write_play(labs))


def test_a_command_is_typed_then_runs_on_a_key_and_is_ticked(evening: Evening) -> None:
    assert evening.demo.phase is Phase.SAYS
    assert evening.press(" ") is Phase.TYPING
    assert evening.body.endswith("# ")
    evening.wait(0.5)
    assert 3 < len(evening.body.split("# ")[1]) < 30
    assert evening.wait(10) is Phase.READY
    assert not [c for c in evening.fleet.nodes["lb1"].ran if c.startswith("install")]
    assert evening.press(" ") is Phase.DONE
    assert [c for c in evening.fleet.nodes["lb1"].ran if c.startswith("install")]
    assert "deadtime 10" in evening.body
    assert evening.result == "✓ in place"


def test_a_key_ends_the_typing_and_runs_nothing(evening: Evening) -> None:
    assert evening.press(" ", " ") is Phase.READY
    assert "install -D -m 0644 /root/lab-1/etc/ha.d/ha.cf" in evening.body


@pytest.mark.parametrize("key", ["enter", "right", "pgdown", "n"])
def test_a_clicker_goes_on_as_well(evening: Evening, key: str) -> None:
    assert evening.press(key) is Phase.TYPING


def test_typing_takes_a_persons_time() -> None:
    at = keystrokes("systemctl enable --now heartbeat", 1)
    assert len(at) == 32
    assert 0.6 < at[-1] < 2.5
    assert at == sorted(at) == keystrokes("systemctl enable --now heartbeat", 1)
    assert keystrokes("x" * 5000, 1)[-1] == pytest.approx(demo.LONGEST)
    assert keystrokes("ls", 0) == [0, 0]
    assert keystrokes("", 1) == []


def test_what_is_expected_stands_there_before_and_what_was_seen_after(evening: Evening) -> None:
    evening.to(4)
    assert evening.result == "You should see something that matches served by lb[12]"
    evening.press(" ")
    assert evening.result == "✓ as expected: served by lb2"
    assert "<p>served by lb2" in evening.body


def test_nodes_that_say_the_same_are_shown_once(evening: Evening) -> None:
    evening.to(3)
    evening.press(" ")
    assert evening.body.splitlines()[-2:] == ["lb1, lb2:", "yes"]


def test_a_failure_is_one_calm_line_and_one_key_goes_back(evening: Evening) -> None:
    evening.to(3)
    evening.fleet.nodes["lb2"].answers = {"start": (1, "a\nb: broken"), "": ""}
    assert evening.press(" ") is Phase.FAILED
    assert evening.result == "Not what we expected."
    assert evening.body.endswith("lb2: `start everything` failed with status 1: b: broken")
    assert "b back to the last good state" in evening.demo.view().hint
    assert evening.press(" ") is Phase.FAILED
    evening.fleet.hypervisor.did.clear()
    assert evening.press("b") is Phase.TYPING
    assert evening.demo.scene.number == 3
    assert "load" in {done[0] for done in evening.fleet.hypervisor.did}


def test_a_lost_node_is_one_calm_line(evening: Evening) -> None:
    evening.to(3)
    evening.fleet.lose("lb1")
    evening.press(" ")
    assert evening.result == "Not what we expected."
    assert "lb1 stopped answering" in evening.body.splitlines()[-1]


def test_an_error_of_the_engine_is_one_calm_line_too(evening: Evening) -> None:
    evening.to(3)

    def broken(*_: Any) -> None:
        raise KeyError("made\nup")

    evening.fleet.nodes["lb1"].run = broken  # type: ignore[method-assign, assignment]
    assert evening.press(" ") is Phase.FAILED
    assert evening.result == "Not what we expected."
    assert "KeyError: 'made" in evening.body.splitlines()[-1]
    del evening.fleet.nodes["lb1"].run  # type: ignore[attr-defined]
    assert evening.press("b") is Phase.TYPING


def test_back_undoes_this_scene_then_the_one_before(evening: Evening) -> None:
    evening.to(3)
    evening.press(" ", " ", " ")
    assert (evening.demo.scene.number, evening.demo.phase) == (4, Phase.READY)
    evening.press(" ")
    for number in (4, 3, 2, 1):
        evening.press("b")
        assert evening.demo.scene.number == number
        assert not evening.demo.changed
    evening.press("b")
    assert evening.demo.scene.number == 1


def test_back_to_a_slide_touches_no_machine(evening: Evening) -> None:
    evening.press(" ")
    evening.fleet.hypervisor.did.clear()
    evening.press("b")
    assert evening.demo.phase is Phase.SAYS
    assert evening.fleet.hypervisor.did == []


def test_a_section_is_saved_as_it_begins_and_not_while_a_scene_repeats(evening: Evening) -> None:
    kept = evening.performance.course.checkpoints.all
    evening.press(" ")
    assert "demo-1-2" in kept()
    evening.press(" ", " ")
    saved = kept()["demo-1-2"]["time"]
    evening.press("r")
    assert kept()["demo-1-2"]["time"] == saved
    assert evening.demo.phase is Phase.TYPING
    assert evening.demo.changed  # back is to before it all the same


def test_a_state_that_is_not_saved_stops_nobody(evening: Evening) -> None:
    evening.fleet.refuse("save", "lb1")
    assert evening.press(" ") is Phase.TYPING
    assert evening.press(" ", " ") is Phase.DONE


def test_again_runs_it_again(evening: Evening) -> None:
    evening.to(4)
    evening.press(" ", "r", " ", " ")
    assert evening.client.ran.count("ask for the page") == 2
    assert evening.demo.phase is Phase.DONE


def test_a_fault_is_undone_before_it_happens_again(evening: Evening) -> None:
    evening.to(6)
    faults.inject(evening.fleet.machines, "dark", Plan([], []))
    evening.press("r")
    assert faults.active() == []
    assert evening.demo.phase is Phase.TYPING


def test_heal_says_what_it_healed(evening: Evening) -> None:
    evening.press(" ", " ")
    evening.press("h")
    assert evening.result.startswith("Healed: no fault was in force.")
    faults.inject(evening.fleet.machines, "dark", Plan([], []))
    evening.press("h")
    assert evening.result.startswith("Healed: dark.")
    assert evening.demo.phase is Phase.READY


def test_a_scene_is_chosen_from_the_list(evening: Evening) -> None:
    evening.press("g")
    assert evening.demo.menu is not None
    assert evening.demo.menu.items[3] == "  4  Build  Start: ask for the page"
    evening.press("escape")
    assert evening.demo.scene.number == 1
    evening.press("g", "down", "down", "down", "up", "j", "enter")
    assert (evening.demo.scene.number, evening.demo.phase) == (4, Phase.TYPING)


def test_a_fault_is_chosen_from_the_list_and_the_scene_comes_back(evening: Evening) -> None:
    evening.press(" ", "f", "enter")
    assert evening.demo.view().heading == "The cable"
    evening.press(" ")
    assert "invoke break 1 dark" in evening.body
    evening.fleet.holds("")
    assert evening.press(" ") is Phase.FAILED
    assert "lab 1 is not whole" in evening.body.splitlines()[-1]
    evening.press("b")
    assert evening.demo.scene.number == 2
    assert evening.demo.view().heading == "Files"


def test_nothing_is_broken_twice(evening: Evening) -> None:
    faults.inject(evening.fleet.machines, "earlier", Plan([], []))
    evening.press("f", "enter")
    assert evening.result == "earlier is still in force; h heals it first."


def test_a_shell_opens_on_the_chosen_node(evening: Evening) -> None:
    evening.press("s", "down", "enter")
    assert evening.visited[0][0] == "ssh"
    assert evening.visited[0][-2:] == ["root@192.168.231.12", "bash -i"]
    assert evening.demo.changed
    evening.press("s", "down", "down", "enter")
    assert "bash" in evening.visited[1]


def test_leaving_takes_two_keys(evening: Evening) -> None:
    evening.press("q")
    assert "q again" in evening.demo.view().hint
    evening.press("x")
    assert not evening.demo.over
    evening.press("q", "q")
    assert evening.demo.over


def test_the_keys_are_listed(evening: Evening) -> None:
    evening.press("?")
    for key in demo.KEYS:
        assert f"\n{key} " in f"\n{evening.body}"
    evening.press("b")
    assert evening.demo.view().heading == "A pair"


def test_ctrl_c_stops_what_runs_and_asks_where_nothing_does(evening: Evening) -> None:
    evening.to(4)
    evening.hands.waits = True
    evening.press(" ")
    assert evening.demo.phase is Phase.RUNNING
    evening.press(" ", "g", "r")  # not now
    assert (evening.demo.phase, evening.demo.menu) == (Phase.RUNNING, None)
    evening.demo.interrupt()
    evening.hands.jobs[-1]()
    evening.demo.tick()
    assert (evening.demo.phase, evening.result) == (Phase.FAILED, "Stopped.")
    assert evening.client.ran == []
    evening.demo.interrupt()
    assert not evening.demo.over
    evening.demo.interrupt()
    assert evening.demo.over


def test_the_end_is_the_end(evening: Evening) -> None:
    evening.to(8)
    assert evening.press(" ") is Phase.DONE
    assert evening.press(" ") is Phase.END
    assert not evening.demo.over
    evening.press("b")
    assert evening.demo.scene.number == 8


def test_the_speakers_screen_is_told(evening: Evening) -> None:
    evening.to(3)
    cue = notes.current()
    assert cue is not None
    assert (cue.place, cue.heading) == ("Build 3 of 8", "Start")
    assert cue.notes == "Tell the story of the cleaner."
    assert (cue.now, cue.then) == ("start everything", "Try")
    evening.fleet.lose("lb1")
    evening.press(" ")
    cue = notes.current()
    assert cue is not None
    assert "lb1 stopped answering" in cue.now


def test_unattended_it_plays_with_pauses_to_its_end(evening: Evening) -> None:
    evening.start(auto=True, last=3)
    evening.wait(1)
    assert evening.demo.phase is Phase.SAYS  # somebody reads
    evening.wait(60)
    assert evening.demo.over
    assert evening.demo.failure is None
    assert evening.client.ran == ["ask for the page"]
    slow = evening.time
    evening.time = 0.0
    evening.start(auto=True, last=3, pace=0)
    evening.wait(5)
    assert evening.demo.over
    assert evening.time < slow / 5


def test_unattended_it_stops_at_what_fails_and_says_where(evening: Evening) -> None:
    evening.fleet.nodes["lb1"].answers = {"start": (3, "broken"), "": ""}
    evening.start(auto=True, pace=0)
    evening.wait(5)
    assert evening.demo.over
    assert str(evening.demo.failure) == (
        "01-pair/steps.md:23: lb1: `start everything` failed with status 3: broken"
    )


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"pace": -1}, "--pace -1"),
        ({"pace": 11}, "--pace 11"),
        ({"start": "9"}, "no step '9'"),
        ({"start": "4", "until": "3"}, "--until 3 comes before --from 4"),
    ],
)
def test_what_cannot_be_played_is_refused(lab: Lab, labs: Path, asked: Any, words: str) -> None:
    with refused(words):
        demo.check(write_play(labs), **({"pace": 1, "start": "", "until": ""} | asked))


def test_a_part_is_played(labs: Path) -> None:
    lab = write_play(labs)
    manner = demo.check(lab, 1, "", "build")
    assert (manner.first, manner.last) == (0, 3)
    manner = demo.check(lab, 1, "try", "cable", auto=True)
    assert (manner.first, manner.last, manner.auto) == (4, 5, True)


def test_without_a_terminal_nothing_is_touched(evening: Evening) -> None:
    evening.fleet.hypervisor.did.clear()
    with refused("the demo needs a terminal"):
        demo.play(evening.performance.course, evening.performance.lab)
    assert evening.fleet.hypervisor.did == []


# in a terminal, 80 by 24, over the fake fleet


@pytest.fixture
def theatre(tmp_path: Path) -> Iterator[Theatre]:
    folder = tmp_path / "theatre"
    (folder / "labs").mkdir(parents=True)
    (folder / "labs" / "cluster.toml").write_text(CLUSTER)
    write_play(folder / "labs")
    with opened(folder) as found:
        without = recorded("ip-addr-lb1.txt").replace("127.0.0.1", "127.0.0.9")
        found.answer("all", "there", "no such thing\n", 1)
        found.answer("all", "start", "Started.\n")
        found.answer("all", "ip -o -4", without)
        found.answer("lb1", "ip -o -4", recorded("ip-addr-lb2.txt"))
        found.answer("client", "ask", "<p>served by lb1</p>\n")
        yield found


def test_it_plays_by_itself_to_its_end(theatre: Theatre) -> None:
    room = theatre.play(auto=True, pace=0.1)
    room.until("Lab 1: A pair", "Build 2 of 8", "They say who the nodes are.")
    room.until("Try 6 of 8", "invoke break 1 dark", "visitors")
    room.until("the address is now on lb1", within=40)
    assert room.left(60) == 0
    assert room.afterwards == ""
    assert "NOISE" in theatre.log()
    for noise in (b"NOISE", b"Warning", b"Traceback"):
        assert noise not in room.raw


def test_by_itself_it_ends_with_an_error_where_an_expectation_fails(theatre: Theatre) -> None:
    theatre.answer("client", "ask", "<p>nobody</p>\n")
    room = theatre.play(auto=True, pace=0, until="build")
    assert room.left(40) == 1
    assert room.afterwards == (
        "error: 01-pair/steps.md:27: client: `ask for the page`: expected "
        "'/served by lb[12]/' (line 31) within 5 s, saw: <p>nobody</p>"
    )


def test_a_speaker_plays_it_with_keys(theatre: Theatre) -> None:
    room = theatre.play()
    room.until("Two machines share one address.", "space next")
    room.press(" ")
    room.until("Files", "They say who the nodes are. ha.cf is read at the start.", "lb1 lb2")
    room.press(" ")
    room.until("# install -D -m 0644 /root/lab-1/etc/ha.d/ha.cf /etc/ha.d/ha.cf", "space run")
    room.press(" ")
    room.until("✓ in place", "deadtime 10", "node lb1", "node lb2")
    room.press(" ", " ")
    room.until("Start", "start everything", "space run")
    room.press(" ")
    room.until("lb1, lb2: Started.", "✓ done")
    room.press(" ", " ")
    room.until("$ ask for the page", "You should see something that matches served by lb[12]")
    theatre.answer("client", "ask", "<p>nobody</p>\n")
    room.press(" ")
    room.until("s You should see", "Ctrl-C stops it")
    theatre.answer("client", "ask", "<p>served by lb2</p>\n")  # it comes, a little later
    room.until("✓ as expected: served by lb2", "<p>served by lb2</p>")
    room.press("b")
    room.until("Build 4 of 8", "space run")
    assert theatre.loaded()[-1] == "demo-1-3"
    room.press("q")
    room.until("q again leaves the demo")
    room.press("q")
    assert room.left() == 0
    assert room.afterwards == ""
    assert "forget" in (theatre.folder / "did").read_text()


def test_menus_shell_help_and_sizes(theatre: Theatre) -> None:
    room = theatre.play()
    room.until("space next")
    room.press("?")
    room.until("Keys", "a shell on a node", "any key goes back")
    room.press("x", "g")
    room.until("Go to", "> 1 Build A pair", "8 Try Have a look: look there")
    room.press(DOWN, DOWN, DOWN, UP, ENTER)
    room.until("Build 3 of 8", "start everything")
    room.press("f")
    room.until("What shall break?", "> dark The cable")
    room.press(ESCAPE)
    room.until("Build 3 of 8", "Both start.")
    room.press("s")
    room.until("A shell on", "> lb1", "client (this machine)")
    room.press(DOWN, DOWN, ENTER)
    room.until("exit` comes back", "client:")
    room.press("echo $((6 * 7)); stty -a\r")
    room.until("42", " icanon", " echo ")
    room.press("\x03", "exit\r")
    room.until("Build 3 of 8", "Both start.", "start everything")
    room.resize(40, 132)
    room.until("Both start. It takes a while.")
    room.see(lambda: room.text.splitlines()[0].index("Build  3 of 8") == 118, "a wide bar")
    room.resize(10, 40)
    room.until("Please make this window larger")
    room.resize(24, 80)
    room.until("Both start. It takes a while.", "start everything")
    room.press("q", "q")
    assert room.left() == 0


def test_a_lab_that_is_not_prepared_is_built_and_checked_on_the_stage(theatre: Theatre) -> None:
    room = theatre.play(unprepared=True, start="look")
    room.until("Try 7 of 8", "look here", "space run", within=60)
    assert theatre.saved()[:2] == ["booted", "lab-1"], "kept once built and checked"
    room.press(" ")
    room.until("✓ done")
    room.press("q", "q")
    assert room.left() == 0
    assert room.afterwards == ""


def test_who_leaves_during_a_fault_leaves_none(theatre: Theatre) -> None:
    room = theatre.play(start="6", pace=0)
    room.until("space run")
    room.press(" ")
    room.until("the address is now on lb1", "space next")
    force = theatre.folder / "home/.workshop/faults.json"
    assert "dark" in force.read_text()
    room.press("q", "q")
    assert room.left() == 0
    assert force.read_text().strip() == "[]"


def test_ctrl_c_stops_the_step_and_not_the_demo(theatre: Theatre) -> None:
    theatre.answer("client", "ask", "nobody\n")
    room = theatre.play(start="4")
    room.until("ask for the page", "You should see")  # got there by playing what is before it
    room.press(" ", " ")
    room.until("Ctrl-C stops it")
    room.press("\x03")
    room.until("Stopped.", "b back to the last good state")
    room.press("\x03")
    room.until("q again leaves the demo")
    room.press("\x03")
    assert room.left() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("auto", [True, False])
def test_who_ends_it_from_outside_gets_the_terminal_back(
    theatre: Theatre, number: signal.Signals, auto: bool
) -> None:
    room = theatre.play(auto=auto)
    room.until("Two machines share one address.")
    room.child.kill(number)
    assert room.left() == 130
    assert room.afterwards.startswith("error: stopped")


def test_a_broken_screen_is_one_line_and_the_terminal_is_put_back(theatre: Theatre) -> None:
    (theatre.folder / "labs" / "01-pair" / "lab.toml").write_text(
        (theatre.folder / "labs" / "01-pair" / "lab.toml")
        .read_text()
        .replace('title = "A pair"', 'title = "A pair that breaks the screen"')
    )
    room = theatre.play()
    assert room.left() == 1
    assert "error: the demo broke (ZeroDivisionError); the cause is in" in " ".join(
        room.afterwards.split()
    )
    assert "ZeroDivisionError" in theatre.log()


def test_the_second_terminal_follows(theatre: Theatre) -> None:
    room = theatre.play()
    room.until("space next")
    script = (
        "import sys; from pathlib import Path; from workshop import cli, notes, state\n"
        "state.FOLDER = Path(sys.argv[1])\n"
        "cli.command(notes.follow)()"
    )
    words = [sys.executable, "-c", script, str(theatre.folder / "home/.workshop")]
    second = Room(words)
    theatre.rooms.append(second)
    second.until("Build 1 of 8", "no notes for this section", "next: Files")
    room.press("g", DOWN, DOWN, ENTER)
    second.until("Tell the story of the cleaner.", "start everything", "Both start.")
    room.press("q", "q")
    assert room.left() == 0
    assert second.left() == 0
    assert second.afterwards == "the demo is over"
    third = Room(words)
    theatre.rooms.append(third)
    assert third.left() == 1
    assert third.afterwards == "error: no demo runs in this folder; start one with `invoke demo N`"
