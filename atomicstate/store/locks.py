"""File locks that say who holds them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from atomicstate import failpoints, files
from atomicstate.errors import LockedError
from atomicstate.events.asjson import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Holder(NamedTuple):
    """Who holds a lock: process, command, and since when (RFC 3339, UTC)."""

    pid: int
    command: str
    since: str

    def __str__(self) -> str:
        return f"`{self.command}` (process {self.pid}, since {self.since})"


@contextlib.contextmanager
def locked(path: Path, command: str, wait: float = 0.0) -> Iterator[int]:
    """Hold the lock `path` inside the block; gives its descriptor.

    No child inherits it: a daemon that a tool or a package's script leaves behind would hold the
    lock for as long as it lives. That no work goes on when the lock is free is seen to elsewhere:
    what is started dies with this process, and what that starts in turn is confined to it
    (process.py), or waits for a lock of its own (bootc, OSTree, podman, dpkg).

    Waits for `wait` seconds at most, then raises LockedError, which names the holder.
    """

    def busy(descriptor: int) -> LockedError:
        who = _read(descriptor) or "another process"
        return LockedError(f"{who} holds {path}; nothing was done")

    with files.locked(path, wait, busy) as descriptor:
        try:
            _sign(descriptor, command)
            failpoints.reach("lock.taken")
            yield descriptor
        finally:
            # Best effort: what says nothing, or lies, about a free lock misleads nobody.
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)


def _sign(descriptor: int, command: str) -> None:
    # A full disk must not stop a command that has the lock.
    with contextlib.suppress(OSError):
        signature = Holder(os.getpid(), command, rfc3339(time.time_ns()))
        os.ftruncate(descriptor, 0)
        import json

        os.pwrite(descriptor, json.dumps(signature._asdict()).encode(), 0)


def _read(descriptor: int) -> Holder | None:
    import json

    try:
        return Holder(**json.loads(os.pread(descriptor, 4096, 0)))
    except (OSError, ValueError, TypeError):
        return None


def holder_of(path: Path) -> Holder | None:
    """Who holds the lock now, as far as it can be told; None where nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(descriptor) or Holder(0, "unknown", "unknown")
    except OSError:
        return None
    else:
        return None
    finally:
        os.close(descriptor)
