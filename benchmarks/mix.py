"""The log that is measured: a long life of one system, 240 bytes an event.

A cycle is six live installations, thirty changes that are only recorded, an apply and a boot, as
the engine writes them; names come from 200, so most actions are superseded in time.
"""

from __future__ import annotations

import random
import uuid
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from atomicstate.events.bodies import (
    AnyBody,
    HostBooted,
    PackageAdded,
    PackageRemoved,
    StepDone,
    StepSkipped,
    StepStarted,
    SystemInitialized,
    TransactionBegun,
    TransactionStaged,
)
from atomicstate.events.event import Actor, BootInstance, Draft
from atomicstate.events.plan import PackageChange, Plan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from atomicstate.store.log import Log
    from atomicstate.store.state import State

COMMIT = 1000
"""Events in one commit while the log is made."""

BEGIN = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
CYCLE = 6 * 5 + 30 + 13
"""Events of a cycle: after whole ones nothing is under way, and what boots is the newest."""
_NAMES = 200
_APPLY_STEPS = ("config", "containerfile", "build", "switch", "promote")


class Documents(NamedTuple):
    """Digests of the blobs that applies name."""

    recipe: str = ""
    containerfile: str = ""


def fill(state: State, count: int) -> None:
    """Make a log of `count` events in `state`, through the store's own append."""
    state.make()
    documents = Documents(state.blobs.put(b"image: base\n"), state.blobs.put(b"FROM base\n"))
    with state.create_log() as log:
        grow(log, drafts(documents), count)


def grow(log: Log, source: Iterator[Draft], count: int) -> None:
    """Append `count` events from `source`."""
    while batch := list(islice(source, min(COMMIT, count))):
        at = log.head().seq
        log.append(batch, now=lambda at=at: (BEGIN + at * SECOND, at * SECOND))
        count -= len(batch)


def state_at(directory: Path, count: int) -> State:
    """A state directory with a log of `count` events; one that is there is taken as it is."""
    from atomicstate.store.state import State

    state = State(directory)
    if not state.has_log:
        directory.mkdir(parents=True)
        fill(state, count)
    return state


_NO_DOCUMENTS = Documents()


def drafts(documents: Documents = _NO_DOCUMENTS, seed: int = 1) -> Iterator[Draft]:
    """The events without end, as they are appended one after the other to an empty log."""
    return _Life(documents, seed).drafts()


def recorded() -> Draft:
    """An action that may come at any place of any log."""
    boot = BootInstance(str(uuid.UUID(int=4)), 0, "c" * 64)
    return Draft(
        body=PackageAdded(("lib1",), False), actor=Actor(0, "root", 1000, "package add"), boot=boot
    )


class _Life:
    def __init__(self, documents: Documents, seed: int) -> None:
        self._documents = documents
        self._random = random.Random(seed)
        self._packages = [f"lib{n}" for n in range(_NAMES)]
        self._seq = 0
        self._pending: list[int] = []
        self._booted = (self._hex(256), "")
        self._boot = BootInstance(self._uuid(), 0, self._booted[0])

    def _hex(self, bits: int) -> str:
        return f"{self._random.getrandbits(bits):0{bits // 4}x}"

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def _transaction(self) -> str:
        """A UUIDv7 of the next event's time, as the engine makes them."""
        milliseconds = (BEGIN + self._seq * SECOND) // 1_000_000
        low = self._random.getrandbits(74)
        return str(
            uuid.UUID(
                int=milliseconds << 80 | 7 << 76 | low >> 62 << 64 | 2 << 62 | low & ((1 << 62) - 1)
            )
        )

    def drafts(self) -> Iterator[Draft]:
        base = "localhost/base:1"
        digest = "sha256:" + self._hex(256)
        origin = SystemInitialized(
            "sandbox", base, digest, "amd64", "deb", self._documents.recipe, self._booted[0]
        )
        yield self._draft("init", origin)
        while True:
            for _ in range(6):
                yield from self._live()
            for _ in range(30):
                yield self._recorded()
            yield from self._apply(base, digest)

    def _draft(self, verb: str, body: AnyBody, transaction: str = "") -> Draft:
        self._seq += 1
        if isinstance(body, PackageAdded | PackageRemoved):
            self._pending.append(self._seq)
        actor = Actor(0, "root", 1000 + self._seq % 3, verb)
        return Draft(body=body, transaction=transaction, actor=actor, boot=self._boot)

    def _live(self) -> Iterator[Draft]:
        name = self._random.choice(self._packages)
        change = PackageChange("install", name, "1.0-1", "amd64")
        plan, transaction = Plan((change,)), self._transaction()
        for body in (
            TransactionBegun("live", action="package.added", names=(name,), plan=plan),
            StepSkipped("overlay", "nothing to do"),
            StepStarted("live"),
            StepDone("live", {"packages": "1"}),
            PackageAdded((name,), True, plan=plan),
        ):
            yield self._draft("package add", body, transaction)

    def _recorded(self) -> Draft:
        names = (self._random.choice(self._packages),)
        if self._random.random() < 0.5:
            return self._draft("package remove", PackageRemoved(names, False, names))
        return self._draft("package add", PackageAdded(names, False))

    def _apply(self, base: str, digest: str) -> Iterator[Draft]:
        transaction, checksum = self._transaction(), self._hex(256)
        begun = TransactionBegun(
            "apply",
            add=tuple(self._pending),
            parent=self._booted[1],
            base=base,
            base_id=digest,
            architecture="amd64",
            dialect="deb",
            renderer=1,
            recipe=self._documents.recipe,
            containerfile=self._documents.containerfile,
        )
        yield self._draft("apply", begun, transaction)
        for step in _APPLY_STEPS:
            yield self._draft("apply", StepStarted(step), transaction)
            yield self._draft("apply", StepDone(step), transaction)
            if step == "switch":
                staged = TransactionStaged(checksum, "sha256:" + self._hex(256))
                yield self._draft("apply", staged, transaction)
        self._pending.clear()
        before, self._booted = self._booted, (checksum, transaction)
        self._boot = BootInstance(self._uuid(), 0, checksum)
        yield self._draft("status", HostBooted(*self._booted, "", "", *before))
