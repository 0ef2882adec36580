"""Recording changes of the recipe over a host in memory, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from atomicstate.engine import documents, undo
from atomicstate.engine.results import Silent
from atomicstate.recipe.reader import read
from tests.support.fakehost import fake_host
from tests.support.sessions import adopted

if TYPE_CHECKING:
    from pathlib import Path

    from atomicstate.errors import AtomicstateError
    from atomicstate.recipe.schema import Recipe
    from tests.support.sessions import Machine

FOUND = b"""\
image: localhost/base:test
env:
  LANG: C.UTF-8
modules:
  - type: packages
    id: tools
    body:
      install: [jq]
  - type: repos
    body:
      custom: [deb http://a.example stable main, deb http://b.example stable main]
"""


class Notes(Silent):
    """A reporter that keeps the sentences."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def with_recipe(directory: Path, content: bytes = FOUND) -> Machine:
    """A machine that had a recipe when it was adopted."""
    path = directory / "recipe" / "image.yml"
    path.parent.mkdir(parents=True, mode=0o700)
    path.write_bytes(content)
    return adopted(directory, fake_host())


def do(machine: Machine, verb, *arguments, reporter=None, **options):
    """Record by a verb of the engine: its result."""
    reporter = reporter or Silent()
    return machine.command(lambda s: verb(s, *arguments, reporter, **options))


def refused(
    machine: Machine, error: type[AtomicstateError], *arguments, **options
) -> AtomicstateError:
    """The error; and nothing was recorded, nor kept beside the log."""
    events, blobs = machine.events(), kept(machine)
    with pytest.raises(error) as raised:
        do(machine, *arguments, **options)
    assert (machine.events(), kept(machine)) == (events, blobs)
    return raised.value


def undone(machine: Machine, *words: str, **options):
    """Undo what `words` mean."""

    def work(session):
        proposal = undo.propose(session, undo.UNDO, words, **options)
        return undo.carry_out(session, proposal, Silent())

    return machine.command(work)


def kept(machine: Machine) -> list[str]:
    """The blobs beside the log."""
    with machine.session() as session:
        return list(session.blobs.all())


def recipe(machine: Machine) -> Recipe:
    """The recipe that is wanted, read back from the document."""
    return read(machine.command(documents.recipe).content)


def bodies(machine: Machine, count: int) -> list[object]:
    """The newest events' bodies."""
    return [event.body for event in machine.events()[-count:]]
