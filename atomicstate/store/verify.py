"""Walk the whole log: chain, numbers, header, blobs, snapshots. Says what it checked."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import Raw, Struct, defstruct
from msgspec.structs import fields

from atomicstate.errors import CorruptError, NotFoundError, ValidationError
from atomicstate.events.asjson import kind
from atomicstate.events.bodies import ALL
from atomicstate.events.codec import GENESIS, HASH_SIZE, chained, wire_kind
from atomicstate.events.event import UnknownEvent
from atomicstate.recipe.resources import decode as decode_manifest
from atomicstate.store.log import BATCH, Head, broken, key_of, missing

if TYPE_CHECKING:
    from atomicstate.recipe.resources import Manifest
    from atomicstate.store.blobs import Blobs
    from atomicstate.store.log import Log
    from atomicstate.store.snapshots import Snapshots

MANY = 20_000
"""So many events are checked by two processes, half each."""

BLOB_FIELDS = (
    *("plan_blob", "recipe", "containerfile", "output", "found", "module", "manifest"),
    *("promoted", "document"),
)
"""Fields of bodies that name a blob (or are empty), whatever the kind."""

MAP_FIELDS = ("resources", "files", "beside")
"""Fields of bodies that map names to blobs."""

MANIFEST_FIELDS = ("manifest", "resources", "beside")
"""Those of them whose blobs are manifests, which name blobs in turn."""


def _naming(body: type[Struct]) -> dict[str, tuple[type, Any]]:
    """Of a kind's fields those that name blobs, with type and default; a count has such a name."""
    found: dict[str, tuple[type, Any]] = {}
    for field in fields(body):
        if field.name in BLOB_FIELDS:
            found[field.name] = (str, "")
        elif field.name in MAP_FIELDS and field.type is not int:
            found[field.name] = (dict[str, str], {})
    return found


def _glance(body: type[Struct]) -> type[Struct]:
    """A Struct that reads, of a kind's fields, those that name blobs, and passes over the rest."""
    naming, names = _naming(body), body.__struct_fields__
    count = max((names.index(name) + 1 for name in naming), default=0)
    of: list[tuple[str, type, Any]] = [
        (name, *naming.get(name, (Raw, Raw()))) for name in names[:count]
    ]
    return defstruct(
        f"_{body.__name__}", of, array_like=True, gc=False, tag=body.__struct_config__.tag
    )


_NAMING: dict[type[Struct], tuple[str, ...]] = {body: tuple(_naming(body)) for body in ALL}
_GLANCES = tuple(_glance(body) for body in ALL)
_NAMING.update({glance: _NAMING[body] for glance, body in zip(_GLANCES, ALL, strict=True)})


_Body: Any = _GLANCES[0]
for _kind in _GLANCES:
    _Body |= _kind

# The start of an event.
_Narrow: Any = defstruct("_Narrow", [("seq", int), ("body", _Body)], array_like=True, gc=False)
_decode_narrow = msgspec.msgpack.Decoder(list[_Narrow]).decode


class Report(NamedTuple):
    """What was checked. `first` and `last` are numbers of events (0: none), `head` the newest."""

    checked: int
    first: int
    last: int
    head: Head
    blobs_checked: int = 0
    blobs_redacted: int = 0
    snapshots_checked: int = 0
    unknown: int = 0
    anchor: int | None = None


def verify(
    log: Log,
    blobs: Blobs | None = None,
    snapshots: Snapshots | None = None,
    start: int = 1,
    anchor: bytes | None = None,
) -> Report:
    """Check the events from `start` on, each blob and each snapshot.

    `anchor` is the hash of an earlier head, noted elsewhere: it must be in the chain; without
    one, records cut off at the end can't be seen. Raises CorruptError, with the number of the
    first bad event, for what was changed, removed, inserted or moved; NotFoundError if `start`
    is beyond the end.
    """
    # In a child: damage that LMDB does not see ends the process that reads it.
    return log.apart(lambda: _report(log, blobs, snapshots, start, anchor))


