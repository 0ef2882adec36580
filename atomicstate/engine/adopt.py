"""`adopt`: a deployment that this log did not make counts as ours; its image becomes the base."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.engine.base import record_base
from atomicstate.engine.observe import refuse_incompatible
from atomicstate.engine.results import AdoptResult
from atomicstate.engine.unfinished import warn_unfinished
from atomicstate.errors import ImageError, NoOperationError, ValidationError
from atomicstate.events.bodies import DeploymentAdopted
from atomicstate.projectors.pending import boots_next, pending
from atomicstate.recipe.reference import valid_reference

if TYPE_CHECKING:
    from atomicstate.engine.results import Reporter
    from atomicstate.engine.session import Session
    from atomicstate.host.ports import Deployment, Image


def adopt(session: Session, reporter: Reporter) -> AdoptResult:
    """Record that what boots next is ours, as a base; what is wanted is pending on top of it.

    Raises NoOperationError where it is ours already, HostError where the host can't change it, and
    ImageError where its image is not in this host's storage: an image of ours could not be built
    on it.
    """
    with session.recording():
        system = session.observe()
        warn_unfinished(session, system, reporter)
        found = session.host_status().boots_next
        if found is None or boots_next(system) is not None:
            raise NoOperationError(
                "what boots next is atomicstate's own: there is nothing to adopt"
            )
        refuse_incompatible(session.host_status())
        image = _image_of(session, found)
        reference = _name(found, image)
        body = DeploymentAdopted(
            found.checksum, reference, image.id, image.architecture, image.created
        )
        result = record_base(session, system, body)
        return AdoptResult(
            seq=result.seq,
            checksum=found.checksum,
            reference=result.reference,
            image_id=result.image_id,
            architecture=result.architecture,
            created=result.created,
            pending=len(pending(session.observe())),
        )


def _image_of(session: Session, deployment: Deployment) -> Image:
    """The deployment's image: by its id where the host knows that, since a name may move on."""
    named = deployment.image_digest or deployment.image
    try:
        return session.host.builder.resolve(named)
    except (ImageError, ValidationError) as error:
        about = deployment.image or deployment.image_digest
        raise ImageError(
            f"the image{f' {about}' if about else ''} of the deployment {deployment.checksum[:12]}"
            " is not in this host's storage, so nothing can be built on it: nothing was adopted",
            hint="pull or import it, or go on from a deployment of atomicstate with"
            " `atomicstate apply --onto TXN`",
        ) from error


def _name(deployment: Deployment, image: Image) -> str:
    try:
        return valid_reference(deployment.image)
    except ValidationError:
        return valid_reference(image.reference)
