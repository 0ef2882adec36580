"""What happened at a point of the history, and what differs between two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from atomicstate.engine import documents
from atomicstate.engine.blobbed import recorded_plan
from atomicstate.events.asjson import kind
from atomicstate.events.bodies import NoteAdded
from atomicstate.events.event import Event, UnknownEvent
from atomicstate.projectors.pending import kept
from atomicstate.projectors.recipe import base_of
from atomicstate.projectors.transactions import Transaction

if TYPE_CHECKING:
    from atomicstate.engine.points import Point
    from atomicstate.engine.session import Session
    from atomicstate.events.plan import PackageChange
    from atomicstate.projectors.system import System


class PackageDifference(Struct, frozen=True):
    """A package that comes or goes: `was` and `version` are empty where it is not there.

    `event` is the action that did it, as libapt resolved it then.
    """

    name: str
    was: str
    version: str
    event: int


class Difference(Struct, frozen=True):
    """What changes from one point to another: the recipe, the base, packages and actions."""

    before: int
    after: int
    recipe_before: bytes
    recipe_after: bytes
    base_before: str
    base_after: str
    packages: list[PackageDifference]
    added: list[int]
    removed: list[int]


def difference(session: Session, before: Point, after: Point) -> Difference:
    """What changes from `before` to `after`. Raises NotFoundError for one before `init`."""
    return between(
        session,
        before.seq,
        documents.view(session, before),
        after.seq,
        documents.view(session, after),
    )


def between(
    session: Session,
    before: int,
    there: tuple[System, frozenset[int]],
    after: int,
    here: tuple[System, frozenset[int]],
) -> Difference:
    """What changes from the event `before` to `after`, of the views and actions at both."""
    (old_view, old), (new_view, new) = there, here
    old_base, old_id, _ = base_of(old_view, old)
    new_base, new_id, _ = base_of(new_view, new)
    return Difference(
        before=before,
        after=after,
        recipe_before=documents.recipe_document(session, old_view, old).content,
        recipe_after=documents.recipe_document(session, new_view, new).content,
        base_before=f"{old_base} ({old_id[:19]})",
        base_after=f"{new_base} ({new_id[:19]})",
        packages=_packages(session, old, new),
        added=sorted(new - old),
        removed=sorted(old - new),
    )


def _packages(
    session: Session, old: frozenset[int], new: frozenset[int]
) -> list[PackageDifference]:
    """The net change of each package, by the recorded plans of the actions that differ."""
    found: dict[str, PackageDifference] = {}
    for seq in sorted(old - new, reverse=True):
        for change in changes(session, seq):
            known = found.get(change.name)
            version = known.was if known else change.after
            found[change.name] = PackageDifference(change.name, version, change.before, seq)
    for seq in sorted(new - old):
        for change in changes(session, seq):
            known = found.get(change.name)
            was = known.was if known else change.before
            found[change.name] = PackageDifference(change.name, was, change.after, seq)
    return [item for _name, item in sorted(found.items()) if item.was != item.version]


def changes(session: Session, seq: int) -> tuple[PackageChange, ...]:
    """What libapt resolved for the action `seq`; nothing for one of another kind."""
    return recorded_plan(session, seq).changes


class Shown(Struct, frozen=True):
    """One event, and the transaction that it belongs to, if any, with all its events.

    `changes` is what the action resolved to, `recipe_before` and `recipe_after` what the event
    (or the whole transaction) changed in the recipe.
    """

    event: Event | UnknownEvent
    hash: str
    transaction: Transaction | None
    changes: tuple[PackageChange, ...]
    notes: list[str]
    recipe_before: bytes
    recipe_after: bytes


def show(session: Session, point: Point) -> Shown:
    """Everything about the event at `point`. Raises NotFoundError for what is before the first."""
    from atomicstate.store.search import Query, holds, search

    event, record_hash = session.log.get(point.seq)
    stop = session.log.head().seq + 1
    story, notes = None, []
    if event.transaction:
        ours = Query(
            (holds(event.transaction.encode()),),
            (lambda found: found.transaction == event.transaction,),
        )
        # A transaction is written in one go: its begin is near, its end may be a boot away.
        start = _begin_of(session, event.transaction, point.seq)
        story = Transaction.of(found.event for found in search(session.log, ours, start, stop))
    for found in search(session.log, Query((holds(b"note.added"),)), point.seq, stop):
        body = found.event.body
        if isinstance(body, NoteAdded) and body.point == point.seq:
            notes.append(body.text)
    before = max((story.first if story and event.seq == story.last else point.seq) - 1, 0)
    return Shown(
        event=event,
        hash=record_hash.hex(),
        transaction=story,
        changes=changes(session, point.seq) if isinstance(event, Event) else (),
        notes=notes,
        recipe_before=_recipe_at(session, before),
        recipe_after=_recipe_at(session, point.seq),
    )


def _begin_of(session: Session, transaction: str, seq: int) -> int:
    """The number of the transaction's first event, looked for backward from one of its own."""
    from atomicstate.store.search import Query, holds, search

    begun = Query(
        (holds(transaction.encode()),),
        (lambda found: found.transaction == transaction and kind(found) == "transaction.begun",),
    )
    for found in search(session.log, begun, 1, seq + 1, reverse=True):
        return found.event.seq
    return seq


def _recipe_at(session: Session, seq: int) -> bytes:
    if seq == 0:
        return b""
    system = session.system_at(seq)
    return documents.recipe_document(session, system, kept(system)).content
