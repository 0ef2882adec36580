"""Choosing some of several lines in the terminal, with a preview of what the choice means."""

from __future__ import annotations

import os
import re
import sys
import termios
import tty
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from atomicstate.cli.terminal import look_of
from atomicstate.errors import CanceledError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from atomicstate.cli.terminal import Look

_ENTER_SCREEN = "\x1b[?1049h\x1b[?25l"
_LEAVE_SCREEN = "\x1b[?25h\x1b[?1049l"
_CLEAR = "\x1b[H\x1b[2J"
_UP = frozenset({"\x1b[A", "\x1bOA", "k"})
_DOWN = frozenset({"\x1b[B", "\x1bOB", "j"})
_ACCEPT = frozenset({"\r", "\n"})
_CANCEL = frozenset({"q", "\x1b", "\x03", "\x04"})
# An arrow comes as three characters, the escape key as the first of them alone.
_KEY = re.compile(r"\x1b[\[O][A-Z]|.", re.DOTALL)
_HELP = "space: take or leave   a: all or none   enter: go on   q: cancel"


class Picker:
    """What is chosen of `count` lines, and where the cursor is. All are chosen at first."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.chosen = set(range(count))
        self.cursor = 0

    def press(self, key: str) -> bool:
        """Take in a key. Returns whether the choice is made. Raises CanceledError."""
        if key in _CANCEL:
            raise CanceledError("canceled: nothing was changed", hint="")
        if key in _UP:
            self.cursor = (self.cursor - 1) % self.count
        elif key in _DOWN:
            self.cursor = (self.cursor + 1) % self.count
        elif key == " ":
            self.chosen ^= {self.cursor}
        elif key == "a":
            everything = set(range(self.count))
            self.chosen = set() if self.chosen == everything else everything
        return key in _ACCEPT and bool(self.chosen)

    def lines(self, items: Sequence[str], preview: Sequence[str], look: Look) -> list[str]:
        """The screen: the window of the items around the cursor, then the preview, then help."""
        height = look.height or 24
        room = max(min(self.count, (height - 4) // 2), 1)
        top = min(max(self.cursor - room // 2, 0), self.count - room)
        shown = [self._item(place, items[place], look) for place in range(top, top + room)]
        left = max(height - len(shown) - 4, 0)
        return [
            look.paint(f"{len(self.chosen)} of {self.count} go in", "heading"),
            *shown,
            "",
            *(look.fit(line) if "\x1b" not in line else line for line in preview[:left]),
            look.paint(look.fit(_HELP), "dim"),
        ]

    def _item(self, place: int, text: str, look: Look) -> str:
        cursor = look.mark("current") if place == self.cursor else " "
        box = "[x]" if place in self.chosen else "[ ]"
        line = look.fit(f"{cursor} {box} {text}")
        return look.paint(line, "bold") if place == self.cursor else line


def pick(
    items: Sequence[str], preview: Callable[[frozenset[int]], Sequence[str]]
) -> frozenset[int]:
    """Let a person choose of `items`. Returns the places of the chosen ones, at least one.

    `preview` gives the lines that tell what a choice means. The screen is as it was afterwards.
    Raises CanceledError.
    """
    picker = Picker(len(items))
    stream = sys.stderr
    known: dict[frozenset[int], Sequence[str]] = {}

    def draw() -> None:
        chosen = frozenset(picker.chosen)
        if chosen not in known:
            known[chosen] = preview(chosen)
        lines = picker.lines(items, known[chosen], look_of(stream))
        stream.write(_CLEAR + "\r\n".join(lines))
        stream.flush()

    stream.write(_ENTER_SCREEN)
    try:
        with _keys() as keys:
            draw()
            for key in keys:
                if picker.press(key):
                    return frozenset(picker.chosen)
                draw()
        raise CanceledError("canceled: nothing was changed", hint="")
    except KeyboardInterrupt as error:
        raise CanceledError("canceled: nothing was changed", hint="") from error
    finally:
        stream.write(_LEAVE_SCREEN)
        stream.flush()


@contextmanager
def _keys() -> Iterator[Iterator[str]]:
    """The keys as they are pressed, also while nobody asks for one: none of them is lost.

    The terminal is as it was afterwards. They end where it is gone.
    """
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    tty.setraw(terminal, termios.TCSADRAIN)
    try:
        yield _read(terminal)
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _read(terminal: int) -> Iterator[str]:
    # A terminal that is gone says so by an error.
    with suppress(OSError):
        while pressed := os.read(terminal, 1024):
            yield from _KEY.findall(pressed.decode("utf-8", "replace"))
