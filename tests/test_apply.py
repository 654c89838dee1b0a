"""A page's steps run on the nodes, and are held to what the page says."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import LAB, STEPS, FakeNode, Fleet, refused, write_lab

from workshop import apply, render, steps
from workshop.apply import Done
from workshop.live import Live
from workshop.remote import TimedOut
from workshop.steps import Page, Step


@pytest.fixture
def built(fleet: Fleet, labs: Path) -> Live:
    return Live(fleet.machines, write_lab(labs))


def page(live: Live, block: str) -> Page:
    """The lab's page with this block from line 3 on."""
    (live.lab.folder / "steps.md").write_text(f"## Build\n\n{block}\n")
    return steps.parse(live.lab)


def done(live: Live, block: str) -> Done:
    found = page(live, block)
    return apply.execute(live, found, found.steps[0], render.available(live.lab))


def test_the_steps_run_in_order_after_the_files_are_laid_down(fleet: Fleet, labs: Path) -> None:
    text = STEPS.replace("## Try", "```sh on=lb1\nfirst\n```\n\n## Try\n\n```sh on=lb1\nlater\n```")
    live = Live(fleet.machines, write_lab(labs, steps=text))
    told: list[Step | Done] = []
    seconds = apply.run(live, steps.parse(live.lab), "build", told.append, told.append)
    node = fleet.nodes["lb1"]
    assert node.files == {"/root/lab-1/etc/ha.d/ha.cf": b"deadtime 10\nnode lb1\n"}
    assert node.ran == [
        "install -D -m 0644 /root/lab-1/etc/ha.d/ha.cf /etc/ha.d/ha.cf",
        "bash -ec first",
    ]
    assert [type(t).__name__ for t in told] == ["Step", "Done"] * 2
    assert seconds >= 0
    assert not fleet.nodes["web1"].ran


def test_files_carry_this_workshops_own_secrets(fleet: Fleet, labs: Path) -> None:
    lab = write_lab(
        labs,
        toml=LAB + '[secrets]\nauth = "sha1 {hex}"\n',
        files={"directors/etc/ha.d/ha.cf.j2": "{{ secrets.auth }}"},
    )
    live = Live(fleet.machines, lab)
    apply.run(live, steps.parse(lab), "build")
    first, second = (fleet.nodes[n].files["/root/lab-1/etc/ha.d/ha.cf"] for n in ("lb1", "lb2"))
    assert first == second
    assert first.startswith(b"sha1 ")
    assert b"SET" not in first


def test_the_first_step_that_fails_ends_the_run(built: Live, fleet: Fleet) -> None:
    fleet.nodes["lb1"].answers = {"first": (3, "starting\nno such unit"), "": ""}
    found = page(built, "```sh on=lb1\nfirst\nmore\n```\n\n```sh on=lb1\nsecond\n```")
    with refused("01-pair/steps.md:3: lb1: `first` failed with status 3: no such unit"):
        apply.run(built, found, "build")
    assert fleet.nodes["lb1"].ran == ["bash -ec 'first\nmore'"]


def test_a_lab_names_the_client_of_its_sql_blocks(fleet: Fleet, labs: Path) -> None:
    live = Live(fleet.machines, write_lab(labs, toml='client = "mysql"\n' + LAB))
    done(live, "```sql on=lb1\nSELECT 1;\n```")
    assert fleet.nodes["lb1"].ran == ["mysql --table -e 'SELECT 1;'"]


def test_a_refusal_may_be_the_lesson(built: Live, fleet: Fleet) -> None:
    fleet.nodes["lb1"].answers = {"DROP": (1, "denied"), "": ""}
    block = "```sql on=lb1 fails\nDROP TABLE x;\n```\n```expect\ndenied\n```"
    assert done(built, block).output == {"lb1": "denied"}
    assert fleet.nodes["lb1"].ran == ["mariadb --table -e 'DROP TABLE x;'"]
    fleet.nodes["lb1"].answers = {"": ""}
    with refused("steps.md:3: lb1: `DROP TABLE x;` should have been refused, and was not"):
        done(built, block)


def test_what_was_expected_and_seen_is_said_with_its_line(built: Live, fleet: Fleet) -> None:
    fleet.nodes["lb2"].answers = {"uptime": "up 1 day\nload 0.1\n", "": "up 3 days"}
    with refused("steps.md:3: lb2: `uptime`", "'3 days' (line 6)", "up 1 day | load 0.1"):
        done(built, "```sh on=lb2\nuptime\n```\n```expect\n3 days\n```")


