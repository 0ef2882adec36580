"""The log: append, and read in order. One durable commit an append.

A record's key is its event's number, 8 bytes big-endian; its value the event's bytes and 32 bytes
of hash (events/codec.py). Key 0 holds the header (header.py). docs/on-disk-format.md tells it all.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from itertools import chain, islice, takewhile
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import lmdb
import msgspec

from atomicstate import failpoints
from atomicstate.errors import (
    AtomicstateError,
    ConflictError,
    CorruptError,
    NotFoundError,
    TooNewError,
    ValidationError,
)
from atomicstate.events import codec
from atomicstate.events.asjson import kind
from atomicstate.events.bodies import ACTIONS, kind_of
from atomicstate.events.codec import FORMAT, GENESIS, HASH_SIZE
from atomicstate.events.event import Event, UnknownEvent
from atomicstate.store import header as headers
from atomicstate.store.aside import built_aside
from atomicstate.store.environment import MAP_SIZE, Environment
from atomicstate.store.failures import from_lmdb_error
from atomicstate.store.header import Header

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from types import TracebackType
    from typing import Any, Self

    from atomicstate.events.event import Draft

Clock = Callable[[], tuple[int, int]]
"""UTC in nanoseconds since 1970, and CLOCK_BOOTTIME in nanoseconds."""

BATCH = 512
"""Records read in one LMDB transaction: a slow consumer never holds one open."""

CHECK_LIMIT = 10_000
"""Events over which `check` follows the chain; what is longer is left to verify."""

T = TypeVar("T")

_LAST = (1 << 64) - 1
_GROWTHS = 40

_UNENCODABLE = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError)


def system_clock() -> tuple[int, int]:
    """The machine's own clocks."""
    return time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Head(NamedTuple):
    """The newest event's number and hash; of an empty log 0 and GENESIS."""

    seq: int
    hash: bytes


def key_of(seq: int) -> bytes:
    """The key of the record with this number."""
    return seq.to_bytes(8, "big")


