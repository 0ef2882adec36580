"""Pending actions, with what the log says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.engine.results import PendingResult
from atomicstate.events.asjson import fields_of, rfc3339
from atomicstate.projectors.pending import pending

if TYPE_CHECKING:
    from collections.abc import Iterable

    from atomicstate.engine.session import Session
    from atomicstate.projectors.pending import Pending
    from atomicstate.projectors.system import System


def pending_results(session: Session, system: System) -> list[PendingResult]:
    """Every pending action in the order of the log, with its event's data, time and user."""
    return results_of(session, pending(system))


def results_of(session: Session, items: Iterable[Pending]) -> list[PendingResult]:
    """`items` in their order, each with its event's data, time and user."""
    results = []
    for item in items:
        event = session.event(item.seq)
        results.append(
            PendingResult(
                seq=item.seq,
                kind=item.kind,
                data=fields_of(event.body),
                change=item.change,
                time=rfc3339(event.time),
                user=event.actor.user,
            )
        )
    return results
