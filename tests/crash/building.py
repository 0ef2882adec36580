"""An apply that is held at its build, so that something else can happen meanwhile."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.machines import Machine

APPLY = ("apply", "-y")
LIMIT = 120.0
"""Seconds; what takes longer hangs."""


@dataclass
class Building:
    """The apply; `said` is what came on its standard output and error, once it has `ended`."""

    running: subprocess.Popen[str]
    go: Path
    said: tuple[str, str] = ("", "")

    def ended(self) -> int:
        """Let it go, and wait for its end: the exit status."""
        self.go.touch()
        self.said = self.running.communicate(timeout=LIMIT)
        assert "Traceback" not in self.said[1], self.said
        return self.running.returncode


@contextlib.contextmanager
def building(machine: Machine, scratch: Path, point: str = "") -> Iterator[Building]:
    """An apply that is at its build; later it is killed at the failpoint `point`."""
    there, go, folder = scratch / "there", scratch / "go", scratch / "bin"
    folder.mkdir()
    waits = f"touch {there}; while [ ! -e {go} ]; do sleep 0.05; done"
    podman = folder / "podman"
    podman.write_text(
        f'#!/bin/sh\ncase " $* " in *" build "*) {waits};; esac\n'
        f'exec {shutil.which("podman")} "$@"\n'
    )
    podman.chmod(0o755)
    env = {"PATH": f"{folder}:{os.environ['PATH']}", "ATOMICSTATE_FAILPOINT": point}
    with machine.started(APPLY, env=env) as running:
        deadline = time.monotonic() + LIMIT
        while not there.exists():
            assert running.poll() is None, running.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield Building(running, go)
