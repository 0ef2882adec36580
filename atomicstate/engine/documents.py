"""The recipe and the Containerfile, as pure functions of the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.engine.results import DocumentResult
from atomicstate.errors import ConflictError, NotFoundError
from atomicstate.projectors import pending
from atomicstate.projectors.recipe import base_of, layers, recipe_of
from atomicstate.recipe import containerfile as renderer
from atomicstate.recipe import reader, writer
from atomicstate.store.blobs import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from atomicstate.engine.session import Session
    from atomicstate.events.bodies import SystemInitialized
    from atomicstate.projectors.system import System
    from atomicstate.recipe.schema import Recipe


def recipe(session: Session, *, applied: bool = False) -> DocumentResult:
    """The recipe of what is wanted and not held back, or of what boots next (`applied`)."""
    system = session.system()
    return recipe_document(session, system, _seqs(system, applied=applied))


def containerfile(session: Session, *, applied: bool = False) -> DocumentResult:
    """The Containerfile of what is wanted, or of what boots next (`applied`)."""
    system = session.system()
    return containerfile_document(session, system, _seqs(system, applied=applied))


def recipe_document(session: Session, system: System, seqs: Iterable[int]) -> DocumentResult:
    """recipe(S): the recipe of the actions `seqs`."""
    return _document(writer.write(recipe_of(system, seqs, found_recipe(session, system))))


def containerfile_document(session: Session, system: System, seqs: Iterable[int]) -> DocumentResult:
    """The Containerfile of the actions `seqs`."""
    seqs = frozenset(seqs)
    base, base_id, _architecture = base_of(system, seqs)
    found = found_recipe(session, system)
    dialect = adopted(system).dialect
    return _document(renderer.render(layers(system, seqs, found), base_id, base, dialect))


def found_recipe(session: Session, system: System) -> Recipe:
    """The recipe that `init` found."""
    return reader.read(session.blobs.get(adopted(system).recipe))


def adopted(system: System) -> SystemInitialized:
    """What `init` found. Raises NotFoundError where it was never run."""
    if system.origin is None:
        raise NotFoundError("no host was adopted yet", hint="run `atomicstate init`")
    return system.origin


def _seqs(system: System, *, applied: bool) -> frozenset[int]:
    if not applied:
        return pending.kept(system)
    found = pending.applied(system)
    if found is None:
        raise ConflictError(
            "what boots next was not made by atomicstate: what it holds is not known"
        )
    return found


def _document(content: bytes) -> DocumentResult:
    return DocumentResult(content, digest_of(content))
