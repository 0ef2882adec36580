"""When to look at what somebody edits: once it has settled, and in the end even if it has not.

Seconds of a clock that never goes back; nothing here reads one.
"""

from __future__ import annotations

PATIENCE = 10
"""An edit that does not settle is looked at after so many times the time to settle."""


class Settling:
    """Collects changes into one look: after `settle` seconds without any, or `PATIENCE` of those.

    It holds three numbers, however many changes come.
    """

    def __init__(self, settle: float) -> None:
        self._settle = settle
        self._first: float | None = None
        self._last = 0.0
        self._again: float | None = None

    def changed(self, now: float) -> None:
        """Something was changed."""
        if self._first is None:
            self._first = now
        self._last = now

    def again(self, when: float) -> None:
        """A look is due at `when` also if nothing changes: the last one could not be done."""
        self._again = when if self._again is None else min(self._again, when)

    def looked(self) -> None:
        """All that was changed so far is being looked at."""
        self._first = self._again = None

    @property
    def due(self) -> float | None:
        """When to look; None: not before something changes."""
        if self._first is None:
            return self._again
        return min(self._last + self._settle, self._first + PATIENCE * self._settle)
