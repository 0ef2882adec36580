"""What all rows share: how much is measured, and the logs that are made once a run."""

from __future__ import annotations

import os
import time
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from atomicstate.store.state import State
from benchmarks import mix, peers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.measure import Ratio


class Scale(NamedTuple):
    """Events in the long log and in the short one, rounds of a row, and turns in a round."""

    many: int = 1_000_000
    few: int = 10_000
    rounds: int = 7
    turns: int = 40
    seconds: float = 1.0


class Row(NamedTuple):
    """One line of the table. The goal is met by a ratio up to `goal`, or, `at_least`, from it.

    Without a goal it is there to judge others by.
    """

    name: str
    what: str
    peer: str
    goal: float | None
    measure: Callable[[Bench], Ratio]
    at_least: bool = False


class Bench:
    """One run, in an empty directory. `making` are the seconds that making the long log took."""

    def __init__(self, directory: Path, scale: Scale) -> None:
        self.directory = directory
        self.scale = scale
        self.making = 0.0
        self._made = 0

    def fresh(self) -> Path:
        """A directory that is not there yet."""
        self._made += 1
        return self.directory / str(self._made)

    def state(self, count: int) -> State:
        """A state directory with a log of `count` events, the same for all rows."""
        return mix.state_at(self.directory / f"log-{count}", count)

    @cached_property
    def many(self) -> State:
        """The long log."""
        start = time.monotonic()
        state = self.state(self.scale.many)
        self.making = time.monotonic() - start
        return state

    @cached_property
    def map_events(self) -> Path:
        """As many map-encoded events in bare LMDB."""
        directory = self.directory / "map-events"
        peers.fill_map_events(directory, self.scale.many)
        return directory


def forget_pages(path: Path) -> None:
    """Have the kernel drop what it keeps of the file in memory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
