"""Recording what somebody asks of the recipe: decided on one view, in one commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.engine.unfinished import warn_unfinished
from atomicstate.events.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from atomicstate.engine.results import Reporter
    from atomicstate.engine.session import Session
    from atomicstate.events.bodies import AnyBody
    from atomicstate.events.event import Event
    from atomicstate.projectors.system import System


def record(
    session: Session, decide: Callable[[System], Sequence[AnyBody]], reporter: Reporter
) -> list[Event]:
    """Append what `decide` makes of the view, all of it or nothing.

    The blobs that the bodies name are durable already. Several share a request id, by which they
    are undone together. Raises what `decide` does.
    """
    with session.recording():
        system = session.observe()
        warn_unfinished(session, system, reporter)
        bodies = decide(system)
        request = new_id() if len(bodies) > 1 else ""
        return session.append(bodies, decided_at=session.system().position, request=request)
