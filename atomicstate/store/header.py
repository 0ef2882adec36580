"""The record with key 0: what this log is, and what a program must know to write to it."""

from __future__ import annotations

import msgspec

from atomicstate.errors import CorruptError, TooNewError
from atomicstate.events.bodies import ALL, kind_of
from atomicstate.events.codec import FORMAT, GENESIS, HASH_SIZE, chain
from atomicstate.events.upcasters import UPCASTERS

MAGIC = "atomicstate-log"
KEY = bytes(8)
LOG_ID_SIZE = 16
KNOWN_KINDS = frozenset(kind_of(body) for body in ALL)


class Header(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`created` is UTC in nanoseconds since 1970; `kinds` are the wire names in use, sorted."""

    magic: str
    format: int
    log_id: bytes
    created: int
    kinds: tuple[str, ...] = ()

    @property
    def record(self) -> bytes:
        """The record as it is stored: hashed as if it followed GENESIS, outside the chain."""
        encoded = msgspec.msgpack.encode(self)
        return encoded + chain(GENESIS, encoded)

    def with_kinds(self, kinds: set[str]) -> Header:
        """The same with `kinds` added."""
        return msgspec.structs.replace(self, kinds=tuple(sorted({*self.kinds, *kinds})))

    def refuse_if_newer(self) -> None:
        """Raises TooNewError where this program must not write."""
        if self.format > FORMAT:
            raise TooNewError(
                f"the log has format {self.format}, this program knows {FORMAT}: it can be read, "
                "not written"
            )
        unknown = sorted(set(self.kinds) - KNOWN_KINDS - UPCASTERS.keys())
        if unknown:
            raise TooNewError(
                "a newer version wrote to the log (it holds events of the kind "
                f"{', '.join(unknown)}): it can be read, not written"
            )


_decode = msgspec.msgpack.Decoder(Header).decode


def parse(record: bytes | None) -> Header:
    """The header in a record. Raises CorruptError; TooNewError where nothing can be made of it."""
    if record is None:
        raise _damaged("it is missing")
    encoded, stored = record[:-HASH_SIZE], record[-HASH_SIZE:]
    if chain(GENESIS, encoded) != stored:
        raise _damaged("its hash does not fit")
    try:
        header = _decode(encoded)
    except (msgspec.DecodeError, ValueError) as error:
        raise _not_understood(encoded, error) from error
    if header.magic != MAGIC or len(header.log_id) != LOG_ID_SIZE:
        raise _damaged("it is of another program")
    return header


def _damaged(what: str) -> CorruptError:
    return CorruptError(f"the log's header is damaged: {what}", seq=0)


def _not_understood(encoded: bytes, error: Exception) -> CorruptError | TooNewError:
    """A later format may have another header: all that stays is the name and the number."""
    try:
        match msgspec.msgpack.decode(encoded):
            case [str() as magic, int() as number, *_] if magic == MAGIC and number > FORMAT:
                return TooNewError(f"the log has format {number}, this program knows {FORMAT}")
    except msgspec.DecodeError:
        pass
    return _damaged(str(error))
