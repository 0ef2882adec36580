"""Folding a long log: records in, straight from the store, without an Event for each.

Decoding is most of the cost of a replay, so records are decoded a batch at a time, into narrow
Structs that hold what the view reads and skip the rest. What is rare is decoded again in full and
goes through `System.apply`; a property test holds the two ways together.
"""

from __future__ import annotations

import gc
from itertools import islice
from typing import TYPE_CHECKING

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
    from collections.abc import Iterable

    from atomicstate.projectors.system import System

BATCH = 512
"""So many records are decoded in one go."""

FEW = 64
"""So many are not worth to load the narrow Structs for."""


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
    if not system.position or len(batch) < FEW or not _fold_narrow(system, batch):
        for record in batch:
            _whole(system, record)


def _fold_narrow(system: System, batch: list[bytes]) -> bool:
    """Fold `batch`, if all of it can be told from narrow Structs. Returns whether it was."""
    from atomicstate.projectors.narrow import STEPS, Added, Begun, Removed, decoded

    events = decoded(batch)
    if events is None:
        return False
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
            if kind is Added or kind is Removed:
                transaction = event.transaction
                name = ADDED if kind is Added else REMOVED
                acted[seq] = Action(seq, name, body.names, body.live, transaction, body.in_base)
                if transaction:
                    opened.pop(transaction, None)
            elif kind in STEPS:
                system.step(event.transaction, body.step, STEPS[kind])
            elif kind is Begun:
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
    return True


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
