"""Ratios within one run: the machine may be busy, so both sides take turns."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Ratio(NamedTuple):
    """The median over the rounds, the least and the greatest; `seconds`: one turn of ours."""

    median: float
    low: float
    high: float
    seconds: float = 0.0


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes. What it is to be handed it has made before, by `prepare`."""
    if prepare := getattr(work, "prepare", None):
        prepare()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(
    ours: Callable[[], object], peer: Callable[[], object], rounds: int, turns: int = 1
) -> Ratio:
    """Time of `ours` over time of `peer`. In each round they take `turns` turns, one by one."""
    ratios, times = [], []
    for _round in range(rounds):
        pairs = [(seconds(ours), seconds(peer)) for _turn in range(turns)]
        mine = median(pair[0] for pair in pairs)
        times.append(mine)
        ratios.append(mine / median(pair[1] for pair in pairs))
    return of(ratios, median(times))


def of(ratios: list[float], taken: float = 0.0) -> Ratio:
    """The ratio that several rounds came to."""
    return Ratio(median(ratios), min(ratios), max(ratios), taken)
