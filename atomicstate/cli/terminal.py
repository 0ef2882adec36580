"""What a stream can show, and text that is safe and fits on it."""

from __future__ import annotations

import os
import sys
from typing import IO, NamedTuple

STYLES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
    "asked": "1;36",
    "heading": "1",
    "error": "1;31",
}

_MARKS = {"done": "✓", "failed": "✗", "skipped": "–", "undone": "↶", "current": "▸", "cut": "…"}
_PLAIN_MARKS = {
    "done": "+",
    "failed": "x",
    "skipped": "-",
    "undone": "<",
    "current": ">",
    "cut": ".",
}

_UNITS = ("B", "kB", "MB", "GB", "TB")


class Look(NamedTuple):
    """How to draw: with colour or not, in how many columns and rows (0: no limit)."""

    colour: bool = False
    width: int = 0
    height: int = 0
    unicode: bool = True

    def paint(self, text: str, style: str) -> str:
        """`text` in a style of STYLES, where there is colour."""
        if not self.colour or not text or not style:
            return text
        return f"\x1b[{STYLES[style]}m{text}\x1b[0m"

    def mark(self, name: str) -> str:
        """The sign for done, failed, skipped, undone, current or cut."""
        return (_MARKS if self.unicode else _PLAIN_MARKS)[name]

    def fit(self, text: str, used: int = 0) -> str:
        """`text` cut to what is left of a line of which `used` columns are taken."""
        if not self.width:
            return text
        return cut(text, max(self.width - used, 1), self.mark("cut"))


def look_of(stream: IO[str]) -> Look:
    """What `stream` can show: colour and a width on a terminal alone."""
    unicode = (getattr(stream, "encoding", "") or "").lower().replace("-", "") == "utf8"
    if not is_terminal(stream):
        return Look(unicode=unicode)
    colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") not in ("", "dumb")
    try:
        size = os.get_terminal_size(stream.fileno())
    except OSError:
        return Look(colour, 80, 24, unicode)
    return Look(colour, size.columns or 80, size.lines or 24, unicode)


def is_terminal(stream: IO[str] | None) -> bool:
    """Whether a person is at the other end. A closed stream is no terminal."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def can_ask() -> bool:
    """Whether a question can be put and answered here."""
    return is_terminal(sys.stdin) and is_terminal(sys.stderr)


def clean(text: str) -> str:
    """`text` with what a terminal could obey (or can't encode) shown as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def width_of(text: str) -> int:
    """The columns that `text` takes: two for a wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, width: int, mark: str = "…") -> str:
    """The start of `text` in at most `width` columns, ending in `mark` if something is left out."""
    if width_of(text) <= width:
        return text
    kept, used = [], width_of(mark)
    for character in text:
        used += width_of(character)
        if used > width:
            break
        kept.append(character)
    return "".join(kept) + mark


def pad(text: str, width: int) -> str:
    """`text` filled with blanks to `width` columns."""
    return text + " " * (width - width_of(text))


def table(
    rows: list[tuple[str, ...]], *, right: tuple[int, ...] = (), indent: str = "  "
) -> list[str]:
    """`rows` as aligned lines, two blanks between columns; those in `right` set to the right."""
    if not rows:
        return []
    widths = [max(width_of(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            " " * (width - width_of(cell)) + cell if column in right else pad(cell, width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append((indent + "  ".join(cells)).rstrip())
    return lines


def size(count: int) -> str:
    """A number of bytes for people: `1.2 MB`."""
    value, sign, units = float(abs(count)), "-" if count < 0 else "", list(_UNITS)
    while value >= 1000 and len(units) > 1:  # noqa: PLR2004 - SI units
        value /= 1000
        units.pop(0)
    number = f"{value:.0f}" if units[0] == "B" or value >= 100 else f"{value:.1f}"  # noqa: PLR2004
    return f"{sign}{number} {units[0]}"


def counted(count: int, word: str) -> str:
    """A number of things, `word` is one of: `1 event`, `2 events`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
