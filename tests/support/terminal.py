"""A program at a terminal, and a person's keys."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

QUIET = 0.2
"""Seconds without output after which a key is pressed."""


def at_a_terminal(
    argv: Sequence[str | Path], *keys: str, until: str, limit: float = 240
) -> tuple[int, str]:
    """Run `argv` on a pseudo-terminal; once it showed `until` and is quiet, press `keys`.

    Returns its exit status and all that was shown.
    """
    parent, child = pty.openpty()
    with subprocess.Popen(argv, stdin=child, stdout=child, stderr=child, close_fds=True) as running:
        os.close(child)
        try:
            shown = _converse(running, parent, list(keys), until.encode(), time.monotonic() + limit)
        finally:
            running.kill()
            os.close(parent)
    return running.returncode, shown.decode()


def _converse(
    running: subprocess.Popen[bytes], parent: int, keys: list[str], until: bytes, deadline: float
) -> bytes:
    shown = b""
    while time.monotonic() < deadline:
        if select.select([parent], [], [], QUIET)[0]:
            try:
                shown += os.read(parent, 65536)
            except OSError:
                break
        elif keys and until in shown:
            os.write(parent, keys.pop(0).encode())
        elif running.poll() is not None:
            break
    running.wait(10)
    return shown
