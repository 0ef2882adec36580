"""Which event each line of the recipe and of the Containerfile comes from.

A line is blamed on the event without which it would not be there: the last to set the base, the
action whose module it belongs to or that changed this line of it, or that set the variable. What
`init` found is blamed on event 1.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from atomicstate.engine import documents
from atomicstate.events.asjson import rfc3339
from atomicstate.projectors.recipe import base_event
from atomicstate.projectors.state import MODULE_CHANGED
from atomicstate.recipe import writer
from atomicstate.recipe.schema import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from atomicstate.engine.session import Session
    from atomicstate.projectors.system import System
    from atomicstate.recipe.schema import Module

FOUND = 1
"""The event that holds what `init` found."""

_NO_MODULES = b"modules: []\n"
_LABEL = "LABEL "
_PART = re.compile(r"# (?:event (\d+)|recipe)")


class BlamedLine(Struct, frozen=True):
    """A line, the event that it comes from, when that was and who asked for it."""

    seq: int
    time: str
    user: str
    text: str


def recipe(session: Session, system: System, seqs: Iterable[int]) -> list[BlamedLine]:
    """The recipe of the actions `seqs`, line by line."""
    system, seqs = _with_changes(session, system, frozenset(seqs))
    made = documents.composition(session, system, seqs)
    whole = made.recipe
    base = base_event(system, seqs) or FOUND
    owners = [base] * len(_lines(writer.write(Recipe(whole.image))[: -len(_NO_MODULES)]))
    for place, (name, text) in enumerate(whole.env.items()):
        lines = _lines(writer.write(Recipe(env={name: text}))[: -len(_NO_MODULES)])
        owner = made.env_owners[name] or FOUND
        # The heading is there because of the first of them, as long as there is but one.
        head = owner if len(whole.env) == 1 else FOUND
        owners += [owner] * (len(lines) - 1) if place else [head, *[owner] * (len(lines) - 1)]
    versions = [
        [*earlier, (module, event)]
        for module, event, earlier in zip(whole.modules, made.owners, made.earlier, strict=True)
    ]
    owners.append((versions[0][0][1] or FOUND) if len(versions) == 1 else FOUND)
    for item in versions:
        owners += _owners_of_lines(item)
    return _blamed(session, owners, _lines(writer.write(whole)))


def _with_changes(
    session: Session, system: System, seqs: frozenset[int]
) -> tuple[System, frozenset[int]]:
    """The same with all changes of modules: those that others followed were let go, perhaps."""
    if all(system.actions[seq].kind != MODULE_CHANGED for seq in seqs):
        return system, seqs
    every = session.whole_at(system.position)
    # What was let go is in each selection that can be asked for.
    return every, seqs | (every.actions.keys() - system.actions.keys())


def _owners_of_lines(versions: Sequence[tuple[Module, int]]) -> list[int]:
    """Who wrote each line of the last of a module's versions: what stays is the earlier one's."""
    from difflib import SequenceMatcher

    before: list[str] = []
    owners: list[int] = []
    for module, owner in versions:
        lines = _lines(writer.write(Recipe(modules=(module,))))[1:]
        found = [owner or FOUND] * len(lines)
        for block in SequenceMatcher(None, before, lines, autojunk=False).get_matching_blocks():
            found[block.b : block.b + block.size] = owners[block.a : block.a + block.size]
        before, owners = lines, found
    return owners


def containerfile(
    session: Session, system: System, seqs: Iterable[int], *, pinned: bool = False
) -> list[BlamedLine]:
    """The Containerfile of the actions `seqs`, line by line."""
    seqs = frozenset(seqs)
    build = documents.build(session, system, seqs, pinned=pinned)
    lines = _lines(build.containerfile.content)
    base = base_event(system, seqs) or FOUND
    owner, owners = base, []
    for number, line in enumerate(lines):
        # The empty line that divides belongs to what it leads to.
        after = lines[number + 1] if not line and number + 1 < len(lines) else line
        if match := _PART.fullmatch(after):
            owner = int(match[1] or FOUND)
        elif not line and after.startswith(_LABEL):
            owner = base
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
