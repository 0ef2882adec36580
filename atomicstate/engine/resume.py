"""`resume`: what was cut short goes on, and what a boot lost comes back."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from atomicstate.engine import archives, restore, unfinished
from atomicstate.engine.apply_steps import ApplyTransaction
from atomicstate.engine.dropped import why_not_staged
from atomicstate.engine.results import RecoveredResult, RecoveryResult
from atomicstate.engine.rollback import deploy
from atomicstate.errors import AtomicstateError, CanceledError
from atomicstate.host.network import has_way_out
from atomicstate.host.ports import LABEL_LOG, LABEL_TRANSACTION
from atomicstate.machine import table
from atomicstate.machine.state import transaction_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from atomicstate.engine.results import Reporter, UnfinishedResult
    from atomicstate.engine.session import Session
    from atomicstate.projectors.system import System


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

    First the overlay's packages, then the staged deployment that did not come up. A part that
    fails keeps no other from its turn; what it raised is raised in the end, the first of several,
    and the others are notes. CanceledError ends it all.

    At `boot` what the overlay can't have back is left for later, and so is what has to be built,
    where there is no network yet. Notes say so.
    """
    offline = boot and not has_way_out()
    session.observe()
    session.record_news()
    parts = _Parts()
    parts.take(lambda: _gone_on(session, reporter, offline=offline))
    system = session.observe()
    session.record_news()
    if not system.broken and not _is_open(system, of_the_overlay=True):
        parts.take(lambda: _restored(session, reporter), note=_NOT_RESTORED if boot else "")
    parts.take(lambda: _staged_again(session, reporter, offline=offline))
    if boot:
        # What this boot's image holds by itself the overlay needs no more.
        with suppress(AtomicstateError):
            archives.let_go(session)
    return parts.result(reporter)


_LATER = "has to be built, which waits for the network: `atomicstate resume` does it"
_NOT_RESTORED = "the overlay is not as it was, and `atomicstate resume` tries again"


class _Parts:
    """What came of the parts of a `resume`, and what failed."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._done: list[RecoveredResult] = []
        self._failures: list[AtomicstateError] = []

    def take(self, work: Callable[[], RecoveryResult], *, note: str = "") -> None:
        """Do `work`. Its failure is a note where there is a `note` for it."""
        try:
            result = work()
        except CanceledError:
            raise
        except AtomicstateError as error:
            if note:
                self.notes.append(f"{note}: {error.message}")
            else:
                self._failures.append(error)
        else:
            self._done += result.done
            self.notes += result.notes

    def result(self, reporter: Reporter) -> RecoveryResult:
        """All of it. Raises the first failure; then the rest is told to `reporter`."""
        if not self._failures:
            return RecoveryResult(self._done, self.notes)
        first, *others = self._failures
        for note in (*self.notes, *(error.message for error in others)):
            reporter.note(note)
        raise first


def _gone_on(session: Session, reporter: Reporter, *, offline: bool) -> RecoveryResult:
    @cache
    def unbuilt() -> dict[str, str]:
        return _unbuilt(session, reporter) if offline else {}

    done = unfinished.resume(session, reporter, leaves=unbuilt).done
    notes = [f"what `{verb}` was to make {_LATER}" for verb in unbuilt().values()]
    return RecoveryResult(done, notes)


def _unbuilt(session: Session, reporter: Reporter) -> dict[str, str]:
    """The transactions that have to build before they can go on, with their verbs."""
    making = {}
    for transaction, item in session.observe().open.items():
        state = transaction_state(item.mode, unfinished.statuses_of(item))
        past = state == table.ROLLING_BACK or table.past_pivot(item.mode, state)
        if item.mode in (table.APPLY, table.DEPLOY) and not past:
            making[transaction] = item
    if not making:
        return {}
    with session.pipeline():
        # An image that the power cut may have damaged is none.
        session.host.builder.clean()
    return {
        transaction: item.actor.verb
        for transaction, item in making.items()
        if ApplyTransaction(session, reporter, transaction, item.begun).image() is None
    }


def _restored(session: Session, reporter: Reporter) -> RecoveryResult:
    result = restore.restore(session, reporter)
    done = [_finished(session, result.transaction, table.RESTORE)] if result.transaction else []
    return RecoveryResult(done, result.notes)


def _staged_again(session: Session, reporter: Reporter, *, offline: bool) -> RecoveryResult:
    system = session.observe()
    if not system.dropped or _is_open(system, of_the_overlay=False):
        return RecoveryResult([])
    with session.pipeline():
        system = session.observe()
        dropped = system.dropped
        if not dropped or _is_open(system, of_the_overlay=False):
            return RecoveryResult([])
        if why_not := why_not_staged(system):
            return RecoveryResult([], [why_not])
        if offline and not _is_built(session, dropped):
            return RecoveryResult([], [f"the staged deployment of {dropped} {_LATER}"])
        failure = system.failure
        transaction, _checksum = deploy(session, reporter, dropped, system.held)
    notes = [f"the deployment of {dropped} did not come up; OSTree: {failure}"] if failure else []
    return RecoveryResult([_finished(session, transaction, table.DEPLOY)], notes)


def _is_open(system: System, *, of_the_overlay: bool) -> bool:
    """Whether something of that kind could not be ended: no more of it is begun then."""
    return any(
        (item.mode in table.OF_THE_OVERLAY) == of_the_overlay for item in system.open.values()
    )


def _is_built(session: Session, transaction: str) -> bool:
    labels = {LABEL_LOG: session.log.log_id.hex(), LABEL_TRANSACTION: transaction}
    return session.host.builder.find(labels) is not None


def _finished(session: Session, transaction: str, mode: str) -> RecoveredResult:
    return RecoveredResult(transaction, mode, "finished", session.log.head().seq)
