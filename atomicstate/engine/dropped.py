"""A staged deployment that a boot went without."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.projectors.pending import boots_next

if TYPE_CHECKING:
    from atomicstate.projectors.system import System


def why_not_staged(system: System) -> str:
    """Why the deployment that did not come up can't be staged again; empty where it can, or where
    there is none."""
    if not system.dropped:
        return ""
    first = f"the deployment of {system.dropped} did not come up, and is not staged again:"
    if system.host.queued:
        return (
            f"{first} a rollback is queued, which that would undo; `atomicstate rollback --to"
            f" {system.dropped}` stages it in its place"
        )
    key = boots_next(system)
    if key is None:
        return f"{first} what boots next was not made by atomicstate"
    if not is_made_on(system, system.dropped, key):
        return (
            f"{first} what it was made on is not what boots next any more; `atomicstate apply`"
            f" takes what is pending, `atomicstate rollback --to {system.dropped}` that very image"
        )
    return ""


def is_made_on(system: System, transaction: str, key: str) -> bool:
    """Whether `transaction` was made on the deployment `key`, or on what was staged on that.

    What was booted and is not what boots next any more was gone back from.
    """
    seen: set[str] = set()
    made = system.selections.get(transaction)
    while made is not None and made.parent not in seen:
        if made.parent == key:
            return True
        seen.add(made.parent)
        made = system.selections.get(made.parent)
        if made is not None and made.booted:
            return False
    return False
