"""Rows about appending."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from itertools import islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atomicstate.events import codec
from atomicstate.store.log import Log
from benchmarks import mix, peers
from benchmarks.bench import Bench, Row
from benchmarks.measure import Ratio, compare, of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from atomicstate.events.event import Draft

DBOS_STEP = 12.0
"""A step of dbos 3.4.0 on SQLite, in C: measured once, not in this run."""

WRITERS = 8

_ROOT = Path(__file__).parents[1]


class Appending:
    """One durable commit of `size` events from `source`, decided at the head."""

    def __init__(self, log: Log, source: Iterator[Draft], size: int = 1) -> None:
        self._log = log
        self._source = source
        self._size = size

    def prepare(self) -> None:
        """Make the drafts: that is not the store's work."""
        self._drafts = list(islice(self._source, self._size))

    def __call__(self) -> None:
        self._log.append(self._drafts, decided_at=self._log.head().seq)


def committing(environment: Any, size: int = 1) -> Callable[[], object]:
    """C: one durable commit of one record, by py-lmdb alone; or of `size` records."""
    value = bytes(272)

    def turn() -> None:
        with environment.begin(write=True) as transaction, transaction.cursor() as cursor:
            seq = int.from_bytes(cursor.key(), "big") if cursor.last() else 0
            keys = range(seq + 1, seq + 1 + size)
            cursor.putmulti([(key.to_bytes(8, "big"), value) for key in keys], append=True)

    return turn


