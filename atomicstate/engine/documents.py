"""The recipe and the Containerfile, as pure functions of the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.engine.results import DocumentResult
from atomicstate.errors import NotFoundError
from atomicstate.projectors import pending
from atomicstate.projectors.recipe import base_of, layers, recipe_of
from atomicstate.recipe import containerfile as renderer
from atomicstate.recipe import reader, writer
from atomicstate.store.blobs import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from atomicstate.engine.points import Point
    from atomicstate.engine.session import Session
    from atomicstate.events.bodies import SystemInitialized
    from atomicstate.projectors.system import System
    from atomicstate.recipe.schema import Recipe


def recipe(session: Session, *, at: Point | None = None) -> DocumentResult:
    """The recipe of what is wanted and not held back, now or `at` a point.

    Raises NotFoundError for a point before the host was adopted.
    """
    return recipe_document(session, *view(session, at))


def containerfile(session: Session, *, at: Point | None = None) -> DocumentResult:
    """The Containerfile of the same."""
    return containerfile_document(session, *view(session, at))


def view(session: Session, at: Point | None) -> tuple[System, frozenset[int]]:
    """The view, now or `at` a point, and the actions that its documents are made of."""
    if at is not None and at.key is not None:
        system = session.observe()
        return system, system.selection(at.key)
    if at is not None and at.seq == 0:
        raise NotFoundError("before event 1 there is nothing: no host was adopted yet")
    system = session.system() if at is None else session.system_at(at.seq)
    return system, pending.kept(system)


def recipe_document(session: Session, system: System, seqs: Iterable[int]) -> DocumentResult:
    """recipe(S): the recipe of the actions `seqs`."""
    return _document(writer.write(recipe_of(system, seqs, found_recipe(session, system))))


def containerfile_document(
    session: Session, system: System, seqs: Iterable[int], *, on: str = ""
) -> DocumentResult:
    """The Containerfile of the actions `seqs`; `on` is the id of an image that stands in for the
    base."""
    seqs = frozenset(seqs)
    base, base_id, _architecture = base_of(system, seqs)
    base_id = on or base_id
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


def _document(content: bytes) -> DocumentResult:
    return DocumentResult(content, digest_of(content))
