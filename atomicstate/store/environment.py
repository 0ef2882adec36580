"""One LMDB environment: opened with care, grown by itself, safe over a fork."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING, Any, TypeVar

import lmdb

from atomicstate.errors import HostError
from atomicstate.files import PRIVATE_FILE
from atomicstate.store import datafile
from atomicstate.store.apart import DiedError, beside
from atomicstate.store.failures import from_lmdb_error, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")

MAP_SIZE = 256 * 1024 * 1024
"""Bytes of address space for a small log. It costs nothing until it is used."""

MAX_MAP_SIZE = 1 << 42
_MAX_READERS = 254
_TRIES = 40

LOCK = "lock.mdb"
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_LOCK_SIZE = 64 * (_MAX_READERS + 2)


class Environment:
    """The LMDB environment in `directory`. Belongs to one thread.

    LMDB may be opened once in a process; a second opening raises LockedError. After a fork the
    child opens its own on first use.
    """

    def __init__(
        self,
        directory: Path,
        *,
        write: bool,
        readahead: bool = False,
        map_size: int = MAP_SIZE,
        create: bool = False,
    ) -> None:
        self.directory = directory
        self.write = write
        self._readahead = readahead
        self._map_size = map_size
        self._environment: Any = None
        self._mark: datafile.Mark | None = None
        self._pid = os.getpid()
        self._open(create=create)

    # -- opening and closing -----------------------------------------------------------------

    def _open(self, *, create: bool = False, trusting: bool = False) -> None:
        beyond_doubt = create
        if create:
            self._make_lock()
        else:
            meta, beyond_doubt = datafile.look(self.directory)
            self._map_size = max(self._map_size, _rounded(2 * meta.size))
            self._make_lock()
            if not beyond_doubt and not trusting:
                datafile.check_pages(self.directory, self._map_size, write=self.write)
        with translated("open the log", self.directory):
            self._environment = lmdb.open(
                str(self.directory),
                map_size=self._map_size,
                readonly=not self.write,
                create=create,
                mode=PRIVATE_FILE,
                readahead=self._readahead,
                max_readers=_MAX_READERS,
                max_dbs=0,
                sync=True,
                metasync=True,
                writemap=False,
                lock=True,
            )
        self._pid = os.getpid()
        if self.write:
            with translated("open the log", self.directory):
                self._environment.reader_check()
                self._mark = datafile.Mark(self.directory)
            if not beyond_doubt or create:
                self.committed()

    def _make_lock(self) -> None:
        with translated("open the log", self.directory):
            _allocate_lock(self.directory)

    def close(self) -> None:
        """Let go of the files. A second call does nothing."""
        if self._environment is not None:
            # In the child of a fork this frees the child's copy: the parent's slots and locks
            # stay, LMDB compares the process's number.
            self._environment.close()
            self._environment = None
        if self._mark is not None:
            self._mark.close()
            self._mark = None

    def reopen(self) -> None:
        """Start afresh after a failed commit: LMDB may refuse all further use of this one."""
        with contextlib.suppress(lmdb.Error):
            self.close()

    def _ready(self) -> Any:  # noqa: ANN401 - lmdb.Environment
        if self._pid != os.getpid():
            self.close()
        if self._environment is None:
            self._open()
        return self._environment

    # -- transactions ------------------------------------------------------------------------

    def begin(self, *, write: bool = False) -> Any:  # noqa: ANN401 - lmdb.Transaction
        """A transaction, to be used as a context manager. Sees the newest commit.

        Waits while another process writes, if `write`. Raises the product's errors.
        """
        for _attempt in range(_TRIES):
            try:
                return self._ready().begin(write=write)
            except lmdb.MapResizedError:
                # Another process let the map grow: take its size.
                self._environment.set_mapsize(0)
            except lmdb.ReadersFullError:
                if not self._environment.reader_check():
                    raise HostError(
                        f"too many processes read the log {self.directory}",
                        hint="try again when some have ended",
                    ) from None
            except lmdb.Error as error:
                raise from_lmdb_error(error, "use the log", self.directory) from error
        raise HostError(f"the log {self.directory} grows faster than it can be read")

    def committed(self) -> None:
        """To be called after each commit: keeps the mark of a clean end."""
        if self._mark is not None:
            self._mark.set()

    def grow(self) -> None:
        """Double the map. Raises HostError where there is no address space for it."""
        environment = self._ready()
        size = environment.info()["map_size"] * 2
        if size > MAX_MAP_SIZE:
            raise HostError(f"the log {self.directory} has outgrown what this program can map")
        with translated("let the map grow of", self.directory):
            environment.set_mapsize(size)
        self._map_size = size

    @contextlib.contextmanager
    def beside(self, work: Callable[[], T]) -> Iterator[Callable[[], T]]:
        """`work`, which only reads, in a child process that has the log open too (apart.beside).

        Waiting for it raises CorruptError where reading was the end of the child.
        """

        def in_the_child() -> T:
            self.close()
            self.write = False
            # Another child that reads all of it first would find what this one dies of.
            self._open(trusting=True)
            return work()

        try:
            with beside(in_the_child) as answer:
                yield answer
        except DiedError as error:
            raise datafile.corrupt(
                self.directory / datafile.DATA, f"a process that read it was killed by {error}"
            ) from error

    def sync(self) -> None:
        """Make durable what was committed."""
        with translated("write the log", self.directory):
            self._ready().sync(True)

    def copy(self, target: Path, *, compact: bool) -> None:
        """LMDB's own consistent copy into the directory `target`, while others write."""
        with translated("copy the log to", target):
            self._ready().copy(str(target), compact=compact)
            (target / datafile.DATA).chmod(PRIVATE_FILE)
            mark = datafile.Mark(target)
            mark.set()
            mark.close()


def _allocate_lock(directory: Path) -> None:
    """Make the file of LMDB's locks, if it is not there, with all its space.

    LMDB makes a hole of that size and maps it: on a full disk a write to it is SIGBUS. A file
    that is there is never opened here: closing it would drop LMDB's locks of this process.
    """
    path = directory / LOCK
    if path.exists():
        return
    temporary = directory / f".{LOCK}.{os.urandom(6).hex()}.tmp"
    try:
        descriptor = os.open(
            temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE
        )
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise
        # LMDB says it better; a reader needs no locks on a read-only file system.
        return
    try:
        os.posix_fallocate(descriptor, 0, _LOCK_SIZE)
        # A link and not a rename: another process may have begun to lock its own.
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise
    finally:
        os.close(descriptor)
        temporary.unlink()


def _rounded(size: int) -> int:
    """`size` up to whole mebibytes: LMDB wants a multiple of the page size."""
    return -(-size // (1 << 20)) * (1 << 20)
