"""What is mounted, as /proc/self/mountinfo tells, and mounting (mounting.py) on top of that."""

from __future__ import annotations

import ctypes
import os
import re
import threading
from pathlib import Path
from typing import NamedTuple

from atomicstate.mounting import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REMOUNT,
    check,
    mount,
    unmount,
)

__all__ = [
    "MS_NODEV",
    "MS_NOEXEC",
    "MS_NOSUID",
    "MS_PRIVATE",
    "Mount",
    "bind",
    "mount",
    "mountinfo_of",
    "mounts_below",
    "parse_mountinfo",
    "unmount",
    "unmount_below",
]

_CLONE_FS = 0x200
_CLONE_NEWNS = 0x20000

_libc = ctypes.CDLL(None, use_errno=True)
_ESCAPE = r"\\([0-7]{3})"


class Mount(NamedTuple):
    """One line of a mountinfo file; `options` are the mount's own and the file system's."""

    point: Path
    file_system: str
    options: frozenset[str]


def bind(source: Path, target: Path, *, read_only: bool = False) -> None:
    """Show `source` at `target` too."""
    mount(str(source), target, "none", MS_BIND)
    if read_only:
        # One call can't do both: the kernel ignores MS_RDONLY on a first bind.
        mount("none", target, "none", MS_BIND | MS_REMOUNT | MS_RDONLY)


def mountinfo_of(namespace: Path) -> str:
    """The mountinfo file as a process in the mount namespace `namespace` would read it.

    No process is started: a thread of this very one looks, which takes a tenth of the time of
    a child. The other threads stay where they are. Raises OSError.
    """
    answer: list[str | BaseException] = []

    def look() -> None:
        try:
            answer.append(_look(namespace))
        except BaseException as error:
            answer.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    if isinstance(answer[0], BaseException):
        raise answer[0]
    return answer[0]


def _look(namespace: Path) -> str:
    """In a thread that ends with it: go into `namespace` and read what is mounted there."""
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # A thread that shares its root and working directory with others may not move.
        check(_libc.unshare(_CLONE_FS), namespace)
        check(_libc.setns(descriptor, _CLONE_NEWNS), namespace)
    finally:
        os.close(descriptor)
    return Path("/proc/thread-self/mountinfo").read_text("utf-8", "surrogateescape")


def parse_mountinfo(text: str) -> list[Mount]:
    """The mounts that a mountinfo file lists, in the order in which they lie on each other."""
    found = []
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, details = left.split(" "), right.split(" ")
        point = re.sub(_ESCAPE, lambda match: chr(int(match[1], 8)), fields[4])
        options = [*fields[5].split(","), *details[2].split(",")]
        found.append(Mount(Path(point), details[0], frozenset(options)))
    return found


def mounts_below(directory: Path) -> list[Mount]:
    """What is mounted at or below `directory` in this process's view, topmost first."""
    text = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    return [
        mount for mount in reversed(parse_mountinfo(text)) if mount.point.is_relative_to(directory)
    ]


def unmount_below(directory: Path) -> None:
    """Unmount everything at or below `directory` (not what lies under it). Raises OSError."""
    for found in mounts_below(directory):
        unmount(found.point)
