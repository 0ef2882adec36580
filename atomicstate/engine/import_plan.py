"""What an import comes to: the edits that make what is wanted what a document says."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from atomicstate.engine import edits
from atomicstate.engine.base import refuse_other_machine
from atomicstate.engine.checking import CheckResult, check
from atomicstate.engine.differences import differences, of_variables
from atomicstate.engine.edits import Edit, Standing
from atomicstate.engine.gathering import Gathering
from atomicstate.engine.library import RecordedLibrary
from atomicstate.engine.origin import adopted
from atomicstate.errors import AtomicstateError, ImageError, NoOperationError
from atomicstate.events.bodies import BaseSet, EnvSet, RecipeTaken, ResourceRemoved, ResourceSet
from atomicstate.projectors.pending import kept
from atomicstate.projectors.recipe import base_of
from atomicstate.recipe import reader
from atomicstate.recipe.expand import expand
from atomicstate.recipe.merge import merge
from atomicstate.recipe.resources import is_outside
from atomicstate.recipe.secrets import refuse_secrets
from atomicstate.store.blobs import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from atomicstate.engine.session import Session
    from atomicstate.events.bodies import AnyBody
    from atomicstate.host.ports import Image
    from atomicstate.projectors.system import System
    from atomicstate.recipe.expand import Expansion
    from atomicstate.recipe.schema import Recipe


class Source(NamedTuple):
    """A document: its `content`, what a person calls it, and the folder of its resources.

    `own`: it is image.yml in the state directory. `as_recorded`: a resource that was recorded
    counts as it was. Of one from a repository `source` says which, and `commit` which state of it.
    """

    content: bytes
    file: str
    resources: Path
    own: bool = False
    as_recorded: bool = False
    source: str = ""
    commit: str = ""


class Options(NamedTuple):
    """`given` are values of Env to be recorded. `replace`: what is wanted besides is dropped."""

    given: Mapping[str, str] = {}
    allow_secret: bool = False
    replace: bool = False


class Plan(NamedTuple):
    """What is to be recorded, and what it is made of."""

    edits: list[Edit]
    taken: RecipeTaken | None
    before: Recipe
    after: Recipe
    checked: CheckResult
    gathering: Gathering
    names: tuple[str, ...]

    @property
    def bodies(self) -> tuple[AnyBody, ...]:
        """What is to be recorded, in order."""
        taken = () if self.taken is None else (self.taken,)
        return (*(edit.body for edit in self.edits), *taken)


@contextmanager
def planned(session: Session, system: System, source: Source, options: Options) -> Iterator[Plan]:
    """What importing `source` comes to now, for `with`: its files can be read meanwhile.

    Raises what `importing.propose` does.
    """
    here = edits.standing(session, system)
    composed = here.composed
    given = {**composed.given, **options.given}
    image = _image(session, here, source)
    recorded = RecordedLibrary(session.blobs, composed.resources)
    placed = system.placed.resources if source.own else {}
    with Gathering(
        source.resources,
        session.host.builder,
        image,
        recorded,
        placed,
        as_recorded=source.as_recorded,
    ) as gathering:
        checked = check(
            source.content,
            source.file,
            gathering,
            resources=str(source.resources),
            given=given,
            architecture=adopted(system).architecture,
        )
        theirs, _expansion = checked.require()
        target = _target(session, here, source, theirs, options)
        expansion = expand(
            target,
            gathering,
            inputs=given,
            architecture=adopted(system).architecture,
        )
        made = [
            *_of_base(session, here, target),
            *of_variables(composed.given, given, given=True),
            *_of_resources(here, expansion, gathering),
            *differences(composed, target),
            *_of_unused(here, expansion),
        ]
        _refuse_secrets(made, expansion, options)
        _check_itself(session, here, made, target)
        taken = _taken(here, source, made, expansion, gathering)
        if not made and taken is None:
            raise NoOperationError(
                f"{source.file} asks for nothing that is not wanted already: nothing was changed"
            )
        names = tuple(name for name in expansion.uses if gathering.found(name))
        yield Plan(made, taken, composed.recipe, target, checked.result, gathering, names)


def _image(session: Session, here: Standing, source: Source) -> Image | None:
    """The base image that the document is about; None where it is not there (any more)."""
    reference = ""
    try:
        reference = reader.look(source.content).rough.image
    except AtomicstateError:
        return None  # said soon, with its place
    base, base_id, _architecture = base_of(here.system, kept(here.system))
    builder = session.host.builder
    try:
        if reference in ("", base):
            return builder.resolve(base_id.removeprefix("sha256:"))
        return builder.resolve(reference)
    except ImageError:
        return None


def _target(
    session: Session, here: Standing, source: Source, theirs: Recipe, options: Options
) -> Recipe:
    """What is wanted then. A document without an image keeps the base."""
    ours = here.composed.recipe
    base = _put_there(session, here.system) if source.own and not options.replace else None
    target = theirs if base is None else merge(base, ours, theirs)
    return target if target.image else replace(target, image=ours.image)


def _put_there(session: Session, system: System) -> Recipe | None:
    """What image.yml said before it was edited; None where that can't be read any more."""
    try:
        return reader.look(session.blobs.get(system.placed.document)).recipe
    except AtomicstateError:
        return None


