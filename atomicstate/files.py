"""Files that are whole or not there: temporary file, fsync, rename, fsync of the directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING

from atomicstate import failpoints
from atomicstate.errors import from_os_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PRIVATE_FILE = 0o600
PRIVATE_DIRECTORY = 0o700
_POLL = 0.05


def fsync_directory(directory: Path) -> None:
    """Make the names in `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(directory: Path, mode: int = PRIVATE_DIRECTORY) -> None:
    """Make `directory` and its parents, durable, with `mode` on each that is new."""
    if directory.is_dir():
        return
    make_directory(directory.parent, mode)
    try:
        directory.mkdir(mode=mode, exist_ok=True)
        fsync_directory(directory.parent)
    except OSError as error:
        raise from_os_error(error, "make the directory", directory) from error


def write_atomically(path: Path, content: bytes, mode: int = PRIVATE_FILE) -> None:
    """Put `content` at `path`: after a power cut there is the old file or the new one.

    When it returns the new one is durable. What fails leaves one of them whole, and no other file.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(6).hex()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        failpoints.reach("file.written")
        temporary.replace(path)
        failpoints.reach("file.replaced")
        fsync_directory(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise from_os_error(error, "write", path) from error
        raise


def remove_abandoned(directory: Path) -> None:
    """Remove the temporary files that killed writers left in `directory`; never raises OSError."""
    with contextlib.suppress(OSError):
        for path in directory.glob(".*.*.*.tmp"):
            if not _lives(path.name.split(".")[-3]):
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path, wait: float, busy: Callable[[int], Exception]) -> Iterator[int]:
    """Hold the lock `path` inside the block; gives its descriptor, which no child inherits.

    Where another process has it and keeps it for `wait` seconds, raises what `busy` makes of the
    descriptor.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    except OSError as error:
        raise from_os_error(error, "open the lock", path) from error
    try:
        _take(descriptor, path, time.monotonic() + wait, busy)
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path, deadline: float, busy: Callable[[int], Exception]) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                raise busy(descriptor) from error
            time.sleep(_POLL)
        except OSError as error:
            raise from_os_error(error, "lock", path) from error
        else:
            return


def _lives(process: str) -> bool:
    if not process.isdecimal():
        return True  # not one of ours
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
