"""`package add`, `package remove`, `package update`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from atomicstate.catalog.names import validate_names
from atomicstate.engine.blobbed import recorded_plan, store_plan
from atomicstate.engine.documents import composition
from atomicstate.engine.live import refuse_broken
from atomicstate.engine.results import PackageProposal, PackageResult
from atomicstate.engine.unfinished import resume_live, warn_interrupted, warn_unfinished
from atomicstate.errors import AptError, ConflictError, HostError, NoOperationError
from atomicstate.events.bodies import PackageAdded, PackageRemoved, TransactionBegun
from atomicstate.events.ids import new_id
from atomicstate.machine import table
from atomicstate.projectors.pending import booted, kept, pending
from atomicstate.recipe.schema import PackagesBody

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from atomicstate.catalog.client import Progress
    from atomicstate.engine.results import Reporter
    from atomicstate.engine.session import Session
    from atomicstate.events.plan import Plan
    from atomicstate.projectors.pending import Pending
    from atomicstate.projectors.system import System
    from atomicstate.recipe.schema import Module

ADD = "add"
REMOVE = "remove"
_KINDS = {ADD: "package.added", REMOVE: "package.removed"}


def propose(session: Session, verb: str, names: Sequence[str], *, live: bool) -> PackageProposal:
    """Resolve what adding or removing (`verb`) `names` does; nothing is changed or recorded.

    Raises ValidationError, NotFoundError, AptError (no way to have it, or it would undo what an
    earlier action asked for), NoOperationError, HostError (not to be done live).
    """
    names = validate_names(names)
    system = session.observe()
    if live:
        refuse_broken(system)
    wishes = _Wishes(session, system)
    catalog = session.host.catalog
    waiting = pending(system)
    install, remove = (names, ()) if verb == ADD else ((), names)
    comes, goes = _given(waiting, "package.added"), _given(waiting, "package.removed")
    resolve = partial(catalog.resolve, install, remove, unclean=bool(system.broken))
    plan = resolve(given_install=comes, given_remove=goes)
    installed = catalog.installed((*names, *comes, *goes))
    if live and not (installed.keys() >= {*comes} and installed.keys().isdisjoint(goes)):
        # Some of it is for the next image alone: what is done now must do without.
        plan = resolve()
    needless = wishes.needless(verb, names, installed)
    left = tuple(name for name in names if name not in needless)
    if not left:
        there = "there already" if verb == ADD else "not there"
        raise NoOperationError(f"{', '.join(names)}: {there}, nothing to do")
    wishes.refuse_contradiction(verb, left, plan)
    if live:
        _refuse_boot_packages(session, plan)
    in_base = tuple(name for name in left if wishes.in_base(name, installed))
    return PackageProposal(
        verb=verb,
        names=left,
        in_base=in_base,
        plan=plan,
        live=live,
        position=system.position,
        skipped=tuple(sorted(needless)),
    )


def carry_out(session: Session, proposal: PackageProposal, reporter: Reporter) -> PackageResult:
    """Do what `proposal` says: at once in the overlay where it is live, and record the action.

    Raises ConflictError where the log changed so that the plan is another now, and what libapt
    raised: then it was taken back and nothing is recorded.
    """
    with session.recording():
        system = session.observe()
        warn_unfinished(session, system, reporter, live=proposal.live)
        if proposal.live and resume_live(session, reporter):
            system = session.observe()
        if system.last_action > proposal.position:
            again = propose(session, proposal.verb, proposal.names, live=proposal.live)
            if (again.names, again.plan) != (proposal.names, proposal.plan):
                raise ConflictError(
                    "something else was recorded meanwhile and changes this plan;"
                    " nothing was changed",
                    hint="try again to see the new plan",
                )
        return _live(session, proposal, reporter) if proposal.live else _record(session, proposal)


def update(session: Session, reporter: Reporter) -> None:
    """Fetch the package lists of the host's tree. Raises AptError; the old lists stay then."""
    with session.recording():
        if session.state.has_log:
            warn_interrupted(session, session.system(), reporter)
        session.host.catalog.update(_progress(reporter))


# -- what an action is checked against -------------------------------------------------------


