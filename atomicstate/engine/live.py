"""A live transaction: the overlay, then libapt in the host's tree, then the action's event."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from atomicstate.catalog.client import PlanState
from atomicstate.engine import leftovers, residue
from atomicstate.engine.blobbed import plan_of
from atomicstate.engine.runner import Answer, Effect, Runner
from atomicstate.errors import HostError
from atomicstate.events.bodies import LiveBroken, PackageAdded, PackageRemoved
from atomicstate.machine import recovery, table
from atomicstate.machine.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from atomicstate.catalog.client import Progress
    from atomicstate.engine.results import Reporter
    from atomicstate.engine.session import Session
    from atomicstate.events.bodies import AnyBody, TransactionBegun
    from atomicstate.events.event import BootInstance, Event
    from atomicstate.projectors.system import System

_STATES = {
    PlanState.DONE: recovery.DONE,
    PlanState.ABSENT: recovery.ABSENT,
    PlanState.PARTIAL: recovery.PARTIAL,
}


def refuse_broken(system: System) -> None:
    """Raises HostError where /usr is not to be relied on before the next boot."""
    if system.broken:
        raise HostError(
            "an earlier change of the running system could be neither finished nor taken back"
            f" ({system.broken}); nothing was changed",
            hint="reboot: that takes the overlay away; until then `--no-live` records alone",
        )


def action_of(begun: TransactionBegun, *, live: bool) -> AnyBody:
    """The action that the live transaction `begun` records when its step is done, or void."""
    kind = PackageAdded if begun.action == "package.added" else PackageRemoved
    return kind(begun.names, live, begun.in_base, begun.plan, begun.plan_blob)


class LiveTransaction:
    """The transaction `transaction`: live, a restore, or of the overlay alone.

    It was begun in the boot instance `boot`.
    """

    def __init__(
        self,
        session: Session,
        reporter: Reporter,
        transaction: str,
        begun: TransactionBegun,
        boot: BootInstance | None,
    ) -> None:
        self._session = session
        self._reporter = reporter
        self._transaction = transaction
        self._begun = begun
        self._boot = boot
        self._plan = plan_of(session.blobs, begun.plan, begun.plan_blob)

    def begin(self) -> list[Event]:
        """Run it from its start. Returns the events of the last commit, the action's at its end."""
        return self._forward(self._runner(waiting=(self._begun,)))

    def resume(self, statuses: Mapping[str, str]) -> list[Event]:
        """Go on after an interruption, from the statuses of its steps."""
        if self._begun.mode == table.LIVE and statuses.get("live") == "started":
            residue.note_taken_up(self._session, self._transaction)
        return self._forward(self._runner(statuses=statuses))

    def abort(self, statuses: Mapping[str, str], reason: str, code: str) -> None:
        """Take it back after an interruption."""
        self._runner(statuses=statuses).back(reason, code)
        leftovers.clean(self._session)

    def _forward(self, runner: Runner) -> list[Event]:
        try:
            return runner.forward(self._last)
        finally:
            leftovers.clean(self._session)

    def _last(self) -> tuple[AnyBody, ...]:
        if self._begun.mode != table.LIVE:
            return ()
        return (*self._left(), action_of(self._begun, live=not self._gone()))

    def _left(self) -> tuple[AnyBody, ...]:
        return residue.found(self._session, self._transaction, over=self._gone())

    def _runner(
        self, *, waiting: tuple[AnyBody, ...] = (), statuses: Mapping[str, str] | None = None
    ) -> Runner:
        effects = [self._overlay()]
        if self._begun.mode != table.ENABLE:
            effects.append(self._live())
        return Runner(
            self._session,
            self._reporter,
            self._transaction,
            Pipeline(self._begun.mode),
            effects,
            waiting=waiting,
            statuses=statuses,
            left=self._left,
        )

    def settled(self) -> bool:
        """Its changes can be taken back as long as it is open; that the overlay is on can't."""
        enables = self._begun.mode == table.ENABLE
        return enables and self._overlay().probe().answer == recovery.DONE

    def _gone(self) -> bool:
        """Whether the boot instance is over that it began in, and its overlay with it."""
        return self._session.is_over(self._boot)

    def _overlay(self) -> Effect:
        overlay = self._session.host.overlay

        def probe() -> Answer:
            if self._gone():
                return Answer(recovery.GONE)
            state = overlay.state()
            if state.writable and not state.persistent:
                return Answer(recovery.DONE, {"overlay": "writable"})
            return Answer(recovery.OTHER if state.active else recovery.ABSENT)

        return Effect("overlay", overlay.enable, probe, needless=(recovery.DONE, recovery.GONE))

    def _live(self) -> Effect:
        catalog = self._session.host.catalog

        def probe() -> Answer:
            if self._gone():
                return Answer(recovery.GONE)
            state = _STATES[catalog.state(self._plan)]
            return Answer(state, {"packages": str(len(self._plan.changes))})

        def do() -> None:
            # What a restore brings back was noted when it came first.
            if self._begun.mode == table.LIVE:
                residue.note_before(self._session, self._transaction)
            catalog.carry_out(self._plan, self._progress)

        return Effect(
            "live",
            do,
            probe,
            undo=partial(self._revert, probe),
            finish=partial(catalog.finish, self._plan, self._progress),
            needless=(recovery.GONE,),
            stuck=lambda reason: (LiveBroken(reason),),
        )

    def _revert(self, probe: Callable[[], Answer]) -> None:
        if probe().answer not in (recovery.GONE, recovery.ABSENT):
            self._session.host.catalog.revert(self._plan, self._progress)

    def _progress(self, progress: Progress) -> None:
        self._reporter.progress(progress.percent, progress.message)