@pytest.mark.parametrize("output", ["", "\n"])
def test_nothing_seen_is_said(built: Live, fleet: Fleet, output: str) -> None:
    fleet.nodes["lb1"].answers = {"": output}
    with refused("saw: nothing"):
        done(built, "```sh on=lb1\ntrue\n```\n```expect\nup\n```")


def test_all_nodes_must_show_it(built: Live, fleet: Fleet) -> None:
    fleet.nodes["lb1"].answers = {"": "up"}
    fleet.nodes["lb2"].answers = {"": "down"}
    with refused("lb2: ", "saw: down"):
        done(built, "```sh on=directors\nstate\n```\n```expect\nup\n```")


def test_a_watched_block_is_run_until_it_shows_it(built: Live, fleet: Fleet) -> None:
    node = fleet.nodes["lb1"]
    answers = iter(["down", "up"])
    node.answers = {"": "down"}
    run = node.run

    def changing(command: str, timeout: float = 60, check: bool = True) -> object:
        node.answers = {"": next(answers)}
        return run(command, timeout, check)

    node.run = changing  # type: ignore[method-assign, assignment]
    found = done(built, "```sh on=lb1 watch\nstate\n```\n```expect within=5s\nup\n```")
    assert found.output == {"lb1": "up"}
    assert len(node.ran) == 2
    assert found.seconds < 4


def test_a_watched_block_has_an_end(built: Live, fleet: Fleet) -> None:
    fleet.nodes["lb1"].answers = {"": "down"}
    with refused("steps.md:3: lb1", "within 0 s", "saw: down"):
        done(built, "```sh on=lb1 watch\nstate\n```\n```expect within=0.1s\nup\n```")


def test_a_block_that_is_not_watched_runs_once(built: Live, fleet: Fleet) -> None:
    fleet.nodes["lb1"].answers = {"": "down"}
    with refused("saw: down"):
        done(built, "```sh on=lb1\nstate\n```\n```expect\nup\n```")
    assert len(fleet.nodes["lb1"].ran) == 1


def test_a_background_block_does_not_hold_the_page_up(built: Live, fleet: Fleet) -> None:
    done(built, "```sh on=lb1 background\nsleep 60\n```")
    assert fleet.nodes["lb1"].ran[0].startswith("nohup bash -c 'sleep 60'")
    assert fleet.nodes["lb1"].ran[0].endswith("&")


def test_a_role_is_whoever_has_it_now(built: Live, fleet: Fleet) -> None:
    fleet.holds("lb2")
    assert done(built, "```sh on=holder\nstate\n```").output == {"lb2": ""}
    assert done(built, "```sh on=peer\nstate\n```").output == {"lb1": ""}
    fleet.holds("")
    with refused("steps.md:3", "not whole", "no node"):
        done(built, "```sh on=holder\nstate\n```")


def test_the_client_is_this_machine(built: Live) -> None:
    assert done(built, "```sh on=client\necho here\n```").output == {"client": "here\n"}


@pytest.mark.parametrize("error", ["lost", "late"])
def test_a_node_that_is_gone_fails_its_step_in_one_line(
    built: Live, fleet: Fleet, error: str
) -> None:
    fleet.lose("lb1")
    if error == "late":
        fleet.nodes["lb1"].error = TimedOut("lb1: `state` did not end within 300 s")
    with refused("steps.md:3: lb1: `state` failed", "stopped" if error == "lost" else "300 s"):
        done(built, "```sh on=lb1\nstate\n```")


def test_a_node_that_is_gone_may_be_the_lesson(built: Live, fleet: Fleet) -> None:
    fleet.lose("lb1")
    assert done(built, "```sh on=lb1 fails\nreboot\n```").step.fails


def test_a_lost_node_names_the_install_that_it_missed(built: Live, fleet: Fleet) -> None:
    fleet.lose("lb2")
    with refused("01-pair/steps.md:3: lb2 stopped answering"):
        done(built, "```install on=directors\n/etc/ha.d/ha.cf\n```")


def test_a_file_that_is_nowhere_names_the_line_before_anything_runs(
    built: Live, fleet: Fleet
) -> None:
    with refused("01-pair/steps.md:3: ", "/etc/nowhere"):
        done(built, "```install on=directors\n/etc/nowhere\n```")
    assert not fleet.nodes["lb1"].ran


def test_recorded_nodes_play_the_part_of_real_ones() -> None:
    assert FakeNode("lb1", {"": "x"}).run("anything").stdout == "x"
