"""The recipe, the Containerfile and its context, as pure functions of the log."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from atomicstate.engine.library import RecordedLibrary
from atomicstate.engine.origin import adopted
from atomicstate.engine.pinning import is_pinned, pins, unpinned
from atomicstate.engine.results import DocumentResult
from atomicstate.errors import CorruptError, NotFoundError
from atomicstate.projectors import pending
from atomicstate.projectors.recipe import Composition, Found, base_of, compose, module_blobs
from atomicstate.recipe import reader, writer
from atomicstate.recipe.edit import edit
from atomicstate.recipe.pins import NO_PINS
from atomicstate.store.blobs import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from atomicstate.engine.points import Point
    from atomicstate.engine.session import Session
    from atomicstate.projectors.system import System
    from atomicstate.recipe.expand import Expansion
    from atomicstate.recipe.schema import Module, Recipe


class Build(NamedTuple):
    """What a build reads: the Containerfile, and what lies beside it.

    `files` are generated ones, by their path in the context; `resources` maps names to manifests.
    `unpinned` are packages that come in whatever version there is, where others are pinned.
    """

    containerfile: DocumentResult
    files: Mapping[str, bytes]
    resources: Mapping[str, str]
    unpinned: Sequence[str]


def recipe(session: Session, *, at: Point | None = None) -> DocumentResult:
    """The recipe of what is wanted and not held back, now or `at` a point.

    Raises NotFoundError for a point before the host was adopted.
    """
    return recipe_document(session, *view(session, at))


def containerfile(session: Session, *, at: Point | None = None) -> DocumentResult:
    """The Containerfile of the same. Raises ValidationError for what can't be built."""
    system, seqs = view(session, at)
    pinned = is_pinned(session, system, at)
    return build(session, system, seqs, pinned=pinned).containerfile


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
    return _document(writer.write(composition(session, system, seqs).recipe))


def kept_files(session: Session, made: Build) -> dict[str, str]:
    """The generated files of a build, by path, as blobs: they and the Containerfile are kept."""
    session.blobs.put(made.containerfile.content)
    return {path: session.blobs.put(content) for path, content in made.files.items()}


def composition(
    session: Session, system: System, seqs: Iterable[int], modules: Mapping[str, Module] = {}
) -> Composition:
    """The recipe of the actions `seqs`, and where its parts come from.

    `modules` are of blobs that need not be there.
    """
    seqs = frozenset(seqs)
    return compose(system, seqs, _found(session, system, seqs, modules))


def wanted_text(session: Session) -> bytes:
    """The recipe of what is wanted, for a person to edit: comments and layout as they are known."""
    system, seqs = view(session, None)
    return laid_out(session, system, composition(session, system, seqs).recipe)


def laid_out(session: Session, system: System, recipe: Recipe) -> bytes:
    """`recipe` as the text that was taken in or promoted last, changed where it differs."""
    if system.layout:
        # It may have been redacted since.
        with contextlib.suppress(NotFoundError):
            return edit(session.blobs.get(system.layout), recipe)
    return writer.write(recipe)


def expansion(session: Session, system: System, composed: Composition) -> Expansion:
    """What building `composed` does, step by step, and what is in the way of that."""
    from atomicstate.recipe.expand import expand

    return expand(
        composed.recipe,
        RecordedLibrary(session.blobs, composed.resources),
        owners=composed.owners,
        inputs=composed.given,
        architecture=adopted(system).architecture,
    )


def build(
    session: Session,
    system: System,
    seqs: Iterable[int],
    *,
    on: str = "",
    pinned: bool = False,
) -> Build:
    """What a build of the actions `seqs` reads. Raises ValidationError for what can't be built.

    `on` is the id of an image that stands in for the base. Where `pinned`, packages have the
    versions of the recorded plans; NotFoundError where one of these was redacted.
    """
    seqs = frozenset(seqs)
    composed = composition(session, system, seqs)
    return build_of(session, system, seqs, composed, on=on, pinned=pinned)


def build_of(
    session: Session,
    system: System,
    seqs: Iterable[int],
    composed: Composition,
    *,
    on: str = "",
    pinned: bool = False,
) -> Build:
    """What a build of `composed` reads, on the base of the actions `seqs`. Raises as `build`."""
    from atomicstate.recipe import containerfile as renderer

    base, base_id, _architecture = base_of(system, seqs)
    steps = expansion(session, system, composed).require()
    used = {name for step in steps for name in step.sources.values()}
    resources = {name: composed.resources[name] for name in sorted(used)}
    dialect = adopted(system).dialect
    found = pins(session, system, seqs) if pinned else NO_PINS
    rendered = renderer.render(steps, on or base_id, base, dialect, resources, pins=found)
    free = unpinned(steps, found) if pinned else []
    return Build(_document(rendered.content), rendered.files, resources, free)


def module_of(session: Session, blob: str) -> Module:
    """The module in a blob that an action names. Raises NotFoundError, CorruptError."""
    try:
        return writer.decode_module(session.blobs.get(blob))
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise CorruptError(f"the blob {blob} holds no module: {error}") from error


def found_recipe(session: Session, system: System) -> Recipe:
    """The recipe that `init` found. Raises NotFoundError, CorruptError."""
    return reader.read(session.blobs.get(adopted(system).recipe))


def _found(
    session: Session, system: System, seqs: frozenset[int], modules: Mapping[str, Module]
) -> Found:
    origin = adopted(system)
    recorded = module_blobs(system, seqs) - modules.keys()
    return Found(
        found_recipe(session, system),
        origin.resources,
        {**{blob: module_of(session, blob) for blob in recorded}, **modules},
    )


def _document(content: bytes) -> DocumentResult:
    return DocumentResult(content, digest_of(content))
