"""File locks that say who holds them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from atomicstate import failpoints
from atomicstate.errors import LockedError, from_os_error
from atomicstate.events.asjson import rfc3339
from atomicstate.files import PRIVATE_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_POLL = 0.05


class Holder(NamedTuple):
    """Who holds a lock: process, command, and since when (RFC 3339, UTC)."""

    pid: int
    command: str
    since: str

    def __str__(self) -> str:
        return f"`{self.command}` (process {self.pid}, since {self.since})"


@contextlib.contextmanager
def locked(path: Path, command: str, wait: float = 0.0) -> Iterator[int]:
    """Hold the lock `path` inside the block; its descriptor, for children to inherit.

    The lock is free when the last process that has the descriptor has closed it or ended.
    Waits for `wait` seconds at most, then raises LockedError, which names the holder.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    except OSError as error:
        raise from_os_error(error, "open the lock", path) from error
    try:
        _take(descriptor, path, time.monotonic() + wait)
        try:
            _sign(descriptor, command)
            failpoints.reach("lock.taken")
            yield descriptor
        finally:
            # Best effort: what says nothing, or lies, about a free lock misleads nobody.
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                holder = _read(descriptor)
                who = str(holder) if holder else "another process"
                raise LockedError(f"{who} holds {path}; nothing was done") from error
            time.sleep(_POLL)
        except OSError as error:
            raise from_os_error(error, "lock", path) from error
        else:
            return


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
