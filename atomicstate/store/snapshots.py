"""Projections saved with their position: a convenience that any doubt discards.

`<name>.snapshot`: 32 bytes of BLAKE2b-256 over the rest, then a MessagePack array of the name,
the projector's version, the log's id, the position, the hash of the record there, and the payload.
It is written after the commit of its last event, so that it is never ahead of the log.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from atomicstate.errors import CorruptError, NotFoundError
from atomicstate.files import make_directory, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from atomicstate.store.log import Log

_DIGEST_SIZE = 32


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """A saved projection: `payload` is the projector's own."""

    name: str
    version: int
    log_id: bytes
    position: int
    head_hash: bytes
    payload: bytes


_decoder = msgspec.msgpack.Decoder(Snapshot)


def path_of(directory: Path, name: str) -> Path:
    """Where the snapshot of the projector `name` lies."""
    return directory / f"{name}.snapshot"


def save(
    directory: Path, name: str, version: int, log: Log, *, position: int, payload: bytes
) -> None:
    """Save the projection of the first `position` events of `log`.

    Raises NotFoundError where the log does not go so far, NoSpaceError, NotPermittedError.
    """
    snapshot = Snapshot(name, version, log.log_id, position, log.hash_at(position), payload)
    content = msgspec.msgpack.encode(snapshot)
    make_directory(directory)
    write_atomically(path_of(directory, name), _digest(content) + content)


def load(directory: Path, name: str, version: int, log: Log) -> Snapshot | None:
    """The newest snapshot; None where there is none that fits projector, version and log."""
    try:
        snapshot = read(path_of(directory, name))
    except (OSError, CorruptError):
        return None
    fits = (snapshot.name, snapshot.version, snapshot.log_id) == (name, version, log.log_id)
    return snapshot if fits and is_of(snapshot, log) else None


def read(path: Path) -> Snapshot:
    """The snapshot in a file. Raises CorruptError where it is not what was written, OSError."""
    content = path.read_bytes()
    if content[:_DIGEST_SIZE] != _digest(content[_DIGEST_SIZE:]):
        raise CorruptError(f"the snapshot {path.name} is not what was written")
    try:
        return _decoder.decode(content[_DIGEST_SIZE:])
    except msgspec.DecodeError as error:
        raise CorruptError(f"the snapshot {path.name} can't be read: {error}") from error


def is_of(snapshot: Snapshot, log: Log) -> bool:
    """Whether the log has, at the snapshot's position, the very record that it was made after."""
    try:
        return log.hash_at(snapshot.position) == snapshot.head_hash
    except NotFoundError:
        return False


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=_DIGEST_SIZE).digest()
