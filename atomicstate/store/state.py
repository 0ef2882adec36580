"""The state directory: where everything lies, and who may do what at the same time.

Two locks, each a file locked with flock(2), which the kernel frees when its holder dies:
`lock` for the pipeline (one at a time, another is refused), `live.lock` for recording commands
(they wait for each other). A process that takes both takes `lock` first. The holder writes who
it is into the file, for the one that is refused; the text alone never means that it is held.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING

import msgspec

from atomicstate.errors import LockedError, from_os_error
from atomicstate.files import PRIVATE_FILE, make_directory, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RESERVE_SIZE = 64 * 1024
"""Bytes kept back, so that the outcome of a done step can be written on a full disk."""

RECORDING_PATIENCE = 600.0
"""Seconds that a recording command waits for another: a live install may take its time."""

_POLL = 0.1


class Holder(msgspec.Struct, frozen=True):
    """Who holds a lock: process id, command, and since when (UTC, RFC 3339)."""

    pid: int
    command: str
    since: str


class State:
    """The state directory `directory`. Nothing is made before `make`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "log"
        self.blobs = directory / "blobs"
        self.snapshots = directory / "snapshots"
        self.recipe = directory / "recipe"
        self.transactions = directory / "txn"
        self.reserve = directory / "reserve"
        self._locks = {"apply": directory / "lock", "live": directory / "live.lock"}

    def make(self) -> None:
        """Make the directory and the reserve. Raises NoSpaceError, NotPermittedError."""
        make_directory(self.directory)
        make_directory(self.transactions)
        self.keep_reserve()

    def has_log(self) -> bool:
        """Whether `init` made a log here."""
        return self.log.exists()

    # -- the reserve -------------------------------------------------------------------------

    def keep_reserve(self) -> None:
        """Keep some space back, real blocks of it. Raises NoSpaceError."""
        if not self.reserve.exists():
            write_atomically(self.reserve, os.urandom(RESERVE_SIZE))

    def release_reserve(self) -> bool:
        """Give the space back; whether there was any."""
        try:
            self.reserve.unlink()
        except OSError:
            return False
        return True

    # -- locks -------------------------------------------------------------------------------

    def pipeline(self, command: str) -> contextlib.AbstractContextManager[None]:
        """Hold the pipeline lock. Raises LockedError, naming the holder, where it is held."""
        return self._hold("apply", command, patience=0.0)

    def recording(
        self, command: str = "", patience: float = RECORDING_PATIENCE
    ) -> contextlib.AbstractContextManager[None]:
        """Hold the recording lock; waits up to `patience` seconds, then raises LockedError."""
        return self._hold("live", command, patience=patience)

    def held(self, mode: str) -> bool:
        """Whether a living process holds the lock that a transaction of `mode` runs under.

        This process counts as well.
        """
        path = self._locks["apply" if mode == "apply" else "live"]
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    @contextlib.contextmanager
    def _hold(self, name: str, command: str, patience: float) -> Iterator[None]:
        path = self._locks[name]
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
        except OSError as error:
            raise from_os_error(error, "lock", path) from error
        try:
            self._wait(descriptor, patience)
            _write_holder(descriptor, command)
            yield
        finally:
            # Closing frees the lock; what the file says may stay, nobody trusts it.
            os.close(descriptor)

    def _wait(self, descriptor: int, patience: float) -> None:
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise _locked(descriptor) from None
                time.sleep(_POLL)
            else:
                return


def _write_holder(descriptor: int, command: str) -> None:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    text = msgspec.json.encode(Holder(os.getpid(), command, now))
    with contextlib.suppress(OSError):  # on a full disk the lock still locks
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text, 0)


def _locked(descriptor: int) -> LockedError:
    try:
        holder = msgspec.json.decode(os.pread(descriptor, 4096, 0), type=Holder)
    except (OSError, msgspec.DecodeError):
        return LockedError("another atomicstate process is at work: nothing was changed")
    return LockedError(
        f"`{holder.command or 'atomicstate'}` (process {holder.pid}) is at work since"
        f" {holder.since}: nothing was changed"
    )