def _of_base(session: Session, here: Standing, target: Recipe) -> Iterator[Edit]:
    base, _base_id, _architecture = base_of(here.system, kept(here.system))
    if target.image in ("", base):
        return
    image = session.host.builder.resolve(target.image)
    refuse_other_machine(here.system, image)
    yield Edit(BaseSet(target.image, image.id, image.architecture, image.created))


def _of_resources(here: Standing, expansion: Expansion, gathering: Gathering) -> Iterator[Edit]:
    """Resources that are used and are another than recorded."""
    for name in expansion.uses:
        digest = gathering.found(name)
        if digest and here.composed.resources.get(name) != digest:
            yield Edit(ResourceSet(name, digest, gathering.files(name)))


def _of_unused(here: Standing, expansion: Expansion) -> Iterator[Edit]:
    """Resources that nothing uses any more, where all uses are known."""
    if not expansion.troubles:
        for name in here.composed.resources:
            if name not in expansion.uses:
                yield Edit(ResourceRemoved(name))


def _refuse_secrets(planned: Sequence[Edit], expansion: Expansion, options: Options) -> None:
    """Raises ValidationError where what is new looks like a secret."""
    changed = {edit.body.name for edit in planned if isinstance(edit.body, ResourceSet)}
    modules = [edit.module for edit in planned if edit.module is not None]
    for name, document in expansion.documents.items():
        # A document in a folder that is a resource has a longer name than that.
        if any(name == other or name.startswith(f"{other}/") for other in changed):
            modules += document.modules
    env = {edit.body.name: edit.body.value for edit in planned if isinstance(edit.body, EnvSet)}
    refuse_secrets(modules, env, options.allow_secret)


def _check_itself(
    session: Session, here: Standing, planned: Sequence[Edit], target: Recipe
) -> None:
    """Raises AtomicstateError unless the events come to exactly what is wanted."""
    after = edits.composed_with(session, here, planned).recipe
    if (after.modules, after.env) != (target.modules, target.env):
        raise AtomicstateError(
            "the events of this import would not come to what the document says:"
            " nothing was recorded",
            hint="this is a bug in atomicstate: report it with the document",
        )


def _taken(
    here: Standing,
    source: Source,
    planned: Sequence[Edit],
    expansion: Expansion,
    gathering: Gathering,
) -> RecipeTaken | None:
    """That the document was taken in; None where that is known, or nothing comes of it."""
    document = digest_of(source.content)
    if source.own:
        placed = here.system.placed
        names = dict.fromkeys((*here.composed.resources, *expansion.uses))
        beside = {name: gathering.lies(name) for name in names if gathering.lies(name)}
        taken = RecipeTaken(document, True, beside)
        there = {name: it for name, it in placed.resources.items() if not is_outside(name)}
        same = (document, beside) == (placed.document, there)
        return None if same and not planned else taken
    if not planned:
        return None
    return RecipeTaken(document, source=source.source, commit=source.commit)
