"""Folding a long log: records in, straight from the store, without an Event for each.

Decoding is most of the cost of a replay, so records are decoded a batch at a time, into narrow
Structs that hold what the view reads and skip the rest. What is rare is decoded again in full and
goes through `System.apply`; a property test holds the two ways together.
"""

from __future__ import annotations

import gc
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct, defstruct

from atomicstate.errors import CorruptError
from atomicstate.events import bodies, codec
from atomicstate.projectors.state import (
    ADDED,
    REMOVED,
    Action,
    OpenTransaction,
    out_of_order,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from atomicstate.projectors.system import System

BATCH = 512
"""So many records are decoded in one go."""


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


_STEPS: dict[type[Struct], str] = {_Started: "started", _Done: "done", _Skipped: "skipped"}
_FREQUENT: tuple[type[Struct], ...] = (_Added, _Removed, _Begun, *_STEPS)


def _rare() -> list[type[Struct]]:
    """A Struct without fields for each other kind: enough to know it by."""
    frequent = {kind.__struct_config__.tag for kind in _FREQUENT}
    return [
        defstruct(f"_{kind.__name__}", [], array_like=True, gc=False, tag=bodies.kind_of(kind))
        for kind in bodies.ALL
        if bodies.kind_of(kind) not in frequent
    ]


_Body: Any = _Added
for _kind in (*_FREQUENT, *_rare()):
    _Body |= _kind

_Narrow = defstruct(
    "_Narrow",
    [("seq", int), ("body", _Body), ("transaction", str), ("time", int)],
    array_like=True,
    gc=False,
)
_decode = msgspec.msgpack.Decoder(list[_Narrow]).decode  # type: ignore[valid-type]


def fold(system: System, records: Iterable[bytes], check_from: bytes | None = None) -> None:
    """Fold `records`, the events from `system.position + 1` on, into `system`.

    With `check_from`, the hash of the record before them, the chain is checked on the way.
    Raises CorruptError that names the first event which is none, out of order or off the chain;
    `system` then holds the events before it.
    """
    rows = iter(records)
    # The view has no cycles: the collector would only walk over it, again and again.
    collecting = gc.isenabled()
    gc.disable()
    try:
        while batch := list(islice(rows, BATCH)):
            if check_from is not None:
                check_from = _checked(batch, check_from, system)
            _fold(system, batch)
    finally:
        if collecting:
            gc.enable()


def _fold(system: System, batch: list[bytes]) -> None:
    # The first event goes the long way: it tells the log's id.
    events = _narrowed(batch) if system.position else None
    if events is None:
        for record in batch:
            _whole(system, record)
        return
    first = position = system.position
    clock = system.clock
    opened = system.open
    acted: dict[int, Action] = {}
    try:
        for event in events:
            seq = event.seq
            if seq != position + 1:
                raise out_of_order(seq, position + 1)
            body = event.body
            kind = body.__class__
            if kind is _Added or kind is _Removed:
                transaction = event.transaction
                name = ADDED if kind is _Added else REMOVED
                acted[seq] = Action(seq, name, body.names, body.live, transaction, body.in_base)
                if transaction:
                    opened.pop(transaction, None)
            elif kind in _STEPS:
                system.step(event.transaction, body.step, _STEPS[kind])
            elif kind is _Begun:
                record = batch[position - first][: -codec.HASH_SIZE]
                opened[event.transaction] = OpenTransaction(seq, body.mode, record, {})
            else:
                system.act(acted)
                acted.clear()
                system.position = position
                _whole(system, batch[position - first])
            position = seq
            if event.time > clock:  # noqa: PLR1730 - max() would cost a call per event
                clock = event.time
    finally:
        system.act(acted)
        system.position, system.clock = position, clock


def _narrowed(batch: list[bytes]) -> list[Any] | None:
    """The events of `batch`, narrow; None where there is one that only the long way can tell."""
    array = b"\xdd" + len(batch).to_bytes(4, "big")
    try:
        return _decode(array + b"".join([record[: -codec.HASH_SIZE] for record in batch]))
    except msgspec.DecodeError:
        return None


def _whole(system: System, record: bytes) -> None:
    """Fold one event of any kind, decoded in full."""
    try:
        event = codec.decode(record)
    except CorruptError as error:
        if error.seq is None:
            error.seq = system.position + 1
        raise
    system.apply(event)


def _checked(batch: list[bytes], previous: bytes, system: System) -> bytes:
    """Check the chain over `batch`, from the hash `previous`. Returns the hash at its end.

    Where it breaks, what comes before is folded first.
    """
    followed, previous = codec.chained(previous, batch)
    if followed < len(batch):
        _fold(system, batch[:followed])
        seq = system.position + 1
        raise CorruptError(
            f"the chain breaks at event {seq}: it, or the one before, is not what was written",
            seq=seq,
        )
    return previous