class _Wishes:
    """What earlier actions asked for, by package name, and what the recipe's own modules do."""

    def __init__(self, session: Session, system: System) -> None:
        self._last: dict[str, tuple[str, bool]] = {}
        self._brought: set[str] = set()
        wanted = kept(system)
        made = composition(session, system, wanted)
        there = _named_by(made.recipe.modules)
        for seq in sorted(wanted):
            action = system.actions[seq]
            if action.kind not in _KINDS.values():
                continue
            for name in action.names:
                in_base = name in action.in_base
                # What the recipe had of it may have been edited away since: then it has no say.
                if in_base == (action.kind == "package.added") or name in there:
                    self._last[name] = (action.kind, in_base)
                else:
                    self._last.pop(name, None)
        for seq in wanted | _there_still(session, system):
            if system.actions[seq].kind == "package.added":
                self._brought.update(change.name for change in recorded_plan(session, seq).comes)
        # An action takes its names out of the modules before it: one that has a name still has
        # the last word on it.
        self._installs: set[str] = set()
        self._removes: set[str] = set()
        for owner, module in zip(made.owners, made.recipe.modules, strict=True):
            of_action = owner > 0 and system.actions[owner].kind in _KINDS.values()
            if isinstance(module.body, PackagesBody) and not of_action and not module.when:
                self._installs.update(module.body.install)
                self._removes.update(module.body.remove)

    def needless(self, verb: str, names: Sequence[str], installed: dict[str, str]) -> set[str]:
        """Those of `names` that are as asked already."""
        return {name for name in names if self._as_asked(verb, name, installed)}

    def in_base(self, name: str, installed: dict[str, str]) -> bool:
        """Whether the image holds `name` without being asked to."""
        if name in self._last:
            return self._last[name][1]
        return name in installed and name not in self._brought and name not in self._installs

    def refuse_contradiction(self, verb: str, names: Sequence[str], plan: Plan) -> None:
        """Raises AptError where the plan undoes what an earlier action asked for."""
        added = {name for name, (kind, _) in self._last.items() if kind == "package.added"}
        wanted = (added - self._removes) | self._installs
        unwanted = (set(self._last) | self._removes) - wanted
        goes = {change.name for change in plan.goes} - set(names)
        comes = {change.name for change in plan.comes} - set(names)
        if lost := sorted(goes & wanted):
            raise AptError(
                f"this would take out {', '.join(lost)}, which was added before;"
                " nothing was changed",
                hint=f"`atomicstate package remove {' '.join(lost)}` first",
            )
        if back := sorted(comes & unwanted):
            raise AptError(
                f"this would bring back {', '.join(back)}, which was removed before;"
                " nothing was changed",
                hint=f"`atomicstate package add {' '.join(back)}` first",
            )
        fresh = sorted(change.name for change in plan.comes if not change.was)
        if verb == REMOVE and fresh:
            raise AptError(
                f"removing it would bring in {', '.join(fresh)}; nothing was changed",
                hint="add what shall take its place first",
            )

    def _as_asked(self, verb: str, name: str, installed: dict[str, str]) -> bool:
        kind = self._last.get(name, ("", False))[0]
        if name in self._installs:
            return verb == ADD and name in installed
        if name in self._removes:
            return verb == REMOVE and name not in installed
        if verb == ADD:
            return kind == "package.added" or (
                not kind and name in installed and name not in self._brought
            )
        return kind == "package.removed" or (not kind and name not in installed)


def _there_still(session: Session, system: System) -> set[int]:
    """The actions that nobody wants any more, or that are held, and whose effect runs now."""
    gone = system.actions.keys() - kept(system)
    if not gone:
        return set()
    boot = session.host_status().boot
    here = booted(system) or frozenset()
    live = (seq for seq in gone - here if system.actions[seq].live)
    return (gone & here) | {seq for seq in live if session.event(seq).boot == boot}


def _named_by(modules: Sequence[Module]) -> set[str]:
    """The packages that modules of the recipe name."""
    bodies = [module.body for module in modules if isinstance(module.body, PackagesBody)]
    return {name for body in bodies for name in (*body.install, *body.remove)}


def _given(waiting: Sequence[Pending], kind: str) -> tuple[str, ...]:
    """The names of pending actions of `kind`: the tree may not have them (yet, or any more)."""
    names = [
        name
        for item in waiting
        if item.kind == kind and item.change == "add"
        for name in item.names
    ]
    return tuple(dict.fromkeys(names))


def _refuse_boot_packages(session: Session, plan: Plan) -> None:
    names = session.host.catalog.boot_packages(plan)
    if names:
        raise HostError(
            f"{', '.join(names)}: kernels, boot loaders and what makes an initramfs can't be"
            " changed in a running system; nothing was changed",
            hint="`--no-live` records it for the next image",
        )


# -- doing it ---------------------------------------------------------------------------------


def _record(session: Session, proposal: PackageProposal) -> PackageResult:
    plan, plan_blob = store_plan(session.blobs, proposal.plan)
    kind = PackageAdded if proposal.verb == ADD else PackageRemoved
    body = kind(proposal.names, False, proposal.in_base, plan, plan_blob)
    [event] = session.append([body], decided_at=session.system().position)
    return _result(proposal, event.seq, None)


def _live(session: Session, proposal: PackageProposal, reporter: Reporter) -> PackageResult:
    from atomicstate.engine.live import LiveTransaction

    plan, plan_blob = store_plan(session.blobs, proposal.plan)
    begun = TransactionBegun(
        table.LIVE,
        action=_KINDS[proposal.verb],
        names=proposal.names,
        in_base=proposal.in_base,
        plan=plan,
        plan_blob=plan_blob,
    )
    transaction = new_id()
    boot = session.host_status().boot
    events = LiveTransaction(session, reporter, transaction, begun, boot).begin()
    return _result(proposal, events[-1].seq, transaction)


def _result(proposal: PackageProposal, seq: int, transaction: str | None) -> PackageResult:
    return PackageResult(
        seq=seq,
        transaction=transaction,
        kind=_KINDS[proposal.verb],
        names=proposal.names,
        live=proposal.live,
        plan=proposal.plan,
    )


def _progress(reporter: Reporter) -> Callable[[Progress], None]:
    def take(progress: Progress) -> None:
        reporter.progress(progress.percent, progress.message)

    return take
