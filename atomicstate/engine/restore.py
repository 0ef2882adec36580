"""`overlay restore`: what live commands put into the running system, after a boot took it away."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from atomicstate.engine.blobbed import recorded_plan, store_plan
from atomicstate.engine.live import LiveTransaction, refuse_broken
from atomicstate.engine.results import RestoreResult
from atomicstate.engine.unfinished import resume_live, warn_unfinished
from atomicstate.errors import AptError, NotFoundError
from atomicstate.events.bodies import TransactionBegun
from atomicstate.events.ids import new_id
from atomicstate.machine import table
from atomicstate.projectors.pending import booted, kept
from atomicstate.projectors.state import ADDED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from atomicstate.engine.results import Reporter
    from atomicstate.engine.session import Session
    from atomicstate.events.plan import Plan
    from atomicstate.projectors.system import System

_SHOWN = 5


class Lost(NamedTuple):
    """What a boot took away: the actions, and what of their names is to come and to go again."""

    seqs: tuple[int, ...]
    install: tuple[str, ...]
    remove: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.install or self.remove)


def lost(session: Session, system: System) -> Lost:
    """What live actions of an earlier boot did, and the running system does not show.

    Wanted and not held back, and neither in the booted deployment nor in the one before it: who
    boots an older deployment by hand does not want the newer one's packages in it.
    """
    seqs = _candidates(session, system)
    if not seqs:
        return Lost((), (), ())
    writer = {name: seq for seq in sorted(kept(system)) for name in system.actions[seq].names}
    names = [name for name, seq in writer.items() if seq in seqs]
    there = session.host.catalog.installed(names)
    come = [name for name in names if system.actions[writer[name]].kind == ADDED]
    return Lost(
        tuple(sorted(seqs)),
        tuple(name for name in come if name not in there),
        tuple(name for name in names if name in there and name not in come),
    )


def restore(session: Session, reporter: Reporter) -> RestoreResult:
    """Lay the overlay, and do in it again what a boot took away, in the versions of then.

    A package that can't be had any more is left out, another version is taken where the old one
    is not offered: the result's notes say so. Raises HostError where /usr is not to be relied on,
    and what libapt raised: then it was taken back.
    """
    with session.recording():
        system = session.observe()
        refuse_broken(system)
        warn_unfinished(session, system, reporter, live=True)
        resume_live(session, reporter)
        system = session.observe()
        wishes = lost(session, system)
        if not wishes:
            return RestoreResult(None, [], [], [])
        recorded = [recorded_plan(session, seq) for seq in wishes.seqs]
        versions = _versions(recorded)
        plan, notes = _plan(session, wishes, versions)
        notes += _other_versions(plan, versions)
        _refuse_more(plan, recorded, wishes)
        if not plan.changes:
            return RestoreResult(None, [], [], notes)
        inline, blob = store_plan(session.blobs, plan)
        names = (*wishes.install, *wishes.remove)
        begun = TransactionBegun(
            table.RESTORE, add=wishes.seqs, names=names, plan=inline, plan_blob=blob
        )
        transaction, boot = new_id(), session.host_status().boot
        LiveTransaction(session, reporter, transaction, begun, boot).begin()
    return RestoreResult(
        transaction,
        [change.name for change in plan.comes],
        [change.name for change in plan.goes],
        notes,
    )


def _candidates(session: Session, system: System) -> set[int]:
    """The live actions whose effect is neither of this boot nor in a deployment that can run."""
    there, host = booted(system), system.host
    if there is None:
        return set()
    before = system.deployment(host.rollback, host.rollback_txn) if host.rollback else None
    known = there | (system.selection(before) if before is not None else frozenset())
    boot = session.host_status().boot
    actions = [system.actions[seq] for seq in kept(system) - known]
    return {
        action.seq
        for action in actions
        if action.of_overlay and not (action.live and session.event(action.seq).boot == boot)
    }


def _versions(plans: list[Plan]) -> dict[str, str]:
    """Name (with the architecture, where it has one) to the version that it had then."""
    found: dict[str, str] = {}
    for plan in plans:
        for change in plan.comes:
            found[_key(change.name, change.architecture)] = change.version
    return found


def _key(name: str, architecture: str) -> str:
    return name if architecture == "all" else f"{name}:{architecture}"


def _plan(session: Session, wishes: Lost, versions: Mapping[str, str]) -> tuple[Plan, list[str]]:
    """The plan for all that can be had, and a sentence for each name that can't."""
    catalog = session.host.catalog
    try:
        return catalog.resolve(wishes.install, wishes.remove, versions=versions), []
    except (NotFoundError, AptError) as error:
        reason = error
    left: list[str] = []
    notes: list[str] = []
    for name in wishes.install:
        try:
            catalog.resolve((*left, name), wishes.remove, versions=versions)
            left.append(name)
        except (NotFoundError, AptError) as error:
            notes.append(f"{name} is not put back: {error.message.splitlines()[0]}")
    if not left and not wishes.remove:
        raise reason
    return catalog.resolve(left, wishes.remove, versions=versions), notes


def _other_versions(plan: Plan, versions: Mapping[str, str]) -> list[str]:
    return [
        f"{change.name} was {then}, {change.version} is what is offered now"
        for change in plan.comes
        if (then := versions.get(_key(change.name, change.architecture), change.version))
        != change.version
    ]


def _refuse_more(plan: Plan, recorded: list[Plan], wishes: Lost) -> None:
    """What nobody agreed to then does not go now. Raises AptError."""
    agreed = {change.name for then in recorded for change in then.goes} | {*wishes.remove}
    more = sorted({change.name for change in plan.goes} - agreed)
    if more:
        raise AptError(
            f"putting back what the boot took away would take out {', '.join(more[:_SHOWN])};"
            " nothing was changed",
            hint="`atomicstate apply` makes an image of what is pending instead",
        )
