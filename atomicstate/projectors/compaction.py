"""Which actions can have no bearing on anything any more."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Set

    from atomicstate.projectors.state import Action, Deployed


def superseded(
    actions: Mapping[int, Action], wanted: Set[int], deployed: Collection[Deployed]
) -> set[int]:
    """The actions that are superseded among those that are wanted and in all of `deployed`.

    Superseded in a set: each key that it writes is written by a later one of the set. Then it is
    so in every larger set too. So such an action is pending nowhere, and it gives no module in
    the recipe of any of these sets, or of what they grow into.
    """
    horizon = min((item.horizon for item in deployed), default=max(actions, default=0))
    common = {seq for seq in takewhile(horizon.__ge__, actions) if seq in wanted}
    common.difference_update(*(item.lacks for item in deployed))
    return common - in_force(actions, common)


def in_force(actions: Mapping[int, Action], seqs: Iterable[int]) -> set[int]:
    """Those of `seqs` that are the last to write something: a package's name, or the base."""
    last = {
        key: seq for seq in sorted(seqs) for key in actions[seq].names or _base_key(actions[seq])
    }
    return set(last.values())


def _base_key(action: Action) -> tuple[str, ...]:
    """What an action without names writes: no package has such a name."""
    return ("/base",) if action.reference else ()
