"""What LMDB and the system say, as the product's errors."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

import lmdb

from atomicstate.errors import (
    AtomicstateError,
    CorruptError,
    HostError,
    LockedError,
    from_os_error,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DAMAGE = (
    "CorruptedError",
    "PageNotFoundError",
    "InvalidError",
    "VersionMismatchError",
    "BadTxnError",
    "BadDbiError",
    "IncompatibleError",
    "BadValsizeError",
    "BadChecksumError",
    "ProblemError",
    "CursorFullError",
)
# Some of the classes came with later versions of py-lmdb.
DAMAGE: tuple[type[Exception], ...] = tuple(
    getattr(lmdb, name) for name in _DAMAGE if hasattr(lmdb, name)
)
"""What py-lmdb raises where the file is not what LMDB wrote."""

_UNUSABLE = frozenset({errno.ENODEV, errno.EINVAL, errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP})
_TRIAL = 64 * 1024


def code_of(error: lmdb.Error) -> int:
    """The system's error number in what py-lmdb raised, 0 where there is none."""
    code = getattr(error, "code", None)
    if isinstance(code, int):
        return max(code, 0)
    text = str(error)
    return next((n for n in errno.errorcode if text.endswith(os.strerror(n))), 0)


def from_lmdb_error(  # noqa: PLR0911 - one answer a case
    error: lmdb.Error, doing: str, directory: Path
) -> AtomicstateError:
    """The product's error for what LMDB said while `doing` something to the log `directory`."""
    code = code_of(error)
    if isinstance(error, DAMAGE):
        return CorruptError(f"the log {directory} is damaged: {error}")
    if isinstance(error, lmdb.MemoryError) or code == errno.ENOMEM:
        return HostError(
            f"can't {doing} {directory}: this process may not map as much memory",
            hint="raise its limit (ulimit -v)",
        )
    if "already open in this process" in str(error):
        return LockedError(f"this process has the log {directory} open already")
    if code == errno.EIO:
        return _input_output(doing, directory)
    if code in _UNUSABLE:
        return HostError(
            f"can't {doing} {directory}: LMDB can't use this file system ({os.strerror(code)})",
            hint="put the state directory on a local file system, such as ext4, xfs or btrfs",
        )
    if code:
        return from_os_error(OSError(code, os.strerror(code)), doing, directory)
    return HostError(f"can't {doing} {directory}: {error}")


def _input_output(doing: str, directory: Path) -> AtomicstateError:
    """LMDB calls a short write an input/output error: try a write to learn the reason."""
    try:
        size = (directory / "data.mdb").stat().st_size
        descriptor = os.open(directory, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            written = os.pwrite(descriptor, bytes(_TRIAL), size)
            if written < _TRIAL:
                os.pwrite(descriptor, bytes(_TRIAL - written), size + written)
        finally:
            os.close(descriptor)
    except OSError as reason:
        if reason.errno != errno.EOPNOTSUPP:
            return from_os_error(reason, doing, directory)
    return HostError(
        f"can't {doing} {directory}: the disk reports an input/output error",
        hint="look at the kernel's messages (dmesg)",
    )


@contextlib.contextmanager
def translated(doing: str, directory: Path) -> Iterator[None]:
    """What LMDB or the system raises inside becomes the product's error."""
    try:
        yield
    except lmdb.Error as error:
        raise from_lmdb_error(error, doing, directory) from error
    except OSError as error:
        raise from_os_error(error, doing, directory) from error