class Log:
    """An open log. Belongs to one thread; after a fork the child may go on to use it.

    A process opens a log once (LMDB allows no more): a second opening raises LockedError.
    All methods raise CorruptError where what is stored is not what was written, HostError,
    NotPermittedError or NoSpaceError where the system does not let us.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._header_record = b""
        # The newest record whose own hash was found right: appending builds on nothing else.
        self._sound = Head(0, GENESIS)
        try:
            with self._reading() as transaction:
                self._take_header(transaction.get(headers.KEY))
            if environment.write:
                self.header.refuse_if_newer()
        except BaseException:
            environment.close()
            raise

    # -- opening and closing -----------------------------------------------------------------

    @classmethod
    def create(
        cls,
        directory: Path,
        *,
        log_id: bytes | None = None,
        now: Clock = system_clock,
        map_size: int = MAP_SIZE,
    ) -> Log:
        """Make an empty log and open it for writing. Its parent must be there.

        All or nothing: it is made aside and renamed. Raises ConflictError if there is one.
        """
        header = Header(headers.MAGIC, FORMAT, log_id or os.urandom(16), now()[0])
        with built_aside(directory) as aside:
            write_whole(aside, header, ())
        return cls.open(directory, map_size=map_size)

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        write: bool = True,
        scan: bool = False,
        map_size: int = MAP_SIZE,
    ) -> Log:
        """Open the log. `scan`: it will be read from end to end, so let the kernel read ahead.

        Raises NotFoundError if there is none, TooNewError if `write` and a newer version wrote
        to it. A doubtful file is read by a child process first, which takes some tenths of a
        second a million events.
        """
        environment = Environment(directory, write=write, readahead=scan, map_size=map_size)
        return cls(environment)

    def close(self) -> None:
        """Let go of the files. A second call does nothing."""
        self._environment.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def directory(self) -> Path:
        """Where it lies."""
        return self._environment.directory

    @property
    def log_id(self) -> bytes:
        """16 bytes that tell this log from all others."""
        return self.header.log_id

    def _take_header(self, record: bytes | None) -> None:
        if record != self._header_record or record is None:
            self.header = headers.parse(record)
            self._header_record = record or b""

    # -- writing -----------------------------------------------------------------------------

    def append(
        self,
        drafts: Sequence[Draft],
        *,
        decided_at: int | None = None,
        now: Clock = system_clock,
    ) -> list[Event]:
        """Record `drafts` in one durable commit; the events as they are read back.

        All or none: what raises has left the log as it was. `decided_at` is the number of the
        newest event that was known when this was decided: ConflictError if an action was
        recorded since. Raises ValidationError for what can't be encoded, TooNewError where a
        newer version wrote to the log meanwhile.
        """
        if not drafts:
            return []
        for _attempt in range(_GROWTHS):
            events: list[Event] = []
            head = self._sound
            try:
                with self._environment.begin(write=True) as transaction:
                    head = self._head_for_writing(transaction, decided_at)
                    head = self._put(transaction, drafts, head, now, events)
                    failpoints.reach("log.appending")
            except lmdb.MapFullError:
                self._environment.grow()
                continue
            except lmdb.Error as error:
                if not self._committed_after_all(head):
                    raise from_lmdb_error(error, "write the log", self.directory) from error
            failpoints.reach("log.committed")
            self._sound = head
            self._environment.committed()
            return events
        raise ValidationError("these events are too large for one commit")

    def _head_for_writing(self, transaction: Any, decided_at: int | None) -> Head:  # noqa: ANN401
        """The head to build on. Raises where building on it is not allowed."""
        self._take_header(transaction.get(headers.KEY))
        self.header.refuse_if_newer()
        with transaction.cursor() as cursor:
            head, value = _head_at(cursor)
            if head != self._sound:
                previous = transaction.get(key_of(head.seq - 1)) if head.seq > 1 else GENESIS
                self._check_link(head.seq, previous, value)
            if decided_at is not None:
                _refuse_conflict(cursor, decided_at, head.seq)
        return head

    def _check_link(self, seq: int, previous: bytes | None, value: bytes) -> None:
        if seq and (previous is None or not codec.chained(previous[-HASH_SIZE:], [value])[0]):
            raise broken(seq)

    def _put(
        self,
        transaction: Any,  # noqa: ANN401 - lmdb.Transaction
        drafts: Sequence[Draft],
        head: Head,
        now: Clock,
        events: list[Event],
    ) -> Head:
        """Put the records of `drafts` after `head`; the new head."""
        # Inside the write transaction: no other writer's event lies between clock and number.
        wall, boottime = now()
        kinds = {draft.body.__class__ for draft in drafts}
        new_kinds = {kind_of(body) for body in kinds}.difference(self.header.kinds)
        if new_kinds:
            record = self.header.with_kinds(new_kinds).record
            transaction.put(headers.KEY, record)
        read, encoded = _encoded(drafts, head.seq, wall, boottime, self.header.log_id)
        records = codec.linked(head.hash, encoded)
        first = head.seq + 1
        rows = [(seq.to_bytes(8, "big"), record) for seq, record in enumerate(records, first)]
        with transaction.cursor() as cursor:
            _consumed, added = cursor.putmulti(rows, append=True)
        if added < len(rows):
            raise broken(first + added)
        events.extend(read)
        return Head(head.seq + len(rows), records[-1][-HASH_SIZE:])

    def _committed_after_all(self, wanted: Head) -> bool:
        """Whether a commit that LMDB called failed is there all the same, and is durable.

        A failing write of the meta page can leave either; LMDB then wants to be opened anew.
        """
        self._environment.reopen()
        try:
            if wanted.seq == 0 or self.head() != wanted:
                return False
            self._environment.sync()
        except AtomicstateError:
            return False
        return True

    # -- reading -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Any]:
        try:
            with self._environment.begin() as transaction:
                yield transaction
        except lmdb.Error as error:
            raise from_lmdb_error(error, "read the log", self.directory) from error

    def head(self) -> Head:
        """The newest event's number and hash. From then on `header` is as new as they are."""
        with self._reading() as transaction, transaction.cursor() as cursor:
            self._take_header(transaction.get(headers.KEY))
            return _head_at(cursor)[0]

    def get(self, seq: int) -> tuple[Event | UnknownEvent, bytes]:
        """The event with this number, and its hash. Raises NotFoundError if there is none."""
        record = self.record(seq)
        return self.decoded(seq, record), record[-HASH_SIZE:]

    def record(self, seq: int) -> bytes:
        """The stored record with this number. Raises NotFoundError if there is none."""
        record = None
        if 0 < seq <= _LAST:
            with self._reading() as transaction:
                record = transaction.get(key_of(seq))
        if record is None:
            raise NotFoundError(f"there is no event {seq}; the newest is {self.head().seq}")
        return bytes(record)

    def hash_at(self, seq: int) -> bytes:
        """The hash of the record with this number; of 0, GENESIS. Raises NotFoundError."""
        return self.record(seq)[-HASH_SIZE:] if seq else GENESIS

    def events(
        self,
        start: int = 1,
        stop: int | None = None,
        *,
        reverse: bool = False,
        check: bool = False,
    ) -> Iterator[tuple[Event | UnknownEvent, bytes]]:
        """Events and their hashes, from `start` up to and without `stop` (None: the head's end).

        In constant memory; no writer waits, and what is appended meanwhile is not seen.
        `reverse` gives the newest first. `check` checks the chain over what is read, for the
        first 10,000 of them; numbering and decoding are checked always.
        """
        if check and reverse:
            raise ValueError("the chain is checked forward")
        previous = self.hash_at(start - 1) if check and start <= self.head().seq else GENESIS
        checked_until = start + CHECK_LIMIT if check else 0
        step = -1 if reverse else 1
        for first, records in self._batches(start, stop, reverse=reverse):
            for seq, record in enumerate_by(first, step, records):
                event = self.decoded(seq, record)
                stored = record[-HASH_SIZE:]
                if seq < checked_until:
                    if codec.chain(previous, record[:-HASH_SIZE]) != stored:
                        raise broken(seq)
                    previous = stored
                yield event, stored

    def records(self, start: int = 1, stop: int | None = None) -> Iterator[bytes]:
        """The stored records, for fast folds; the numbering is checked. Range as in `events`."""
        batches = self._batches(start, stop, reverse=False)
        return chain.from_iterable(records for _first, records in batches)

    def batch(self, first: int, count: int, step: int = 1) -> list[bytes] | None:
        """The records `first`, `first + step`, ...; None unless so many bear these numbers."""
        with self._reading() as transaction, transaction.cursor() as cursor:
            if not cursor.set_key(key_of(first)):
                return None
            move = cursor.iternext if step > 0 else cursor.iterprev
            records = list(islice(move(keys=False), count))
            # Keys are unique and sorted: the right ends and the right count leave no gap.
            if len(records) == count and cursor.key() == key_of(first + step * (count - 1)):
                return records
        return None

    def rows(self, start: int = 1, stop: int | None = None) -> Iterator[list[tuple[bytes, bytes]]]:
        """Batches of keys and records as stored, unchecked, any stray key among them."""
        # From just after the record before: what lies between is among them.
        begin, end = key_of(start - 1) + b"\0", key_of(self._end(stop))
        while True:
            with self._reading() as transaction, transaction.cursor() as cursor:
                if not cursor.set_range(begin):
                    return
                rows = list(islice(cursor.iternext(), BATCH))
            inside = rows if rows[-1][0] < end else [row for row in rows if row[0] < end]
            if inside:
                yield inside
            if len(inside) < BATCH:
                return
            begin = inside[-1][0] + b"\0"

    def _end(self, stop: int | None) -> int:
        head = self.head().seq + 1
        return head if stop is None else min(stop, head)

    def _batches(
        self, start: int, stop: int | None, *, reverse: bool
    ) -> Iterator[tuple[int, list[bytes]]]:
        """Batches with the number of their first record, the numbering checked."""
        low, high = max(start, 1), self._end(stop)
        step = -1 if reverse else 1
        while low < high:
            count = min(BATCH, high - low)
            first = high - 1 if reverse else low
            records = self.batch(first, count, step)
            if records is None:
                before = self._up_to_a_gap(first, count, step)
                yield first, before
                raise missing(first + step * len(before))
            yield first, records
            if reverse:
                high -= count
            else:
                low += count

    def _up_to_a_gap(self, first: int, count: int, step: int) -> list[bytes]:
        """The records `first`, `first + step`, ..., as far as they bear these numbers."""
        with self._reading() as transaction:
            found = (transaction.get(key_of(first + step * n)) for n in range(count))
            return list(takewhile(lambda record: record is not None, found))

    def decoded(self, seq: int, record: bytes) -> Event | UnknownEvent:
        """The event in the record with the number `seq`. Raises CorruptError, TooNewError."""
        try:
            event = codec.decode(record)
        except (CorruptError, ValueError) as error:  # ValueError: bytes that are no text
            if self.header.format > FORMAT:
                raise TooNewError(
                    f"event {seq} has the log's format {self.header.format}, "
                    f"this program knows {FORMAT}"
                ) from error
            raise CorruptError(f"event {seq} can't be read: {error}", seq=seq) from error
        if event.seq != seq:
            raise CorruptError(
                f"the record of event {seq} says that it is event {event.seq}",
                seq=seq,
            )
        return event

    # -- for verify, backup and import -------------------------------------------------------

    def beside(self, work: Callable[[], T]) -> AbstractContextManager[Callable[[], T]]:
        """Have a child process do `work` with this log while the block goes on (apart.beside).

        Damage that would end this process ends the child, and is CorruptError to who waits.
        """
        return self._environment.beside(work)

    def apart(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises in such a child."""
        with self.beside(work) as answer:
            return answer()

    def copy(self, target: Path, *, compact: bool) -> None:
        """A consistent copy into the empty directory `target`, while others write."""
        self._environment.copy(target, compact=compact)


def enumerate_by(first: int, step: int, records: list[bytes]) -> Iterator[tuple[int, bytes]]:
    """`enumerate` with a step."""
    return zip(range(first, first + step * len(records), step), records, strict=True)


def broken(seq: int) -> CorruptError:
    """The error for a record whose hash does not follow from the one before."""
    return CorruptError(
        f"the chain breaks at event {seq}: it, or the one before, is not what was written",
        seq=seq,
    )


def missing(seq: int) -> CorruptError:
    """The error for a number that no record has."""
    return CorruptError(f"event {seq} is missing", seq=seq)


def _head_at(cursor: Any) -> tuple[Head, bytes]:  # noqa: ANN401 - lmdb.Cursor
    """The head, and the record there."""
    if not cursor.last():
        raise CorruptError("the log has lost its header", seq=0)
    key, value = cursor.item()
    if key == headers.KEY:
        return Head(0, GENESIS), b""
    if len(key) != len(headers.KEY) or len(value) <= HASH_SIZE:
        raise CorruptError("the newest record is none of ours")
    return Head(int.from_bytes(key, "big"), value[-HASH_SIZE:]), value


def _refuse_conflict(cursor: Any, decided_at: int, head: int) -> None:  # noqa: ANN401
    """Raises ConflictError if one of the events after `decided_at` is an action."""
    if decided_at > head:
        raise ConflictError(
            f"this was decided at event {decided_at}, but the newest is {head}: "
            "the log is not the one that was read"
        )
    if decided_at == head or not cursor.set_key(key_of(decided_at + 1)):
        return
    for _key, record in cursor.iternext():
        event = codec.decode(record)
        if kind(event) in ACTIONS:
            raise ConflictError(
                f"somebody else recorded event {event.seq} ({kind(event)}) meanwhile; "
                "nothing was recorded",
                hint="look at the log and try again",
            )


def _encoded(
    drafts: Sequence[Draft], seq: int, wall: int, boottime: int, log_id: bytes
) -> tuple[list[Event], list[bytes]]:
    """The events of drafts after `seq`, as they will be read, and their bytes.

    Raises ValidationError for one that can't be encoded.
    """
    # Tuples: an Event is encoded as the array of its fields, and making one takes longer.
    made = [
        (
            number,
            draft.body,
            draft.transaction,
            wall,
            boottime,
            draft.actor,
            draft.boot,
            draft.cause,
            draft.request,
            log_id,
        )
        for number, draft in enumerate(drafts, seq + 1)
    ]
    try:
        encoded = list(map(codec.encode, made))
        # What can't be read again must not get in: the chain would keep it for ever.
        return codec.decode_all(encoded), encoded
    except _UNENCODABLE:
        for draft, fields in zip(drafts, made, strict=True):
            _refuse_unencodable(draft, fields)
        raise


def _refuse_unencodable(draft: Draft, fields: tuple[object, ...]) -> None:
    try:
        codec.decode_all([codec.encode(fields)])
    except _UNENCODABLE as error:
        what = f"the event {kind_of(draft.body)} can't be recorded: {error}"
        raise ValidationError(what) from error


def write_whole(directory: Path, header: Header, records: Iterable[bytes]) -> None:
    """Fill the directory with a new log of this header and these records, durable at the end.

    For a log that nobody reads yet: one flush at the end, not one a commit. The records are
    taken as they are; `verify` is to follow.
    """
    environment = Environment(directory, write=True, create=True)
    try:
        with environment.begin(write=True) as transaction:
            transaction.put(headers.KEY, header.record)
        seq, rest = 1, iter(records)
        while batch := list(islice(rest, 1000)):
            _put_whole(environment, seq, batch)
            seq += len(batch)
    except lmdb.Error as error:
        raise from_lmdb_error(error, "write the log", directory) from error
    finally:
        environment.close()


def _put_whole(environment: Environment, seq: int, batch: list[bytes]) -> None:
    for _attempt in range(_GROWTHS):
        try:
            with environment.begin(write=True) as transaction:
                for number, record in enumerate(batch, seq):
                    transaction.put(key_of(number), record, append=True)
            environment.committed()
        except lmdb.MapFullError:
            environment.grow()
        else:
            return