def _report(
    log: Log,
    blobs: Blobs | None,
    snapshots: Snapshots | None,
    start: int,
    anchor: bytes | None,
) -> Report:
    walk = _Walk(log, blobs, start, anchor)
    walk.run()
    checked_blobs, redacted = _check_blobs(blobs, walk.whole) if blobs else (0, 0)
    return Report(
        checked=walk.checked,
        first=start if walk.checked else 0,
        last=walk.head.seq if walk.checked else 0,
        head=walk.head,
        blobs_checked=checked_blobs,
        blobs_redacted=redacted,
        snapshots_checked=snapshots.check(log) if snapshots else 0,
        unknown=walk.unknown,
        anchor=walk.anchor_at,
    )


class _Walk:
    """One pass over the records."""

    def __init__(self, log: Log, blobs: Blobs | None, start: int, anchor: bytes | None) -> None:
        self._log = log
        self._blobs = blobs
        self._start = start
        self._anchor = anchor
        self.anchor_at: int | None = 0 if anchor == GENESIS else None
        self.head = log.head()
        # After the head: the events up to it are of the kinds that the header names by then.
        self._kinds = frozenset(log.header.kinds)
        self._naming = {
            body: names if blobs else ()
            for body, names in _NAMING.items()
            if body.__struct_config__.tag in self._kinds
        }
        # The last field of an event, as MessagePack writes it, unless newer versions add some.
        self._log_id_end = b"\xc4\x10" + log.log_id
        self.checked = 0
        self.unknown = 0
        self.whole: set[str] = set()

    def run(self) -> None:
        """Check each record. Raises CorruptError at the first bad one."""
        start, end = self._start, self.head.seq + 1
        if start > max(self.head.seq, 1):
            raise NotFoundError(f"there is no event {start}; the newest is {self.head.seq}")
        if end - start < MANY:
            self._part(start, end)
        else:
            middle = (start + end) // 2
            with self._log.beside(lambda: self._part(middle, end)) as second:
                self._part(start, middle)
                unknown, whole, anchor_at = second()
            self.unknown += unknown
            self.whole |= whole
            if self.anchor_at is None:
                self.anchor_at = anchor_at
        self.checked = end - start
        if self._anchor is not None and self.anchor_at is None:
            self._find_anchor()

    def _part(self, seq: int, end: int) -> tuple[int, set[str], int | None]:
        """Check the records from `seq` up to and without `end`: `unknown`, `whole`, `anchor_at`."""
        log = self._log
        previous = log.hash_at(seq - 1)
        while seq < end:
            stop = min(seq + BATCH, end)
            # With the one before: nothing may lie between the two.
            records = log.batch(seq - 1, stop - seq + 1)
            if records is not None and self._glance(seq, previous, records[1:]):
                previous = records[-1][-HASH_SIZE:]
            else:
                previous = self._look(seq, stop, previous)
            seq = stop
        return self.unknown, self.whole, self.anchor_at

    def _glance(self, first: int, previous: bytes, records: list[bytes]) -> bool:
        """Whether the records from the number `first` on are as usual, as most are: then all is
        checked. Most of the time would go into a full reading."""
        followed, _hash = chained(previous, records)
        events = self._narrow(records)
        if followed < len(records) or events is None:
            return False
        naming, log_id_end = self._naming, self._log_id_end
        log_id_at = -HASH_SIZE - len(log_id_end)
        for seq, record, event in zip(count(first), records, events, strict=False):
            body = event.body
            names = naming.get(body.__class__)
            if names is None or event.seq != seq or not record.startswith(log_id_end, log_id_at):
                return False
            for name in names:
                if named := getattr(body, name):
                    self._check_field(seq, name, named)
        if self._anchor is not None:
            self._look_for_anchor(first, records)
        return True

    @staticmethod
    def _narrow(records: list[bytes]) -> list[Any] | None:
        """The numbers and blobs of the events; None where one of them is not as usual."""
        array = b"\xdd" + len(records).to_bytes(4, "big")
        try:
            return _decode_narrow(array + b"".join([record[:-HASH_SIZE] for record in records]))
        except (msgspec.DecodeError, ValueError):  # ValueError: bytes that are no text
            return None

    def _look(self, seq: int, stop: int, previous: bytes) -> bytes:
        """Check the records from `seq` up to and without `stop` in full; the last one's hash."""
        for rows in self._log.rows(seq, stop):
            for key, record in rows:
                if key != key_of(seq):
                    raise self._wrong_key(seq, key)
                followed, previous = chained(previous, [record])
                if not followed:
                    raise broken(seq)
                self._check(seq, record)
                seq += 1
            if self._anchor is not None:
                self._look_for_anchor(seq - len(rows), [record for _key, record in rows])
        if seq < stop:
            raise missing(seq)
        return previous

    def _look_for_anchor(self, first: int, records: list[bytes]) -> None:
        for seq, record in enumerate(records, first):
            if record[-HASH_SIZE:] == self._anchor:
                self.anchor_at = seq

    def _wrong_key(self, seq: int, key: bytes) -> CorruptError:
        if len(key) == len(key_of(seq)) and key > key_of(seq):
            return missing(seq)
        return CorruptError(f"a foreign record lies before event {seq}", seq=seq)

    def _check(self, seq: int, record: bytes) -> None:
        """The event in the record: can be read, is of this log, and its blobs are there."""
        event = self._log.decoded(seq, record)
        name = kind(event)
        if event.log_id != self._log.log_id:
            raise CorruptError(f"event {seq} is of another log", seq=seq)
        if isinstance(event, UnknownEvent):
            self.unknown += 1
        if name not in self._kinds and wire_kind(record) not in self._kinds:
            raise CorruptError(
                f"the header does not name the kind of event {seq} ({name})",
                seq=seq,
            )
        if not isinstance(event, UnknownEvent):
            for field in _NAMING[event.body.__class__]:
                if named := getattr(event.body, field):
                    self._check_field(seq, field, named)

    def _check_field(self, seq: int, field: str, named: str | dict[str, str]) -> None:
        """The blobs that a field of the event `seq` names, and what they name in turn."""
        for digest in named.values() if isinstance(named, dict) else (named,):
            content = self._check_named(seq, digest)
            if content is not None and field in MANIFEST_FIELDS:
                for entry in self._manifest(seq, content):
                    self._check_named(seq, entry.digest)

    def _manifest(self, seq: int, content: bytes) -> Manifest:
        try:
            return decode_manifest(content)
        except CorruptError as error:
            raise CorruptError(f"event {seq}: {error.message}", seq=seq) from error

    def _check_named(self, seq: int, digest: str) -> bytes | None:
        """The blob is there and whole, or was redacted. Its content where it was read just now."""
        blobs = self._blobs
        if blobs is None or not digest or digest in self.whole or blobs.is_redacted(digest):
            return None
        try:
            content = blobs.get(digest)
        except (NotFoundError, ValidationError, CorruptError) as error:
            raise CorruptError(f"event {seq}: {error.message}", seq=seq) from error
        self.whole.add(digest)
        return content

    def _find_anchor(self) -> None:
        """Look for the anchor before `start`, too."""
        for first in range(1, self._start, BATCH):
            stop = min(first + BATCH, self._start)
            self._look_for_anchor(first, list(self._log.records(first, stop)))
            if self.anchor_at is not None:
                return
        raise CorruptError(
            "the anchor is not in the chain: records were cut off at the end, or the log is not "
            "the one that it was noted from",
            seq=self.head.seq,
        )


def _check_blobs(blobs: Blobs, whole: set[str]) -> tuple[int, int]:
    """Read every blob that was not read yet. How many there are, and how many redacted."""
    count = 0
    for digest in blobs.all():
        if digest not in whole:
            blobs.get(digest)
        count += 1
    return count, sum(1 for _digest in blobs.redacted())
