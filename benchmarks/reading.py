"""Rows about reading a long log in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.engine.session import SNAPSHOTS, Session
from atomicstate.events.codec import GENESIS
from atomicstate.events.event import Actor
from atomicstate.projectors import system as view
from atomicstate.projectors.fold import fold
from atomicstate.store.verify import verify
from benchmarks import peers
from benchmarks.bench import Bench, Row
from benchmarks.measure import Ratio, compare, of, seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from atomicstate.store.state import State

_REBUILT = 20_000
"""Events that the peer's aggregate has: it is read whole into memory."""


def replayed(state: State, check_from: bytes | None = None) -> view.System:
    """The view, from every event of the log."""
    system = view.System()
    with state.open_log(write=False, scan=True) as log:
        fold(system, log.records(), check_from=check_from)
    return system


def projected(state: State) -> None:
    """The view as a command gets it."""
    session = Session(state.directory, None, Actor(0, "root", -1, "status"))
    session.system()
    session.log.close()


def leave_snapshot(state: State) -> None:
    """A snapshot of the newest event."""
    system = replayed(state)
    with state.open_log(write=False) as log:
        head = log.head()
    state.snapshots.save(SNAPSHOTS[0], str(view.VERSION), head.seq, head.hash, system.to_bytes())


def _rounds(bench: Bench) -> int:
    """Turns that take a second are few."""
    return min(bench.scale.rounds, 5)


def _replay(*, check: bool) -> Callable[[Bench], Ratio]:
    def measure(bench: Bench) -> Ratio:
        state, check_from = bench.many, GENESIS if check else None
        with peers.open_bare(bench.map_events) as environment:
            return compare(
                lambda: replayed(state, check_from),
                lambda: peers.scan_and_decode(environment),
                _rounds(bench),
            )

    return measure


def _replay_bare(bench: Bench) -> Ratio:
    log = bench.many.log_directory
    with peers.open_bare(log) as ours, peers.open_bare(bench.map_events) as environment:
        return compare(
            lambda: peers.scan_and_decode_narrow(ours),
            lambda: peers.scan_and_decode(environment),
            _rounds(bench),
        )


def _replay_eventsourcing(bench: Bench) -> Ratio:
    from benchmarks import eventsourced

    state, count = bench.many, min(_REBUILT, bench.scale.many)
    with eventsourced.opened(bench.fresh()) as application:
        rebuild = eventsourced.rebuilding(application, count)
        ratio = compare(lambda: replayed(state), rebuild, min(bench.scale.rounds, 3))
    scale = count / bench.scale.many
    return of([part * scale for part in ratio[:3]], ratio.seconds)


def _verify(bench: Bench) -> Ratio:
    state = bench.many

    def ours() -> None:
        with state.open_log(write=False, scan=True) as log:
            verify(log, state.blobs, state.snapshots)

    def bare() -> None:
        with peers.open_bare(state.log_directory) as environment:
            peers.scan_and_hash(environment)

    return compare(ours, bare, _rounds(bench))


def _snapshot_against_replay(bench: Bench) -> Ratio:
    state = bench.many
    leave_snapshot(state)
    replay = min(seconds(lambda: replayed(state)) for _round in range(3))
    rounds = [seconds(lambda: projected(state)) / replay for _ in range(bench.scale.turns)]
    return of(rounds, replay)


def _snapshot_against(count: int) -> Callable[[Bench], Ratio]:
    """Against a log of `count` events; of 0, against the short one."""

    def measure(bench: Bench) -> Ratio:
        few = bench.scale.few
        long, short = bench.many, bench.state(min(count or few, few))
        for state in (long, short):
            leave_snapshot(state)
        return compare(
            lambda: projected(long), lambda: projected(short), bench.scale.rounds, bench.scale.turns
        )

    return measure


_S = "S: scan and decode of as many map-encoded events"

ROWS = (
    Row("replay", "replay of the long log, no snapshot", _S, 0.9, _replay(check=False)),
    Row(
        "replay-bare",
        "the limit: scan and decode of what the view reads of it, nothing folded",
        _S,
        None,
        _replay_bare,
    ),
    Row("replay-checked", "the same, the chain checked", _S, None, _replay(check=True)),
    Row(
        "replay-eventsourcing",
        "replay of the long log, an event",
        f"eventsourcing rebuilds {_REBUILT:,} from SQLite, an event",
        1 / 40,
        _replay_eventsourcing,
    ),
    Row(
        "verify",
        "`verify` of the long log",
        "a bare loop of scan and BLAKE2b over it",
        1.3,
        _verify,
    ),
    Row(
        "snapshot",
        "open and project, fresh snapshot, long log",
        "its full replay",
        0.005,
        _snapshot_against_replay,
    ),
    Row(
        "snapshot-growth",
        "open and project, fresh snapshot, long log",
        "the same with a hundred events",
        1.2,
        _snapshot_against(100),
    ),
    Row(
        "snapshot-growth-view",
        "open and project, fresh snapshot, long log",
        "the same with the short log, whose view is as large",
        None,
        _snapshot_against(0),
    ),
)
