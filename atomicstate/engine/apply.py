"""`apply`: every pending action becomes one transaction, ending in a staged deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.engine import documents
from atomicstate.engine.apply_steps import RECIPE, ApplyTransaction, file_digest
from atomicstate.engine.pending import pending_results
from atomicstate.engine.results import ApplyProposal, ApplyResult
from atomicstate.engine.unfinished import refuse_unfinished
from atomicstate.errors import ConflictError, NoOperationError
from atomicstate.events.bodies import TransactionBegun
from atomicstate.events.ids import new_id
from atomicstate.projectors.pending import boots_next, pending, selection
from atomicstate.projectors.recipe import base_of
from atomicstate.recipe.containerfile import RENDERER

if TYPE_CHECKING:
    from atomicstate.engine.results import Reporter
    from atomicstate.engine.session import Session
    from atomicstate.projectors.system import System


def propose(session: Session) -> ApplyProposal:
    """What an apply of everything that is pending would do.

    Raises InterruptedWorkError, ConflictError (what boots next is foreign), NoOperationError.
    """
    system = session.observe()
    refuse_unfinished(session, system)
    require_own(system)
    waiting = pending(system)
    if not waiting:
        raise NoOperationError("nothing is pending: what boots next holds all that is wanted")
    add = tuple(item.seq for item in waiting if item.change == "add")
    drop = tuple(item.seq for item in waiting if item.change == "drop")
    return _proposal(session, system, add, drop)


def carry_out(session: Session, proposal: ApplyProposal, reporter: Reporter) -> ApplyResult:
    """Build the image of `proposal` and make it what boots next.

    Raises LockedError where another apply runs, ConflictError where what boots next changed since
    the proposal, and what the failing step raised: then everything was taken back.
    """
    with session.pipeline():
        system = session.observe()
        refuse_unfinished(session, system)
        require_own(system)
        again = _proposal(session, system, proposal.add, proposal.drop)
        if again.recipe_before != proposal.recipe_before or again.recipe != proposal.recipe:
            raise ConflictError(
                "what boots next changed since this was proposed; nothing was changed",
                hint="look at `atomicstate status` and try again",
            )
        begun = _begun(session, system, proposal)
        transaction = new_id()
        run = ApplyTransaction(session, reporter, transaction, begun)
        run.begin()
        return result_of(session, transaction, begun)


def result_of(session: Session, transaction: str, begun: TransactionBegun) -> ApplyResult:
    """What the finished `transaction` staged."""
    staged = session.system().selections[transaction]
    return ApplyResult(
        transaction=transaction,
        image=staged.image_id,
        checksum=staged.checksum,
        actions=sorted((*begun.add, *begun.drop)),
        recipe_digest=begun.recipe,
        containerfile_digest=begun.containerfile,
    )


def require_own(system: System) -> None:
    """Raises ConflictError where what boots next was not made by this log."""
    if boots_next(system) is None:
        raise ConflictError(
            "what boots next was not made by atomicstate, so what it holds is not known:"
            " nothing was changed",
            hint="`atomicstate adopt` takes its image as the base",
        )


def _proposal(
    session: Session, system: System, add: tuple[int, ...], drop: tuple[int, ...]
) -> ApplyProposal:
    chosen = selection(system, add, drop)
    base, base_id, _architecture = base_of(system, chosen)
    recipe = documents.recipe_document(session, system, chosen)
    before = documents.recipe_document(session, system, selection(system, (), ()))
    containerfile = documents.containerfile_document(session, system, chosen)
    selected = {*add, *drop}
    return ApplyProposal(
        add=add,
        drop=drop,
        actions=[item for item in pending_results(session, system) if item.seq in selected],
        base=base,
        base_id=base_id,
        recipe=recipe.content,
        recipe_before=before.content,
        containerfile=containerfile.content,
        recipe_digest=recipe.digest,
        containerfile_digest=containerfile.digest,
        position=system.position,
    )


def _begun(session: Session, system: System, proposal: ApplyProposal) -> TransactionBegun:
    """The intent, with the documents durable as blobs before it."""
    status = session.host_status()
    staged = status.staged.checksum if status.staged else ""
    _base, _base_id, architecture = base_of(system, selection(system, proposal.add, proposal.drop))
    return TransactionBegun(
        mode="apply",
        add=proposal.add,
        drop=proposal.drop,
        parent=boots_next(system) or "",
        base=proposal.base,
        base_id=proposal.base_id,
        architecture=architecture,
        dialect=documents.adopted(system).dialect,
        renderer=RENDERER,
        recipe=session.blobs.put(proposal.recipe),
        containerfile=session.blobs.put(proposal.containerfile),
        staged_before=staged,
        boots_next=staged or (status.booted.checksum if status.booted else ""),
        user_recipe=file_digest(session.state.recipe_directory / RECIPE),
    )
