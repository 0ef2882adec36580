"""What crosses a recovery: a command is killed, something comes between, `abort` or `resume` is
killed too, something comes between again, and then recovery comes to its end. What it has to leave
is looked at after that: `wrong`. The host is in memory.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, NamedTuple

import pytest

from atomicstate.engine.recipe_folder import RECIPE, file_digest
from atomicstate.engine.status import status
from atomicstate.engine.unfinished import found
from atomicstate.errors import AtomicstateError, ConflictError, UndecidedError
from atomicstate.events.bodies import (
    HostBooted,
    HostObserved,
    PackageAdded,
    StepSkipped,
    TransactionRolledBack,
)
from atomicstate.host.ports import LABEL_TRANSACTION
from atomicstate.store import datafile
from atomicstate.store.log import Log
from atomicstate.store.verify import verify
from tests.support.crossings import Frozen, Kill, kills, run, signature
from tests.support.seeds import seed
from tests.support.situations import AGAIN, BETWEEN, RECOVERIES, SITUATIONS, Theirs, start_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from atomicstate.engine.results import StatusResult
    from atomicstate.events.event import Event
    from tests.support.crossings import Command
    from tests.support.sessions import Machine
    from tests.support.situations import Between

WALKS = 200


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Nothing is flushed; the log's file, always a copy here, is not doubted, and read here."""
    monkeypatch.setattr(os, "fsync", lambda _fd: None)
    monkeypatch.setattr(os, "fdatasync", lambda _fd: None)
    monkeypatch.setattr(datafile, "check_pages", lambda *_args, **_options: None)
    monkeypatch.setattr(Log, "apart", lambda _log, work: work())


# -- what must be so -----------------------------------------------------------------------------


def wrong(machine: Machine, outcome: object, theirs: Theirs) -> Iterator[str]:
    """What is not as it has to be, after a recovery that came to this outcome."""
    yield from theirs.lost(machine)
    if isinstance(outcome, UndecidedError):
        _where, outcome = run(machine, RECOVERIES["abort"])
        yield from theirs.lost(machine)
    if isinstance(outcome, AtomicstateError) and not isinstance(outcome, ConflictError):
        yield f"{type(outcome).__name__}: {outcome.message}"
    events = machine.events()
    unfinished, shown = machine.command(lambda session: (found(session), status(session)))
    if unfinished:
        yield f"unfinished: {[(it.mode, it.state, it.step) for it in unfinished]}"
    if list((machine.directory / "txn").iterdir()):
        yield "the folder of a transaction is left"
    yield from lost_actions(machine, events, shown)
    yield from left_of_what_was_taken_back(machine, events)
    yield from edited_by_nobody(machine)
    yield from done_again(machine, events, theirs)
    with machine.session() as session:
        verify(session.log, session.state.blobs, session.state.snapshots)


def lost_actions(machine: Machine, events: list[Event], shown: StatusResult) -> Iterator[str]:
    """Each package that was added is in what boots next, pending, or held back."""
    first = machine.host.status().boots_next
    assert first is not None
    there = set(machine.host.packages_of(first.image_digest))
    there.update(*(item.data["names"] for item in (*shown.pending, *shown.held)))
    for event in events:
        if isinstance(event.body, PackageAdded) and not there.issuperset(event.body.names):
            yield f"lost: {', '.join(event.body.names)}"


def taken_back(events: list[Event]) -> set[str]:
    return {
        event.transaction
        for event in events
        if isinstance(event.body, TransactionRolledBack)
        or (isinstance(event.body, StepSkipped) and "was dropped" in event.body.reason)
    }


def left_of_what_was_taken_back(machine: Machine, events: list[Event]) -> Iterator[str]:
    host, gone = machine.host, taken_back(events)
    for name, (image, _packages) in host.images.items():
        if image.labels.get(LABEL_TRANSACTION) in gone:
            yield f"an image of what was taken back: {name.partition(':')[0]}"
    status = host.status()
    for name, slot in (("booted", status.booted), ("next to boot", status.boots_next)):
        if slot and slot.labels.get(LABEL_TRANSACTION) in gone:
            yield f"what was taken back is {name}"


def edited_by_nobody(machine: Machine) -> Iterator[str]:
    """image.yml is as the log has it: that of what was taken back has gone."""
    with machine.session() as session:
        placed = session.system().placed.document
    if file_digest(machine.directory / "recipe" / RECIPE) != placed:
        yield "image.yml is not as the log says"


def standing(machine: Machine, events: list[Event]) -> object:
    """What a command that does nothing leaves as it is."""
    seen = [event for event in events if not isinstance(event.body, HostObserved | HostBooted)]
    host = machine.host
    return len(seen), dict(host.deployments), host.queued, sorted(host.images)


