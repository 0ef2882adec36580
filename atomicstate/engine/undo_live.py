"""Taking live changes back in the overlay: what can go there, and the transaction that does it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from atomicstate.catalog.client import PlanState
from atomicstate.engine.blobbed import recorded_plan
from atomicstate.engine.live import LiveTransaction
from atomicstate.engine.runner import Answer, Effect
from atomicstate.errors import AptError
from atomicstate.events.bodies import (
    LiveBroken,
    TransactionBegun,
    WantedChanged,
)
from atomicstate.events.plan import PackageChange, Plan
from atomicstate.machine import recovery, table
from atomicstate.projectors.pending import booted
from atomicstate.projectors.state import ADDED, REMOVED
from atomicstate.store.search import Query, search

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from atomicstate.engine.session import Session
    from atomicstate.events.bodies import AnyBody
    from atomicstate.events.event import BootInstance
    from atomicstate.projectors.system import System

# Taking back is the step done: nothing of the plan is there then.
_STATES = {
    PlanState.DONE: recovery.ABSENT,
    PlanState.ABSENT: recovery.DONE,
    PlanState.PARTIAL: recovery.PARTIAL,
}
_INVERSE = {
    "install": "remove",
    "remove": "install",
    "upgrade": "downgrade",
    "downgrade": "upgrade",
}


class Back(Struct, frozen=True):
    """What is taken back in the overlay: of the recorded plans the part `plan`.

    `stays` names what was asked for and stays, since something else in the running system needs
    it.
    """

    plan: Plan = Plan()
    stays: tuple[str, ...] = ()

    @property
    def shown(self) -> Plan:
        """What happens, as a plan."""
        changes = tuple(_inverse(change) for change in self.plan.changes)
        return Plan(
            changes,
            sum(item.download_size for item in changes if item.kind != "remove"),
            -self.plan.installed_size,
        )


def back(session: Session, system: System, void: Iterable[int], after: Iterable[int]) -> Back:
    """What of the actions `void` can be taken back in the overlay, where `after` stay wanted.

    A package that something else needs stays, and what else a plan brought may stay with it until
    the next boot. Nothing is changed. Raises AptError, LockedError.
    """
    done = [seq for seq in sorted(void) if _is_live_here(session, system, seq)]
    if not done or not session.host.overlay.state().active:
        return Back()
    asked = frozenset(name for seq in done for name in system.actions[seq].names)
    changes = _there(session, _merged(session, done), _claimed(system, after))
    named = tuple(change for change in changes if change.name in asked)
    catalog = session.host.catalog
    for part in (changes, named):
        if not part:
            continue
        names = {change.name for change in part}
        try:
            plan = catalog.resolve(
                [change.name for change in part if change.kind == "remove"],
                [change.name for change in part if change.kind == "install"],
            )
        except AptError:
            if part is changes and part != named:
                continue
            raise
        if names >= {change.name for change in plan.goes}:
            return Back(_plan(part), _left(asked, names, changes))
    return Back(stays=tuple(sorted({change.name for change in named})))


def _left(
    asked: frozenset[str], names: set[str], changes: tuple[PackageChange, ...]
) -> tuple[str, ...]:
    return tuple(sorted(asked & {change.name for change in changes} - names))


def _is_live_here(session: Session, system: System, seq: int) -> bool:
    """Whether the effect of the action lies in the overlay of this boot, and not in the image."""
    action = system.actions[seq]
    if not action.of_overlay or seq in (booted(system) or ()):
        return False
    boot = session.host_status().boot
    here = action.live and session.event(seq).boot == boot
    return here or seq in _restored(session, boot)


def _restored(session: Session, boot: BootInstance | None) -> set[int]:
    """The actions whose plans were carried out again in this boot instance."""
    log = session.log
    found: set[int] = set()
    for event, _hash, _went_back in search(log, Query(), 1, log.head().seq + 1, reverse=True):
        if event.boot != boot:
            break
        body = event.body
        if isinstance(body, TransactionBegun) and body.mode == table.RESTORE:
            found.update(body.add)
    return found


def _merged(session: Session, seqs: Iterable[int]) -> list[PackageChange]:
    """The plans of the actions, one after the other, as one."""
    found: dict[tuple[str, str], PackageChange] = {}
    for seq in seqs:
        for change in recorded_plan(session, seq).changes:
            key = (change.name, change.architecture)
            first = found.pop(key, None)
            now = change if first is None else _joined(first, change)
            if now is not None:
                found[key] = now
    return list(found.values())


def _joined(first: PackageChange, then: PackageChange) -> PackageChange | None:
    """Both changes of a package as one; None where it is as it was."""
    was = first.before
    if then.kind == "remove":
        return msgspec.structs.replace(then, version=was, was=was) if was else None
    if not was:
        return msgspec.structs.replace(then, kind="install", was="")
    if was == then.version:
        return None
    kind = then.kind if then.kind in ("upgrade", "downgrade") else "upgrade"
    return msgspec.structs.replace(then, kind=kind, was=was)


def _claimed(system: System, after: Iterable[int]) -> dict[str, str]:
    """The names that wanted actions ask for, with the kind of the last one that does."""
    found: dict[str, str] = {}
    for seq in sorted(after):
        action = system.actions[seq]
        if action.kind in (ADDED, REMOVED):
            found.update(dict.fromkeys(action.names, action.kind))
    return found


def _there(
    session: Session, changes: list[PackageChange], claimed: dict[str, str]
) -> tuple[PackageChange, ...]:
    """Those of `changes` that are so in the tree still, and that nobody else asked for."""
    now = session.host.catalog.installed([change.name for change in changes])
    left = []
    for change in changes:
        kind = REMOVED if change.kind == "remove" else ADDED
        is_so = now.get(change.name, "") == change.after
        if is_so and change.kind in _INVERSE and claimed.get(change.name) != kind:
            left.append(change)
    return tuple(left)


def _plan(changes: tuple[PackageChange, ...]) -> Plan:
    net = sum(
        -change.installed_size if change.kind == "remove" else change.installed_size
        for change in changes
    )
    return Plan(changes, sum(change.download_size for change in changes), net)


def _inverse(change: PackageChange) -> PackageChange:
    kind, was, after = _INVERSE[change.kind], change.before, change.after
    return msgspec.structs.replace(
        change,
        kind=kind,
        version=was or after,
        was=after,
        sha256="",
        download_size=0,
    )


class UndoTransaction(LiveTransaction):
    """The transaction that takes the plan of `begun` back and changes what is wanted with it."""

    def _last(self) -> tuple[AnyBody, ...]:
        return (change_of(self._begun),)

    def _left(self) -> tuple[AnyBody, ...]:
        return ()

    def _live(self) -> Effect:
        catalog = self._session.host.catalog

        def probe() -> Answer:
            if self._gone():
                return Answer(recovery.GONE)
            state = _STATES[catalog.state(self._plan)]
            return Answer(state, {"packages": str(len(self._plan.changes))})

        do = partial(catalog.revert, self._plan, self._progress)
        return Effect(
            "live",
            do,
            probe,
            undo=partial(self._again, probe),
            finish=do,
            needless=(recovery.GONE, recovery.DONE),
            stuck=lambda reason: (LiveBroken(reason),),
        )

    def _again(self, probe: Callable[[], Answer]) -> None:
        if probe().answer not in (recovery.GONE, recovery.ABSENT):
            self._session.host.catalog.finish(self._plan, self._progress)


def change_of(begun: TransactionBegun) -> WantedChanged:
    """What the undo `begun` changes in what is wanted."""
    return WantedChanged(begun.drop, begun.add, begun.target)
