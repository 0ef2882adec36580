"""Searching the log: which events are asked for, found in constant memory.

Most events of a long log are not asked for. All names that a query can hold stand as plain
bytes in a record, so a search for bytes sorts most of them out before any is decoded.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Raw, Struct
from msgspec.msgpack import Decoder

from atomicstate.errors import CorruptError, NotFoundError
from atomicstate.events import codec
from atomicstate.events.asjson import kind
from atomicstate.events.ids import made_after
from atomicstate.store.log import CHECK_LIMIT, broken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from atomicstate.events.event import Event, UnknownEvent
    from atomicstate.store.log import Log
    from atomicstate.store.snapshots import Snapshots

WINDOW = 4096
"""Events that a search backward looks at in one go, oldest first; it begins with fewer."""

FIRST_WINDOW = 64

_ONE_MOMENT = 8
"""Characters of a transaction's id that tell when it was made to about a minute."""

MARGIN = 60_000_000_000
"""Nanoseconds that the clock may have been set back between an id's making and its first event."""


class Found(NamedTuple):
    """An event, its hash, and whether its clock lies before that of the event before."""

    event: Event | UnknownEvent
    hash: bytes
    went_back: bool


class Query(NamedTuple):
    """What is asked for: all of it must hold.

    `records` look at a record's bytes, cheaply: they may let too much through, never too little.
    `events` look at the event, and decide.
    """

    records: tuple[Callable[[bytes], bool], ...] = ()
    events: tuple[Callable[[Event | UnknownEvent], bool], ...] = ()

    @property
    def is_all(self) -> bool:
        """Whether every event is asked for."""
        return not self.records and not self.events


def holds(*needles: bytes) -> Callable[[bytes], bool]:
    """Whether a record holds one of `needles`."""
    if len(needles) == 1:
        [needle] = needles
        return lambda record: needle in record

    def found(record: bytes) -> bool:
        for needle in needles:  # noqa: SIM110 - any() takes half as long again
            if needle in record:
                return True
        return False

    return found


class _Glance(Struct, array_like=True, gc=False):
    """The time of an event, without decoding the rest."""

    seq: int
    body: Raw
    transaction: Raw
    time: int


_glance = Decoder(_Glance)


def glance_time(record: bytes) -> int:
    """The time in a record, in nanoseconds. Raises CorruptError where there is none."""
    try:
        return _glance.decode(record[: -codec.HASH_SIZE]).time
    except ValueError as error:
        raise CorruptError(f"a record that is no event: {error}") from error


def search(
    log: Log, query: Query, start: int, stop: int, *, reverse: bool = False
) -> Iterator[Found]:
    """Every event from `start` up to and without `stop` that is asked for, in constant memory.

    Checks the chain over the first 10,000 events that it reads. Raises CorruptError.
    """
    checks, window = CHECK_LIMIT, min(FIRST_WINDOW, WINDOW)
    while start < stop:
        low, high = (max(start, stop - window), stop) if reverse else (start, stop)
        found = _window(log, query, low, high, checks)
        yield from reversed(list(found)) if reverse else found
        checks, window = max(checks - (high - low), 0), min(2 * window, WINDOW)
        start, stop = (start, low) if reverse else (stop, stop)


def _window(log: Log, query: Query, start: int, stop: int, checks: int) -> Iterator[Found]:
    before = log.record(start - 1) if start > 1 else b""
    records = _checked(log.records(start, stop), start, before, checks)
    for seq, record in enumerate(records, start):
        for may_be in query.records:
            if not may_be(record):
                break
        else:
            event = _decode(log, seq, record)
            if all(test(event) for test in query.events):
                went_back = bool(before) and event.time < glance_time(before)
                yield Found(event, record[-codec.HASH_SIZE :], went_back)
        before = record


def _checked(records: Iterator[bytes], start: int, before: bytes, checks: int) -> Iterator[bytes]:
    """The same `records`, of which the first `checks` follow from the one before them."""
    previous = before[-codec.HASH_SIZE :] or codec.GENESIS
    for seq, record in enumerate(islice(records, checks), start):
        if codec.chain(previous, record[: -codec.HASH_SIZE]) != record[-codec.HASH_SIZE :]:
            raise broken(seq)
        previous = record[-codec.HASH_SIZE :]
        yield record
    yield from records


def _decode(log: Log, seq: int, record: bytes) -> Event | UnknownEvent:
    """Raises CorruptError, in the store's own words."""
    try:
        event = codec.decode(record)
    except (CorruptError, ValueError):  # ValueError: bytes that are no text
        return log.get(seq)[0]
    return event if event.seq == seq else log.get(seq)[0]


def newest(log: Log, query: Query, start: int, stop: int, count: int) -> int:
    """Where the newest `count` events that are asked for begin; `start` where there are fewer."""
    if query.is_all:
        return max(start, stop - count)
    for found in search(log, query, start, stop, reverse=True):
        count -= 1
        if not count:
            return found.event.seq
    return start


def first_at(log: Log, time: int, start: int = 1) -> int:
    """The number of the first event at `time` (nanoseconds) or later; after the last: the next.

    An event counts as no earlier than any before it: a clock that went back moves nothing.
    """
    seq = start - 1
    for seq, record in enumerate(log.records(start), start):
        if glance_time(record) >= time:
            return seq
    return seq + 1


def first_of(log: Log, snapshots: Snapshots, transaction: str) -> int:
    """Where the events of a transaction, or of those whose ids begin so, begin at the earliest.

    The id tells when it was made, and the snapshots which events came before that. Of a start that
    is long enough to be of one moment it is looked for by halves, as if no clock ever went back:
    where the begin of it is not found from there on, it lies before.
    """
    time = made_after(transaction) - MARGIN
    low, high = snapshots.position_before(time, log) + 1, log.head().seq + 1
    if len(transaction) < _ONE_MOMENT:
        return low
    while low < high:
        middle = (low + high) // 2
        if glance_time(log.record(middle)) < time:
            low = middle + 1
        else:
            high = middle
    return low


def point(log: Log, text: str) -> int:
    """The number of the event that `text` names: 12, HEAD, HEAD~3 or a time.

    A time names the first event at it or later. Raises NotFoundError, ValidationError.
    """
    head = log.head().seq
    word = text.strip()
    back = word.removeprefix("HEAD~") if word.startswith("HEAD~") else "0" * (word == "HEAD")
    if word.isascii() and word.isdigit():
        seq = int(word[:20])
    elif back.isascii() and back.isdigit():
        seq = head - int(back[:20])
    else:
        from atomicstate.events.times import parse_time

        seq = first_at(log, parse_time(text))
    if not 0 < seq <= head:
        raise NotFoundError(f"there is no event at {text!r}; the newest is {head}")
    return seq


def kinds_of(log: Log) -> frozenset[str]:
    """The kinds that this log may hold: those known here, and those that it says it has."""
    from atomicstate.events.bodies import ALL, kind_of

    return frozenset({kind_of(body) for body in ALL} | set(log.header.kinds))


def is_kind(event: Event | UnknownEvent, wanted: tuple[str, ...]) -> bool:
    """Whether an event is of one of the kinds, or of a whole kin such as `package`."""
    name = kind(event)
    return any(name == word or name.startswith(word + ".") for word in wanted)
