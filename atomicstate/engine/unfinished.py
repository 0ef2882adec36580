"""Transactions that an earlier run did not end: found, gone on with, or taken back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from atomicstate.engine import leftovers
from atomicstate.engine.drift import remind
from atomicstate.engine.results import RecoveredResult, RecoveryResult, UnfinishedResult
from atomicstate.errors import (
    AtomicstateError,
    CanceledError,
    ConflictError,
    InterruptedWorkError,
    UndecidedError,
)
from atomicstate.events.asjson import rfc3339
from atomicstate.machine import table
from atomicstate.machine.state import transaction_state

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping
    from contextlib import AbstractContextManager

    from atomicstate.engine.results import Reporter
    from atomicstate.engine.session import Session
    from atomicstate.events.event import Event
    from atomicstate.projectors.system import OpenTransaction, System


ROLLED_BACK = "rolled_back"
_NOT_TAKEN_BACK = "not all of it is taken back yet; `atomicstate abort` tries again"


def found(session: Session) -> list[UnfinishedResult]:
    """The transactions that are not ended, those that run now included."""
    return found_in(session, session.observe())


def found_in(session: Session, system: System, *, then: bool = False) -> list[UnfinishedResult]:
    """As `found`, of a view that is there already; of one of the past (`then`) all were running."""
    return [
        UnfinishedResult(
            transaction=transaction,
            mode=item.mode,
            step=item.last_step,
            state=transaction_state(item.mode, statuses_of(item)),
            since=rfc3339(item.time),
            user=item.actor.user,
            verb=item.actor.verb,
            running=then or _running(session, item.mode),
        )
        for transaction, item in system.open.items()
    ]


def statuses_of(item: OpenTransaction) -> Mapping[str, str]:
    """The status of each step, as the machine reads it."""
    return {step: str(status) for step, status in item.steps.items()}


def _running(session: Session, mode: str) -> bool:
    state = session.state
    recording = mode in table.OF_THE_OVERLAY
    holder = state.recording_holder() if recording else state.pipeline_holder()
    # Where this process holds the lock, nobody else is at work.
    return holder is not None and holder.pid != os.getpid()


def refuse_unfinished(session: Session, system: System) -> None:
    """Raises InterruptedWorkError where an earlier run was cut short."""
    for item in found_in(session, system):
        if not item.running:
            back = item.state == table.ROLLING_BACK
            raise InterruptedWorkError(
                f"`{item.verb}` of {item.user}, {item.since[:19]}Z, was cut short at the step"
                f" {item.step or 'begin'}{', while it was taken back' if back else ''}:"
                " nothing was changed",
                hint="`atomicstate abort` takes the rest of it back" if back else None,
            )


def warn_unfinished(
    session: Session, system: System, reporter: Reporter, *, live: bool = False
) -> None:
    """Say what a command goes on in spite of: runs that were cut short, and edits of image.yml
    that nobody took in. `live`: it goes on with the overlay's own first (`resume_live`)."""
    remind(session, system, reporter)
    warn_interrupted(session, system, reporter, live=live)


def warn_interrupted(
    session: Session, system: System, reporter: Reporter, *, live: bool = False
) -> None:
    """Say which runs were cut short; of the overlay's own `resume_live` tells, where `live`."""
    for item in found_in(session, system):
        if item.running or (live and item.mode in table.OF_THE_OVERLAY):
            continue
        reporter.note(
            f"`{item.verb}` was cut short at the step {item.step or 'begin'}: `atomicstate resume`"
            " goes on with it, `atomicstate abort` takes it back"
        )


def resume(
    session: Session, reporter: Reporter, *, leaves: Callable[[], Container[str]] = tuple
) -> RecoveryResult:
    """Go on with every unfinished transaction, from the step where it stopped.

    One that was being taken back is taken back to its end. `leaves` tells which have to wait; it
    is asked once the overlay's own had their turn. Raises LockedError where one still runs, and
    what a failing step raised.
    """
    return _each(session, reporter, forward=True, leaves=leaves)


def abort(session: Session, reporter: Reporter) -> RecoveryResult:
    """Take back every unfinished transaction.

    What an apply that is past its switch has staged is dropped by a transaction of its own; what
    was booted, or finalized by a shutdown, meanwhile is finished instead. Raises HostError where
    something can't be taken back: the state stays `rolling_back`.
    """
    return _each(session, reporter, forward=False)


