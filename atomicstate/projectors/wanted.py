"""Steering what is wanted: what undoing or redoing changes does to the set W."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Set


class Change(Struct, frozen=True):
    """What one event did to W: the actions `void` left it, those of `revive` came (back).

    An action brings itself. `undoes` tells of a `wanted.changed`, whose sets are about others.
    """

    seq: int
    void: frozenset[int] = frozenset()
    revive: frozenset[int] = frozenset()
    undoes: bool = False


class Steering(Struct, frozen=True):
    """The sets of a `wanted.changed`; where both are empty, nothing would change."""

    void: frozenset[int]
    revive: frozenset[int]

    def __bool__(self) -> bool:
        return bool(self.void or self.revive)


def undo(wanted: Set[int], changes: Iterable[Change]) -> Steering:
    """Take `changes` back, newest first."""
    after = set(wanted)
    for change in sorted(changes, key=lambda item: item.seq, reverse=True):
        after = (after - change.revive) | change.void
    return steer(wanted, after)


def redo(wanted: Set[int], changes: Iterable[Change]) -> Steering:
    """Make `changes` again, oldest first; to redo an undo is to take it back."""
    after = set(wanted)
    for change in sorted(changes, key=lambda item: item.seq):
        void, revive = change.void, change.revive
        if change.undoes:
            void, revive = revive, void
        after = (after - void) | revive
    return steer(wanted, after)


def steer(wanted: Set[int], after: Set[int]) -> Steering:
    """From W as it is to W as it shall be."""
    return Steering(frozenset(wanted - after), frozenset(after - wanted))
