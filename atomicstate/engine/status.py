"""`status`: the pipeline, the host and what is pending, now or then, without changing anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.engine import transactions
from atomicstate.engine.drift import drift
from atomicstate.engine.dropped import why_not_staged
from atomicstate.engine.origin import adopted
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
from atomicstate.errors import NotFoundError
from atomicstate.events.asjson import rfc3339
from atomicstate.host.ports import IMAGE_NAME
from atomicstate.machine.state import pipeline_state
from atomicstate.projectors.pending import held, kept
from atomicstate.projectors.recipe import base_created, base_of

if TYPE_CHECKING:
    from atomicstate.engine.points import Point
    from atomicstate.engine.session import Session
    from atomicstate.host.ports import Deployment, HostStatus
    from atomicstate.projectors.system import System


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
        dropped_failure=(system.failure if system.dropped else "") or None,
        drift=drift(session, system),
        warnings=session.host.notices(),
    )


def status_at(session: Session, point: Point) -> StatusResult:
    """What `status` would have shown at `point`, as far as the log tells: no host is asked.

    Of a deployment that is the moment when it was staged. What was left behind outside /usr then
    is not known. Raises NotFoundError for what is before the first event.
    """
    seq = _moment(session, point)
    if seq == 0:
        raise NotFoundError("before event 1 there is nothing: no host was adopted yet")
    system = session.system_at(seq)
    host, origin = system.host, adopted(system)
    waiting = pending_results(session, system)
    _event, record_hash = session.log.get(seq)
    wanted = kept(system)
    created = base_created(system, wanted)
    slots = {
        "booted": (host.booted, host.booted_txn),
        "staged": (host.staged, host.staged_txn),
        "rollback": (host.rollback, host.rollback_txn),
    }
    return StatusResult(
        state=pipeline_state(
            [(item.mode, statuses_of(item)) for item in system.open.values()],
            switched=host.boots_next != slots["booted"],
            pending=bool(waiting),
            overlay=host.overlay,
        ),
        pending=waiting,
        overlay=OverlayResult(host.overlay, host.overlay),
        head=HeadResult(seq, record_hash.hex()),
        host=HostResult(
            driver=origin.driver,
            booted=_slot(system, *slots["booted"]),
            staged=_slot(system, *slots["staged"]),
            rollback=_slot(system, *slots["rollback"]),
            boots_next=host.boots_next[0] or None,
        ),
        base=base_of(system, wanted)[0],
        unfinished=found_in(session, system, then=True),
        residue=[],
        base_created=rfc3339(created) if created else None,
        held=results_of(session, held(system)),
        dropped=system.dropped or None,
        broken=system.broken or None,
    )


def _moment(session: Session, point: Point) -> int:
    """The number of the event after which it was as `point` says."""
    if not point.key:
        return point.seq
    for named in transactions.matching(session, point.key):
        *_before, last = transactions.events_of(session, named.id, named.seq)
        return last.seq
    # It was adopted: its horizon is the event that did it.
    return session.system().selections[point.key].horizon


def _slot(system: System, checksum: str, transaction: str) -> DeploymentResult | None:
    """A deployment as the log last knew it."""
    if not checksum:
        return None
    key = system.deployment(checksum, transaction)
    if key is None:
        image = "not made by atomicstate"
    elif transaction:
        image = f"{IMAGE_NAME}:{transaction}"
    else:
        image = system.selections[key].base if key else adopted(system).base
    return DeploymentResult(image, checksum, transaction or None)


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
