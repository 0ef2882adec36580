"""`status`: the pipeline, the host and what is pending, without changing anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.engine.dropped import why_not_staged
from atomicstate.engine.pending import pending_results, results_of
from atomicstate.engine.residue import residue
from atomicstate.engine.results import (
    DeploymentResult,
    HeadResult,
    HostResult,
    OverlayResult,
    StatusResult,
)
from atomicstate.engine.unfinished import found_in, statuses_of
from atomicstate.events.asjson import rfc3339
from atomicstate.machine.state import pipeline_state
from atomicstate.projectors.pending import held, kept
from atomicstate.projectors.recipe import base_created, base_of

if TYPE_CHECKING:
    from atomicstate.engine.session import Session
    from atomicstate.host.ports import Deployment, HostStatus


def status(session: Session) -> StatusResult:
    """Everything that `status` shows."""
    system = session.observe()
    shown = session.host_status()
    overlay = session.overlay_state()
    pending = pending_results(session, system)
    head = session.log.head()
    wanted = kept(system)
    base, _base_id, _architecture = base_of(system, wanted)
    created = base_created(system, wanted)
    return StatusResult(
        state=pipeline_state(
            [(item.mode, statuses_of(item)) for item in system.open.values()],
            switched=_other_boots_next(shown),
            pending=bool(pending),
            overlay=overlay.active,
        ),
        pending=pending,
        overlay=OverlayResult(overlay.active, overlay.writable),
        head=HeadResult(head.seq, head.hash.hex()),
        host=_host(session, shown),
        base=base,
        unfinished=found_in(session, system),
        residue=residue(session, system, overlay=overlay.active),
        base_created=rfc3339(created) if created else None,
        held=results_of(session, held(system)),
        dropped=system.dropped or None,
        broken=system.broken or None,
        dropped_why=why_not_staged(system) or None,
    )


def _other_boots_next(shown: HostStatus) -> bool:
    """H is not B."""
    return shown.boots_next != shown.booted


def _host(session: Session, shown: HostStatus) -> HostResult:
    log_id = session.log.log_id.hex()

    def result(deployment: Deployment | None) -> DeploymentResult | None:
        if deployment is None:
            return None
        return DeploymentResult(
            image=deployment.image,
            checksum=deployment.checksum,
            transaction=deployment.transaction_of(log_id) or None,
        )

    return HostResult(
        driver=shown.driver,
        booted=result(shown.booted),
        staged=result(shown.staged),
        rollback=result(shown.rollback),
        boots_next=shown.boots_next.checksum if shown.boots_next else None,
    )