def inserting(connection: sqlite3.Connection) -> Callable[[], object]:
    """One durable insert of one record, by sqlite3 alone."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, record BLOB)")
    value = bytes(272)

    def turn() -> None:
        with connection:
            connection.execute("INSERT INTO events (record) VALUES (?)", (value,))

    return turn


def _against_bare(size: int) -> Callable[[Bench], Ratio]:
    def measure(bench: Bench) -> Ratio:
        with Log.create(_made(bench)) as log, peers.open_bare(bench.fresh()) as environment:
            ours, bare = Appending(log, mix.drafts(), size), committing(environment)
            return compare(ours, bare, bench.scale.rounds, bench.scale.turns)

    return measure


def _bare_against_bare(size: int) -> Callable[[Bench], Ratio]:
    def measure(bench: Bench) -> Ratio:
        with peers.open_bare(bench.fresh()) as many, peers.open_bare(bench.fresh()) as one:
            turns = committing(many, size), committing(one)
            return compare(*turns, bench.scale.rounds, bench.scale.turns)

    return measure


def _sqlite(bench: Bench) -> Ratio:
    with (
        closing(sqlite3.connect(bench.fresh())) as connection,
        peers.open_bare(bench.fresh()) as environment,
    ):
        turns = inserting(connection), committing(environment)
        return compare(*turns, bench.scale.rounds, bench.scale.turns)


def _made(bench: Bench) -> Path:
    directory = bench.fresh()
    directory.mkdir()
    return directory / "log"


def _against_eventsourcing(bench: Bench) -> Ratio:
    from benchmarks import eventsourced

    with Log.create(_made(bench)) as log, eventsourced.opened(bench.fresh()) as peer:
        saving = eventsourced.saving(peer)
        return compare(Appending(log, mix.drafts()), saving, bench.scale.rounds, bench.scale.turns)


def _against_dbos(bench: Bench) -> Ratio:
    ratio = _against_bare(1)(bench)
    return of([part / DBOS_STEP for part in ratio[:3]], ratio.seconds)


def _growth(bench: Bench) -> Ratio:
    with ExitStack() as stack:
        states = bench.many, bench.state(bench.scale.few)
        long, short = (stack.enter_context(state.open_log()) for state in states)
        ours, peer = (Appending(log, repeat(mix.recorded())) for log in (long, short))
        return compare(ours, peer, bench.scale.rounds, bench.scale.turns)


# -- several writers ---------------------------------------------------------------------------

_WRITER = "import sys; from benchmarks.writing import write; write(*sys.argv[1:])"


def write(kind: str, directory: str, seconds: str) -> None:
    """As a process of its own: commit for so long, after a line on standard input; say how often.

    What is committed is the same event for the store and for bare LMDB.
    """
    with ExitStack() as stack:
        if kind == "store":
            log = stack.enter_context(Log.open(Path(directory)))
            draft = mix.recorded()
            turn: Callable[[], object] = lambda: log.append([draft])  # noqa: E731
        else:
            turn = committing(stack.enter_context(peers.open_bare(Path(directory))))
        print("ready", flush=True)
        sys.stdin.readline()
        count, end = 0, time.perf_counter() + float(seconds)
        while time.perf_counter() < end:
            turn()
            count += 1
    print(count, flush=True)


def rate(kind: str, directory: Path, writers: int, seconds: float) -> float:
    """Commits that so many processes make together in `seconds`."""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, kind, str(directory), str(seconds)],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(writers)
    ]
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    return sum(float(child.communicate()[0]) for child in children)


def _writers(kind: str) -> Callable[[Bench], Ratio]:
    def measure(bench: Bench) -> Ratio:
        if kind == "store":
            directory = _made(bench)
            Log.create(directory).close()
        else:
            directory = bench.fresh()
            peers.open_bare(directory).close()
        ratios = []
        for _round in range(min(bench.scale.rounds, 5)):
            one = rate(kind, directory, 1, bench.scale.seconds)
            ratios.append(rate(kind, directory, WRITERS, bench.scale.seconds) / max(one, 1))
        return of(ratios)

    return measure


# -- size --------------------------------------------------------------------------------------


def _size(beside: int) -> Callable[[Bench], Ratio]:
    """Bytes on disk over those of the events with `beside` bytes more each."""

    def measure(bench: Bench) -> Ratio:
        state = bench.many
        with state.open_log(write=False, scan=True) as log:
            bare = (len(record) - codec.HASH_SIZE for record in log.records())
            encoded = sum(size + beside for size in bare)
        return of([(state.log_directory / "data.mdb").stat().st_size / encoded])

    return measure


_BARE = "C: a bare py-lmdb durable commit"

ROWS = (
    Row("append", "one durable append", _BARE, 1.1, _against_bare(1)),
    Row(
        "append-eventsourcing",
        "one durable append",
        "eventsourcing on SQLite, one event saved",
        1 / 1.8,
        _against_eventsourcing,
    ),
    Row(
        "append-dbos",
        "one durable append",
        "a dbos step (dated: 12 C, measured once, not in this run)",
        1 / 10,
        _against_dbos,
    ),
    Row(
        "sqlite-bare",
        "one durable insert by sqlite3 alone (WAL, FULL)",
        _BARE,
        None,
        _sqlite,
    ),
    Row("commit-100", "100 events in a commit", _BARE, 2.5, _against_bare(100)),
    Row(
        "commit-100-bare",
        "the limit: 100 records in a commit of bare py-lmdb",
        _BARE,
        None,
        _bare_against_bare(100),
    ),
    Row("commit-1000", "1,000 events in a commit", _BARE, 8.0, _against_bare(1000)),
    Row(
        "commit-1000-bare",
        "the limit: 1,000 records in a commit of bare py-lmdb",
        _BARE,
        None,
        _bare_against_bare(1000),
    ),
    Row(
        "writers",
        "the rate of eight writing processes",
        "the rate of one",
        1.0,
        _writers("store"),
        at_least=True,
    ),
    Row(
        "writers-bare",
        "the limit: eight writing processes of bare py-lmdb",
        "one of them",
        None,
        _writers("bare"),
        at_least=True,
    ),
    Row("size", "bytes on disk", "bytes of the events as encoded", 1.2, _size(0)),
    Row(
        "size-record",
        "the same",
        "bytes of the records as encoded: event and hash",
        None,
        _size(codec.HASH_SIZE),
    ),
    Row("growth-append", "one durable append, long log", "short log", 1.15, _growth),
)
