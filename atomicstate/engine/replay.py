"""`replay`: a point of the history derived anew from its first event, and wanted again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from atomicstate.engine import apply, documents, history
from atomicstate.engine.points import Point, resolve
from atomicstate.engine.unfinished import refuse_unfinished, warn_unfinished
from atomicstate.errors import ConflictError, NoOperationError, NotFoundError
from atomicstate.events import codec
from atomicstate.events.bodies import WantedChanged, WantedHeld
from atomicstate.projectors.fold import fold
from atomicstate.projectors.pending import kept
from atomicstate.projectors.system import System
from atomicstate.projectors.wanted import Steering, steer

if TYPE_CHECKING:
    from atomicstate.engine.history import Difference
    from atomicstate.engine.results import ApplyResult, DocumentResult, Reporter
    from atomicstate.engine.session import Session
    from atomicstate.events.bodies import AnyBody


class Replayed(Struct, frozen=True):
    """What the first `events` of the log come to at `point`.

    `actions` are those that the documents are made of, `differs` how what is wanted now differs
    from that.
    """

    point: Point
    events: int
    actions: tuple[int, ...]
    recipe: DocumentResult
    containerfile: DocumentResult
    differs: Difference


class Derived(NamedTuple):
    """A point, the view there from the first event on, and the actions of its documents."""

    point: Point
    system: System
    actions: frozenset[int]


class Restoring(Struct, frozen=True):
    """What makes the actions of `point` wanted, and nothing else. `released` is held no more."""

    point: Point
    steering: Steering
    released: tuple[int, ...]


class Restored(Struct, frozen=True):
    """What was recorded; `seq` is None where it was wanted already, `applied` what was staged."""

    seq: int | None
    void: tuple[int, ...]
    revive: tuple[int, ...]
    applied: ApplyResult | None = None


def replay(session: Session, text: str) -> Replayed:
    """Fold the log from event 1 up to the point `text`: no snapshot is used, the chain is checked.

    Raises CorruptError where the log is not what was written, and what resolving the point
    raises.
    """
    return told(session, derive(session, text))


def derive(session: Session, text: str) -> Derived:
    """As `replay`, without what there is to tell of it."""
    point = resolve(session, text)
    return Derived(point, *_folded(session, point))


def told(session: Session, derived: Derived) -> Replayed:
    """What there is to tell of a point."""
    point, system, seqs = derived
    head, now = session.log.head().seq, documents.view(session, None)
    return Replayed(
        point=point,
        events=system.position,
        actions=tuple(sorted(seqs)),
        recipe=documents.recipe_document(session, system, seqs),
        containerfile=documents.build(session, system, seqs).containerfile,
        differs=history.between(session, point.seq, (system, seqs), head, now),
    )


def propose_restore(session: Session, text: str) -> Restoring:
    """What restoring the point `text` changes in what is wanted; nothing is changed.

    Raises NoOperationError where that is wanted already.
    """
    restoring = _restoring(session, resolve(session, text))
    if not restoring.steering and not restoring.released:
        raise NoOperationError(f"what was wanted at {text} is wanted now: nothing was changed")
    return restoring


def restore(session: Session, restoring: Restoring, reporter: Reporter) -> Restored:
    """Record what was wanted at the point as wanted. History is added to, never rewritten.

    Raises ConflictError where the log changed so that this means something else now.
    """
    with session.recording():
        system = session.observe()
        warn_unfinished(session, system, reporter)
        if _restoring(session, restoring.point) != restoring:
            raise ConflictError(
                "something else was recorded meanwhile and changes what this does;"
                " nothing was changed",
                hint="try again to see it",
            )
        void = tuple(sorted(restoring.steering.void))
        revive = tuple(sorted(restoring.steering.revive))
        why = f"restore {restoring.point.text}"
        bodies: list[AnyBody] = [WantedChanged(void, revive, why)]
        if restoring.released:
            left = session.system().held.difference(restoring.released)
            bodies.append(WantedHeld(tuple(sorted(left))))
        changed, *_held = session.append(bodies, decided_at=session.system().position)
    return Restored(changed.seq, void, revive)


def require_appliable(session: Session) -> None:
    """Raises what an apply would, before anything is recorded for it."""
    system = session.observe()
    refuse_unfinished(session, system)
    apply.require_own(session, system)


def apply_all(session: Session, restored: Restored, reporter: Reporter) -> Restored:
    """Apply what the restored point makes pending.

    Where the apply fails, what was restored stays recorded, pending.
    """
    result = apply.carry_out(session, apply.propose(session), reporter)
    return Restored(restored.seq, restored.void, restored.revive, result)


def _restoring(session: Session, point: Point) -> Restoring:
    _system, then = _folded(session, point)
    now = session.observe_whole()
    steering = steer(now.wanted, then)
    # A hold would keep it out of the next apply: the point held it back no more than the words
    # that name it do.
    return Restoring(point, steering, tuple(sorted(now.held & then)))


def _folded(session: Session, point: Point) -> tuple[System, frozenset[int]]:
    """The view at `point`, from the first event on, and the actions of its documents."""
    if point.seq == 0:
        raise NotFoundError("before event 1 there is nothing: no host was adopted yet")
    system = System(compact=False)
    # What a deployment holds is told by all that came after it was begun, too.
    last = session.log.head().seq if point.key is not None else point.seq
    fold(system, session.log.records(1, last + 1), check_from=codec.GENESIS)
    return system, kept(system) if point.key is None else system.selection(point.key)
