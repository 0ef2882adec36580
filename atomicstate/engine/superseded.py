"""A staged deployment that another transaction drops or replaces.

An apply that staged it and has not ended yet ends with that: while it is open nothing else is
begun but for its sake. What was staged before it, and is no more for its sake, comes back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.engine.dropped import is_made_on
from atomicstate.engine.promotion import demote
from atomicstate.events.bodies import StepSkipped
from atomicstate.host.ports import IMAGE_NAME
from atomicstate.machine import table
from atomicstate.projectors.pending import boots_next

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atomicstate.engine.results import Reporter
    from atomicstate.engine.session import Session
    from atomicstate.events.bodies import TransactionBegun
    from atomicstate.projectors.system import System


def end(session: Session, by: str) -> None:
    """After what an open apply staged went, by the transaction `by` or with the power: what it
    promoted is taken back, its image goes, and that it ended goes into the next commit.

    Doing it twice does no harm.
    """
    for transaction, begun in _open_applies(session.system(), by):
        demote(session, begun)
        session.host.builder.remove(f"{IMAGE_NAME}:{transaction}")
        session.put_ahead(transaction, StepSkipped("promote", "what it staged was dropped"))


def can_come_back(system: System, before: str) -> bool:
    """Whether what boots next is what `before` was made on, where nothing is staged now."""
    key = boots_next(system)
    return key is not None and is_made_on(system, _owner_of(system, before), key)


def give_way(session: Session, reporter: Reporter, before: str) -> bool:
    """Stage `before` again, in the place of what took its place. Returns whether that was done.

    It is not where that was booted meanwhile, or where the log does not know how it was made.
    It takes a transaction of its own, which puts one in the place of the other: at no moment
    is neither staged. The pipeline's lock is held. Raises what a failing step of it raised.
    """
    from atomicstate.engine.rollback import deploy

    booted = session.host_status(fresh=True).booted
    if booted is not None and booted.checksum == before:
        return False
    system = session.system()
    owner = _owner_of(system, before)
    if owner:
        reporter.note(f"{before[:12]} of {owner}, which was staged before, is staged again")
        deploy(session, reporter, owner, system.held)
    elif before:
        reporter.note(
            f"{before[:12]}, which was staged before, can't be made from the log: it stays gone"
        )
    return bool(owner)


def _owner_of(system: System, checksum: str) -> str:
    """The transaction that made the deployment `checksum`; empty where none did."""
    if not checksum:
        return ""
    made = (key for key, item in system.selections.items() if item.checksum == checksum)
    return next((key for key in made if system.selections[key].begun), "")


def _open_applies(system: System, by: str) -> Iterator[tuple[str, TransactionBegun]]:
    """The apply, other than `by`, that staged something and has not ended, if there is one.

    Not by what is staged: a boot may have dropped that, or somebody else. One that `by` stages
    again goes on.
    """
    ending = system.open.get(by)
    but = (by, ending.begun.target if ending else "")
    for transaction, item in system.open.items():
        if item.mode == table.APPLY and item.staged and transaction not in but:
            yield transaction, item.begun
