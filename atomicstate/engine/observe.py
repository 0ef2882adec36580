"""What the host shows, against what the log last knew of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from atomicstate.errors import HostError
from atomicstate.events.bodies import HostBooted, HostObserved

if TYPE_CHECKING:
    from atomicstate.host.ports import Deployment, HostStatus, OverlayState
    from atomicstate.projectors.system import System


def news(
    system: System, status: HostStatus, overlay: OverlayState
) -> tuple[HostObserved | HostBooted, ...]:
    """The facts that the log does not have yet: a boot, or other deployments, or an overlay."""
    known = system.host
    log_id = system.log_id.hex()
    seen = HostObserved(
        *_named(status.booted, log_id),
        *_named(status.staged, log_id),
        *_named(status.rollback, log_id),
        overlay.active,
        status.rollback_queued,
        status.staged is not None and status.staged.locked,
    )
    if known.boot is not None and status.boot is not None and known.boot != status.boot:
        booted = HostBooted(
            seen.booted,
            seen.booted_txn,
            seen.staged,
            seen.staged_txn,
            seen.rollback,
            seen.rollback_txn,
            seen.queued,
            seen.locked,
            status.finalize_failure,
        )
        return (booted, seen) if overlay.active else (booted,)
    last = HostObserved(
        known.booted,
        known.booted_txn,
        known.staged,
        known.staged_txn,
        known.rollback,
        known.rollback_txn,
        known.overlay,
        known.queued,
        known.locked,
    )
    return () if seen == last else (seen,)


def _named(deployment: Deployment | None, log_id: str) -> tuple[str, str]:
    """A deployment's checksum, and the transaction of this log that made it."""
    if deployment is None:
        return "", ""
    return deployment.checksum, deployment.transaction_of(log_id)


def refuse_incompatible(status: HostStatus, *, discard_staged: bool = False) -> None:
    """Raises HostError where the host's tool can't change what is booted, or what boots next.

    Asked before anything is built or recorded for it. With `discard_staged` what is staged is given
    up, and does not count.
    """
    if discard_staged:
        status = msgspec.structs.replace(status, staged=None)
    for name, found in (("is booted", status.booted), ("boots next", status.boots_next)):
        if found is not None and found.incompatible:
            raise HostError(
                f"{status.driver} calls what {name} ({found.checksum[:12]}) incompatible: it can't"
                " change it, because packages were layered on it or its origin was edited; nothing"
                " was changed",
                hint="undo that (`rpm-ostree reset`, say), reboot, and try again",
            )
