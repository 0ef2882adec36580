"""`switch IMAGE`: another base, recorded and applied in one go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.engine import apply
from atomicstate.engine.unfinished import refuse_unfinished
from atomicstate.errors import NoOperationError
from atomicstate.events.bodies import BaseSet
from atomicstate.projectors.pending import kept
from atomicstate.projectors.recipe import base_of
from atomicstate.recipe.reference import valid_reference

if TYPE_CHECKING:
    from atomicstate.engine.results import ApplyResult, Reporter
    from atomicstate.engine.session import Session


def propose(session: Session, reference: str) -> BaseSet:
    """The change of base that `switch` is about to make.

    Raises ValidationError, ImageError where the image is not there, NoOperationError where it is
    the base already, and what `apply` would refuse.
    """
    reference = valid_reference(reference)
    system = session.observe()
    refuse_unfinished(session, system)
    apply.require_own(system)
    image = session.host.builder.resolve(reference)
    base, base_id, _architecture = base_of(system, kept(system))
    if (base, base_id) == (reference, image.id):
        raise NoOperationError(f"the base is {reference} already")
    return BaseSet(reference, image.id, image.architecture)


def carry_out(session: Session, base: BaseSet, reporter: Reporter) -> ApplyResult:
    """Record `base`, then apply everything pending, it included.

    Where the apply fails the change of base stays recorded, pending.
    """
    with session.recording():
        session.append([base])
    return apply.carry_out(session, apply.propose(session), reporter)
