"""Rows about whole processes, from start to exit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.bench import Bench, Row, forget_pages
from benchmarks.measure import Ratio, compare, of, seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from atomicstate.store.state import State

PROGRAM = Path(sys.executable).with_name("atomicstate")

DNF_HISTORY = 0.245
"""Seconds of `dnf history list`: measured once, not in this run."""

_CLICK = """
import click
@click.command()
def main():
    click.echo("hello")
main()
"""

_TEN = """
import sys
import click, lmdb, msgspec
@click.command()
@click.argument("directory")
def main(directory):
    decode = msgspec.msgpack.Decoder(list).decode
    with lmdb.open(directory, readonly=True, readahead=False, map_size=1 << 31) as environment:
        with environment.begin() as transaction, transaction.cursor() as cursor:
            cursor.last()
            for _, (_key, record) in zip(range(10), cursor.iterprev()):
                event = decode(record[:-32])
                click.echo(f"{event[0]} {event[3]} {event[1][0]}")
main()
"""


def running(*argv: str | Path) -> Callable[[], object]:
    """One run of a process, to its end, which must be a good one."""

    def turn() -> None:
        subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)

    return turn


def script(bench: Bench, name: str, text: str) -> Path:
    """A program in a file: its bytecode is not kept, as that of any main program."""
    path = bench.directory / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    return path


def _log(state: State) -> Callable[[], object]:
    return running(PROGRAM, "--state-dir", state.directory, "log", "-n", "10")


def _ten(bench: Bench, state: State) -> Callable[[], object]:
    return running(sys.executable, script(bench, "bare_ten", _TEN), state.log_directory)


def _turns(bench: Bench) -> int:
    return max(bench.scale.turns // 10, 1)


def _log_10(bench: Bench) -> Ratio:
    state = bench.many
    return compare(_log(state), _ten(bench, state), bench.scale.rounds, _turns(bench))


def _log_10_cold(bench: Bench) -> Ratio:
    state = bench.many
    data = state.log_directory / "data.mdb"

    def cold(work: Callable[[], object]) -> float:
        forget_pages(data)
        return seconds(work)

    ours, bare = _log(state), _ten(bench, state)
    pairs = [(cold(ours), cold(bare)) for _ in range(2 * bench.scale.rounds)]
    return of([mine / peers for mine, peers in pairs], min(mine for mine, _ in pairs))


def _log_10_dnf(bench: Bench) -> Ratio:
    work = _log(bench.many)
    return of([seconds(work) / DNF_HISTORY for _ in range(3 * bench.scale.rounds)])


def _log_10_growth(bench: Bench) -> Ratio:
    long, short = bench.many, bench.state(bench.scale.few)
    return compare(_log(long), _log(short), bench.scale.rounds, _turns(bench))


def _status(bench: Bench) -> Ratio:
    sandbox = bench.fresh()
    call = (PROGRAM, "--sandbox", sandbox)
    running(PROGRAM, "sandbox", "create", sandbox)()
    try:
        running(*call, "init")()
        running(*call, "package", "add", "--no-live", "hello", "-y")()
        click = running(sys.executable, script(bench, "bare_click", _CLICK))
        return compare(running(*call, "status"), click, bench.scale.rounds, _turns(bench))
    finally:
        running(PROGRAM, "sandbox", "destroy", sandbox, "-y")()


_BARE_TEN = "a program that imports click, lmdb and msgspec and prints ten records"

ROWS = (
    Row("log", "`log -n 10`, whole process, long log", _BARE_TEN, 1.2, _log_10),
    Row(
        "log-cold",
        "the same, the log's pages dropped from memory before each",
        _BARE_TEN + ", as cold",
        1.2,
        _log_10_cold,
    ),
    Row(
        "log-dnf",
        "`log -n 10`, whole process, long log",
        "dnf history list (dated: 245 ms, measured once, not in this run)",
        0.5,
        _log_10_dnf,
    ),
    Row("log-growth", "`log -n 10`, whole process, long log", "short log", 1.1, _log_10_growth),
    Row(
        "status",
        "`status`, whole process, in a sandbox",
        "a bare click program",
        1.5,
        _status,
    ),
)
