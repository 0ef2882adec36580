"""Look at data.mdb before LMDB maps it: LMDB trusts the file, and a damaged one kills the process.

The two meta pages are parsed here, the file's size is held against the newer one, and a mark
beside it says whether the file is as our last writer left it. Where anything is in doubt, a child
process reads all of it first (probe.py).
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import sys
from pathlib import Path
from typing import NamedTuple

import lmdb

from atomicstate.errors import (
    AtomicstateError,
    CorruptError,
    HostError,
    NotFoundError,
    NotPermittedError,
    from_os_error,
)
from atomicstate.files import PRIVATE_FILE
from atomicstate.store.apart import DEADLY
from atomicstate.store.failures import from_lmdb_error
from atomicstate.store.probe import CANT_TELL, DAMAGED

DATA = "data.mdb"
MARK = "clean"
PROBE_LIMIT = 600.0
"""Seconds that reading a doubtful file may take."""

_MAGIC = 0xBEEFC0DE
_VERSIONS = frozenset({1, 999})  # 999: what a development build of LMDB writes
_META_FLAG = 0x08
_NO_PAGE = (1 << 64) - 1
# Page header; magic, version, address, map size; the free and the main tree; last page, number.
_META = struct.Struct("=QHHHH" + "IIQQ" + "IHHQQQQQ" * 2 + "QQ")
_PAGE_SIZES = frozenset(1 << n for n in range(8, 17))
_MARK = struct.Struct(">QQQ")


class Meta(NamedTuple):
    """What the newer meta page says. `size` is what the file should have, in bytes."""

    size: int
    transaction: int


def corrupt(path: Path, what: str) -> CorruptError:
    """The error for a damaged data file."""
    return CorruptError(f"the log {path} is damaged: {what}")


def _parse(page: bytes, number: int, path: Path) -> tuple[int, Meta]:
    """Page size and content of the meta page `number`."""
    if len(page) < _META.size:
        raise corrupt(path, f"it is cut off in meta page {number}")
    fields = _META.unpack_from(page)
    page_number, _pad, flags = fields[:3]
    magic, version = fields[5:7]
    page_size, main_root = fields[9], fields[24]
    last, transaction = fields[25:27]
    sound = (
        page_number == number
        and flags & _META_FLAG
        and magic == _MAGIC
        and version in _VERSIONS
        and page_size in _PAGE_SIZES
        and last >= 1
        and (main_root == _NO_PAGE or main_root <= last)
    )
    if not sound:
        raise corrupt(path, f"meta page {number} is not what LMDB writes")
    return page_size, Meta((last + 1) * page_size, transaction)


def read_meta(descriptor: int, path: Path) -> Meta:
    """The newer meta page of the open file. Raises CorruptError where either is not sound."""
    try:
        page_size, first = _parse(os.pread(descriptor, _META.size, 0), 0, path)
        same, second = _parse(os.pread(descriptor, _META.size, page_size), 1, path)
    except OSError as error:
        raise from_os_error(error, "read", path) from error
    if same != page_size:
        raise corrupt(path, "its meta pages name different page sizes")
    return max(first, second, key=lambda meta: meta.transaction)


def _facts(status: os.stat_result) -> bytes:
    return _MARK.pack(status.st_ino, status.st_size, status.st_mtime_ns)


class Mark:
    """The mark of a clean end: inode, size and time of data.mdb as our last writer left it.

    Kept up after each commit with one small write, not made durable: after a power cut or a
    kill it does not fit, and that is what it is for.
    """

    def __init__(self, directory: Path) -> None:
        self._descriptor = os.open(
            directory / MARK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE
        )
        # To ask by descriptor takes a fifth of the time of asking by name.
        self._data = os.open(directory / DATA, os.O_PATH | os.O_CLOEXEC)

    def set(self) -> None:
        """Say that data.mdb is well as it is now. What fails leaves a mark that does not fit."""
        with contextlib.suppress(OSError):
            os.pwrite(self._descriptor, _facts(os.fstat(self._data)), 0)

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self._descriptor)
        os.close(self._data)


def is_clean(directory: Path, status: os.stat_result) -> bool:
    """Whether data.mdb is as our last writer left it."""
    try:
        return (directory / MARK).read_bytes() == _facts(status)
    except OSError:
        return False


def look(directory: Path) -> tuple[Meta, bool]:
    """The newer meta page of the log in `directory`, and whether the file is beyond doubt.

    Raises NotFoundError, NotPermittedError, or CorruptError where it is damaged for certain.
    """
    path = directory / DATA
    try:
        # Not blocking: a named pipe in its place must not hold us.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _missing(directory) from error
    except PermissionError as error:
        raise NotPermittedError(f"the log {directory} can be read by its owner alone") from error
    except OSError as error:
        raise from_os_error(error, "read", path) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise corrupt(path, "it is not a regular file")
        if status.st_size == 0:
            raise corrupt(path, "it is empty")
        meta = read_meta(descriptor, path)
    finally:
        os.close(descriptor)
    return meta, status.st_size >= meta.size and is_clean(directory, status)


def _missing(directory: Path) -> AtomicstateError:
    if directory.is_dir():
        return corrupt(directory / DATA, "it is not there")
    if directory.exists():
        return corrupt(directory, "it is not a directory")
    return NotFoundError(f"there is no log in {directory.parent}", hint="run `atomicstate init`")


def check_pages(directory: Path, map_size: int, *, write: bool) -> None:
    """Have a child process read every page. Raises CorruptError; HostError where it can't tell.

    With `write`, also what only a writer reads. Takes some tenths of a second a million events.
    """
    program = Path(__file__).with_name("probe.py")
    argv = [sys.executable, "-P", str(program), str(directory), str(map_size)]
    # Imported where it is used: most files need no probe.
    from atomicstate import process

    finished = process.run([*argv, "write"] if write else argv, timeout=PROBE_LIMIT, check=False)
    if finished.status == 0:
        return
    path = directory / DATA
    if finished.status == DAMAGED:
        raise corrupt(path, finished.text)
    if finished.status == CANT_TELL:
        raise from_lmdb_error(lmdb.Error(finished.text), "read the log", directory)
    if -finished.status in DEADLY:
        raise corrupt(path, f"a process that read it {finished.outcome}")
    raise HostError(
        f"can't tell whether the log {path} is whole: the check {finished.outcome}: "
        f"{finished.last_words}"
    )
