"""The archives of live installs, kept so that the overlay can be restored without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.catalog.names import archive_name
from atomicstate.engine.blobbed import plan_of, recorded_plan
from atomicstate.machine import table
from atomicstate.projectors.pending import booted, kept

if TYPE_CHECKING:
    from atomicstate.engine.session import Session
    from atomicstate.projectors.system import System


def let_go(session: Session) -> None:
    """Keep those that the overlay may need again, now or after the next boot; no others.

    No live install runs meanwhile: what it fetches is in no log yet.
    """
    with session.recording():
        needed = _needed(session, session.observe())
        session.host.builder.keep_archives(needed)


def _needed(session: Session, system: System) -> frozenset[str]:
    # Of what is staged, too: it may not come up.
    here = booted(system) or frozenset()
    live = [seq for seq in kept(system) - here if system.actions[seq].of_overlay]
    plans = [recorded_plan(session, seq) for seq in live]
    plans += [
        plan_of(session.blobs, item.begun.plan, item.begun.plan_blob)
        for item in system.open.values()
        if item.mode in table.OF_THE_OVERLAY
    ]
    return frozenset(
        archive_name(change.name, version, change.architecture)
        for plan in plans
        for change in plan.changes
        for version in (change.version, change.was)
        if version
    )
