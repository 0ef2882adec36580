"""`overlay enable` and `overlay status`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.engine.results import OverlayResult
from atomicstate.errors import HostError
from atomicstate.events.bodies import TransactionBegun
from atomicstate.events.ids import new_id
from atomicstate.machine import table

if TYPE_CHECKING:
    from atomicstate.engine.results import Reporter
    from atomicstate.engine.session import Session


def status(session: Session) -> OverlayResult:
    """The overlay on the host's /usr, as it is now."""
    state = session.host.overlay.state()
    return OverlayResult(state.active, state.writable)


def enable(session: Session, reporter: Reporter) -> OverlayResult:
    """Lay a writable, transient overlay on the host's /usr; one that is there is left alone.

    Raises HostError where a read-only one lies there, or where the host does not do it.
    """
    from atomicstate.engine.live import LiveTransaction
    from atomicstate.engine.unfinished import resume_live, warn_unfinished

    with session.recording():
        warn_unfinished(session, session.observe(), reporter, live=True)
        resume_live(session, reporter)
        before = session.host.overlay.state()
        if before.active and not before.writable:
            raise HostError(
                "a read-only overlay lies on /usr; it was left as it is",
                hint="reboot to get rid of it",
            )
        if before.persistent:
            raise HostError(
                "the overlay on /usr outlives a reboot; it was left as it is",
                hint="what is changed in it can't be told from the deployment's own: boot another",
            )
        if before.active:
            return OverlayResult(active=True, writable=True)
        begun = TransactionBegun(table.ENABLE)
        boot = session.host_status().boot
        LiveTransaction(session, reporter, new_id(), begun, boot).begin()
        after = session.host.overlay.state()
        return OverlayResult(after.active, after.writable, changed=True)
