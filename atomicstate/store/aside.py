"""Whole directories that are there at once or not at all: made aside, then renamed."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from atomicstate.errors import ConflictError, from_os_error
from atomicstate.files import PRIVATE_DIRECTORY, fsync_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def built_aside(directory: Path) -> Iterator[Path]:
    """A new directory beside `directory` that takes its place at the end, or vanishes.

    Raises ConflictError if there is something at `directory`. What a killed maker left is
    cleaned away by the next: it holds a lock on its directory for as long as it lives.
    """
    _refuse_existing(directory)
    prefix = f".{directory.name}.new."
    _clean_leftovers(directory.parent, prefix)
    aside = directory.with_name(prefix + os.urandom(6).hex())
    try:
        aside.mkdir(mode=PRIVATE_DIRECTORY)
        descriptor = os.open(aside, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise from_os_error(error, "make", directory) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield aside
        try:
            fsync_directory(aside)
            aside.rename(directory)
            fsync_directory(directory.parent)
        except OSError as error:
            _refuse_existing(directory)
            raise from_os_error(error, "make", directory) from error
    finally:
        # Imported where it is used: it costs more than reading a page of the log.
        import shutil

        shutil.rmtree(aside, ignore_errors=True)
        os.close(descriptor)


def _refuse_existing(directory: Path) -> None:
    with contextlib.suppress(OSError):
        if directory.is_dir() and not any(directory.iterdir()):
            return
    if directory.exists() or directory.is_symlink():
        raise ConflictError(f"{directory} is there already; it was left as it is")


def _clean_leftovers(parent: Path, prefix: str) -> None:
    for leftover in parent.glob(prefix + "*"):
        with contextlib.suppress(OSError):
            descriptor = os.open(leftover, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                import shutil

                shutil.rmtree(leftover)
            finally:
                os.close(descriptor)
