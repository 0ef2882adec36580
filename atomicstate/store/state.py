"""The state directory: where everything lies, its locks, and the reserve for a full disk."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from atomicstate.errors import AtomicstateError, NoSpaceError
from atomicstate.files import PRIVATE_FILE, make_directory
from atomicstate.store.blobs import Blobs
from atomicstate.store.locks import Holder, holder_of, locked
from atomicstate.store.log import Log, system_clock
from atomicstate.store.snapshots import Snapshots

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from atomicstate.events.event import Draft, Event
    from atomicstate.store.log import Clock

RESERVE_SIZE = 64 * 1024
"""Bytes kept back, so that the outcome of a done step can always be recorded."""

RECORDING_WAIT = 30.0
"""Seconds that a recording waits for another one."""


class State:
    """The state directory `directory`. Making this object touches nothing."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log_directory = directory / "log"
        self.recipe_directory = directory / "recipe"
        self.transactions_directory = directory / "txn"
        self.blobs = Blobs(directory / "blobs")
        self.snapshots = Snapshots(directory / "snapshots")
        self._lock = directory / "lock"
        self._live_lock = directory / "live.lock"
        self._reserve = directory / "reserve"

    def make(self) -> None:
        """Make the directory, its folders and the reserve; what is there stays. The log is apart.

        Raises NotPermittedError, NoSpaceError, HostError.
        """
        for directory in (
            self.blobs.directory,
            self.snapshots.directory,
            self.recipe_directory,
            self.transactions_directory,
        ):
            make_directory(directory)
        self.keep_reserve()

    def transaction_directory(self, transaction: str) -> Path:
        """Where one transaction's config and Containerfile lie. It is not made."""
        return self.transactions_directory / transaction

    # -- the log -----------------------------------------------------------------------------

    @property
    def has_log(self) -> bool:
        """Whether there is a log, whole or not."""
        return os.path.lexists(self.log_directory)

    def create_log(self) -> Log:
        """Make an empty log and open it. Raises ConflictError if there is one."""
        return Log.create(self.log_directory)

    def open_log(self, *, write: bool = True, scan: bool = False) -> Log:
        """Open the log (Log.open). Raises NotFoundError where `init` has not run."""
        return Log.open(self.log_directory, write=write, scan=scan)

    # -- locks -------------------------------------------------------------------------------

    def pipeline(self, command: str, wait: float = 0.0) -> AbstractContextManager[int]:
        """The lock of the pipeline, for `with`: one run at a time. Gives its descriptor.

        Waits for `wait` seconds at most, then raises LockedError, which names who holds it.
        """
        return locked(self._lock, command, wait)

    def recording(
        self, command: str = "a recording", wait: float = RECORDING_WAIT
    ) -> AbstractContextManager[int]:
        """The lock of recording commands, for `with`: each looks, decides and appends under it.

        Waits for `wait` seconds at most, then raises LockedError, which names who holds it. Taken
        inside `pipeline` where both are needed, never the other way round.
        """
        return locked(self._live_lock, command, wait)

    def pipeline_holder(self) -> Holder | None:
        """Who runs the pipeline now, if anybody does."""
        return holder_of(self._lock)

    def recording_holder(self) -> Holder | None:
        """Who records now, under the lock, if anybody does."""
        return holder_of(self._live_lock)

    # -- the reserve -------------------------------------------------------------------------

    def keep_reserve(self) -> bool:
        """Make the reserve, if it is not there. Returns whether it is: no space is no error."""
        try:
            if self._reserve.stat().st_size >= RESERVE_SIZE:
                return True
        except FileNotFoundError:
            pass
        except OSError:
            return False
        try:
            descriptor = os.open(
                self._reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE
            )
            try:
                # Random: a file system that compresses would keep nothing back of zeros.
                if os.pwrite(descriptor, os.urandom(RESERVE_SIZE), 0) < RESERVE_SIZE:
                    raise NoSpaceError(f"no space for {self._reserve}")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except (OSError, AtomicstateError):
            self.release_reserve()
            return False
        return True

    def release_reserve(self) -> bool:
        """Give the reserve's space free. Returns whether there was any."""
        with contextlib.suppress(OSError):
            self._reserve.unlink()
            return True
        return False

    def append_outcome(
        self, log: Log, drafts: Sequence[Draft], *, now: Clock = system_clock
    ) -> list[Event]:
        """Append what a done step came to: where there is no space, on the reserve's.

        The reserve is made again with the next outcome that finds space for it.
        """
        try:
            events = log.append(drafts, now=now)
        except NoSpaceError:
            if not self.release_reserve():
                raise
            return log.append(drafts, now=now)
        self.keep_reserve()
        return events
