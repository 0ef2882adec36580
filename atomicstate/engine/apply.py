"""`apply`: pending actions become one transaction, ending in a staged deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from atomicstate.engine import documents, together, transactions
from atomicstate.engine.apply_steps import ApplyTransaction
from atomicstate.engine.drift import remind
from atomicstate.engine.observe import refuse_incompatible
from atomicstate.engine.origin import adopted
from atomicstate.engine.pending import results_of
from atomicstate.engine.recipe_folder import RECIPE, file_digest
from atomicstate.engine.results import ApplyProposal, ApplyResult
from atomicstate.engine.selecting import EVERYTHING, Request, select
from atomicstate.engine.unfinished import refuse_unfinished
from atomicstate.errors import ConflictError, NoOperationError
from atomicstate.events.bodies import TransactionBegun
from atomicstate.events.ids import new_id
from atomicstate.machine import table
from atomicstate.projectors.pending import against, boots_next, held
from atomicstate.projectors.recipe import base_of
from atomicstate.recipe.containerfile import RENDERER
from atomicstate.recipe.resources import is_outside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atomicstate.engine.results import Reporter
    from atomicstate.engine.session import Session
    from atomicstate.projectors.pending import Pending
    from atomicstate.projectors.system import System


def propose(session: Session, request: Request = EVERYTHING) -> ApplyProposal:
    """What an apply of what `request` selects would do, by default of all that is pending.

    Raises InterruptedWorkError, HostError (the host can't change what is deployed), ConflictError
    (what boots next is foreign, something staged would be lost, or a part can't be applied without
    another), NoOperationError, AptError (libapt says that a part would mean something else), and
    what a word of the request that means nothing raises.
    """
    system, proposal = _previewed(session, request)
    then = system.selection(proposal.parent).union(proposal.add).difference(proposal.drop)
    together.check(session, system, then, proposal)
    return proposal


def preview(session: Session, request: Request) -> ApplyProposal:
    """As `propose`, without asking libapt: for who chooses still."""
    return _previewed(session, request)[1]


def _previewed(session: Session, request: Request) -> tuple[System, ApplyProposal]:
    system = session.observe()
    refuse_unfinished(session, system)
    refuse_incompatible(session.host_status(), discard_staged=request.discard_staged)
    system, parent = _parent(session, system, request)
    there = system.selection(parent)
    waiting, back = against(system, there), held(system, there)
    if not waiting and not request.selected:
        raise NoOperationError(_nothing_pending(request, back), hint=_where_held(back))
    chosen = select(session, system, request, waiting, back)
    if not chosen:
        raise NoOperationError("nothing is left to apply; nothing was changed")
    return system, _proposal(session, system, parent, tuple(sorted(chosen)), pinned=request.pinned)


def carry_out(session: Session, proposal: ApplyProposal, reporter: Reporter) -> ApplyResult:
    """Build the image of `proposal` and make it what boots next.

    Raises LockedError where another apply runs, ConflictError where what boots next changed since
    the proposal, and what the failing step raised: then everything was taken back.
    """
    with session.pipeline():
        return run(session, proposal, reporter)


def run(session: Session, proposal: ApplyProposal, reporter: Reporter) -> ApplyResult:
    """`carry_out`, where the pipeline's lock is held."""
    system = session.observe()
    refuse_unfinished(session, system)
    refuse_incompatible(session.host_status(), discard_staged=bool(proposal.discards))
    if proposal.parent not in system.selections:
        system = session.observe_whole()
    chosen, pinned = proposal.actions_by_number, proposal.pinned
    again = _proposal(session, system, proposal.parent, chosen, pinned=pinned)
    if again.on != proposal.on or again.containerfile != proposal.containerfile:
        raise ConflictError(
            "what boots next changed since this was proposed; nothing was changed",
            hint="look at `atomicstate status` and try again",
        )
    remind(session, system, reporter)
    begun = _begun(session, system, proposal)
    transaction = new_id()
    ApplyTransaction(session, reporter, transaction, begun).begin()
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


def require_own(session: Session, system: System) -> None:
    """Raises ConflictError where a plain apply can't go on from what boots next: it is foreign, or
    something else is staged that would be lost; HostError where the host can't change it."""
    refuse_incompatible(session.host_status())
    parent = boots_next(system)
    if parent is None:
        raise _foreign(system)
    _refuse_loss(system, parent)


def _parent(session: Session, system: System, request: Request) -> tuple[System, str]:
    """The key of the selection to build on, and the view that knows it.

    Whatever is staged is carried along, or given up where the request says so.
    """
    host = system.host
    if request.onto:
        system, parent = _named(session, system, request.onto)
    else:
        ground = host
        if request.discard_staged:
            ground = msgspec.structs.replace(host, staged="", staged_txn="")
        found = system.deployment(*ground.boots_next)
        if found is None:
            raise _foreign(system)
        parent = found
    if not request.discard_staged:
        _refuse_loss(system, parent)
    return system, parent


def _refuse_loss(system: System, parent: str) -> None:
    """Raises ConflictError where something is staged that is not in the selection `parent`."""
    host = system.host
    if not host.staged:
        return
    staged = system.deployment(host.staged, host.staged_txn)
    if staged is None:
        raise _foreign(system)
    if staged != parent:
        raise ConflictError(
            f"{host.staged[:12]} is staged, and this would not hold what is in it:"
            " nothing was changed",
            hint="--discard-staged gives it up",
        )


def _named(session: Session, system: System, text: str) -> tuple[System, str]:
    """The key of what the transaction `text` staged. Raises NotFoundError, ConflictError."""
    found = transactions.find(session, text)
    key = found.made_by
    if key not in system.selections:
        system = session.observe_whole()
    if key not in system.selections:
        raise ConflictError(
            f"the transaction {found.id} staged nothing: there is nothing to build on",
            hint="`atomicstate log --kind transaction.staged` lists those that did",
        )
    return system, key


def _foreign(system: System) -> ConflictError:
    host = system.host
    if host.staged and system.deployment(host.staged, host.staged_txn) is None:
        return ConflictError(
            f"what is staged ({host.staged[:12]}) was not made by atomicstate, so what it holds is"
            " not known: nothing was changed",
            hint="`atomicstate adopt` takes it as the base; `atomicstate apply --discard-staged`"
            " gives it up for what is booted, with `--onto TXN` for what a transaction made",
        )
    return ConflictError(
        f"what boots next ({host.boots_next[0][:12]}) was not made by atomicstate, so what it"
        " holds is not known: nothing was changed",
        hint="`atomicstate adopt` takes it as the base; `atomicstate apply --onto TXN` goes on"
        " from what a transaction made",
    )


def _nothing_pending(request: Request, back: Sequence[Pending]) -> str:
    if request.onto:
        return f"nothing is pending on top of {request.onto}; nothing was changed"
    if request.discard_staged:
        return "nothing is pending on top of what is booted; nothing was changed"
    rest = "all else that is wanted" if back else "all that is wanted"
    return f"nothing is pending: what boots next holds {rest}"


def _where_held(back: Sequence[Pending]) -> str:
    if not back:
        return ""
    numbers = " ".join(f"{item.seq}" for item in back)
    return f"a rollback holds some back: `atomicstate apply {numbers}` brings it in again"


def _proposal(
    session: Session, system: System, parent: str, chosen: tuple[int, ...], *, pinned: bool
) -> ApplyProposal:
    there = system.selection(parent)
    add = tuple(seq for seq in chosen if seq not in there)
    drop = tuple(seq for seq in chosen if seq in there)
    then = there.union(add).difference(drop)
    waiting, back = against(system, there), held(system, there)
    base, base_id, architecture = base_of(system, then)
    recipe = documents.recipe_document(session, system, then)
    build = documents.build(session, system, then, pinned=pinned)
    host = system.host
    return ApplyProposal(
        add=add,
        drop=drop,
        actions=results_of(session, (item for item in (*waiting, *back) if item.seq in chosen)),
        base=base,
        base_id=base_id,
        recipe=recipe.content,
        recipe_before=documents.recipe_document(session, system, there).content,
        containerfile=build.containerfile.content,
        files=dict(build.files),
        resources=dict(build.resources),
        given=dict(documents.composition(session, system, then).given),
        recipe_digest=recipe.digest,
        containerfile_digest=build.containerfile.digest,
        position=system.position,
        architecture=architecture,
        parent=parent,
        staged_before=host.staged,
        boots_next=host.boots_next[0],
        left_out=[item.seq for item in waiting if item.seq not in chosen],
        held=[item.seq for item in back if item.seq not in chosen],
        discards=_given_up(system, parent),
        pinned=pinned,
        unpinned=list(build.unpinned),
    )


def _given_up(system: System, parent: str) -> str:
    """The checksum of what is staged and not built on, empty where there is nothing such."""
    host = system.host
    if host.staged and system.deployment(host.staged, host.staged_txn) != parent:
        return host.staged
    return ""


def _begun(session: Session, system: System, proposal: ApplyProposal) -> TransactionBegun:
    """The intent, with the documents durable as blobs before it."""
    then = system.selection(proposal.parent).union(proposal.add).difference(proposal.drop)
    composed = documents.composition(session, system, then)
    text = documents.laid_out(session, system, composed.recipe)
    beside = {name: it for name, it in composed.resources.items() if not is_outside(name)}
    return TransactionBegun(
        mode=table.APPLY,
        add=proposal.add,
        drop=proposal.drop,
        parent=proposal.parent,
        base=proposal.base,
        base_id=proposal.base_id,
        architecture=proposal.architecture,
        dialect=adopted(system).dialect,
        renderer=RENDERER,
        recipe=session.blobs.put(proposal.recipe),
        containerfile=session.blobs.put(proposal.containerfile),
        staged_before=proposal.staged_before,
        boots_next=proposal.boots_next,
        user_recipe=_own_recipe(session, system),
        resources=proposal.resources,
        files={path: session.blobs.put(text) for path, text in proposal.files.items()},
        given=proposal.given,
        promoted="" if text == proposal.recipe else session.blobs.put(text),
        beside=beside,
        pinned=proposal.pinned,
    )


def _own_recipe(session: Session, system: System) -> str:
    """The digest of image.yml where it is what was put there or taken in, else empty."""
    digest = file_digest(session.state.recipe_directory / RECIPE)
    return digest if digest == system.placed.document else ""
