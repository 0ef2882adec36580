"""What the host shows, against what the log last knew of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.events.bodies import HostBooted, HostObserved

if TYPE_CHECKING:
    from atomicstate.events.bodies import AnyBody
    from atomicstate.host.ports import Deployment, HostStatus, OverlayState
    from atomicstate.projectors.system import System


def news(system: System, status: HostStatus, overlay: OverlayState) -> tuple[AnyBody, ...]:
    """The facts that the log does not have yet: a boot, or other deployments, or an overlay."""
    known = system.host
    log_id = system.log_id.hex()
    shown = [
        *_named(status.booted, log_id),
        *_named(status.staged, log_id),
        *_named(status.rollback, log_id),
    ]
    if known.boot is not None and status.boot is not None and known.boot != status.boot:
        booted: AnyBody = HostBooted(*shown)
        return (booted, HostObserved(*shown, overlay=True)) if overlay.active else (booted,)
    last = [
        known.booted,
        known.booted_txn,
        known.staged,
        known.staged_txn,
        known.rollback,
        known.rollback_txn,
    ]
    if shown == last and overlay.active == known.overlay:
        return ()
    return (HostObserved(*shown, overlay=overlay.active),)


def _named(deployment: Deployment | None, log_id: str) -> tuple[str, str]:
    """A deployment's checksum, and the transaction of this log that made it."""
    if deployment is None:
        return "", ""
    return deployment.checksum, deployment.transaction_of(log_id)
