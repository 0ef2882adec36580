"""Which event each line of the recipe and of the Containerfile comes from.

A line is blamed on the event without which it would not be there: the last to set the base, or
the action whose module it belongs to. What `init` found is blamed on event 1.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from atomicstate.engine import documents
from atomicstate.events.asjson import rfc3339
from atomicstate.projectors.recipe import base_event, layers, recipe_of
from atomicstate.recipe import writer
from atomicstate.recipe.schema import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from atomicstate.engine.session import Session
    from atomicstate.projectors.system import System

FOUND = 1
"""The event that holds what `init` found."""

_PART = re.compile(r"# (?:event (\d+)|recipe)")


class BlamedLine(Struct, frozen=True):
    """A line, the event that it comes from, when that was and who asked for it."""

    seq: int
    time: str
    user: str
    text: str


def recipe(session: Session, system: System, seqs: Iterable[int]) -> list[BlamedLine]:
    """The recipe of the actions `seqs`, line by line."""
    seqs = frozenset(seqs)
    found = documents.found_recipe(session, system)
    document = recipe_of(system, seqs, found)
    events = [layer.event or FOUND for layer in layers(system, seqs, found)]
    owners = [base_event(system, seqs) or FOUND, events[0] if len(events) == 1 else FOUND]
    head = len(owners)
    for event, module in zip(events, document.modules, strict=True):
        owners += [event] * (len(_lines(writer.write(Recipe("", (module,))))) - head)
    return _blamed(session, owners, _lines(writer.write(document)))


def containerfile(session: Session, system: System, seqs: Iterable[int]) -> list[BlamedLine]:
    """The Containerfile of the actions `seqs`, line by line."""
    seqs = frozenset(seqs)
    lines = _lines(documents.containerfile_document(session, system, seqs).content)
    owner, owners = base_event(system, seqs) or FOUND, []
    for number, line in enumerate(lines):
        # The empty line that divides belongs to what it leads to.
        after = lines[number + 1] if not line and number + 1 < len(lines) else line
        if match := _PART.fullmatch(after):
            owner = int(match[1] or FOUND)
        owners.append(owner)
    return _blamed(session, owners, lines)


def _lines(content: bytes) -> list[str]:
    return content.decode().splitlines()


def _blamed(session: Session, owners: list[int], lines: list[str]) -> list[BlamedLine]:
    events = {seq: session.event(seq) for seq in set(owners)}
    return [
        BlamedLine(seq, rfc3339(events[seq].time), events[seq].actor.user, text)
        for seq, text in zip(owners, lines, strict=True)
    ]
