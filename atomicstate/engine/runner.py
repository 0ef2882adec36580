"""Carries a transaction through its steps: intent, effect, probe, outcome.

The intent of a step is durable before its effect begins; its outcome comes from asking the host,
and shares the commit of the next intent (or the transaction's last): if a kill comes between, the
probe finds the effect and adopts it. A failure before the pivot is taken back, newest step first.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from atomicstate import failpoints, interrupts
from atomicstate.errors import (
    AtomicstateError,
    CanceledError,
    HostError,
    UnclearError,
    from_os_error,
)
from atomicstate.events.bodies import (
    AnyBody,
    StepDone,
    StepFailed,
    StepSkipped,
    StepStarted,
    StepUndoing,
    StepUndone,
    TransactionRolledBack,
)
from atomicstate.machine import recovery, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from atomicstate.engine.results import Reporter
    from atomicstate.engine.session import Session
    from atomicstate.events.event import Event
    from atomicstate.machine.pipeline import Pipeline


_NEEDLESS = {
    recovery.DONE: "it was there already",
    recovery.GONE: "the boot that it was for is over",
}
_IN_FLIGHT = ("started", "failed", "undoing")
"""Statuses of a step of which only the host knows whether its effect is there."""


@dataclass(frozen=True)
class Answer:
    """What a probe found: one of recovery's answers, and the evidence."""

    answer: str
    evidence: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Effect:
    """One step's side effect. `probe` asks the host; `do` and `undo` change it.

    `finish` completes what an interruption left half done (by default `do` again). Without `undo`
    there is nothing to take back. `needless` are answers before the intent that stand for "nothing
    to do"; `skips` is one after `do` that stands for "not wanted". `then` gives the facts that
    become true with the step, `stuck` those that do where it can't be taken back, for that reason.
    `output` is the blob of what its tool said.
    """

    step: str
    do: Callable[[], None]
    probe: Callable[[], Answer]
    undo: Callable[[], None] | None = None
    finish: Callable[[], None] | None = None
    needless: tuple[str, ...] = ()
    skips: str = ""
    then: Callable[[Answer], tuple[AnyBody, ...]] = lambda _answer: ()
    stuck: Callable[[str], tuple[AnyBody, ...]] = lambda _reason: ()
    output: Callable[[], str] = lambda: ""


@contextmanager
def _plainly(doing: str) -> Iterator[None]:
    """What the file system refuses is an error like any other: it is taken back."""
    try:
        yield
    except OSError as error:
        raise from_os_error(error, doing, error.filename or "a file") from error


