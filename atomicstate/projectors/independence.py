"""Which pending actions can be applied without which: the rule, and nothing else.

Two actions are independent if neither writes a key that the other reads or writes. A selection
may leave an earlier action out if each one inside is independent of it: then what the part means,
and what the rest means on top of it, is what both would have meant in the log's order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from atomicstate.events.plan import Plan
    from atomicstate.projectors.state import Action

BASE = "/base"
"""The key of the base image: no package has such a name."""


class Keys(Struct, frozen=True):
    """What an action writes and what it reads: packages by name, and BASE."""

    writes: frozenset[str]
    reads: frozenset[str] = frozenset()

    def independent_of(self, other: Keys) -> bool:
        """Whether neither writes what the other reads or writes."""
        return self.writes.isdisjoint(other.writes | other.reads) and other.writes.isdisjoint(
            self.reads
        )


def keys_of(action: Action, plan: Plan) -> Keys:
    """The keys of an action; `plan` is what libapt resolved for it, empty for a base.

    What comes along is read, not written: so a common dependency does not tie two additions.
    """
    if action.reference:
        return Keys(frozenset({BASE}))
    goes = {change.name for change in plan.goes}
    comes = {change.name for change in plan.comes}
    return Keys(frozenset({*action.names, *goes}), frozenset(comes))


def missing(selected: Collection[int], keys: Mapping[int, Keys]) -> dict[int, list[int]]:
    """For each action of `selected` that is tied to earlier ones outside it: these, in order.

    `keys` has every action that is to be thought of, by number.
    """
    outside = sorted(keys.keys() - set(selected))
    found = {}
    for seq in sorted(selected):
        before = [other for other in outside if other < seq]
        tied = [other for other in before if not keys[seq].independent_of(keys[other])]
        if tied:
            found[seq] = tied
    return found


def standing_on(gone: Collection[int], keys: Mapping[int, Keys]) -> dict[int, list[int]]:
    """For each action that does not go, and is tied to earlier ones of `gone`: these, in order.

    `keys` has every action that is to be thought of, by number.
    """
    found = {}
    for seq in sorted(keys.keys() - set(gone)):
        before = sorted(other for other in gone if other < seq)
        tied = [other for other in before if not keys[seq].independent_of(keys[other])]
        if tied:
            found[seq] = tied
    return found


def closure(selected: Collection[int], keys: Mapping[int, Keys]) -> frozenset[int]:
    """`selected`, with every earlier action that one of them can't be applied without."""
    whole = set(selected)
    while tied := missing(whole, keys):
        whole.update(*tied.values())
    return frozenset(whole)
