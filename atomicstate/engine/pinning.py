"""Versions as they were recorded: each package with what its plan brought along."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.engine.blobbed import recorded_plan
from atomicstate.events.bodies import TransactionBegun
from atomicstate.projectors.compaction import newest_writers
from atomicstate.projectors.state import ADDED
from atomicstate.recipe.pins import Pin

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from atomicstate.engine.points import Point
    from atomicstate.engine.session import Session
    from atomicstate.events.plan import PackageChange
    from atomicstate.projectors.system import System
    from atomicstate.recipe.expand import Step
    from atomicstate.recipe.pins import Pins


def pins(session: Session, system: System, seqs: Iterable[int]) -> Pins:
    """What the plans brought that those packages were recorded with, of the actions `seqs`.

    Of a package that several brought, the version of the newest is meant everywhere. What a later
    action replaced has no bearing. Raises NotFoundError where a plan was redacted.
    """
    asked = newest_writers(system.actions, seqs)
    adds = sorted({seq for seq in asked.values() if system.actions[seq].kind == ADDED})
    plans = {seq: recorded_plan(session, seq).comes for seq in adds}
    native = ("all", system.origin.architecture if system.origin else "")

    def full(it: PackageChange) -> str:
        return it.name if it.architecture in native else f"{it.name}:{it.architecture}"

    found = {full(it): Pin(it.version, it.automatic) for plan in plans.values() for it in plan}
    named = {name: seq for name, seq in asked.items() if seq in plans}
    for name in named.keys() & found.keys():
        found[name] = found[name]._replace(automatic=False)
    return {name: {full(it): found[full(it)] for it in plans[seq]} for name, seq in named.items()}


def is_pinned(session: Session, system: System, at: Point | None) -> bool:
    """Whether the image that the point `at` means was built so."""
    if at is None or at.key is None:
        return False
    begun = system.selections[at.key].begun
    body = session.event(begun).body if begun else None
    return isinstance(body, TransactionBegun) and body.pinned


def unpinned(steps: Sequence[Step], found: Pins) -> list[str]:
    """The packages that are installed in whatever version there is: no plan of theirs is known."""
    asked = {name for step in steps for name in getattr(step.module.body, "install", ())}
    return sorted(name for name in asked if name not in found.get(name, ()))
