"""The benchmarks work; what they measure is no test's business."""

from __future__ import annotations

import pytest

from benchmarks.__main__ import ROWS, chosen
from benchmarks.bench import Bench, Scale
from benchmarks.report import Line, document

TINY = Scale(many=600, few=150, rounds=1, turns=1, seconds=0.02)
NEEDS_MORE = {
    "status",
    "recent",
    "append-eventsourcing",
    "replay-eventsourcing",
    "one-more",
    "one-more-squashed",
}
"""A sandbox, images, or the peer, which only `./dev bench` installs."""


def test_every_row_gives_a_ratio_and_the_document_names_it(tmp_path):
    bench = Bench(tmp_path, TINY)
    lines = [Line(row, row.measure(bench)) for row in ROWS if row.name not in NEEDS_MORE]
    assert all(0 < line.ratio.low <= line.ratio.median <= line.ratio.high for line in lines)
    written = document(bench, lines, 240.0)
    for line in lines:
        assert f"| {line.row.name} |" in written


def test_an_unknown_row_is_refused_by_name():
    with pytest.raises(SystemExit, match="no row 'speed'"):
        chosen(["speed"])