def done_again(machine: Machine, events: list[Event], theirs: Theirs) -> Iterator[str]:
    """A second abort does nothing, nor does a second resume; the first may stage once more."""
    for name, does_nothing in (("abort", True), ("resume", False), ("resume", True)):
        before = standing(machine, events)
        _where, outcome = run(machine, RECOVERIES[name])
        if isinstance(outcome, AtomicstateError):
            yield f"another {name}: {outcome.message}"
        events = machine.events()
        if does_nothing and standing(machine, events) != before:
            yield f"another {name} did something"
        yield from (f"after another {name}: {it}" for it in theirs.lost(machine))
    yield from left_of_what_was_taken_back(machine, events)


# -- exploring -----------------------------------------------------------------------------------


class Place(NamedTuple):
    """A machine, the way that led to it, and what others did on that."""

    way: tuple[str, ...]
    frozen: Frozen
    theirs: Theirs = Theirs()

    def after(self, name: str, between: Between) -> Place | None:
        """The place after that came between, where it can."""
        with self.frozen.thawed() as machine:
            theirs = between[name](machine, self.theirs)
            return theirs and Place((*self.way, name), Frozen(machine), theirs)

    def along(self, *names: str) -> Place:
        return self._replace(way=(*self.way, *names))


class Explorer:
    """`failures` tells what was wrong, and of each the first way there; `seen` what was met."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.recoveries = self.ends = 0
        self.seen: set[object] = set()
        self.failures: dict[str, tuple[str, ...]] = {}

    def start(self, name: str) -> tuple[Place, Command]:
        return Place((name,), start_of(SITUATIONS[name], self.scratch)), SITUATIONS[name].command

    def killed(self, place: Place, kill: Kill) -> Place | None:
        """Where it was killed, if that is new so far along. Where it came to its end, that is
        looked at."""
        self.recoveries += 1
        where, outcome, machine = kill
        far = len(place.way) if where else 0
        met = (signature(machine), place.theirs, far, type(outcome))
        if met in self.seen:
            return None
        self.seen.add(met)
        problems = place.theirs.lost(machine) if where else wrong(machine, outcome, place.theirs)
        then = place.along(where or "end")
        if not where:
            self.ends += 1
        else:
            then = then._replace(frozen=Frozen(machine))
        for sentence in problems:
            self.failures.setdefault(sentence, then.way)
        return then if where else None

    def places(self, place: Place, command: Command) -> Iterator[Place]:
        """Where the command can be killed."""
        found = (self.killed(place, kill) for kill in kills(place.frozen, command))
        return (it for it in found if it is not None)

    def recoveries_of(self, place: Place, between: Between) -> Iterator[tuple[Place, Command]]:
        """What can come between there, with each of both recoveries after it."""
        for name in between:
            if after := place.after(name, between):
                yield from ((after.along(verb), it) for verb, it in RECOVERIES.items())

    def everything(self, name: str) -> None:
        """Every way through two kills."""
        for first in self.places(*self.start(name)):
            for place, command in self.recoveries_of(first, BETWEEN):
                for second in self.places(place, command):
                    for last, ending in self.recoveries_of(second, AGAIN):
                        self.to_its_end(last, ending)

    def to_its_end(self, place: Place, command: Command, moment: int | None = None) -> Place | None:
        """Or, with a moment, until it is killed there."""
        with place.frozen.thawed() as machine:
            return self.killed(place, Kill(*run(machine, command, moment), machine))

    def walk(self, rng: random.Random) -> None:
        """One way through two kills, by chance; it may begin as an earlier one did."""
        self.seen.clear()
        place, command = self.start(rng.choice([*SITUATIONS]))
        for between in (BETWEEN, AGAIN):
            # Most commands have few moments, an apply has more.
            killed = self.to_its_end(place, command, rng.randrange(rng.choice((3, 14))))
            after = killed and killed.after(rng.choice([*between]), between)
            if after is None:
                return
            verb = rng.choice([*RECOVERIES])
            place, command = after.along(verb), RECOVERIES[verb]
        self.to_its_end(place, command)

    def report(self) -> str:
        lines = [f"{self.recoveries} recoveries, {self.ends} different ends"]
        lines += [f"{it}: {' > '.join(way)}" for it, way in sorted(self.failures.items())]
        return "\n".join(lines)


@pytest.mark.crash
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", SITUATIONS)
def test_whatever_crosses_a_recovery_it_comes_to_an_end(name, tmp_path):
    explorer = Explorer(tmp_path)
    explorer.everything(name)
    print(explorer.report())
    assert not explorer.failures, explorer.report()


def test_some_of_what_may_cross_a_recovery(tmp_path):
    explorer, rng = Explorer(tmp_path), random.Random(seed())
    for _ in range(WALKS):
        explorer.walk(rng)
    print(explorer.report())
    assert not explorer.failures, explorer.report()
