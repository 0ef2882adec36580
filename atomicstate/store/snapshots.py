"""Projections saved with their position: a cache that the log can always replace.

A file is a MessagePack array and its own BLAKE2b-256. It is written after the events that it
holds, and not flushed: what a power cut spoils does not fit its digest and is made anew.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from atomicstate import failpoints
from atomicstate.errors import CorruptError, NotFoundError, ValidationError
from atomicstate.events.codec import HASH_SIZE, digest
from atomicstate.files import PRIVATE_DIRECTORY, PRIVATE_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from atomicstate.store.log import Log

SUFFIX = ".snapshot"
_NAME = r"[a-z][a-z0-9_-]{0,63}"
_STALE = 3600.0


class Snapshot(NamedTuple):
    """`payload` is the projection as its projector encodes it, after the event `position`.

    `clock` is the latest time of an event up to there (nanoseconds), 0 where it was not noted.
    """

    position: int
    payload: bytes
    clock: int = 0


class _File(msgspec.Struct, frozen=True, array_like=True, gc=False):
    format: int
    name: str
    version: str
    position: int
    head_hash: bytes
    payload: bytes
    clock: int = 0


_FORMAT = 1
_decode = msgspec.msgpack.Decoder(_File).decode


class Snapshots:
    """The snapshots in `directory`, one a projector."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, name: str) -> Path:
        """Where the projector's snapshot lies."""
        if not re.fullmatch(_NAME, name):
            raise ValidationError(f"{name!r} is not the name of a projector")
        return self.directory / (name + SUFFIX)

    def save(
        self,
        name: str,
        version: str,
        position: int,
        head_hash: bytes,
        payload: bytes,
        *,
        clock: int = 0,
    ) -> bool:
        """Keep `payload`, the projection after the event `position` that has `head_hash`.

        The event must be committed; `clock` is as in Snapshot. Returns whether it was kept: no
        space, no permission or a read-only file system is no error, since the log holds all of it.
        """
        encoded = msgspec.msgpack.encode(
            _File(_FORMAT, name, version, position, head_hash, payload, clock)
        )
        path = self.path(name)
        temporary = path.with_name(f".{name}.{os.urandom(6).hex()}.tmp")
        try:
            self.directory.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
            self._clean(name)
            descriptor = os.open(
                temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE
            )
            with os.fdopen(descriptor, "wb") as file:
                file.write(encoded + digest(encoded))
            failpoints.reach("snapshot.written")
            temporary.replace(path)
            failpoints.reach("snapshot.saved")
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            return False
        return True

    def _clean(self, name: str) -> None:
        """Take away what killed writers left; a living one needs no hour."""
        for leftover in self.directory.glob(f".{name}.*.tmp"):
            with contextlib.suppress(OSError):
                if time.time() - leftover.stat().st_mtime > _STALE:
                    leftover.unlink()

    def load(self, name: str, version: str, log: Log) -> Snapshot | None:
        """The projector's snapshot, or None where there is none that fits.

        It fits if it is whole, of this version, and its position has the hash in `log` that it
        had: a snapshot ahead of the log, or of another log, does not.
        """
        try:
            file = self._read(self.path(name))
        except CorruptError:
            return None
        if file is None or file.name != name or file.version != version:
            return None
        if not _belongs(file, log):
            return None
        return Snapshot(file.position, file.payload, file.clock)

    def position_before(self, time: int, log: Log) -> int:
        """The newest position known all of whose events came before `time` (nanoseconds).

        Times need not ascend along the log, so it takes a projection that saw all of them: 0 where
        no snapshot tells.
        """
        found = 0
        for path in self._paths():
            try:
                file = self._read(path)
            except CorruptError:
                continue
            if file and found < file.position and 0 < file.clock < time and _belongs(file, log):
                found = file.position
        return found

    def check(self, log: Log) -> int:
        """How many there are. Raises CorruptError for one that is not whole or not of `log`."""
        count = 0
        for path in self._paths():
            file = self._read(path)
            if file is None:
                continue
            if not _belongs(file, log):
                raise _bad(path, "it does not belong to the log", seq=file.position)
            count += 1
        return count

    def _paths(self) -> Iterator[Path]:
        return iter(sorted(self.directory.glob("*" + SUFFIX)))

    @staticmethod
    def _read(path: Path) -> _File | None:
        try:
            content = path.read_bytes()
        except OSError:
            return None
        encoded = content[:-HASH_SIZE]
        try:
            file = _decode(encoded)
        except (msgspec.DecodeError, ValueError) as error:  # ValueError: bytes that are no text
            raise _bad(path, "it can't be read") from error
        if digest(encoded) != content[-HASH_SIZE:]:
            raise _bad(path, "its digest does not fit", seq=file.position)
        return file


def _belongs(file: _File, log: Log) -> bool:
    try:
        return log.hash_at(file.position) == file.head_hash
    except NotFoundError:
        return False


def _bad(path: Path, what: str, *, seq: int | None = None) -> CorruptError:
    at = f", taken at event {seq}," if seq is not None else ""
    return CorruptError(
        f"the snapshot {path}{at} is bad: {what}",
        seq=seq,
        hint="it is not used, and is made anew from the log: delete it",
    )