def resume_live(session: Session, reporter: Reporter) -> bool:
    """Go on with interrupted live work, before more of it begins. The recording lock is held.

    Returns whether there was any.
    """
    system = session.system()
    unfinished = [item for item in system.open.items() if item[1].mode in table.OF_THE_OVERLAY]
    for transaction, item in unfinished:
        reporter.note(f"`{item.actor.verb}` was cut short earlier: going on with it first")
        _one(session, reporter, transaction, item, forward=True)
    return bool(unfinished)


def _each(
    session: Session,
    reporter: Reporter,
    *,
    forward: bool,
    leaves: Callable[[], Container[str]] = tuple,
) -> RecoveryResult:
    system = session.observe()
    done: list[RecoveredResult] = []
    failure: AtomicstateError | None = None
    for transaction, item in sorted(system.open.items(), key=_turn):
        waits = item.mode not in table.OF_THE_OVERLAY and transaction in leaves()
        with _lock(session, item.mode):
            now = session.system().open.get(transaction)
            if now is None:
                continue  # its own process ended it while we waited
            gives_way = _gives_way(session, now)
            if waits:
                if gives_way:
                    break  # the abort for which it was begun goes on with it, later
                continue
            try:
                result = _one(session, reporter, transaction, now, forward=forward)
            except CanceledError:
                raise
            except AtomicstateError as error:
                if item.mode not in table.OF_THE_OVERLAY:
                    raise
                failure = failure or error
                continue
        done.append(result)
        if gives_way and result.outcome == ROLLED_BACK:
            forward = False  # the abort for which it was begun is not over
    # One that another transaction ended has not cleared away its own folder.
    leftovers.clean(session)
    if failure is not None:
        for result in done:
            how = "was taken back" if result.outcome == ROLLED_BACK else "went through"
            reporter.note(f"{result.mode} {result.transaction} {how}")
        raise failure
    return RecoveryResult(done)


def _turn(entry: tuple[str, OpenTransaction]) -> tuple[bool, int]:
    """The overlay's work first: an apply's guard waits for it. Then the newest: it gives way."""
    _transaction, item = entry
    if item.mode in table.OF_THE_OVERLAY:
        return False, item.seq
    return True, -item.seq


def _lock(session: Session, mode: str) -> AbstractContextManager[object]:
    if mode in table.OF_THE_OVERLAY:
        return session.recording()
    return session.pipeline()


def _one(
    session: Session,
    reporter: Reporter,
    transaction: str,
    item: OpenTransaction,
    *,
    forward: bool,
) -> RecoveredResult:
    statuses = statuses_of(item)
    run = _run_of(session, reporter, transaction, item)
    if item.mode not in table.OF_THE_OVERLAY:
        # Before its end is logged: a kill here, and the next one clears them away.
        session.host.builder.clean()
        session.host.deployer.remove_unused()
    state = transaction_state(item.mode, statuses)
    if state == table.ROLLING_BACK:
        back = item.mode in table.OF_THE_OVERLAY or not run.settled()
    else:
        back = not (forward or _can_only_go_on(item, run, state) or _gives_way(session, item))
    if back or _comes_too_late(session, reporter, item, run):
        return _taken_back(session, transaction, item, run)
    if not forward and item.mode == table.APPLY and not run.settled():
        return _unstaged(session, reporter, transaction, item)
    if (not forward or state == table.ROLLING_BACK) and not _gives_way(session, item):
        reporter.note("it can't be taken back any more, so it is finished instead")
    try:
        events = run.resume(statuses)
    except (UndecidedError, ConflictError):
        if not _gives_way(session, item):
            raise
        # Nobody can stage that any more: what boots next was changed by others, or by a boot.
        return _taken_back(session, transaction, item, run)
    except AtomicstateError as error:
        if item.mode == table.APPLY and transaction not in session.system().open:
            error.hint = error.hint or "it was taken back; its actions are pending"
        raise
    return RecoveredResult(transaction, item.mode, "finished", events[-1].seq)


def _taken_back(
    session: Session, transaction: str, item: OpenTransaction, run: Run
) -> RecoveredResult:
    reason = item.reason or "taken back by `atomicstate abort`"
    now = session.system().open.get(transaction)
    try:
        if now is not None:
            run.abort(statuses_of(now), reason, item.code or "CANCELED")
    except AtomicstateError as error:
        error.hint = error.hint or _NOT_TAKEN_BACK
        raise
    return RecoveredResult(transaction, item.mode, ROLLED_BACK, session.log.head().seq)


