"""How a run goes on, drawn on standard error.

On a terminal: a line for each step that ended, below them the one under way with its bar and the
last lines of a tool's output, redrawn in place. Elsewhere nothing, or plain lines with -v.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Protocol

from atomicstate.cli.terminal import Look, clean, is_terminal, look_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from atomicstate.engine.results import Reporter

    Reporting = AbstractContextManager[Reporter]

_LINES = 5
_BAR = 24
_EVERY = 0.08
_STYLES = {"done": "green", "skipped": "dim", "failed": "red", "undone": "yellow"}


class _Drawing(Protocol):
    """A reporter with an end."""

    def step(self, step: str, status: str) -> None: ...

    def progress(self, percent: float, message: str) -> None: ...

    def line(self, text: str) -> None: ...

    def note(self, text: str) -> None: ...

    def close(self) -> None: ...


@contextmanager
def reporting(*, verbose: bool) -> Iterator[_Drawing]:
    """The reporter that suits standard error; what it drew in passing is wiped at the end."""
    drawing = _drawing(sys.stderr, verbose=verbose)
    try:
        yield drawing
    finally:
        drawing.close()


def _drawing(stream: IO[str], *, verbose: bool) -> _Drawing:
    look = look_of(stream)
    # A terminal that can't be steered gets lines, too.
    if is_terminal(stream) and look.colour:
        return Live(stream, look, all_lines=verbose)
    return Plain(stream, look, verbose=verbose)


class Plain:
    """Plain lines: sentences always, the rest where it was asked for."""

    def __init__(self, stream: IO[str], look: Look, *, verbose: bool) -> None:
        self._stream = stream
        self._look = look
        self._verbose = verbose

    def step(self, step: str, status: str) -> None:
        """One line for each change of a step."""
        if self._verbose:
            self._write(f"{step}: {status}")

    def progress(self, percent: float, message: str) -> None:
        """Nothing: it would be a line for every package and percent."""

    def line(self, text: str) -> None:
        """A tool's line, set in."""
        if self._verbose:
            self._write("  " + plain_output(text))

    def note(self, text: str) -> None:
        """A sentence."""
        self._write(clean(text))

    def close(self) -> None:
        """Nothing to wipe."""

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


class Live:
    """The picture on a terminal that can be steered."""

    def __init__(self, stream: IO[str], look: Look, *, all_lines: bool = False) -> None:
        self._stream = stream
        self._look = look
        self._all_lines = all_lines
        self._step = ""
        self._undoing = False
        self._since = 0.0
        self._percent: float | None = None
        self._message = ""
        self._tail: deque[str] = deque(maxlen=_LINES)
        self._drawn = 0
        self._next_draw = 0.0

    def step(self, step: str, status: str) -> None:
        """Begin the line of a step, or leave it behind with its mark and duration."""
        if status in ("started", "undoing"):
            self._step, self._undoing = step, status == "undoing"
            self._since = time.monotonic()
            self._percent, self._message = None, ""
            self._tail.clear()
        else:
            self._keep(self._ended(step, status))
            self._step = ""
        self._draw(now=True)

    def progress(self, percent: float, message: str) -> None:
        """Move the bar."""
        self._percent, self._message = min(max(percent, 0.0), 100.0), clean(message)
        self._draw()

    def line(self, text: str) -> None:
        """Show a tool's line below the step, until others push it out."""
        shown = plain_output(text)
        if self._all_lines:
            self._keep(self._look.paint(self._look.fit("  " + shown), "dim"))
        elif shown.strip():
            self._tail.append(shown)
        self._draw()

    def note(self, text: str) -> None:
        """A sentence that stays."""
        self._keep(clean(text))
        self._draw(now=True)

    def close(self) -> None:
        """Wipe what is under way."""
        self._wipe()
        self._stream.flush()

    def _ended(self, step: str, status: str) -> str:
        took = time.monotonic() - self._since if self._step == step else 0.0
        mark = self._look.paint(self._look.mark(status), _STYLES[status])
        duration = f"{took:6.1f} s" if took >= 0.1 else ""  # noqa: PLR2004 - seconds
        said = {"skipped": "nothing to do", "failed": "failed", "undone": "taken back"}
        rest = said.get(status, duration)
        return f"  {mark} {step:<14}{self._look.paint(rest, 'dim')}".rstrip()

    def _keep(self, line: str) -> None:
        self._wipe()
        self._stream.write(line + "\n")
        self._stream.flush()

    def _wipe(self) -> None:
        if self._drawn:
            self._stream.write(f"\x1b[{self._drawn}F\x1b[J")
            self._drawn = 0

    def _draw(self, *, now: bool = False) -> None:
        clock = time.monotonic()
        if not self._step or (clock < self._next_draw and not now):
            return
        self._next_draw = clock + _EVERY
        lines = [self._current(clock)]
        # A small window shows less, so that nothing scrolls out of reach.
        room = max(min(_LINES, self._look.height - 3), 0)
        paint, fit = self._look.paint, self._look.fit
        lines += [paint(fit("      " + text), "dim") for text in list(self._tail)[-room or 99 :]]
        self._wipe()
        self._stream.write("\n".join(lines) + "\n")
        self._stream.flush()
        self._drawn = len(lines)

    def _current(self, clock: float) -> str:
        name = f"undo {self._step}" if self._undoing else self._step
        head = f"  {self._look.mark('current')} {name:<14}"
        if self._percent is None:
            rest = f"{clock - self._since:6.1f} s"
            return self._look.paint(head, "cyan") + self._look.paint(rest, "dim")
        full = round(self._percent / 100 * _BAR)
        filled, empty = ("━", "─") if self._look.unicode else ("#", "-")
        bar = self._look.paint(filled * full, "green") + self._look.paint(
            empty * (_BAR - full), "dim"
        )
        text = self._look.fit(f" {self._percent:3.0f} % {self._message}", len(head) + _BAR)
        return self._look.paint(head, "cyan") + bar + text


def plain_output(text: str) -> str:
    """A tool's line without colours, and of a line that was redrawn the last state alone."""
    last = text.rstrip("\r").rpartition("\r")[2]
    if "\x1b" in last:
        import re

        last = re.sub(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|[@-Z\\-_])", "", last)
    return clean(last.replace("\t", "    "))
