"""docs/performance.md, from what a run measured."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from benchmarks.bench import Bench, Row
    from benchmarks.measure import Ratio

_BESIDE = 32 + 18
"""Bytes that a record has beside its event: the hash, and LMDB's own with the key."""

_LIBRARIES = ("atomicstate", "lmdb", "msgspec", "click", "eventsourcing")

_HEAD = """# Performance

Written by `./dev bench`; not by hand. `./dev bench NAME...` measures single rows and prints them.

Every figure is time of ours over time of the peer (or what the row says), within one run, both
taking turns: the median over the rounds, and the least and greatest round. Only such ratios
travel from one machine to another; `one turn` is ours, on this one.

"""

_NOTES = """
The long log has {many:,} events and the short one {few:,}, made through the store's own append, the
long one in {making:.0f} s: a long life of one system with 200 packages that come and go,
{mean:.0f} bytes an event as encoded.

- C is one `put` and a commit with sync by py-lmdb alone, in an environment of its own on the same
  file system. What a row of ours does beside it: validate, encode, read back, chain, hold against
  the newest event. The drafts of the events are made before.
- S is a loop over {many:,} events of 240 bytes, of the product's own shape (ten fields, actor, boot
  instance and body within) but as maps, which is what msgspec writes unless told otherwise.
- `eventsourcing` saves and rebuilds events that hold what ours do.
- "dated" rows divide by a figure that was measured once, on another machine, and not in this run.

Where a goal is missed, it stays in the table as missed. What bounds a row:

- `append`, `commit-100`, `commit-1000`: the flushes of C, and the processor's share beside them.
  Bare py-lmdb with as many records is `commit-100-bare` and `commit-1000-bare`.
- `append-eventsourcing`: LMDB flushes twice in a commit, the pages and then the page that names
  them, SQLite's log once: `sqlite-bare` is less than C. Where flushes take most of the time, the
  peer's slower code does not show.
- `writers`: eight writers wait for LMDB's one write lock, each with flushes of its own.
  `writers-bare` is what py-lmdb alone comes to.
- `size` counts as encoded the event alone. A record holds 32 bytes of hash beside it, LMDB 18 bytes
  a record: that is {size:.2f} before anything is left over at the end of a page. `size-record`
  counts the hash as encoded, too.
- `replay`: `replay-bare` reads and decodes the same events as narrow as the view does, a batch at a
  time, and folds none. The fold has what is left of the goal.
- `replay-eventsourcing`: {eventsourcing}.
- `verify` checks the two halves of a long log beside each other, where there are two processors.
- `snapshot-growth`: the long log's view holds 200 packages, that of a hundred events some forty.
  `snapshot-growth-view` has a view as large on the other side: the log's own length plays no part.
"""


class Line(NamedTuple):
    """A row, and what it came to."""

    row: Row
    ratio: Ratio


def verdict(line: Line) -> str:
    """Whether the goal is met."""
    row, ratio = line
    if row.goal is None:
        return ""
    met = ratio.median >= row.goal if row.at_least else ratio.median <= row.goal
    return "met" if met else "**missed**"


def table(lines: list[Line]) -> str:
    """The lines as a Markdown table."""
    rows = [
        "| row | what | against | ratio | spread | goal | | one turn |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for line in lines:
        row, ratio = line
        sign = "≥" if row.at_least else "≤"
        goal = f"{sign} {_number(row.goal)}" if row.goal is not None else ""
        spread = f"{_number(ratio.low)}..{_number(ratio.high)}"
        cells = (
            row.name,
            row.what,
            row.peer,
            _number(ratio.median),
            spread,
            goal,
            verdict(line),
            _time(ratio.seconds),
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def document(bench: Bench, lines: list[Line], mean: float) -> str:
    """The whole document."""
    scale = bench.scale
    notes = _NOTES.format(
        many=scale.many,
        few=scale.few,
        mean=mean,
        making=bench.making,
        size=(mean + _BESIDE) / mean,
        eventsourcing=_eventsourcing(lines, scale.many),
    )
    return _HEAD + _machine(bench.directory) + "\n" + table(lines) + notes


def _eventsourcing(lines: list[Line], many: int) -> str:
    """How a fortieth of the peer's rebuild compares with reading alone."""
    found = {line.row.name: line for line in lines}
    ours, bare = found.get("replay-eventsourcing"), found.get("replay-bare")
    if ours is None or bare is None or ours.row.goal is None:
        return "not measured in this run"
    peer = ours.ratio.seconds / ours.ratio.median / many
    return (
        f"the peer rebuilds an event in {peer * 1e6:.1f} us. The goal's part of that is "
        f"{peer * ours.row.goal * 1e6:.2f} us, and `replay-bare` takes "
        f"{bare.ratio.seconds / many * 1e6:.2f} us"
    )


def _machine(directory: Path) -> str:
    versions = ", ".join(f"{name} {_version(name)}" for name in _LIBRARIES)
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    answer = subprocess.run(
        ["stat", "-f", "-c", "%T", directory], capture_output=True, text=True, check=True
    )
    return (
        f"Run on {datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} processors ({model}), "
        f"Linux {platform.release()}, {answer.stdout.strip()}; "
        f"Python {platform.python_version()}, {versions}.\n"
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"


def _number(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 else f"{value:.4f}"


def _time(seconds: float) -> str:
    if not seconds:
        return ""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"
