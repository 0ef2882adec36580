"""Choosing lines: the keys, the screen, and a person at a terminal."""

from __future__ import annotations

import sys

import pytest

from atomicstate.cli.picker import Picker
from atomicstate.cli.terminal import Look
from atomicstate.errors import CanceledError
from tests.support.terminal import at_a_terminal

DOWN, UP = "\x1b[B", "\x1b[A"


def pressed(count: int, *keys: str) -> Picker:
    picker = Picker(count)
    for key in keys:
        picker.press(key)
    return picker


def test_everything_goes_in_at_first() -> None:
    assert pressed(3).chosen == {0, 1, 2}


def test_space_takes_one_out_and_in_again() -> None:
    assert pressed(3, DOWN, " ").chosen == {0, 2}
    assert pressed(3, DOWN, " ", " ").chosen == {0, 1, 2}


def test_the_cursor_goes_round() -> None:
    assert pressed(3, UP).cursor == 2
    assert pressed(3, DOWN, DOWN, DOWN).cursor == 0


def test_all_or_none() -> None:
    assert pressed(3, "a").chosen == set()
    assert pressed(3, " ", "a").chosen == {0, 1, 2}


def test_nothing_can_not_be_chosen() -> None:
    picker = pressed(2, "a")
    assert not picker.press("\r")
    assert pressed(2).press("\r")


@pytest.mark.parametrize("key", ["q", "\x1b", "\x03"])
def test_a_person_can_leave(key: str) -> None:
    with pytest.raises(CanceledError):
        pressed(2, key)


@pytest.mark.parametrize("height", [6, 10, 24, 80])
@pytest.mark.parametrize("count", [1, 3, 100])
def test_the_screen_fits_and_shows_the_cursor(height: int, count: int) -> None:
    look = Look(width=40, height=height)
    picker = pressed(count, *[DOWN] * (count // 2))
    items = [f"item {place} " + "x" * 60 for place in range(count)]
    lines = picker.lines(items, [f"preview {n}" for n in range(200)], look)
    assert len(lines) <= height
    assert all(len(line) <= 40 for line in lines)
    assert any(f"item {picker.cursor} " in line for line in lines)


SCRIPT = """
from atomicstate.cli.picker import pick
print(sorted(pick(["jq", "tree", "nano"], lambda chosen: [f"{len(chosen)} chosen"])))
"""


SLOW = """
import time
from atomicstate.cli.picker import pick

def preview(chosen):
    time.sleep(0.5)
    return [f"{len(chosen)} chosen"]

print(sorted(pick(["jq", "tree", "nano"], preview)))
"""


def test_no_key_is_lost_while_the_preview_takes_its_time() -> None:
    argv = [sys.executable, "-c", SLOW]
    status, shown = at_a_terminal(argv, " ", DOWN + " " + DOWN, DOWN, "\r", until="chosen")
    assert status == 0
    assert shown.rstrip().endswith("[2]")


def test_the_escape_key_alone_cancels() -> None:
    status, shown = at_a_terminal([sys.executable, "-c", SCRIPT], "\x1b", until="chosen")
    assert status == 1
    assert "canceled: nothing was changed" in shown


def test_a_person_at_a_terminal_chooses() -> None:
    argv = [sys.executable, "-c", SCRIPT]
    status, shown = at_a_terminal(argv, DOWN, " ", "\r", until="chosen")
    assert status == 0
    assert shown.rstrip().endswith("[0, 2]")
    assert "2 chosen" in shown
    # The screen is given back.
    assert shown.index("\x1b[?1049h") < shown.index("\x1b[?1049l") < shown.index("[0, 2]")
