"""Folding a long log: records in, straight from the store, without an Event for each.

Decoding is most of the cost of a replay, so each record is decoded into narrow Structs that hold
what the view reads and skip the rest. What is rare is decoded in full and goes through
`System.apply`; a property test holds the two ways together.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from atomicstate.errors import CorruptError
from atomicstate.events import codec
from atomicstate.projectors.state import (
    ADDED,
    REMOVED,
    Action,
    OpenTransaction,
    out_of_order,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from atomicstate.projectors.system import System


class _Added(Struct, array_like=True, gc=False, tag="package.added"):
    names: tuple[str, ...]
    live: bool
    in_base: tuple[str, ...] = ()


class _Removed(Struct, array_like=True, gc=False, tag="package.removed"):
    names: tuple[str, ...]
    live: bool
    in_base: tuple[str, ...] = ()


class _Begun(Struct, array_like=True, gc=False, tag="transaction.begun"):
    mode: str


class _Started(Struct, array_like=True, gc=False, tag="step.started"):
    step: str


class _Done(Struct, array_like=True, gc=False, tag="step.done"):
    step: str


class _Skipped(Struct, array_like=True, gc=False, tag="step.skipped"):
    step: str


class _Narrow(Struct, array_like=True, gc=False):
    seq: int
    body: _Added | _Removed | _Begun | _Started | _Done | _Skipped
    transaction: str
    time: int


_narrow = msgspec.msgpack.Decoder(_Narrow)


def fold(
    system: System, records: Iterable[bytes | memoryview], check_from: bytes | None = None
) -> None:
    """Fold `records`, the events from `system.position + 1` on, into `system`.

    With `check_from`, the hash of the record before them, the chain is checked on the way.
    Raises CorruptError that names the first event which is none, out of order or off the chain;
    `system` then holds the events before it.
    """
    if check_from is not None:
        records = _checked(records, check_from, system.position)
    # The view has no cycles: the collector would only walk over it, again and again.
    collecting = gc.isenabled()
    gc.disable()
    try:
        _fold(system, records)
    finally:
        if collecting:
            gc.enable()


def _fold(system: System, records: Iterable[bytes | memoryview]) -> None:
    decode = _narrow.decode
    position, clock = system.position, system.clock
    try:
        for record in records:
            try:
                # The first event goes the long way: it tells the log's id.
                event = decode(record[:-32]) if position else None
            except msgspec.DecodeError:
                event = None
            if event is None:
                # Rare, new, old or broken.
                system.position, system.clock = position, clock
                _whole(system, record)
                position, clock = system.position, system.clock
                continue
            if event.seq != position + 1:
                raise out_of_order(event.seq, position + 1)
            _take(system, event, record)
            position += 1
            if event.time > clock:  # noqa: PLR1730 - max() would cost a call per event
                clock = event.time
    finally:
        system.position, system.clock = position, clock


def _take(system: System, event: _Narrow, record: bytes | memoryview) -> None:
    """Fold one event of a frequent kind, the most frequent first."""
    body: Any = event.body
    kind = body.__class__
    if kind is _Added:
        system.act(Action(event.seq, ADDED, body.names, body.live, event.transaction, body.in_base))
    elif kind is _Started:
        system.step(event.transaction, body.step, "started")
    elif kind is _Done:
        system.step(event.transaction, body.step, "done")
    elif kind is _Begun:
        system.open[event.transaction] = OpenTransaction(
            event.seq, body.mode, bytes(record[:-32]), {}
        )
    elif kind is _Removed:
        system.act(
            Action(event.seq, REMOVED, body.names, body.live, event.transaction, body.in_base)
        )
    else:
        system.step(event.transaction, body.step, "skipped")


def _whole(system: System, record: bytes | memoryview) -> None:
    try:
        event = codec.decode(record)
    except CorruptError as error:
        if error.seq is None:
            error.seq = system.position + 1
        raise
    system.apply(event)


def _checked(
    records: Iterable[bytes | memoryview], previous: bytes, position: int
) -> Iterator[bytes | memoryview]:
    """`records`, each after its hash was found right."""
    for seq, record in enumerate(records, position + 1):
        encoded, found = codec.split(record)
        previous = codec.chain(previous, bytes(encoded))
        if found != previous:
            raise CorruptError(f"event {seq} is not what was written", seq=seq)
        yield record
