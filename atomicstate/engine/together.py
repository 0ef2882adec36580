"""A part of what is pending, held against libapt as a whole before anything is built.

Each action was resolved on top of all that was wanted before it. A part leaves some of that out:
what was taken out by an action that is left out is there then, and a package that comes may push
it aside in silence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.engine.blobbed import recorded_plan
from atomicstate.errors import AptError
from atomicstate.projectors.compaction import newest_writers
from atomicstate.projectors.pending import booted
from atomicstate.projectors.recipe import base_of
from atomicstate.projectors.state import ADDED

if TYPE_CHECKING:
    from collections.abc import Collection

    from atomicstate.engine.results import ApplyProposal
    from atomicstate.engine.session import Session
    from atomicstate.events.plan import Plan
    from atomicstate.projectors.system import System


def check(session: Session, system: System, then: frozenset[int], proposal: ApplyProposal) -> None:
    """Raises AptError where the actions `then`, of which some pending ones are left out, would take
    out what nobody asked to take out; NotFoundError for a package that is not offered any more.

    The running image tells, without what lies over it: where it is another's, or the base is to be
    another one, nothing is known of it.
    """
    here = booted(system)
    if not (proposal.left_out or proposal.held or proposal.drop) or here is None:
        return
    if base_of(system, here)[1] != base_of(system, then)[1]:
        return
    wished, had = _wishes(system, then), _wishes(system, here)
    install = [name for name, kind in wished.items() if kind == ADDED and had.get(name) != ADDED]
    remove = [name for name, kind in wished.items() if kind != ADDED and had.get(name) == ADDED]
    if not install:
        return
    overlay = session.overlay_state().active
    plan = session.host.catalog.resolve(install, remove, bare=overlay)
    agreed = {*remove, *(had.keys() - wished.keys())}
    for seq in then - here:
        agreed |= {change.name for change in recorded_plan(session, seq).goes}
    for seq in here - then:
        agreed |= {change.name for change in recorded_plan(session, seq).comes}
    _refuse_loss(session, plan, agreed, proposal.left_out)


def _wishes(system: System, seqs: frozenset[int]) -> dict[str, str]:
    """The packages that the actions `seqs` are about, each with the kind of the last that is."""
    newest = newest_writers(system.actions, seqs)
    return {
        name: system.actions[seq].kind for name, seq in newest.items() if system.actions[seq].names
    }


def _refuse_loss(
    session: Session, plan: Plan, agreed: Collection[str], left_out: list[int]
) -> None:
    lost = sorted({change.name for change in plan.goes} - set(agreed))
    if not lost:
        return
    takers = [
        seq
        for seq in left_out
        if {change.name for change in recorded_plan(session, seq).goes} & set(lost)
    ]
    along = ", ".join(f"#{seq}" for seq in takers)
    raise AptError(
        f"built without the rest this would take out {', '.join(lost)}, which nothing in it asks"
        " for; nothing was changed",
        hint=f"{along} takes that out: take it along" if takers else "apply all that is pending",
    )
