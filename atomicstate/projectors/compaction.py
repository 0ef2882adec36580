"""Which actions can have no bearing on anything any more."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from atomicstate.projectors import state

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Set

    from atomicstate.projectors.state import Action, Deployed

DEPTH = 2
"""So many of the newest writers of a key stay: then one that is undone leaves another."""

_OF_MODULES = ("/place/", "/content/")


def superseded(
    actions: Mapping[int, Action], wanted: Set[int], deployed: Collection[Deployed]
) -> set[int]:
    """The actions that are superseded among those that are wanted and in all of `deployed`.

    Superseded in a set: each key that it writes is written by later ones of the set, DEPTH times
    (of a module's place and content: once), and no action that stays needs the place of its
    module. Then it is so in every larger set too. So such an action is pending nowhere, and it
    gives no module in the recipe of any of these sets, or of what they grow into. What removes a
    module goes with the last of what put it there.
    """
    common = _everywhere(actions, wanted, deployed)
    kept = {
        seq
        for key, seqs in _writers(actions, common).items()
        for seq in seqs[-1 if key.startswith(_OF_MODULES) else -DEPTH :]
    }
    found = set(common) - kept
    found -= _needed(actions, found)
    return found.union(_removals_of_nothing(actions, common, found))


def newest_writers(actions: Mapping[int, Action], seqs: Iterable[int]) -> dict[str, int]:
    """Each key that one of `seqs` writes, with the newest that does: a package, or the base."""
    return {key: found[-1] for key, found in _writers(actions, sorted(seqs)).items()}


def is_superseded(
    gone: Mapping[str, int],
    actions: Mapping[int, Action],
    wanted: Set[int],
    deployed: Collection[Deployed],
) -> bool:
    """Whether each key of `gone` is written by one that is wanted and in all of `deployed`, and
    newer than the number that `gone` gives: then what was let go has no bearing still."""
    newest = newest_writers(actions, _everywhere(actions, wanted, deployed)) if gone else {}
    return all(newest.get(key, 0) > seq for key, seq in gone.items())


def in_force(actions: Mapping[int, Action], seqs: Iterable[int]) -> set[int]:
    """Those of `seqs` that are the last to write something: a package's name, or the base."""
    return set(newest_writers(actions, seqs).values())


def keys_of(action: Action) -> tuple[str, ...]:
    """What an action writes: packages, or something that no package is called."""
    if action.names:
        return action.names
    if action.reference:
        return ("/base",)
    if action.kind == state.MODULE_ADDED:
        return (f"/place/{action.seq}",)
    if action.kind == state.MODULE_CHANGED:
        return (f"/content/{action.slot}",)
    if action.kind == state.MODULE_REMOVED:
        return f"/place/{action.slot}", f"/content/{action.slot}"
    of = "given" if action.given else action.kind.partition(".")[0]
    return (f"/{of}/{action.key}",)


def _removals_of_nothing(
    actions: Mapping[int, Action], common: Iterable[int], gone: Set[int]
) -> Iterator[int]:
    """Those that remove a module of which nothing is left, once the actions `gone` are."""
    left = {
        action.slot if action.kind == state.MODULE_CHANGED else seq
        for seq, action in actions.items()
        if seq not in gone
    }
    for seq in common:
        action = actions[seq]
        if action.kind == state.MODULE_REMOVED and action.slot > 0 and action.slot not in left:
            yield seq


def _needed(actions: Mapping[int, Action], gone: Set[int]) -> set[int]:
    """Those of `gone` whose place in the recipe another action, which stays, is told by."""
    needed: set[int] = set()
    looked_at = [
        action
        for seq, action in actions.items()
        if action.kind != state.MODULE_REMOVED and seq not in gone
    ]
    while looked_at:
        slot = looked_at.pop().slot
        if slot in gone and slot not in needed:
            needed.add(slot)
            looked_at.append(actions[slot])
    return needed


def _everywhere(
    actions: Mapping[int, Action], wanted: Set[int], deployed: Collection[Deployed]
) -> list[int]:
    """Those of `actions` that are in `wanted` and in all of `deployed`, in order."""
    seqs = list(actions)
    if deployed:
        del seqs[bisect_right(seqs, min(item.horizon for item in deployed)) :]
    without = set(actions) - wanted
    without.update(*(item.lacks for item in deployed))
    return [seq for seq in seqs if seq not in without] if without else seqs


def _writers(actions: Mapping[int, Action], ordered: Iterable[int]) -> dict[str, list[int]]:
    """Each key with those that write it, oldest first."""
    found: dict[str, list[int]] = {}
    for seq in ordered:
        for key in keys_of(actions[seq]):
            found.setdefault(key, []).append(seq)
    return found
