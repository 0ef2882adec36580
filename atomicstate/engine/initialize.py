"""`init`: adopt this host, as the log's first event."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from atomicstate.engine.checking import check, read_document
from atomicstate.engine.dialect import dialect_of
from atomicstate.engine.gathering import Gathering
from atomicstate.engine.library import RecordedLibrary
from atomicstate.engine.recipe_folder import RECIPE
from atomicstate.engine.results import HeadResult, InitResult
from atomicstate.errors import HostError, ImageError, NotFoundError
from atomicstate.events.bodies import SystemInitialized
from atomicstate.files import make_directory, write_atomically
from atomicstate.recipe.document import path_text
from atomicstate.recipe.resources import RESOURCES
from atomicstate.recipe.secrets import secrets_in

if TYPE_CHECKING:
    from atomicstate.engine.session import Session
    from atomicstate.host.ports import Deployment, HostStatus


class _Adopted(NamedTuple):
    """The first event, and what is remarkable about what it adopts."""

    body: SystemInitialized
    warnings: tuple[str, ...]


def initialize(session: Session, dialect: str = "") -> InitResult:
    """Record base image, deployment and boot instance of the host; once.

    A recipe that lies in the state directory is adopted as the recipe found, with the resources
    beside it, else one that only names the base is written. `dialect` is the base's; where it is
    empty the image tells. Raises HostError where nothing is booted that could be adopted,
    ImageError, ValidationError for a recipe with problems.
    """
    session.state.make()
    with session.pipeline():
        if _initialized(session):
            return _result(session, already=True)
        warnings = session.host.check()
        status = session.host_status()
        if status.booted is None:
            raise HostError("no deployment is booted here: there is nothing to adopt")
        adopted = _adopted(session, status, status.booted, dialect)
        if not session.state.has_log:
            session.log = session.state.create_log()
        session.append([adopted.body])
        return _result(session, already=False, warnings=(*warnings, *adopted.warnings))


def _initialized(session: Session) -> bool:
    if not session.state.has_log:
        return False
    return session.log.head().seq > 0


def _adopted(session: Session, status: HostStatus, booted: Deployment, dialect: str) -> _Adopted:
    from atomicstate.recipe import reader, writer
    from atomicstate.recipe.schema import Recipe

    path = session.state.recipe_directory / RECIPE
    try:
        content = read_document(str(path))
        reference = reader.look(content).rough.image or booted.image
    except NotFoundError:
        reference = booted.image
        content = writer.write(Recipe(image=reference))
        make_directory(path.parent)
        write_atomically(path, content)
    builder = session.host.builder
    try:
        base = builder.resolve(reference)
    except ImageError as error:
        raise ImageError(
            f"the base image {reference} is not on this machine: nothing was adopted",
            hint="pull it, or name another one in image.yml",
        ) from error
    folder = path.parent / RESOURCES
    with Gathering(folder, builder, base, RecordedLibrary(session.blobs, {})) as library:
        checked = check(content, RECIPE, library, architecture=base.architecture)
        recipe, expansion = checked.require()
        resources = {
            name: library.keep(name, session.blobs)
            for name in expansion.uses
            if library.found(name)
        }
    secrets = [found for module in recipe.modules for found in secrets_in(module)]
    warnings = [str(problem) for problem in checked.result.problems]
    warnings += [f"{path_text(found.path)} looks like {found.what}" for found in secrets]
    body = SystemInitialized(
        driver=status.driver,
        base=reference,
        base_id=base.id,
        architecture=base.architecture,
        dialect=dialect or dialect_of(builder, base),
        recipe=session.blobs.put(content),
        booted=booted.checksum,
        created=base.created,
        resources=resources,
    )
    return _Adopted(body, tuple(warnings))


def _result(session: Session, *, already: bool, warnings: tuple[str, ...] = ()) -> InitResult:
    origin = session.system().origin
    if origin is None:
        raise NotFoundError("the log does not begin with the adoption of a host")
    head = session.log.head()
    return InitResult(
        already=already,
        log_id=session.log.log_id.hex(),
        driver=origin.driver,
        base=origin.base,
        base_id=origin.base_id,
        architecture=origin.architecture,
        booted=origin.booted,
        head=HeadResult(head.seq, head.hash.hex()),
        dialect=origin.dialect,
        warnings=warnings,
    )
