"""S(d), the actions in a deployment, told by how it differs from what is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from atomicstate.projectors.state import Deployed

if TYPE_CHECKING:
    from collections.abc import Iterable, Set

    from atomicstate.events.bodies import TransactionBegun


def actions_of(item: Deployed, wanted: Set[int]) -> frozenset[int]:
    """S(d) of the deployment `item`, where `wanted` are the actions that are wanted."""
    chosen = {seq for seq in wanted if seq <= item.horizon}
    return frozenset(chosen.difference(item.lacks).union(item.extra))


def grown(
    parent: Deployed, begun: TransactionBegun, wanted: Set[int], between: Iterable[int]
) -> Deployed:
    """What an apply makes of `parent`: its actions, plus `add`, minus `drop`.

    `between` are the wanted actions after the parent's horizon, up to that of the result.
    """
    held = {*parent.extra, *begun.add}
    lacks = {*parent.lacks, *begun.drop, *between}
    return Deployed(
        horizon_of(parent, begun),
        tuple(sorted((lacks - held) & wanted)),
        tuple(sorted(held.difference(wanted, begun.drop))),
        begun.base,
        begun.base_id,
        begun.recipe,
        begun.containerfile,
        parent=begun.parent,
    )


def horizon_of(parent: Deployed, begun: TransactionBegun) -> int:
    """The horizon of what an apply makes of `parent`."""
    return max((parent.horizon, *begun.add))


def adopted(seq: int, wanted: Set[int], reference: str, image_id: str, checksum: str) -> Deployed:
    """A deployment that holds the action `seq` alone: what was wanted before is not in it."""
    lacks = tuple(sorted(other for other in wanted if other < seq))
    return Deployed(
        seq, lacks, (), base=reference, base_id=image_id, checksum=checksum, image_id=image_id
    )


def rewanted(item: Deployed, void: Set[int], revive: Set[int]) -> Deployed:
    """The same S(d), told against a wanted set that lost `void` (all were in it) and got `revive`.

    What is wanted below the horizon is in it unless it says otherwise; what is not, is not.
    """
    lost = {seq for seq in void if seq <= item.horizon} - set(item.lacks)
    back = {seq for seq in revive if seq <= item.horizon} - set(item.extra)
    return msgspec.structs.replace(
        item,
        lacks=tuple(sorted((set(item.lacks) - void) | back)),
        extra=tuple(sorted((set(item.extra) - revive) | lost)),
    )
