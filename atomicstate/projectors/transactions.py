"""One transaction's story, of its events: for `log` and `show`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from atomicstate.events.bodies import (
    BaseSet,
    PackageAdded,
    PackageRemoved,
    StepDone,
    StepFailed,
    StepSkipped,
    StepStarted,
    StepUndoing,
    StepUndone,
    TransactionBegun,
    TransactionRolledBack,
    TransactionStaged,
    WantedChanged,
)
from atomicstate.events.event import Event
from atomicstate.projectors import state

if TYPE_CHECKING:
    from collections.abc import Iterable

    from atomicstate.events.event import UnknownEvent

OPEN = "open"
DONE = "done"
ROLLED_BACK = "rolled back"

_STATUS: dict[type[Struct], str] = {
    StepStarted: "started",
    StepDone: "done",
    StepFailed: "failed",
    StepSkipped: "skipped",
    StepUndoing: "undoing",
    StepUndone: "undone",
}
_ENDED = frozenset({"done", "skipped"})


class Step(Struct, frozen=True):
    """One step: its status (started, done, failed, skipped, undoing, undone).

    `duration` is from its start to its first outcome, in nanoseconds; None where it has none, or
    where a reboot came between. `output` is the blob of what its tool said.
    """

    name: str
    status: str
    duration: int | None = None
    code: str = ""
    reason: str = ""
    output: str = ""


class Transaction(Struct, frozen=True):
    """A transaction: `mode` as in its begin, `outcome` open, done or rolled back.

    `first` and `last` are numbers of events, `begun` and `ended` times (UTC, nanoseconds);
    `ended` is None while it is open. `action` is the number of the action that it recorded,
    `code` and `reason` tell why it failed, `image_id` and `checksum` what it staged.
    """

    id: str
    mode: str
    outcome: str
    first: int
    last: int
    begun: int
    ended: int | None
    steps: tuple[Step, ...]
    action: int | None = None
    code: str = ""
    reason: str = ""
    image_id: str = ""
    checksum: str = ""

    @classmethod
    def of(cls, events: Iterable[Event | UnknownEvent]) -> Transaction | None:
        """The transaction that `events`, all of one and in order, tell of.

        None where there is no `transaction.begun` among them.
        """
        story = _Story()
        for event in events:
            if isinstance(event, Event):
                story.take(event)
        return story.transaction()


class _Story:
    """Folds the events of one transaction."""

    def __init__(self) -> None:
        self._begun: Event | None = None
        self._mode = ""
        self._last: Event | None = None
        self._steps: dict[str, Step] = {}
        self._started: dict[str, Event] = {}
        self._action: int | None = None
        self._staged: TransactionStaged | None = None
        self._back: TransactionRolledBack | None = None
        self._failure: StepFailed | None = None

    def take(self, event: Event) -> None:
        body = event.body
        if isinstance(body, TransactionBegun):
            self._begun, self._mode = event, body.mode
        elif isinstance(body, PackageAdded | PackageRemoved | BaseSet | WantedChanged):
            self._action = event.seq
        elif isinstance(body, TransactionStaged):
            self._staged = body
        elif isinstance(body, TransactionRolledBack):
            self._back = body
        elif status := _STATUS.get(type(body)):
            self._step(event, body, status)
        else:
            return
        self._last = event

    def transaction(self) -> Transaction | None:
        begun, last = self._begun, self._last
        if begun is None or last is None:
            return None
        outcome = self._outcome()
        why = self._back or self._failure
        return Transaction(
            id=begun.transaction,
            mode=self._mode,
            outcome=outcome,
            first=begun.seq,
            last=last.seq,
            begun=begun.time,
            ended=None if outcome == OPEN else last.time,
            steps=tuple(self._steps.values()),
            action=self._action,
            code=why.code if why else "",
            reason=why.reason if why else "",
            image_id=self._staged.image_id if self._staged else "",
            checksum=self._staged.checksum if self._staged else "",
        )

    def _outcome(self) -> str:
        if self._back:
            return ROLLED_BACK
        if last := state.LAST_STEPS.get(self._mode):
            ended = self._has_ended(last)
        elif self._mode == state.APPLY:
            ended = self._staged is not None and self._has_ended("promote")
        elif self._mode == state.DEPLOY:
            ended = self._staged is not None
        else:
            ended = self._action is not None
        return DONE if ended else OPEN

    def _has_ended(self, step: str) -> bool:
        return step in self._steps and self._steps[step].status in _ENDED

    def _step(self, event: Event, body: Struct, status: str) -> None:
        name: str = body.step  # type: ignore[attr-defined]
        before = self._steps.get(name)
        if isinstance(body, StepStarted):
            self._started[name] = event
        if isinstance(body, StepFailed):
            self._failure = body
        duration = before.duration if before else None
        if duration is None and status not in ("started", "undoing"):
            duration = _between(self._started.get(name), event)
        self._steps[name] = Step(
            name,
            status,
            duration,
            getattr(body, "code", "") or (before.code if before else ""),
            getattr(body, "reason", "") or (before.reason if before else ""),
            getattr(body, "output", "") or (before.output if before else ""),
        )


def _between(start: Event | None, end: Event) -> int | None:
    """The time that passed, by the clock that no one sets; None across a reboot."""
    if start is None or start.boot is None or end.boot is None:
        return None
    if start.boot.boot_id != end.boot.boot_id:
        return None
    return end.boottime - start.boottime
