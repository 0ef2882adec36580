"""The one step of a rollback (another deployment boots next) or an unstage (none is staged)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.engine import superseded
from atomicstate.engine.apply_steps import requeue
from atomicstate.engine.runner import Answer, Effect, Runner
from atomicstate.events.bodies import WantedHeld
from atomicstate.machine import recovery, table
from atomicstate.machine.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from atomicstate.engine.results import Reporter
    from atomicstate.engine.session import Session
    from atomicstate.events.bodies import AnyBody, TransactionBegun
    from atomicstate.events.event import BootInstance, Event


class RollbackTransaction:
    """The rollback or unstage `transaction`, begun in the boot instance `boot`."""

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
        self._effect = self._rollback() if begun.mode == table.ROLLBACK else self._unstage()

    def begin(self) -> list[Event]:
        """Run it from its start."""
        return self._runner(waiting=(self._begun,)).forward(self._last)

    def resume(self, statuses: Mapping[str, str]) -> list[Event]:
        """Go on after an interruption, from the status of its step."""
        return self._runner(statuses=statuses).forward(self._last)

    def abort(self, statuses: Mapping[str, str], reason: str, code: str) -> None:
        """Take it back after an interruption."""
        self._runner(statuses=statuses).back(reason, code)

    def settled(self) -> bool:
        """Whether nothing can take it back: what it is about was booted, finalized or dropped."""
        if self._begun.mode == table.UNSTAGE:
            return self._effect.probe().answer != recovery.ABSENT
        booted = self._session.host_status(fresh=True).booted
        return self._later_boot() and booted is not None and booted.checksum == self._begun.target

    def _runner(
        self, *, waiting: tuple[AnyBody, ...] = (), statuses: Mapping[str, str] | None = None
    ) -> Runner:
        return Runner(
            self._session,
            self._reporter,
            self._transaction,
            Pipeline(self._begun.mode),
            (self._effect,),
            waiting=waiting,
            statuses=statuses,
        )

    def _last(self) -> tuple[AnyBody, ...]:
        """What is held back from now on; what the host shows goes into the same commit."""
        system = self._session.observe()
        held = self._begun.held
        if self._effect.probe().answer != recovery.DONE:
            return ()
        superseded.end(self._session, self._transaction)
        return () if system.held == set(held) else (WantedHeld(held),)

    def _later_boot(self) -> bool:
        return self._session.is_over(self._boot)

    def _rollback(self) -> Effect:
        """The deployment `target` boots next: the one in the rollback slot, or the booted one."""
        deployer, target = self._session.host.deployer, self._begun.target

        def is_booted() -> bool:
            booted = self._session.host_status(fresh=True).booted
            return booted is not None and booted.checksum == target

        def do() -> None:
            if is_booted():
                deployer.unqueue()
            else:
                deployer.rollback(target)

        def probe() -> Answer:
            status = self._session.host_status(fresh=True)
            first = status.boots_next
            # Once it was booted, what others stage or queue is none of this.
            booted = status.booted if self._later_boot() else None
            if any(one is not None and one.checksum == target for one in (first, booted)):
                return Answer(recovery.DONE, {"checksum": target})
            slots = (status.booted, status.rollback)
            there = any(slot is not None and slot.checksum == target for slot in slots)
            staged = status.staged
            free = staged is None or staged.checksum == self._begun.staged_before
            return Answer(recovery.ABSENT if there and free else recovery.OTHER)

        def undo() -> None:
            if not is_booted():
                # Another that was queued meanwhile is none of this one's.
                if probe().answer == recovery.DONE:
                    deployer.unqueue()
            elif not self._later_boot():
                requeue(self._session, self._begun)

        return Effect("rollback", do, probe, undo=undo)

    def _unstage(self) -> Effect:
        """The staged deployment `target` goes."""
        deployer, target = self._session.host.deployer, self._begun.target

        def probe() -> Answer:
            status = self._session.host_status(fresh=True)
            if status.staged is not None and status.staged.checksum == target:
                return Answer(recovery.ABSENT)
            # A shutdown finalized it. It boots next where a person chose another entry.
            deployed = (status.booted, status.boots_next)
            if self._later_boot() and any(one and one.checksum == target for one in deployed):
                return Answer(recovery.GONE)
            return Answer(recovery.DONE, {"checksum": target})

        return Effect("unstage", lambda: deployer.unstage(target), probe)
