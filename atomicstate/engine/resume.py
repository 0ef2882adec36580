"""`resume`: what was cut short goes on, and what a boot lost comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from atomicstate.engine import restore, unfinished
from atomicstate.engine.dropped import why_not_staged
from atomicstate.engine.results import RecoveredResult, RecoveryResult
from atomicstate.engine.rollback import deploy
from atomicstate.errors import AtomicstateError
from atomicstate.machine import table

if TYPE_CHECKING:
    from atomicstate.engine.results import Reporter, UnfinishedResult
    from atomicstate.engine.session import Session


class Outlook(NamedTuple):
    """What `resume` would do: go on with `unfinished`, stage the deployment of the transaction
    `stages` again, bring `names` back into the overlay (or out of it). `notes` say what can't be.
    """

    unfinished: list[UnfinishedResult]
    stages: str
    names: tuple[str, ...]
    notes: list[str]

    def __bool__(self) -> bool:
        return bool(self.unfinished or self.stages or self.names)


def outlook(session: Session) -> Outlook:
    """What there is to resume. A boot that the log does not know yet is recorded."""
    system = session.observe()
    session.record_news()
    why_not = why_not_staged(system)
    lost = restore.Lost((), (), ()) if system.broken else restore.lost(session, system)
    return Outlook(
        unfinished.found_in(session, system),
        "" if why_not else system.dropped,
        (*lost.install, *lost.remove),
        [why_not] if why_not else [],
    )


def resume(session: Session, reporter: Reporter, *, boot: bool = False) -> RecoveryResult:
    """Go on with what was cut short, then bring back what the last boot lost.

    First the overlay's packages, then the staged deployment that did not come up. Raises what
    going on raised; what the overlay can't have again is a note `boot`ing, and raised otherwise
    once the rest is done.
    """
    done = list(unfinished.resume(session, reporter).done)
    system = session.observe()
    session.record_news()
    notes: list[str] = []
    failure: AtomicstateError | None = None
    if not system.broken:
        try:
            done += _restored(session, reporter, notes)
        except AtomicstateError as error:
            notes.append(f"the overlay is not as it was: {error.message}")
            failure = error
    done += _staged_again(session, reporter, notes)
    if failure is not None and not boot:
        raise failure
    return RecoveryResult(done, notes)


def _restored(session: Session, reporter: Reporter, notes: list[str]) -> list[RecoveredResult]:
    result = restore.restore(session, reporter)
    notes += result.notes
    if result.transaction is None:
        return []
    return [_finished(session, result.transaction, table.RESTORE)]


def _staged_again(session: Session, reporter: Reporter, notes: list[str]) -> list[RecoveredResult]:
    if not session.observe().dropped:
        return []
    with session.pipeline():
        system = session.observe()
        if why_not := why_not_staged(system):
            notes.append(why_not)
        if why_not or not system.dropped:
            return []
        transaction, _checksum = deploy(session, reporter, system.dropped, system.held)
    return [_finished(session, transaction, table.DEPLOY)]


def _finished(session: Session, transaction: str, mode: str) -> RecoveredResult:
    return RecoveredResult(transaction, mode, "finished", session.log.head().seq)
