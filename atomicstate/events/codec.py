"""Events as bytes, and the hash chain over them.

A record is the event as a MessagePack array followed by 32 bytes of hash. The hash is the
BLAKE2b-256 of the hash of the record before (32 zero bytes before the first) and the event's
bytes, so that no record can be changed, removed, inserted or moved without a trace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from atomicstate.errors import CorruptError
from atomicstate.events.bodies import ALL, kind_of
from atomicstate.events.event import Event, UnknownEvent
from atomicstate.events.upcasters import upcast

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HASH_SIZE = 32
GENESIS = bytes(HASH_SIZE)
"""What stands for the hash before the first record."""

FORMAT = 1
"""The version of the record's layout. A log says which it has (docs/on-disk-format.md)."""

try:
    # Not by way of hashlib, which loads OpenSSL: a twentieth of a short command's time.
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b

# Copied for each digest: that takes less than to make one with its size.
_start = blake2b(digest_size=HASH_SIZE).copy
hasher = _start
"""Begins a digest of what comes in parts: `.update(part)`, `.hexdigest()`."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Event)
_decode_list = msgspec.msgpack.Decoder(list[Event]).decode
_unknown = msgspec.msgpack.Decoder(UnknownEvent)
_KNOWN = frozenset(kind_of(body) for body in ALL)

encode = _encoder.encode
"""An event's bytes, without the hash."""


def digest(content: bytes) -> bytes:
    """The BLAKE2b-256 of `content`."""
    hashed = _start()
    hashed.update(content)
    return hashed.digest()


def chain(previous: bytes, encoded: bytes) -> bytes:
    """The hash of the record that holds `encoded` and follows the one with hash `previous`."""
    hashed = _start()
    # One update, not two: of a million short records that is a fifth of the time.
    hashed.update(previous + encoded)
    return hashed.digest()


def linked(previous: bytes, encoded: Iterable[bytes]) -> list[bytes]:
    """The records that hold `encoded`, one after the other, after the one with hash `previous`."""
    records = []
    for part in encoded:
        hashed = _start()
        hashed.update(previous + part)
        previous = hashed.digest()
        records.append(part + previous)
    return records


def chained(previous: bytes, records: list[bytes]) -> tuple[int, bytes]:
    """How many of `records` follow, each from the one before it, and the hash of the last of these.

    `previous` is the hash of the record before them.
    """
    for place, record in enumerate(records):
        hashed = _start()
        hashed.update(previous + record[:-HASH_SIZE])
        found = hashed.digest()
        if found != record[-HASH_SIZE:]:
            return place, previous
        previous = found
    return len(records), previous


def decode_all(encoded: Sequence[bytes]) -> list[Event]:
    """The events of `encoded`, of this version's kinds, in one go. Raises msgspec.DecodeError."""
    return _decode_list(as_array(encoded))


def as_array(encoded: Sequence[bytes]) -> bytes:
    """Events as one MessagePack array: decoded in one go they take less time."""
    return b"\xdd" + len(encoded).to_bytes(4, "big") + b"".join(encoded)


def decode(record: bytes) -> Event | UnknownEvent:
    """The event in a record, of whatever age; of an unknown kind, as far as it can be read.

    Raises CorruptError where the bytes are no event.
    """
    encoded = record[:-HASH_SIZE]
    try:
        return _decoder.decode(encoded)
    except msgspec.DecodeError as error:
        reason = error
    try:
        event = _unknown.decode(encoded)
        if event.kind in _KNOWN:
            raise CorruptError(f"a {event.kind} that can't be read: {reason}", seq=event.seq)
        return upcast(event) or event
    except (msgspec.DecodeError, LookupError, TypeError, ValueError) as error:
        raise CorruptError(f"a record that is no event: {error}") from error


def wire_kind(record: bytes) -> str:
    """The wire name that the event in a record bears, even if it is read as another kind today.

    Raises msgspec.DecodeError where the bytes are no event.
    """
    return _unknown.decode(record[:-HASH_SIZE]).kind
