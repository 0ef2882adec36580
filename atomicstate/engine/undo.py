"""`undo` and `redo`: what is wanted changes by a fact of its own; the log is never rewritten."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from atomicstate.engine.blobbed import store_plan
from atomicstate.engine.pending import results_of
from atomicstate.engine.selecting import keys_of, shown, spans, transaction_named
from atomicstate.engine.undo_live import Back, UndoTransaction, back
from atomicstate.engine.unfinished import resume_live, warn_unfinished
from atomicstate.errors import ConflictError, NoOperationError, NotFoundError, ValidationError
from atomicstate.events.asjson import kind
from atomicstate.events.bodies import ACTIONS, TransactionBegun, WantedChanged
from atomicstate.events.event import Event
from atomicstate.events.ids import new_id
from atomicstate.machine import table
from atomicstate.projectors import independence, wanted
from atomicstate.projectors.pending import ADD, DROP, Pending, held
from atomicstate.projectors.wanted import Change, Steering
from atomicstate.store.search import Query, holds, search

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from atomicstate.engine.results import PendingResult, Reporter
    from atomicstate.engine.session import Session
    from atomicstate.events.event import UnknownEvent
    from atomicstate.events.plan import Plan
    from atomicstate.projectors.state import Action
    from atomicstate.projectors.system import System

UNDO = "undo"
REDO = "redo"


class Proposal(Struct, frozen=True):
    """What an undo or redo (`verb`) of `words` does to what is wanted, and in the overlay."""

    verb: str
    words: tuple[str, ...]
    cascade: bool
    live: bool
    void: tuple[int, ...]
    revive: tuple[int, ...]
    actions: list[PendingResult]
    back: Back


class Undone(Struct, frozen=True):
    """The `wanted.changed` that was recorded, and what was taken back in the overlay."""

    seq: int
    transaction: str | None
    void: tuple[int, ...]
    revive: tuple[int, ...]
    plan: Plan


def propose(
    session: Session, verb: str, words: Sequence[str], *, cascade: bool = False, live: bool = True
) -> Proposal:
    """What undoing or redoing (`verb`) what `words` mean would do; nothing is changed.

    Raises ValidationError and NotFoundError for a word that means nothing that can be undone,
    NoOperationError where it is so already, ConflictError where later actions stand on one that
    goes (with `cascade` they go too), and what libapt raises.
    """
    changes = _changes(session, words)
    system = _knowing(session, changes)
    steering = (wanted.undo if verb == UNDO else wanted.redo)(system.wanted, changes)
    # What a later version or another log's import names is no action here.
    steering = Steering(steering.void, steering.revive & system.actions.keys())
    if not steering:
        raise NoOperationError(_needless(verb, words))
    if steering.void:
        system = _telling(session, system, steering.void)
    steering = _with_what_stands_on(session, system, steering, cascade=cascade)
    after = (system.wanted - steering.void) | steering.revive
    return Proposal(
        verb=verb,
        words=tuple(words),
        cascade=cascade,
        live=live,
        void=tuple(sorted(steering.void)),
        revive=tuple(sorted(steering.revive)),
        actions=results_of(session, _items(system, steering)),
        back=back(session, system, steering.void, after) if live else Back(),
    )


def _knowing(session: Session, changes: Iterable[Change]) -> System:
    """The view, with the actions that `changes` are about: the whole log tells of old ones."""
    system = session.observe()
    about = {seq for change in changes for seq in change.void | change.revive}
    return system if about <= system.actions.keys() else session.observe_whole()


def _telling(session: Session, system: System, void: frozenset[int]) -> System:
    """The view, with every action that may stand on one of `void`, and what they superseded."""
    if system.can_tell_without(void):
        return session.observe_since(min(void))
    return session.observe_whole()


def carry_out(session: Session, proposal: Proposal, reporter: Reporter) -> Undone:
    """Do what `proposal` says: in the overlay, where it has a plan, and then in the log.

    Raises ConflictError where the log changed so that it is another now, and what libapt raised:
    then it was taken back and nothing is recorded.
    """
    with session.recording():
        warn_unfinished(session, session.observe(), reporter, live=proposal.live)
        if proposal.live:
            resume_live(session, reporter)
        again = propose(
            session,
            proposal.verb,
            proposal.words,
            cascade=proposal.cascade,
            live=proposal.live,
        )
        if (again.void, again.revive, again.back) != (
            proposal.void,
            proposal.revive,
            proposal.back,
        ):
            raise ConflictError(
                "something else was recorded meanwhile and changes what this does;"
                " nothing was changed",
                hint="try again to see it",
            )
        return (
            _live(session, proposal, reporter)
            if again.back.plan.changes
            else _record(session, proposal)
        )


def _record(session: Session, proposal: Proposal) -> Undone:
    body = WantedChanged(proposal.void, proposal.revive, _why(proposal))
    [event] = session.append([body], decided_at=session.system().position)
    return Undone(event.seq, None, proposal.void, proposal.revive, proposal.back.shown)


def _live(session: Session, proposal: Proposal, reporter: Reporter) -> Undone:
    plan, plan_blob = store_plan(session.blobs, proposal.back.plan)
    begun = TransactionBegun(
        table.UNDO,
        add=proposal.revive,
        drop=proposal.void,
        plan=plan,
        plan_blob=plan_blob,
        target=_why(proposal),
    )
    transaction = new_id()
    boot = session.host_status().boot
    events = UndoTransaction(session, reporter, transaction, begun, boot).begin()
    shown_plan = proposal.back.shown
    return Undone(events[-1].seq, transaction, proposal.void, proposal.revive, shown_plan)


def _why(proposal: Proposal) -> str:
    return f"{proposal.verb} {' '.join(proposal.words)}"


# -- what the words mean ------------------------------------------------------------------------


def _changes(session: Session, words: Sequence[str]) -> list[Change]:
    """What the words mean: a change of what is wanted for each event, in no order."""
    if not words:
        raise ValidationError("name what is meant: an event (12), a range (12-15), a transaction")
    found: dict[int, Change] = {}
    for word, numbers in spans(session, words):
        of_word = _of_id(session, word) if numbers is None else _of_span(session, word, numbers)
        found.update((change.seq, change) for change in of_word)
    return list(found.values())


def _of_span(session: Session, word: str, numbers: range) -> list[Change]:
    head = session.log.head().seq
    if len(numbers) == 1:
        if numbers.start > head:
            raise NotFoundError(f"there is no event #{numbers.start}: the log ends at #{head}")
        event = session.log.get(numbers.start)[0]
        change = _change_of(event)
        if change is None:
            raise ValidationError(
                f"#{event.seq} is {kind(event)}: nobody asked for it, so it can't be undone or"
                " redone; nothing was changed",
                hint="name an action; `atomicstate log --kind package` lists those of packages",
            )
        return [change]
    return _refuse_none(word, _among(session, numbers.start, min(numbers.stop, head + 1)))


def _of_id(session: Session, word: str) -> list[Change]:
    """Of a transaction, or else of a request: all that it asked for."""
    asked = word.lower()
    of_request = Query(
        (holds(asked.encode("utf-8", "surrogateescape")),),
        (lambda event: event.request == asked,),
    )
    try:
        named = transaction_named(session, word)
    except NotFoundError:
        if found := _matching(session, of_request):
            return found
        raise
    begun = named.begun
    if begun.mode in (table.APPLY, table.DEPLOY):
        return [Change(named.seq, frozenset(begun.drop), frozenset(begun.add))]
    ours = Query((holds(named.id.encode()),), (lambda event: event.transaction == named.id,))
    return _refuse_none(f"the transaction {named.id}", _matching(session, ours, named.seq))


def _among(session: Session, start: int, stop: int) -> list[Change]:
    kinds = holds(*(name.encode() for name in ACTIONS))
    found = search(session.log, Query((kinds,)), start, stop)
    return [change for item in found if (change := _change_of(item.event))]


def _matching(session: Session, query: Query, start: int = 1) -> list[Change]:
    found = search(session.log, query, start, session.log.head().seq + 1)
    return [change for item in found if (change := _change_of(item.event))]


def _refuse_none(what: str, found: list[Change]) -> list[Change]:
    if not found:
        raise NoOperationError(f"no action is among {what}; nothing was changed")
    return found


def _change_of(event: Event | UnknownEvent) -> Change | None:
    """What the event changed in what is wanted; None for one that asked for nothing."""
    if not isinstance(event, Event) or kind(event) not in ACTIONS:
        return None
    body = event.body
    if isinstance(body, WantedChanged):
        return Change(event.seq, frozenset(body.void), frozenset(body.revive), undoes=True)
    return Change(event.seq, revive=frozenset({event.seq}))


def _needless(verb: str, words: Sequence[str]) -> str:
    them = " ".join(words)
    if verb == UNDO:
        return f"{them}: not wanted any more already, so there is nothing to undo"
    return f"{them}: nothing of it was undone, so there is nothing to redo"


# -- what stands on what ------------------------------------------------------------------------


def _with_what_stands_on(
    session: Session, system: System, steering: Steering, *, cascade: bool
) -> Steering:
    """`steering`, with the later actions that stand on what goes, where they may go along."""
    void = set(steering.void)
    if not void:
        return steering
    after = (system.wanted | steering.revive) - void
    thought_of = void | {seq for seq in after if seq > min(void)}
    keys = keys_of(session, system, thought_of)
    hidden = {item.seq for item in held(system)}
    while tied := _tied(void, keys, hidden):
        if not cascade:
            raise _standing_on(session, system.actions, tied)
        void.update(tied)
    return Steering(frozenset(void), steering.revive - void)


def _tied(
    void: set[int], keys: dict[int, independence.Keys], hidden: set[int]
) -> dict[int, list[int]]:
    """What stands on what goes. What a rollback holds ties only what was held with it."""
    seen = {seq: item for seq, item in keys.items() if seq not in hidden}
    tied = independence.standing_on(void - hidden, seen)
    behind = {seq: item for seq, item in keys.items() if seq in hidden}
    for seq, others in independence.standing_on(void & keys.keys(), behind).items():
        tied[seq] = others
    return tied


def _standing_on(
    session: Session, actions: dict[int, Action], tied: dict[int, list[int]]
) -> ConflictError:
    def named(seqs: Iterable[int]) -> str:
        return ", ".join(shown(session, actions[seq]) for seq in seqs)

    said = [f"{named([seq])} stands on {named(others)}" for seq, others in tied.items()]
    along = ", ".join(f"#{seq}" for seq in tied)
    return ConflictError(
        f"{'; '.join(said)}: nothing was changed",
        hint=f"undo {along} too, or all that stands on it with --cascade",
    )


def _items(system: System, steering: Steering) -> Iterable[Pending]:
    for seq in sorted(steering.void | steering.revive):
        action = system.actions[seq]
        change = DROP if seq in steering.void else ADD
        yield Pending(seq, action.kind, action.names, action, change)
