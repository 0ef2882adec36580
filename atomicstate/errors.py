"""Every way in which the product says no: one class, one code, one exit status each.

A message says what happened and what was not changed; a hint says what to do next.
The codes and exit statuses are part of the command line's contract.
"""

from __future__ import annotations

import errno
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class AtomicstateError(Exception):
    """The root of the tree. `message` and `hint` are sentences for people.

    `details` are what a program is told besides: more keys of the envelope's `error`.
    """

    code = "INTERNAL"
    exit_status = 1
    hint = ""
    details: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if hint is not None:
            self.hint = hint


class ValidationError(AtomicstateError):
    """What was given can't be meant."""

    code, exit_status = "VALIDATION", 2


class NotFoundError(AtomicstateError):
    """A name that stands for nothing."""

    code, exit_status = "NOT_FOUND", 3


class AptError(AtomicstateError):
    """libapt or dpkg could not do it: no plan, a failing download or script."""

    code, exit_status = "APT", 4


class NotPermittedError(AtomicstateError):
    """The file or the host may not be touched by this user."""

    code, exit_status = "PERMISSION", 5
    hint = "run it as root"


class InterruptedWorkError(AtomicstateError):
    """An earlier run was cut short and must be finished or taken back first."""

    code, exit_status = "INTERRUPTED", 6
    hint = "`atomicstate resume` goes on with it, `atomicstate abort` takes it back"


class LockedError(AtomicstateError):
    """Another process holds what this one needs."""

    code, exit_status = "LOCKED", 7
    hint = "try again when it has ended"


class NoOperationError(AtomicstateError):
    """It would change nothing."""

    code, exit_status = "NO_OPERATION", 8


class ContainerError(AtomicstateError):
    """The image could not be built."""

    code, exit_status = "CONTAINER", 9


class ImageError(AtomicstateError):
    """An image that can't be found or can't be deployed."""

    code, exit_status = "IMAGE", 10


class NoSpaceError(AtomicstateError):
    """No space, or no quota, left."""

    code, exit_status = "NO_SPACE", 11
    hint = "free some space and try again"


class CorruptError(AtomicstateError):
    """What is on disk is not what was written. `seq` names the event, where one is known."""

    code, exit_status = "CORRUPT", 12
    hint = "`atomicstate verify` tells more; bring it back from a backup or an export"

    def __init__(self, message: str, *, seq: int | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.seq = seq


class TooNewError(AtomicstateError):
    """Written by a newer version: it can be read as far as this one understands it."""

    code, exit_status = "TOO_NEW", 13
    hint = "update atomicstate"


class ConflictError(AtomicstateError):
    """Two wishes, or two writers, that exclude each other."""

    code, exit_status = "CONFLICT", 14


class HostError(AtomicstateError):
    """The host did not do what it was asked; `status` tells whether anything of it is left."""

    code, exit_status = "HOST", 15


class UnclearError(HostError):
    """The host gives no clear answer: the intent stays open, nothing is adopted or repeated."""

    hint = "look at the host, then `atomicstate resume` or `atomicstate abort`"


class UndecidedError(UnclearError):
    """The host was asked what came of an interrupted step, and a person must decide."""


class CanceledError(AtomicstateError):
    """A person said no, or pressed Ctrl-C."""

    code, exit_status = "CANCELED", 130


_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NOT_PERMITTED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def from_os_error(error: OSError, doing: str, path: Path | str) -> AtomicstateError:
    """The product's error for a failing system call while `doing` something to `path`."""
    reason = error.strerror or str(error)
    message = f"can't {doing} {path}: {reason[:1].lower()}{reason[1:]}"
    if error.errno in _NO_SPACE:
        return NoSpaceError(message)
    if error.errno == errno.EROFS:
        return NotPermittedError(message, hint="the file system is mounted read-only")
    if error.errno in _NOT_PERMITTED:
        return NotPermittedError(message)
    if error.errno == errno.ENOENT:
        return NotFoundError(message)
    return HostError(message)
