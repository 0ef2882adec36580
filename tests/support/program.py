"""The installed command, run as a person or a script runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = Path(sys.executable).with_name("atomicstate")
LIMIT = 240
"""Seconds; what takes longer hangs."""


@dataclass(frozen=True)
class Ran:
    """What one run left behind."""

    status: int
    stdout: str
    stderr: str

    @property
    def data(self) -> Any:
        """`data` of the JSON envelope, which must hold no error."""
        answer = json.loads(self.stdout)
        assert answer["error"] is None, answer
        return answer["data"]

    @property
    def code(self) -> str:
        """The error's code, of the JSON envelope."""
        answer = json.loads(self.stdout)
        assert answer["data"] is None, answer
        return answer["error"]["errorCode"]


def atomicstate(
    *words: str | Path, sandbox: Path | None = None, env: dict[str, str] | None = None
) -> Ran:
    """Run `atomicstate WORDS`, in `sandbox`, without a terminal."""
    chosen = ["--sandbox", str(sandbox)] if sandbox else []
    done = subprocess.run(
        [PROGRAM, *chosen, *map(str, words)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
        env={**os.environ, **(env or {})},
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


def output(*argv: str) -> str:
    """What another program says on its standard output. It must succeed."""
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert done.returncode == 0, (argv, done)
    return done.stdout
