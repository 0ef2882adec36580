"""Logs to try things on: cheap events, a clock that can be told, damage on purpose."""

from __future__ import annotations

import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import lmdb

from atomicstate.events.bodies import AnyBody, PackageAdded, StepSkipped
from atomicstate.events.event import Actor, BootInstance, Draft
from atomicstate.store.log import Log

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ACTOR = Actor(0, "root", 1000, "package add")
BOOT = BootInstance("a" * 36, 1, "c" * 64, 2)


def fact(text: str = "") -> Draft:
    """A draft that is no action."""
    return Draft(body=StepSkipped("live", text), actor=ACTOR, boot=BOOT)


def action(*names: str) -> Draft:
    """A draft by which somebody asks for a change."""
    return Draft(body=PackageAdded(names, False), actor=ACTOR)


def texts(log: Log) -> list[str]:
    """What the facts of a log say."""
    return [event.body.reason for event, _hash in log.events(check=True)]


def filled(directory: Path, count: int, body: Callable[[int], AnyBody] | None = None) -> Log:
    """A new log with `count` facts, in one commit."""
    log = Log.create(directory)
    drafts = [fact(f"number {n}") for n in range(1, count + 1)]
    if body is not None:
        drafts = [Draft(body=body(n), actor=ACTOR) for n in range(1, count + 1)]
    log.append(drafts)
    return log


def key(seq: int) -> bytes:
    """The key of a record, by the document and not by the store."""
    return struct.pack(">Q", seq)


def tamper(directory: Path, change: Callable[[lmdb.Transaction], object]) -> None:
    """Change the records of a closed log behind the store's back."""
    with (
        lmdb.open(str(directory), map_size=1 << 28) as environment,
        environment.begin(write=True) as transaction,
    ):
        change(transaction)


WRITER = """
import os, sys
from pathlib import Path
from atomicstate.store.log import Log
from atomicstate.events.bodies import StepStarted
from atomicstate.events.event import Draft
from tests.support.logs import ACTOR, action, fact
log = Log.open(Path(sys.argv[1]))
exec(sys.argv[2])
log.close()
"""


def start_writer(directory: Path, code: str) -> subprocess.Popen[bytes]:
    """A process of its own that opens the log as `log` and runs `code`."""
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(directory), code],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def run_writer(directory: Path, code: str) -> None:
    """Run `code` in such a process, to its end."""
    process = start_writer(directory, code)
    _out, said = process.communicate(timeout=60)
    assert process.returncode == 0, said.decode()
