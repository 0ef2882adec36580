"""Which actions can have no bearing on anything any more."""

from __future__ import annotations

from bisect import bisect_right
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
    seqs = list(actions)
    if deployed:
        del seqs[bisect_right(seqs, min(item.horizon for item in deployed)) :]
    without = set(actions) - wanted
    without.update(*(item.lacks for item in deployed))
    common = [seq for seq in seqs if seq not in without] if without else seqs
    return set(common) - _last_writers(actions, common)


def in_force(actions: Mapping[int, Action], seqs: Iterable[int]) -> set[int]:
    """Those of `seqs` that are the last to write something: a package's name, or the base."""
    return _last_writers(actions, sorted(seqs))


def _last_writers(actions: Mapping[int, Action], ordered: list[int]) -> set[int]:
    last = {
        key: action.seq
        for action in map(actions.__getitem__, ordered)
        for key in action.names or _base_key(action)
    }
    return set(last.values())


def _base_key(action: Action) -> tuple[str, ...]:
    """What an action without names writes: no package has such a name."""
    return ("/base",) if action.reference else ()
