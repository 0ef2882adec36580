"""The base image: `base set` and `base update` record another one, `switch` applies it at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.engine import apply
from atomicstate.engine.origin import adopted
from atomicstate.engine.results import BaseResult
from atomicstate.engine.unfinished import refuse_unfinished, warn_unfinished
from atomicstate.errors import ConflictError, ImageError, NoOperationError
from atomicstate.events.asjson import rfc3339
from atomicstate.events.bodies import BaseSet, BaseUpdated, DeploymentAdopted, kind_of
from atomicstate.projectors.pending import kept, pending
from atomicstate.projectors.recipe import base_of
from atomicstate.recipe.reference import valid_reference

if TYPE_CHECKING:
    from atomicstate.engine.results import ApplyResult, Reporter
    from atomicstate.engine.session import Session
    from atomicstate.host.ports import Image
    from atomicstate.projectors.system import System


def propose(session: Session, reference: str) -> BaseSet:
    """The change of base to the image that `reference` names now; nothing is recorded.

    Raises ValidationError, ImageError where the image is not there or is for another machine,
    NoOperationError where it is the base already.
    """
    return _proposal(session, session.observe(), reference)


def record(session: Session, base: BaseSet, reporter: Reporter) -> BaseResult:
    """Record `base`: it is pending then.

    Raises ConflictError where its name stands for another image meanwhile, and as `propose`.
    """
    with session.recording():
        system = session.observe()
        warn_unfinished(session, system, reporter)
        if _proposal(session, system, base.reference) != base:
            raise ConflictError(
                f"{base.reference} names another image meanwhile; nothing was changed",
                hint="try again to see it",
            )
        return record_base(session, system, base)


def current(session: Session) -> str:
    """The reference of the base that is wanted."""
    system = session.observe()
    return base_of(system, kept(system))[0]


def update(session: Session, reporter: Reporter) -> BaseResult:
    """Fetch what the base's reference names in its registry now, and record that.

    A reference of localhost has no registry: what it names here counts. Raises NoOperationError
    where it is the image that it was, ImageError, ContainerError, NoSpaceError.
    """
    builder = session.host.builder
    reference = current(session)
    builder.pull(reference, reporter.line)
    image = builder.resolve(reference)
    with session.recording():
        system = session.observe()
        warn_unfinished(session, system, reporter)
        now, image_id, _architecture = base_of(system, kept(system))
        if now != reference:
            raise ConflictError(
                f"the base became {now} meanwhile; nothing was changed",
                hint="`atomicstate base update` again asks for that one",
            )
        if image.id == image_id:
            raise NoOperationError(f"{reference} is the image that it was: the base is up to date")
        refuse_other_machine(system, image)
        body = BaseUpdated(reference, image.id, image.architecture, image.created)
        return record_base(session, system, body)


def propose_switch(session: Session, reference: str) -> BaseSet:
    """The change of base that `switch` is about to make: raises what `propose` and `apply` do."""
    system = session.observe()
    refuse_unfinished(session, system)
    apply.require_own(session, system)
    return _proposal(session, system, reference)


def switch(session: Session, base: BaseSet, reporter: Reporter) -> ApplyResult:
    """Record `base`, then apply everything pending, it included.

    Where the apply fails the change of base stays recorded, pending.
    """
    record(session, base, reporter)
    return apply.carry_out(session, apply.propose(session), reporter)


def record_base(
    session: Session, system: System, body: BaseSet | BaseUpdated | DeploymentAdopted
) -> BaseResult:
    """Append `body`, decided on in `system`. The recording lock is held."""
    _base, before, _architecture = base_of(system, kept(system))
    [event] = session.append([body], decided_at=system.position)
    return BaseResult(
        seq=event.seq,
        kind=kind_of(body),
        reference=body.reference,
        image_id=body.image_id,
        architecture=body.architecture,
        created=rfc3339(body.created) if body.created else None,
        image_id_before=before,
    )


def _proposal(session: Session, system: System, reference: str) -> BaseSet:
    reference = valid_reference(reference)
    image = session.host.builder.resolve(reference)
    refuse_other_machine(system, image)
    base, base_id, _architecture = base_of(system, kept(system))
    if (base, base_id) == (reference, image.id):
        waits = any(item.kind in ("base.set", "base.updated") for item in pending(system))
        raise NoOperationError(
            f"the base is {reference} already",
            hint="it is pending: `atomicstate apply` builds on it" if waits else None,
        )
    return BaseSet(reference, image.id, image.architecture, image.created)


def refuse_other_machine(system: System, image: Image) -> None:
    """Raises ImageError for an image that this host's processor can't run."""
    here = adopted(system).architecture
    if image.architecture != here:
        raise ImageError(
            f"{image.reference} is for {image.architecture}, and this host is {here}:"
            " nothing was changed"
        )