class Runner:
    """One transaction's run.

    `waiting` are facts that go with the first commit, `left` gives those that tell what stays of
    one that was taken back.
    """

    def __init__(
        self,
        session: Session,
        reporter: Reporter,
        transaction: str,
        pipeline: Pipeline,
        effects: Sequence[Effect],
        *,
        waiting: Sequence[AnyBody] = (),
        statuses: Mapping[str, str] | None = None,
        left: Callable[[], Sequence[AnyBody]] = tuple,
    ) -> None:
        self._session = session
        self._reporter = reporter
        self._transaction = transaction
        self._pipeline = pipeline
        self._effects = effects
        self._waiting: list[AnyBody] = list(waiting)
        self._statuses = dict(statuses or {})
        self._left = left

    def forward(self, last: Callable[[], Sequence[AnyBody]] = tuple) -> list[Event]:
        """Do every step that is not done, then commit `last` with the last outcome.

        Returns the events of that commit. Raises what the failing step raised, after all was
        taken back; UnclearError leaves the step's intent open. A request to end is taken before
        a step and during its effect: what is done and what is known of it stay together.
        """
        with interrupts.deferred():
            events = self._forward(last)
            # All is done: there is nothing left that could be ended.
            interrupts.ignore()
        return events

    def _forward(self, last: Callable[[], Sequence[AnyBody]]) -> list[Event]:
        for effect in self._effects:
            if self._statuses.get(effect.step) in ("done", "skipped"):
                self._pipeline.done(effect.step)
                continue
            try:
                if not self._pipeline.past_pivot:
                    interrupts.check()
                self._step(effect)
            except UnclearError:
                self._commit_waiting()
                raise
            except (AtomicstateError, KeyboardInterrupt) as error:
                raise self._failed(effect, error) from error
        return self._commit(*last(), outcome=True)

    def back(self, reason: str, code: str) -> None:
        """Take every step back, newest first, and end the transaction.

        Raises HostError where something is left: the state stays `rolling_back`.
        """
        with interrupts.deferred():
            self._back(reason, code)

    def _back(self, reason: str, code: str) -> None:
        for effect in reversed(self._effects):
            status = self._statuses.get(effect.step)
            if effect.undo is None or status in (None, "skipped", "undone"):
                continue
            self._undo(effect, effect.undo, reason)
        self._commit(*self._left(), TransactionRolledBack(reason, code), outcome=True)

    # -- one step ----------------------------------------------------------------------------

    def _step(self, effect: Effect) -> None:
        self._pipeline.require(effect.step)
        if self._statuses.get(effect.step) in _IN_FLIGHT:
            self._take_up(effect)
            return
        if effect.needless and (answer := effect.probe().answer) in effect.needless:
            self._skipped(effect, _NEEDLESS[answer])
            return
        self._commit(StepStarted(effect.step))
        self._statuses[effect.step] = "started"
        failpoints.reach(f"{effect.step}.started")
        self._reporter.step(effect.step, "started")
        self._do(effect, effect.do)

    def _take_up(self, effect: Effect) -> None:
        """A step whose intent is in the log and whose outcome is not: ask the host, decide.

        So too one that was being taken back, where the host shows that this is too late.
        """
        answer = effect.probe()
        decision = recovery.decide(effect.step, answer.answer)
        self._reporter.step(effect.step, "started")
        if decision == recovery.ADOPT:
            self._done(effect, answer)
        elif decision == recovery.SKIP:
            self._skipped(effect, _NEEDLESS.get(answer.answer, answer.answer))
        else:
            finish = effect.finish if decision == recovery.FINISH else None
            self._do(effect, finish or effect.do)

    def _do(self, effect: Effect, do: Callable[[], None]) -> None:
        error: AtomicstateError | KeyboardInterrupt | None = None
        try:
            # Past the pivot a request comes too late: what boots next is changed already.
            ended = nullcontext() if self._pipeline.past_pivot else interrupts.allowed()
            with ended, _plainly(f"do the step {effect.step} at"):
                do()
        except UnclearError:
            raise
        except AtomicstateError as failure:
            error = failure
        except KeyboardInterrupt as request:
            # There is no way back from it, or none past it: what it took the place of is gone.
            if effect.undo is not None and effect.step not in table.PIVOTS:
                raise
            error = request
        failpoints.reach(f"{effect.step}.done")
        answer = self._outcome(effect, error)
        if answer.answer == recovery.DONE:
            self._done(effect, answer)
            if isinstance(error, KeyboardInterrupt) and effect.step not in table.PIVOTS:
                interrupts.put_off()
        elif error is not None:
            raise error
        elif answer.answer == effect.skips:
            self._skipped(effect, "a person changed the file meanwhile")
        else:
            raise HostError(
                f"the step {effect.step} ended without an error, and the host shows nothing of it"
                f" ({answer.answer})"
            )

    def _outcome(self, effect: Effect, error: BaseException | None) -> Answer:
        """Ask the host, even after a failure: a tool may exit 1 after its work was done.

        Where the host does not answer, nothing is called done, failed or taken back on a guess:
        that is UnclearError, or the failure itself where taking back will ask again.
        """
        try:
            return effect.probe()
        except UnclearError:
            raise
        except AtomicstateError as silence:
            if error is not None and effect.undo is not None:
                raise error from silence
            raise UnclearError(
                f"the step {effect.step} was carried out, and what came of it can't be told:"
                f" {silence.message}"
            ) from error or silence

    def _done(self, effect: Effect, answer: Answer) -> None:
        self._pipeline.done(effect.step)
        self._statuses[effect.step] = "done"
        self._waiting.append(StepDone(effect.step, answer.evidence, effect.output()))
        self._waiting += effect.then(answer)
        self._reporter.step(effect.step, "done")

    def _skipped(self, effect: Effect, reason: str) -> None:
        self._pipeline.done(effect.step)
        self._statuses[effect.step] = "skipped"
        self._waiting.append(StepSkipped(effect.step, reason))
        self._reporter.step(effect.step, "skipped")

    # -- failing and going back --------------------------------------------------------------

    def _failed(self, effect: Effect, error: BaseException) -> BaseException:
        """Log the failure and take all back. Returns what is to be raised."""
        if not isinstance(error, AtomicstateError):
            error = self._canceled(effect)
        if self._pipeline.past_pivot:
            error.hint = "what boots next is changed; `atomicstate resume` does the rest"
            return error
        if effect.step not in self._statuses:
            if not self._statuses:
                return error  # not even the first intent is durable: nothing was begun
        else:
            self._statuses[effect.step] = "failed"
            self._waiting.append(
                StepFailed(effect.step, error.code, error.message, effect.output())
            )
        self._reporter.step(effect.step, "failed")
        self._pipeline.fail()
        try:
            self.back(error.message, error.code)
        except AtomicstateError as left:
            why = left.message.partition("\n")[0]
            error.hint = f"not all could be taken back: {why}; `atomicstate abort` tries again"
        else:
            self._pipeline.undone()
            undone = "undone" in self._statuses.values()
            if undone and not isinstance(error, CanceledError):
                self._reporter.note("its changes were taken back")
        return error

    def _canceled(self, effect: Effect) -> CanceledError:
        if effect.undo is None and effect.step in self._statuses:
            return CanceledError(f"canceled: what the step {effect.step} had done by then stays so")
        overlay = self._statuses.get("overlay") == "done"
        but = "; the overlay is on until the next boot" if overlay else ""
        return CanceledError(f"canceled: everything was taken back{but}")

    def _undo(self, effect: Effect, undo: Callable[[], None], reason: str) -> None:
        self._commit(StepUndoing(effect.step, reason), outcome=True)
        self._statuses[effect.step] = "undoing"
        self._reporter.step(effect.step, "undoing")
        failpoints.reach(f"{effect.step}.undoing")
        failure: AtomicstateError | None = None
        try:
            with _plainly(f"take back the step {effect.step} at"):
                undo()
        except UnclearError:
            raise
        except AtomicstateError as error:
            failure = error
        failpoints.reach(f"{effect.step}.undone")
        answer = effect.probe()
        if answer.answer not in (recovery.ABSENT, recovery.GONE, recovery.OTHER):
            left = failure or HostError(
                f"the step {effect.step} can't be taken back: the host answers {answer.answer}"
            )
            self._waiting += effect.stuck(left.message)
            self._commit_waiting()
            raise left
        self._statuses[effect.step] = "undone"
        self._waiting.append(StepUndone(effect.step, answer.evidence))
        self._reporter.step(effect.step, "undone")

    # -- commits -----------------------------------------------------------------------------

    def _commit(self, *bodies: AnyBody, outcome: bool = False) -> list[Event]:
        bodies = (*self._waiting, *bodies)
        if not bodies:
            return []
        outcome = outcome or any(isinstance(body, StepDone) for body in bodies)
        events = self._session.append(bodies, transaction=self._transaction, outcome=outcome)
        self._waiting.clear()
        return events

    def _commit_waiting(self) -> None:
        self._commit(outcome=True)
