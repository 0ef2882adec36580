"""The log folded: a transaction is one entry, whatever its steps; other events stand alone."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from atomicstate.events.asjson import kind
from atomicstate.projectors.transactions import Transaction
from atomicstate.store.search import Query, search

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atomicstate.store.log import Log
    from atomicstate.store.search import Found

FAR = 4096
"""So many events before its newest one, the begin of a transaction is not looked for any more."""


class Entry(NamedTuple):
    """One event, or all of a transaction, in order; then `story` tells it."""

    events: tuple[Found, ...]
    story: Transaction | None = None

    @property
    def last(self) -> Found:
        """The newest event in it."""
        return self.events[-1]


class _Group:
    """What was found of one entry, newest first."""

    def __init__(self, newest: Found) -> None:
        self.found = [newest]
        self.whole = not newest.event.transaction or kind(newest.event) == "transaction.begun"

    def take(self, found: Found) -> None:
        self.found.append(found)
        self.whole = kind(found.event) == "transaction.begun"

    def entry(self) -> Entry:
        events = tuple(reversed(self.found))
        story = (
            Transaction.of(item.event for item in events) if events[0].event.transaction else None
        )
        return Entry(events, story)


def newest_first(log: Log, start: int, stop: int) -> Iterator[Entry]:
    """The entries whose newest event is from `start` up to and without `stop`, newest first.

    What belongs to them is looked for before `start`, too. Raises CorruptError.
    """
    waiting: deque[_Group] = deque()
    under_way: dict[str, _Group] = {}
    for found in search(log, Query(), 1, stop, reverse=True):
        seq, transaction = found.event.seq, found.event.transaction
        if group := under_way.get(transaction) if transaction else None:
            group.take(found)
        elif seq >= start:
            group = _Group(found)
            waiting.append(group)
            if not group.whole:
                under_way[transaction] = group
        elif not under_way:
            break
        while waiting and _is_ready(waiting[0], seq):
            done = waiting.popleft()
            under_way.pop(done.found[0].event.transaction, None)
            yield done.entry()
    yield from (group.entry() for group in waiting)


def _is_ready(group: _Group, seq: int) -> bool:
    return group.whole or group.found[0].event.seq - seq >= FAR
