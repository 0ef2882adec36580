"""`leave`: back to the plain base, without anything that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.engine import apply, documents
from atomicstate.engine.pending import results_of
from atomicstate.engine.results import LeaveProposal, LeaveResult
from atomicstate.engine.unfinished import refuse_unfinished
from atomicstate.errors import ConflictError, NoOperationError
from atomicstate.events.bodies import WantedChanged
from atomicstate.projectors.pending import DROP, Pending, pending
from atomicstate.projectors.recipe import base_of

if TYPE_CHECKING:
    from atomicstate.engine.results import Reporter
    from atomicstate.engine.session import Session
    from atomicstate.projectors.system import System

WHY = "leave"


def propose(session: Session) -> LeaveProposal:
    """What `leave` would do: all that is wanted, apart from the base, is so no more.

    Raises InterruptedWorkError, ConflictError where what boots next is foreign, NoOperationError
    where it is the plain base and nothing else is wanted.
    """
    # All of it: what the view lets go, since a later action outweighs it, would come back.
    system = session.observe_whole()
    refuse_unfinished(session, system)
    apply.require_own(session, system)
    void = _besides_the_base(system)
    if not void and not pending(system):
        raise NoOperationError("the plain base boots next, and nothing else is wanted")
    base, base_id, _architecture = base_of(system, system.wanted)
    actions = [system.actions[seq] for seq in void]
    dropped = [Pending(item.seq, item.kind, item.names, item, DROP) for item in actions]
    return LeaveProposal(
        actions=results_of(session, dropped),
        base=base,
        base_id=base_id,
        stays=len(documents.composition(session, system, ()).recipe.modules),
    )


def carry_out(session: Session, proposal: LeaveProposal, reporter: Reporter) -> LeaveResult:
    """Record that, then apply what comes of it: the base without a layer on top.

    Where the apply fails the record stays, and what is to go is pending. Raises ConflictError
    where something else was recorded since the proposal, and as `apply` does.
    """
    with session.pipeline():
        with session.recording():
            system = session.observe_whole()
            refuse_unfinished(session, system)
            apply.require_own(session, system)
            void = tuple(item.seq for item in proposal.actions)
            if void != _besides_the_base(system):
                raise ConflictError(
                    "something else was recorded meanwhile; nothing was changed",
                    hint="look at `atomicstate status` and try again",
                )
            seq = None
            if void:
                [event] = session.append([WantedChanged(void, (), WHY)], decided_at=system.position)
                seq = event.seq
        result = None
        if pending(session.observe()):
            result = apply.run(session, apply.propose(session), reporter)
    return LeaveResult(
        seq=seq,
        void=list(void),
        base=proposal.base,
        transaction=result.transaction if result else None,
        image=result.image if result else None,
        checksum=result.checksum if result else None,
    )


def _besides_the_base(system: System) -> tuple[int, ...]:
    """The wanted actions that don't set the base, in order."""
    return tuple(sorted(seq for seq in system.wanted if not system.actions[seq].reference))
