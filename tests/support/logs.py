"""Logs to try things on: cheap events, a clock that can be told, damage on purpose."""

from __future__ import annotations

import struct
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
