"""mount(2) and umount2(2).

System calls, not mount(8): a dozen mounts in one process, and errors that carry their number.
"""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_PRIVATE = 1 << 18
_MNT_DETACH = 2
_UMOUNT_NOFOLLOW = 8

# Loaded with this module: after a chroot there may be no libc to be found.
_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: Path | str, kind: str, flags: int = 0, options: str = "") -> None:
    """mount(2). Raises OSError, with the mount point as its file name."""
    done = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        kind.encode(),
        ctypes.c_ulong(flags),
        os.fsencode(options) if options else None,
    )
    check(done, target)


def unmount(target: Path) -> None:
    """Take the topmost mount off `target`; what still uses it keeps it, out of sight.

    Raises OSError.
    """
    check(_libc.umount2(os.fsencode(target), _MNT_DETACH | _UMOUNT_NOFOLLOW), target)


def check(done: int, target: Path | str) -> None:
    """Raise the OSError of the system call that gave `done`, about `target`; 0 is none."""
    if done != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))