def _can_only_go_on(item: OpenTransaction, run: Run, state: str) -> bool:
    return table.past_pivot(item.mode, state) or run.settled()


def _gives_way(session: Session, item: OpenTransaction) -> bool:
    """Whether an abort began it, for the sake of the older one that is to be taken back.

    While one is open nothing else that needs the pipeline is begun (`refuse_unfinished`).
    """
    if item.mode in table.OF_THE_OVERLAY:
        return False
    older = (other for other in session.system().open.values() if other.seq < item.seq)
    return any(other.mode not in table.OF_THE_OVERLAY for other in older)


def _comes_too_late(session: Session, reporter: Reporter, item: OpenTransaction, run: Run) -> bool:
    """Whether it gives way for the sake of an apply that was booted meanwhile."""
    if not _gives_way(session, item) or run.settled():
        return False
    return any(
        other.seq < item.seq
        and other.mode == table.APPLY
        and _run_of(session, reporter, transaction, other).settled()
        for transaction, other in session.system().open.items()
    )


def _unstaged(
    session: Session, reporter: Reporter, transaction: str, item: OpenTransaction
) -> RecoveredResult:
    """Drop what an apply past its switch has staged: by a transaction of its own, which ends it.

    What boots next is then what did when it began: one step, so that a kill leaves either. What
    others staged over it is left.
    """
    from atomicstate.engine import superseded
    from atomicstate.engine.rollback import reorder

    system, begun = session.observe(), item.begun
    ours = system.selections[transaction].checksum
    status = session.host_status(fresh=True)
    staged = status.staged.checksum if status.staged else ""
    slot = status.rollback
    unqueued = item.steps.get("unqueue") == "done" and slot and slot.checksum == begun.boots_next
    before = begun.staged_before
    nothing = not staged and not status.rollback_queued
    comes_back = staged == ours or (nothing and superseded.can_come_back(system, before))
    try:
        if unqueued and staged in (ours, ""):
            # The rollback that it took out of the queue, which drops what is staged.
            reorder(session, reporter, table.ROLLBACK, begun.boots_next, system.held)
        elif not (comes_back and superseded.give_way(session, reporter, before)):
            reorder(session, reporter, table.UNSTAGE, ours, system.held)
    except AtomicstateError as error:
        error.hint = (
            error.hint or "what it staged boots next still; `atomicstate abort` tries again"
        )
        raise
    return RecoveredResult(transaction, item.mode, ROLLED_BACK, session.log.head().seq)


class Run(Protocol):
    """A transaction that can be taken up again, from the statuses of its steps."""

    def resume(self, statuses: Mapping[str, str]) -> list[Event]:
        """Go on. Returns the events of the last commit."""

    def abort(self, statuses: Mapping[str, str], reason: str, code: str) -> None:
        """Take it back."""

    def settled(self) -> bool:
        """Whether the host shows that it can't be taken back any more."""


def _run_of(session: Session, reporter: Reporter, transaction: str, item: OpenTransaction) -> Run:
    from atomicstate.engine.apply_steps import ApplyTransaction
    from atomicstate.engine.live import LiveTransaction
    from atomicstate.engine.rollback_steps import RollbackTransaction

    if item.mode in (table.APPLY, table.DEPLOY):
        return ApplyTransaction(session, reporter, transaction, item.begun)
    if item.mode == table.PRUNE:
        from atomicstate.engine.prune import PruneTransaction

        return PruneTransaction(session, reporter, transaction, item.begun)
    if item.mode == table.WITHDRAW:
        from atomicstate.engine.withdraw import WithdrawTransaction

        return WithdrawTransaction(session, reporter, transaction, item.begun, item.boot)
    if item.mode in (table.ROLLBACK, table.UNSTAGE):
        return RollbackTransaction(session, reporter, transaction, item.begun, item.boot)
    if item.mode == table.UNDO:
        from atomicstate.engine.undo_live import UndoTransaction

        return UndoTransaction(session, reporter, transaction, item.begun, item.boot)
    return LiveTransaction(session, reporter, transaction, item.begun, item.boot)
