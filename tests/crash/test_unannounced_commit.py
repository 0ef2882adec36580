"""A writer killed after the last write of its commit, before it told the readers.

LMDB shows such a commit to nobody who has the log open, until somebody takes the writers' lock.
Opening for writing takes it: who goes on with the work sees all that was done.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from atomicstate.store.datafile import DATA, look
from atomicstate.store.log import Log
from tests.support.logs import WRITER, fact, run_writer, texts

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 60.0
"""Seconds; what takes longer hangs."""


def killed_after_the_meta_page(directory: Path, scratch: Path) -> None:
    """Append in a process that strace holds when the write of the meta page is done; kill it."""
    before = look(directory)[0].transaction
    held = subprocess.Popen(
        [
            *("strace", "-qq", "-o", scratch / "trace", "-P", directory / DATA),
            *("-e", "trace=pwrite64", "-e", "inject=pwrite64:delay_exit=60s"),
            *(sys.executable, "-c", WRITER, directory),
            "print(os.getpid(), flush=True); log.append([fact('not announced')])",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert held.stdout is not None
        writer = int(held.stdout.readline())
        deadline = time.monotonic() + LIMIT
        while look(directory)[0].transaction == before:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(writer, signal.SIGKILL)
    finally:
        # Else it would wait out the delay of the dead.
        held.kill()
        held.communicate()


def test_who_opens_it_for_writing_sees_it_though_another_kept_the_log_open(tmp_path: Path) -> None:
    with Log.create(tmp_path / "log") as log:
        killed_after_the_meta_page(log.directory, tmp_path)
        assert log.head().seq == 0
        run_writer(log.directory, "assert log.head().seq == 1, log.head()")
        assert texts(log) == ["not announced"]
        log.append([fact("next")])
        assert texts(log) == ["not announced", "next"]
