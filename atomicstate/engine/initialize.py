"""`init`: adopt this host, as the log's first event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.engine.apply_steps import RECIPE
from atomicstate.engine.results import HeadResult, InitResult
from atomicstate.errors import HostError, ImageError, NotFoundError
from atomicstate.events.bodies import SystemInitialized
from atomicstate.files import make_directory, write_atomically

if TYPE_CHECKING:
    from atomicstate.engine.session import Session
    from atomicstate.host.ports import Deployment, HostStatus

DIALECT = "deb"
_LIMIT = 1 << 20


def initialize(session: Session) -> InitResult:
    """Record base image, deployment and boot instance of the host; once.

    A recipe that lies in the state directory is adopted as the recipe found, else one that only
    names the base is written. Raises HostError where nothing is booted that could be adopted.
    """
    session.state.make()
    with session.pipeline():
        if _initialized(session):
            return _result(session, already=True)
        warnings = session.host.check()
        status = session.host_status()
        if status.booted is None:
            raise HostError("no deployment is booted here: there is nothing to adopt")
        body = _first_event(session, status, status.booted)
        if not session.state.has_log:
            session.log = session.state.create_log()
        session.append([body])
        return _result(session, already=False, warnings=warnings)


def _initialized(session: Session) -> bool:
    if not session.state.has_log:
        return False
    return session.log.head().seq > 0


def _first_event(session: Session, status: HostStatus, booted: Deployment) -> SystemInitialized:
    from atomicstate.recipe import reader, writer
    from atomicstate.recipe.schema import Recipe

    path = session.state.recipe_directory / RECIPE
    try:
        content = path.read_bytes()
        recipe = reader.read(content[: _LIMIT + 1])
    except FileNotFoundError:
        recipe = Recipe(image=booted.image)
        content = writer.write(recipe)
        make_directory(path.parent)
        write_atomically(path, content)
    try:
        base = session.host.builder.resolve(recipe.image)
    except ImageError as error:
        raise ImageError(
            f"the base image {recipe.image} is not on this machine: nothing was adopted",
            hint="pull it, or name another one in image.yml",
        ) from error
    return SystemInitialized(
        driver=status.driver,
        base=recipe.image,
        base_id=base.id,
        architecture=base.architecture,
        dialect=DIALECT,
        recipe=session.blobs.put(content),
        booted=booted.checksum,
        created=base.created,
    )


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
        warnings=warnings,
    )
