"""What happened at a point of the history, and what differs between two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from atomicstate.engine import documents, transactions
from atomicstate.engine.blobbed import recorded_plan
from atomicstate.engine.pending import results_of
from atomicstate.events.asjson import kind
from atomicstate.events.bodies import NoteAdded, TransactionBegun
from atomicstate.events.event import Event, UnknownEvent
from atomicstate.projectors import state
from atomicstate.projectors.pending import ADD, DROP, Pending, kept
from atomicstate.projectors.recipe import base_of
from atomicstate.projectors.transactions import Transaction
from atomicstate.store.search import Query, holds, search

if TYPE_CHECKING:
    from atomicstate.engine.points import Point
    from atomicstate.engine.results import PendingResult
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

    `whole`: it is the transaction that is shown, and the event is its begin. `changes` is what the
    action resolved to, `actions` what an apply added and dropped, `recipe_before` and
    `recipe_after` what the event (or the whole transaction) changed in the recipe.
    """

    event: Event | UnknownEvent
    hash: str
    transaction: Transaction | None
    changes: tuple[PackageChange, ...]
    notes: list[str]
    recipe_before: bytes
    recipe_after: bytes
    whole: bool = False
    actions: list[PendingResult] = []


def show(session: Session, point: Point) -> Shown:
    """Everything about the event, or the transaction, at `point`.

    Raises NotFoundError for what is before the first.
    """
    event, record_hash = session.log.get(point.seq)
    story = _story_of(session, event) if event.transaction else None
    whole = bool(point.transaction) and story is not None
    if story and whole:
        event, record_hash = session.log.get(story.first)
    ended = story is not None and point.seq == story.last
    actions: list[PendingResult] = []
    if story and ended and story.mode == state.APPLY:
        actions, before, after = _applied(session, story)
    else:
        first = story.first if story and ended else point.seq
        before, after = _recipe_at(session, max(first - 1, 0)), _recipe_at(session, point.seq)
    action = story.action if story and whole and story.action else event.seq
    return Shown(
        event=event,
        hash=record_hash.hex(),
        transaction=story,
        changes=changes(session, action) if isinstance(event, Event) else (),
        notes=_notes(session, {event.seq, point.seq}),
        recipe_before=before,
        recipe_after=after,
        whole=whole,
        actions=actions,
    )


def _story_of(session: Session, event: Event | UnknownEvent) -> Transaction | None:
    """The story of the transaction that `event` belongs to."""
    # It is written in one go: its begin is near, its end may be a boot away.
    start = _begin_of(session, event.transaction, event.seq)
    return Transaction.of(transactions.events_of(session, event.transaction, start))


def _applied(session: Session, story: Transaction) -> tuple[list[PendingResult], bytes, bytes]:
    """What an apply added and dropped, and the recipe of what it was built on, and of its own."""
    begun = session.event(story.first).body
    system = session.system_at(story.first)
    if not isinstance(begun, TransactionBegun) or begun.parent not in system.selections:
        return [], b"", b""
    there = system.selection(begun.parent)
    items = [
        Pending(seq, system.actions[seq].kind, system.actions[seq].names, system.actions[seq], sign)
        for seqs, sign in ((begun.add, ADD), (begun.drop, DROP))
        for seq in seqs
    ]
    then = there.union(begun.add).difference(begun.drop)
    before = documents.recipe_document(session, system, there).content
    return (
        results_of(session, items),
        before,
        documents.recipe_document(session, system, then).content,
    )


def _notes(session: Session, seqs: set[int]) -> list[str]:
    """The remarks on one of these events, oldest first."""
    query = Query((holds(b"note.added"),))
    found = search(session.log, query, min(seqs), session.log.head().seq + 1)
    bodies = (item.event.body for item in found)
    return [body.text for body in bodies if isinstance(body, NoteAdded) and body.point in seqs]


def _begin_of(session: Session, transaction: str, seq: int) -> int:
    """The number of the transaction's first event, looked for backward from one of its own."""
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
