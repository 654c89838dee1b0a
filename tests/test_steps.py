"""The page as a program: what its fences become, and every mistake with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import LAB, refused, write_lab

from workshop import steps
from workshop.manifest import Lab
from workshop.steps import Expectation, Page

FAULT = (
    '\n[faults.dark]\ntitle = "Dark"\ndoes = "power_off"\nexpect = "It moves."\nserves = "peer"\n'
)
PAGE = """\
# A pair for {{ domain }}

```text
Shown, never run.
```

## Build

```install on=directors stage=tuned
/etc/ha.d/ha.cf
etc/ha.d/authkeys

```

```sh on=lb1,client watch
ping -c1 {{ nodes.lb2.front }}
```
```expect within=2.5s
/1 (packets )?received/
```

```notes
Wait for the questions.
```

### A database

```sql on=lb2 fails
DROP TABLE visits;
```

```expect
denied
```

## Try

```sh on=lb1 background session=a
sleep 60
```

```fault dark
```

## What you learned

```text
graph LR
```
"""


def page(labs: Path, text: str, toml: str = LAB + FAULT) -> Page:
    return steps.parse(write_lab(labs, toml=toml, steps=text))


def build(labs: Path, block: str) -> Page:
    """A page whose Build has this block, which starts in line 3."""
    return page(labs, f"## Build\n\n{block}\n")


def test_the_fences_become_steps_in_order(labs: Path) -> None:
    found = page(labs, PAGE)
    assert [(s.kind, s.section, s.line) for s in found.steps] == [
        ("install", "build", 9),
        ("sh", "build", 15),
        ("sql", "build", 28),
        ("sh", "try", 38),
        ("fault", "try", 42),
    ]
    assert [s.line for s in found.section("try")] == [38, 42]
    assert found.steps[2].heading == "A database"
    assert found.steps[0].where == "01-pair/steps.md:9"


def test_the_fences_attributes_are_taken(labs: Path) -> None:
    install, ping, drop, sleep, fault = page(labs, PAGE).steps
    assert (install.on, install.stage) == (["lb1", "lb2"], "tuned")
    assert install.paths == ["etc/ha.d/ha.cf", "etc/ha.d/authkeys"]
    assert (ping.on, ping.watch, ping.fails) == (["lb1", "client"], True, False)
    assert (drop.on, drop.watch, drop.fails) == (["lb2"], False, True)
    assert (sleep.background, sleep.session) == (True, "a")
    assert fault.target == "dark"


def test_variables_are_filled_in(labs: Path) -> None:
    found = page(labs, PAGE)
    assert found.text.startswith("# A pair for lamp.test\n")
    assert found.steps[1].body == "ping -c1 192.168.56.12"


def test_an_expectation_belongs_to_the_block_above(labs: Path) -> None:
    _, ping, drop, *_ = page(labs, PAGE).steps
    assert ping.expect == Expectation("/1 (packets )?received/", 18, 2.5)
    assert drop.expect == Expectation("denied", 32)


def test_notes_are_kept_apart(labs: Path) -> None:
    assert [text for _, _, text in page(labs, PAGE).notes] == ["Wait for the questions.\n"]


@pytest.mark.parametrize(
    ("text", "output", "met"),
    [
        ("received", "1 packets received\n", True),
        ("Received", "1 packets received\n", False),
        ("a.c", "abc", False),
        ("/a.c/", "abc", True),
        ("/^lb2$/", "lb1\nlb2\n", True),
        ("/^lb2$/", "lb12\n", False),
        ("/", "a/b", True),
        ("/etc/hosts", "cat: /etc/hosts", True),
    ],
)
def test_an_expectation_is_met(text: str, output: str, met: bool) -> None:
    assert Expectation(text, 1).met(output) is met


def test_a_fault_may_be_aimed(labs: Path) -> None:
    assert build(labs, "```fault dark on=peer\n```").steps[0].on == ["peer"]


def test_a_node_named_twice_runs_once(labs: Path) -> None:
    assert build(labs, "```sh on=lb2,directors\ntrue\n```").steps[0].on == ["lb2", "lb1"]


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ("```bash\nls\n```", ["unknown fence 'bash'", "install, sh, sql"]),
        ("```\nls\n```", ["unknown fence ''"]),
        ("~~~python\nls\n~~~", ["unknown fence 'python'"]),
        ("```sh\nls\n```", ["sh needs on="]),
        ("```install\n/etc/x\n```", ["install needs on="]),
        ("```sh on=lb9\nls\n```", ["'lb9'", "lb1"]),
        ("```sh on=\nls\n```", ["on=VALUE"]),
        ("```sh on=lb1,,lb2\nls\n```", ["no node or group ''"]),
        ("```sh on=web1\nls\n```", ["web1 is not among the nodes of this lab"]),
        ("```install on=client\n/etc/x\n```", ["'client'"]),
        ("```sql on=client\nSELECT 1;\n```", ["'client'"]),
        ("```sh on=lb1 whatch\nls\n```", ["no attribute 'whatch'", "watch"]),
        ("```sh on=lb1 watch=yes\nls\n```", ["write watch, not 'watch=yes'"]),
        ("```sh on=lb1 session\nls\n```", ["write session=VALUE"]),
        ("```sh on=lb1 stage=x\nls\n```", ["no attribute 'stage'"]),
        ("```sh on='lb1\nls\n```", ["No closing quotation"]),
        ("```notes on=lb1\nls\n```", ["notes has no attribute 'on'", "none"]),
        ("```sh on=lb1\n```", ["empty"]),
        ("```install on=lb1\n\n```", ["empty"]),
        ("```sh on=lb1\nls\n", ["clos"]),
        ("```fault\n```", ["no fault ''", "dark"]),
        ("```fault bright\n```", ["no fault 'bright'", "dark"]),
        ("```fault dark bright\n```", ["'bright'"]),
        ("```fault dark on=lb9\n```", ["'lb9'"]),
    ],
)
def test_a_mistake_in_a_fence_names_its_line(labs: Path, block: str, words: list[str]) -> None:
    with refused("01-pair/steps.md:3: ", *words):
        build(labs, block)


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ("```sh on=lb1\nls\n```\n```expect\n\n```", ["expect is empty"]),
        ("```sh on=lb1\nls\n```\n```expect\n/(/\n```", ["not a regular expression"]),
        ("```sh on=lb1\nls\n```\n```expect within=5s\na\n```", ["watch"]),
        ("```sh on=lb1 watch\nls\n```\n```expect within=5\na\n```", ["within='5'", "30s"]),
        ("```sh on=lb1 watch\nls\n```\n```expect within=1m\na\n```", ["within='1m'"]),
        ("```sh on=lb1\nls\n```\n```expect on=lb1\na\n```", ["no attribute 'on'", "within"]),
        ("```install on=lb1\nx\n```\n```expect\na\n```", ["install has no output"]),
        ("```fault dark\n\n```\n```expect\nlb2\n```", ["fault"]),
    ],
)
def test_a_mistake_in_an_expectation_names_its_line(
    labs: Path, block: str, words: list[str]
) -> None:
    with refused("01-pair/steps.md:6: ", *words):
        build(labs, block)


@pytest.mark.parametrize(
    ("between", "line"),
    [("A word.", 8), ("```notes\nx\n```", 10), ("### A heading", 8), ("```expect\na\n```", 10)],
)
def test_an_expectation_stands_directly_below(labs: Path, between: str, line: int) -> None:
    with refused(f"01-pair/steps.md:{line}: ", "directly below"):
        build(labs, f"```sh on=lb1\nls\n```\n\n{between}\n```expect\na\n```")


def test_steps_stand_in_build_or_try(labs: Path) -> None:
    with refused("01-pair/steps.md:3: ", "'## Build' or '## Try'"):
        page(labs, "# A pair\n\n```sh on=lb1\nls\n```\n")
    with refused("01-pair/steps.md:5: ", "'## Build' or '## Try'"):
        page(labs, "## Build\n\n## More\n\n```sh on=lb1\nls\n```\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("one\n\n{{ deadtme }}\n", [":3: ", "'deadtme' is undefined", "lab.toml"]),
        ("one\n{{ nodes.lb9.front }}\n", [":2: ", "lb9"]),
        ("one\n{{ deadtime }\n", [":2: "]),
        ("one\n{% if %}\n", [":2: "]),
        ("one\n{{ domain + 1 }}\n", ["str"]),
    ],
)
def test_a_mistake_in_a_variable_names_its_line(labs: Path, text: str, words: list[str]) -> None:
    with refused("01-pair/steps.md", *words):
        page(labs, text)


def test_a_page_that_is_missing_is_named(lab: Lab) -> None:
    (lab.folder / "steps.md").unlink()
    with refused("01-pair/steps.md is missing"):
        steps.parse(lab)


def test_a_page_in_another_encoding_is_named(lab: Lab) -> None:
    (lab.folder / "steps.md").write_bytes("für".encode("latin-1"))
    with refused("01-pair/steps.md", "UTF-8"):
        steps.parse(lab)


def test_indented_code_and_inline_code_are_prose(labs: Path) -> None:
    assert build(labs, "    ```sh on=lb1\n    ls\n    ```\n\nUse `sh on=lb1`.").steps == []


def test_commands_may_be_for_whoever_has_the_address(labs: Path) -> None:
    lab = write_lab(labs, steps="## Try\n\n```sh on=holder,peer\nls\n```\n")
    assert steps.parse(lab).steps[0].on == ["holder", "peer"]
    toml = LAB.replace('address = "192.168.56.100"\n', "")
    with refused("steps.md:3", "'holder'"):
        steps.parse(write_lab(labs, toml=toml, steps="## Try\n\n```sh on=holder\nls\n```\n"))
