"""The screen is drawn whole: nothing is cut, nothing moves the cursor, sizes are kept."""

from __future__ import annotations

import pytest
from rich.text import Text

from workshop.stage import Menu, Typed, View, clean, code, fitting, frame

SIZES = [(60, 16), (80, 24), (100, 30), (213, 60)]
WHY = ["It is so.", "This is why it is so.", "And a third sentence that says `more` than that."]


def lines(view: View, width: int = 80, height: int = 24) -> list[str]:
    return [line.plain for line in frame(view, width, height)[0]]


def words(view: View, width: int = 80, height: int = 24) -> str:
    return " ".join(" ".join(lines(view, width, height)).split())


def full() -> View:
    return View(
        "Lab 1: A pair",
        "Build  3 of 9",
        "The heading",
        WHY,
        [Text("# " + "one word after another " * 8), Text("out")],
        [Text("You should see " + "what was expected " * 6)],
        "space next",
    )


@pytest.mark.parametrize(("width", "height"), [*SIZES, (20, 5), (61, 17)])
def test_every_cell_is_drawn_and_not_one_more(width: int, height: int) -> None:
    for view in (
        full(),
        View("t" * 300, "p"),
        View("t", "p", menu=Menu("m", ["x" * 300] * 90, 70)),
    ):
        drawn = frame(view, width, height)[0]
        assert [line.cell_len for line in drawn] == [width] * height


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_nothing_is_cut(width: int, height: int) -> None:
    shown = words(full(), width, height)
    for text in ("The heading", "It is so.", "one word after another " * 8, "expected " * 1):
        assert text.strip() in shown
    assert ("what was expected " * 6).strip() in shown
    assert "Build 3 of 9" in shown
    assert "space next" in shown


def test_a_long_output_ends_at_the_bottom_and_can_be_scrolled() -> None:
    view = full()
    view.body = [Text(f"line {i}.") for i in range(100)]
    drawn, over = frame(view, 80, 24)
    text = "\n".join(line.plain for line in drawn)
    assert "line 99." in text
    assert "lines above" in text
    seen = set()
    for view.scroll in range(over + 1):
        seen |= {line.strip() for line in lines(view) if line.strip().startswith("line")}
    assert seen == {f"line {i}." for i in range(100)}
    view.scroll = 10**6
    assert "line 0." in words(view)
    assert "lines below" in words(view)


def test_why_has_whole_sentences_only() -> None:
    assert fitting(WHY, 40, 1) == "It is so. This is why it is so."
    assert fitting(WHY, 10, 1) == "It is so."
    assert fitting(WHY, 80, 3) == " ".join(WHY)
    assert fitting([], 80, 3) == ""
    assert fitting(["x " * 100], 20, 1) == "x " * 100  # the first one in any case


def test_code_is_marked_and_has_no_backticks() -> None:
    text = code("run `this` now")
    assert text.plain == "run this now"
    assert [(s.start, s.end, s.style) for s in text.spans] == [(4, 8, "cyan")]


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        ("a\tb", "a       b"),
        ("50%\r100%", "50%100%"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[Hgone", "gone"),
        ("\x1b]0;title\x07x", "x"),
        ("bell\x07 \x00\x9b31m", "bell 31m"),
        ("ümläut ✓\n", "ümläut ✓\n"),
    ],
)
def test_output_cannot_move_the_cursor(output: str, shown: str) -> None:
    assert clean(output).strip() == shown.strip()


def test_a_long_command_goes_on_below_itself() -> None:
    text = (
        "for i in 1 2 3 4; do curl -s --max-time 2 http://192.168.56.100/ | grep -o 'web[12]'; done"
    )
    view = View("t", "p", "h", ["Why."], [Typed("$ ", text), Typed("  ", "  indented " * 9)])
    shown = lines(view)
    start = next(i for i, line in enumerate(shown) if "$ for" in line)
    assert shown[start].startswith("  $ for")
    assert all(line.startswith("    ") and line.strip() for line in shown[start + 1 : start + 4])
    assert text in words(view)


def test_a_menu_shows_where_one_is() -> None:
    menu = Menu("Go to", [f"step {i}" for i in range(50)], 0)
    menu.move(30)
    assert "> step 30" in words(View("t", "p", menu=menu))
    menu.move(-100)
    assert "> step 0" in words(View("t", "p", menu=menu))
    menu.move(100)
    assert "> step 49" in words(View("t", "p", menu=menu))


def test_a_window_that_is_too_small_is_told_so() -> None:
    assert words(full(), 50, 12).startswith("Please make this window larger: 60 by 16")
