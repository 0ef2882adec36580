"""`rollback`: what boots next is an earlier deployment again. What is wanted stays wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from atomicstate.engine import transactions
from atomicstate.engine.apply_steps import ApplyTransaction
from atomicstate.engine.pending import results_of
from atomicstate.engine.results import RollbackProposal, RollbackResult, TargetResult
from atomicstate.engine.rollback_steps import RollbackTransaction
from atomicstate.engine.unfinished import refuse_unfinished
from atomicstate.errors import ConflictError, NoOperationError, NotFoundError, ValidationError
from atomicstate.events.bodies import TransactionBegun
from atomicstate.events.ids import new_id
from atomicstate.machine import table
from atomicstate.projectors.pending import beyond

if TYPE_CHECKING:
    from collections.abc import Iterable

    from atomicstate.engine.results import Reporter
    from atomicstate.engine.session import Session
    from atomicstate.host.ports import Deployment, HostStatus
    from atomicstate.projectors.system import System

AS_IT_IS = "as-it-is"
AS_IT_WAS = "as-it-was"
MERGED = "merged"
_SHOWN = 12
"""Digits of a checksum that are shown."""


def propose(session: Session, to: str = "", *, discard_staged: bool = False) -> RollbackProposal:
    """What going back does: one deployment back from what boots next, or to `to`.

    That is a transaction's id, or the checksum of what is booted or in the rollback slot.
    Raises InterruptedWorkError, NoOperationError where that boots next already, NotFoundError
    where there is nothing to go back to, ConflictError where something else staged a deployment
    and `discard_staged` does not allow to drop it.
    """
    system = session.observe()
    refuse_unfinished(session, system)
    status = session.host_status()
    _refuse_foreign_staged(session, status, discard_staged=discard_staged)
    if to:
        return _to(session, status, to)
    return _one_back(session, system, status)


def carry_out(
    session: Session, proposal: RollbackProposal, reporter: Reporter, *, to: str = ""
) -> RollbackResult:
    """Do what `proposal` says, and hold back the actions that it takes away.

    Raises ConflictError where something changed since the proposal, LockedError where the
    pipeline runs, and what the failing step raised: then everything was taken back.
    """
    with session.pipeline():
        # Nothing foreign was hidden from the person who agreed: it is in the proposal.
        again = propose(session, to, discard_staged=bool(proposal.drops))
        if (again.mode, again.target, again.held, again.drops) != (
            proposal.mode,
            proposal.target,
            proposal.held,
            proposal.drops,
        ):
            raise ConflictError(
                "the deployments or the log changed since this was proposed; nothing was changed",
                hint="look at `atomicstate status` and try again",
            )
        target = proposal.target
        if proposal.mode == table.DEPLOY and target.transaction:
            transaction, checksum = deploy(session, reporter, target.transaction, proposal.held)
            target = TargetResult(checksum, target.transaction)
        else:
            transaction = reorder(session, reporter, proposal.mode, _moved(proposal), proposal.held)
    return RollbackResult(transaction, proposal.mode, target, proposal.held, proposal.etc)


def _moved(proposal: RollbackProposal) -> str:
    return proposal.drops if proposal.mode == table.UNSTAGE else proposal.target.checksum


def reorder(
    session: Session, reporter: Reporter, mode: str, checksum: str, held: Iterable[int]
) -> str:
    """Run the rollback to the deployment `checksum`, or (`mode`) its unstage.

    Returns the transaction. The pipeline's lock is held.
    """
    status = session.host_status(fresh=True)
    begun = _on(status, TransactionBegun(mode, target=checksum, held=tuple(held)))
    transaction = new_id()
    RollbackTransaction(session, reporter, transaction, begun, status.boot).begin()
    return transaction


def deploy(
    session: Session, reporter: Reporter, target: str, held: Iterable[int]
) -> tuple[str, str]:
    """Stage the image of the transaction `target` again.

    Where the image is gone it is built again from the log. Returns the deploy's own transaction
    and its deployment's checksum. The pipeline's lock is held.
    """
    begun = transactions.find(session, target).begun
    begun = msgspec.structs.replace(
        begun,
        mode=table.DEPLOY,
        target=target,
        held=tuple(held),
        user_recipe="",
    )
    begun = _on(session.host_status(fresh=True), begun)
    transaction = new_id()
    ApplyTransaction(session, reporter, transaction, begun).begin()
    return transaction, session.observe_knowing(target).selections[target].checksum


def _on(status: HostStatus, begun: TransactionBegun) -> TransactionBegun:
    """`begun`, on the deployments of `status`."""
    first = status.boots_next
    return msgspec.structs.replace(
        begun,
        staged_before=status.staged.checksum if status.staged else "",
        boots_next=first.checksum if first else "",
    )


# -- what it comes to --------------------------------------------------------------------------


def _one_back(session: Session, system: System, status: HostStatus) -> RollbackProposal:
    staged, slot = status.staged, status.rollback
    if staged is not None:
        return _unstaging(session, system, status, staged)
    if status.rollback_queued:
        booted = status.booted.checksum[:_SHOWN] if status.booted else "CHECKSUM"
        raise NoOperationError(
            "the rollback deployment boots next already: nothing was changed",
            hint=f"`atomicstate rollback --to {booted}`, what is booted, takes that back",
        )
    if slot is None:
        raise NotFoundError("there is no deployment to go back to: nothing was changed")
    return _proposal(session, system, table.ROLLBACK, status, slot)


def _to(session: Session, status: HostStatus, text: str) -> RollbackProposal:
    """To the transaction `text`, or to the deployment in a slot whose checksum begins so."""
    try:
        made_by = transactions.find(session, text).made_by
    except (NotFoundError, ValidationError):
        slots = (status.booted, status.rollback)
        start = text.lower() if len(text) >= transactions.SHORTEST else None
        found = next((it for it in slots if it and start and it.checksum.startswith(start)), None)
        if found is None:
            raise
        return _to_deployment(session, status, found)
    return _to_transaction(session, status, made_by)


def _to_deployment(session: Session, status: HostStatus, found: Deployment) -> RollbackProposal:
    """To what is booted, or in the rollback slot."""
    if found == status.boots_next:
        raise NoOperationError(f"{found.checksum[:_SHOWN]} boots next already: nothing was changed")
    system = session.observe()
    if status.staged is None:
        return _proposal(session, system, table.ROLLBACK, status, found)
    proposal = _unstaging(session, system, status, status.staged)
    if proposal.target.checksum != found.checksum:
        raise ConflictError(
            f"{status.staged.checksum[:_SHOWN]} is staged: nothing was changed",
            hint="`atomicstate rollback` drops that; then it can be gone back further",
        )
    return proposal


def _to_transaction(session: Session, status: HostStatus, transaction: str) -> RollbackProposal:
    system = session.observe_knowing(transaction)
    if transaction not in system.selections:
        raise NotFoundError(
            f"the transaction {transaction} staged nothing: there is nothing to go back to",
            hint="`atomicstate log --kind transaction.staged` lists those that did",
        )
    log_id = system.log_id.hex()

    def made(deployment: Deployment | None) -> bool:
        return deployment is not None and deployment.transaction_of(log_id) == transaction

    if made(status.boots_next):
        raise NoOperationError(f"{transaction} boots next already: nothing was changed")
    if status.booted is not None and made(status.booted):
        return _to_deployment(session, status, status.booted)
    held = beyond(system, transaction)
    return RollbackProposal(
        mode=table.DEPLOY,
        target=TargetResult("", transaction),
        held=[item.seq for item in held],
        etc=MERGED,
        actions=results_of(session, held),
        drops=status.staged.checksum if status.staged else "",
        known=True,
    )


def _unstaging(
    session: Session, system: System, status: HostStatus, staged: Deployment
) -> RollbackProposal:
    """Without what is staged the queued rollback boots next, or what is booted."""
    without = status.rollback if status.rollback_queued else status.booted
    if without is None:
        raise NotFoundError("nothing is booted here that could be gone back to")
    return _proposal(session, system, table.UNSTAGE, status, without, drops=staged.checksum)


def _proposal(
    session: Session,
    system: System,
    mode: str,
    status: HostStatus,
    target: Deployment,
    *,
    drops: str = "",
) -> RollbackProposal:
    transaction = target.transaction_of(system.log_id.hex())
    if transaction:
        system = session.observe_knowing(transaction)
    key = system.deployment(target.checksum, transaction)
    held = beyond(system, key)
    return RollbackProposal(
        mode=mode,
        target=TargetResult(target.checksum, transaction or None),
        held=[item.seq for item in held],
        etc=AS_IT_IS if target == status.booted else AS_IT_WAS,
        actions=results_of(session, held),
        drops=drops,
        known=key is not None,
    )


def _refuse_foreign_staged(session: Session, status: HostStatus, *, discard_staged: bool) -> None:
    staged = status.staged
    if staged is None or discard_staged:
        return
    if not staged.transaction_of(session.log.log_id.hex()):
        raise ConflictError(
            f"what is staged ({staged.checksum[:12]}) was not made by atomicstate:"
            " nothing was changed",
            hint="`--discard-staged` drops it",
        )
