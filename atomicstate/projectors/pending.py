"""What is wanted against what boots next, and what boots next against what runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from atomicstate.projectors.compaction import in_force
from atomicstate.projectors.state import Action

if TYPE_CHECKING:
    from collections.abc import Collection

    from atomicstate.projectors.system import System

ADD = "add"
DROP = "drop"


class Pending(Struct, frozen=True):
    """An action that is to be added to a deployment, or dropped from it (`change`)."""

    seq: int
    kind: str
    names: tuple[str, ...]
    action: Action
    change: str


def boots_next(system: System) -> str | None:
    """H: the key of the selection in what boots next (System.deployment).

    None: it is foreign, what it holds is unknown.
    """
    return system.deployment(*system.host.boots_next)


def applied(system: System) -> frozenset[int] | None:
    """S(H): the actions in what boots next; None where it is foreign."""
    return _actions(system, boots_next(system))


def booted(system: System) -> frozenset[int] | None:
    """S(B): the actions in what runs, which are in force; None where it is foreign."""
    host = system.host
    return _actions(system, system.deployment(host.booted, host.booted_txn))


def pending(system: System) -> list[Pending]:
    """(W - S(H)) to add, without what is held back, and (S(H) - W) to drop, in the log's order.

    Where H is foreign nobody knows what it lacks: each wanted action that is in force is listed.
    """
    there = applied(system)
    if there is None:
        return _listed(system, in_force(system.actions, system.wanted - system.held), ())
    return against(system, there)


def against(system: System, there: frozenset[int]) -> list[Pending]:
    """What is pending on top of a deployment that holds the actions `there`."""
    return _listed(system, system.wanted - there - system.held, there - system.wanted)


def held(system: System, there: frozenset[int] | None = None) -> list[Pending]:
    """What is wanted and not there (by default: in what boots next), and held back since a
    rollback took it away."""
    if there is None:
        there = applied(system) or frozenset()
    return _listed(system, (system.wanted & system.held) - there, ())


def beyond(system: System, key: str | None) -> list[Pending]:
    """W - S(d) of the deployment with that key: what going to it takes away.

    Of a foreign one (None) nobody knows what it holds: all that is wanted is listed.
    """
    return _listed(system, system.wanted - (_actions(system, key) or frozenset()), ())


def kept(system: System) -> frozenset[int]:
    """W without what is held back: what a plain apply makes."""
    return frozenset(system.wanted).difference(item.seq for item in held(system))


def staged(system: System) -> list[Pending]:
    """S(H) - S(B) and S(B) - S(H): what the next boot changes. Nothing where one is foreign."""
    after, before = applied(system), booted(system)
    if after is None or before is None:
        return []
    return _listed(system, after - before, before - after)


def _actions(system: System, transaction: str | None) -> frozenset[int] | None:
    return None if transaction is None else system.selection(transaction)


def _listed(system: System, add: Collection[int], drop: Collection[int]) -> list[Pending]:
    listed = []
    for seq in sorted({*add, *drop}):
        action = system.actions[seq]
        change = ADD if seq in add else DROP
        listed.append(Pending(seq, action.kind, action.names, action, change))
    return listed
