"""`./dev bench [NAME...]`: all rows, and docs/performance.md; or the named ones, printed."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from atomicstate.events.codec import HASH_SIZE
from benchmarks import building, reading, recent, starting, writing
from benchmarks.bench import Bench, Row, Scale
from benchmarks.report import Line, document, table, verdict

DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
ROWS: tuple[Row, ...] = (*writing.ROWS, *reading.ROWS, *starting.ROWS, *recent.ROWS, *building.ROWS)


def chosen(names: list[str]) -> list[Row]:
    """The rows with these names, all where there are none. Raises SystemExit for others."""
    known = {row.name: row for row in ROWS}
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"bench: there is no row {unknown[0]!r}; rows: {', '.join(known)}")
    return [known[name] for name in names] or list(ROWS)


def measured(bench: Bench, rows: list[Row]) -> list[Line]:
    """Measure one row after the other, and say so."""
    lines = []
    for row in rows:
        start = time.monotonic()
        line = Line(row, row.measure(bench))
        lines.append(line)
        took = time.monotonic() - start
        ratio = f"{line.ratio.median:.3g} ({line.ratio.low:.3g}..{line.ratio.high:.3g})"
        print(
            f"{row.name:22}{ratio:28}{verdict(line):12}{took:5.0f} s", file=sys.stderr, flush=True
        )
    return lines


def mean_size(bench: Bench) -> float:
    """Bytes of an event of the short log, as encoded."""
    with bench.state(bench.scale.few).open_log(write=False, scan=True) as log:
        sizes = [len(record) - HASH_SIZE for record in log.records()]
    return sum(sizes) / len(sizes)


def main() -> None:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="rows; all without any")
    names = parser.parse_args().names
    rows = chosen(names)
    # Not /tmp, which may lie in memory: commits would cost nothing there.
    with tempfile.TemporaryDirectory(prefix="atomicstate-bench-", dir="/var/tmp") as directory:
        bench = Bench(Path(directory), Scale())
        lines = measured(bench, rows)
        if names:
            print(table(lines), end="")
        else:
            DOCUMENT.write_text(document(bench, lines, mean_size(bench)), encoding="utf-8")
            print(f"{DOCUMENT} is written")


if __name__ == "__main__":
    main()
