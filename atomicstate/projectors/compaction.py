"""Which actions can have no bearing on anything any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.projectors.state import BASE_SET

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Set

    from atomicstate.projectors.state import Action

_BASE = "/base"
"""The key that a change of base writes: no package has such a name."""


def superseded(
    actions: Mapping[int, Action], wanted: Set[int], selections: Iterable[Set[int]]
) -> set[int]:
    """The actions that are superseded among those which all of the sets have in common.

    Superseded in a set: each key that it writes is written by a later one of the set. Then it is
    so in every larger set too. Such an action is wanted and in each selection, so it is pending
    nowhere, and it gives no module in any recipe, of these sets or of what they grow into.
    """
    common = set(wanted).intersection(*selections)
    return common - in_force(actions, common)


def in_force(actions: Mapping[int, Action], seqs: Iterable[int]) -> set[int]:
    """Those of `seqs` that are the last to write something: a package's name, or the base."""
    last: dict[str, int] = {}
    for seq in sorted(seqs):
        action = actions[seq]
        for name in action.names:
            last[name] = seq
        if action.kind == BASE_SET:
            last[_BASE] = seq
    return set(last.values())
