"""A point of the history built and deployed in a sandbox of its own.

The sandbox is a host and nothing more: its own log, where it has one, is not touched, and finds a
deployment that something else made. Nothing is recorded in the log that is replayed either.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from atomicstate.engine import context, documents
from atomicstate.engine.session import Session
from atomicstate.errors import (
    AtomicstateError,
    ConflictError,
    HostError,
    ImageError,
    NoOperationError,
    NotFoundError,
    ValidationError,
)
from atomicstate.files import make_directory
from atomicstate.host.ports import LABEL_BASE, LABEL_RECIPE
from atomicstate.projectors.recipe import base_of
from atomicstate.store import transfer
from atomicstate.store.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from atomicstate.engine.replay import Derived
    from atomicstate.engine.results import Reporter
    from atomicstate.events.event import Actor
    from atomicstate.host.ports import Deployment, Host, HostStatus, Image
    from atomicstate.host.sandbox.layout import Sandbox

LABEL_POINT = "org.atomicstate.replay"
LABEL_CONTAINERFILE = "org.atomicstate.containerfile"
IMAGE_NAME = "localhost/atomicstate-replay"
BASE_NAME = "localhost/atomicstate-replay-base"


class Built(Struct, frozen=True):
    """What was staged in the sandbox `directory`, which was `made` for it or was there.

    `point` is the number of the event, `base` and `base_id` name the image that it was built on:
    with `same_base` the very one of then, else what bears its name there.
    """

    directory: str
    made: bool
    point: int
    image: str
    checksum: str
    base: str
    base_id: str
    same_base: bool
    recipe_digest: str
    containerfile_digest: str


@contextmanager
def exported(path: Path, sandbox: Path | None, actor: Actor) -> Iterator[Session]:
    """The log in the export `path`, as a session; it is verified, and gone afterwards.

    Raises what importing it raises, NotFoundError where it holds no recipes.
    """
    with tempfile.TemporaryDirectory(prefix="atomicstate-replay-") as folder:
        state = State(Path(folder) / "state")
        transfer.import_file(state, path)
        with Session(state.directory, sandbox, actor, elsewhere=True) as session:
            origin = session.system().origin
            if origin is not None and not session.blobs.has(origin.recipe):
                raise NotFoundError(
                    f"{path} holds events alone: no recipe can be derived from it",
                    hint="`atomicstate export --blobs FILE` puts in what they name",
                )
            yield session


def check_target(session: Session, directory: Path) -> None:
    """Raises ValidationError for the sandbox that the log itself is about."""
    if session.sandbox is not None and session.sandbox.resolve() == directory.resolve():
        raise ValidationError(
            f"{directory} is the host that the log is about: nothing was changed",
            hint="`atomicstate replay --to POINT --apply` builds a point there",
        )


def build(session: Session, derived: Derived, directory: Path, reporter: Reporter) -> Built:
    """Build the point and stage it in the sandbox `directory`, which is made where it is not there.

    Done again after a kill, it goes on. Raises ConflictError where something is staged there or a
    rollback queued, NoOperationError where the point boots there next or runs already, ImageError
    where the base is nowhere to be had, and what making a sandbox and a build raise.
    """
    from atomicstate.host.sandbox.host import host_of

    check_target(session, directory)
    sandbox, made = _sandbox(directory, reporter)
    host: Host = host_of(sandbox)
    with State(sandbox.state).pipeline("replay"):
        return _Build(session, derived, sandbox, host, reporter).run(made=made)


def _sandbox(directory: Path, reporter: Reporter) -> tuple[Sandbox, bool]:
    """The sandbox in `directory`, and whether it was made now."""
    from atomicstate.host.sandbox import layout, lifecycle

    there = layout.find(directory)
    if there is not None and there.marker.complete:
        return layout.open_sandbox(directory), False
    return lifecycle.create(directory, progress=reporter.note), True


class _Build:
    """One point on its way into one sandbox."""

    def __init__(
        self,
        session: Session,
        derived: Derived,
        sandbox: Sandbox,
        host: Host,
        reporter: Reporter,
    ) -> None:
        self._session = session
        self._derived = derived
        self._sandbox = sandbox
        self._host = host
        self._reporter = reporter

    def run(self, *, made: bool) -> Built:
        session, host = self._session, self._host
        point, system, seqs = self._derived
        base, same = self._base()
        recipe = documents.recipe_document(session, system, seqs)
        on = "" if same else base.id
        build = documents.build(session, system, seqs, on=on)
        containerfile = build.containerfile
        labels = {
            LABEL_POINT: f"{session.log.log_id.hex()}/{point.seq}",
            LABEL_RECIPE: recipe.digest,
            LABEL_CONTAINERFILE: containerfile.digest,
            LABEL_BASE: base.id,
        }
        self._refuse(host.deployer.status(), labels)
        image = self._image(build, labels)
        self._step("switch", partial(host.deployer.stage, image, self._reporter.progress))
        staged = _with(host.deployer.status().staged, labels)
        if staged is None:
            raise HostError(f"{image.id[:19]} was to be staged in {self._where}, and is not there")
        return Built(
            directory=self._where,
            made=made,
            point=point.seq,
            image=image.id,
            checksum=staged.checksum,
            base=base_of(system, seqs)[0],
            base_id=base.id,
            same_base=same,
            recipe_digest=recipe.digest,
            containerfile_digest=containerfile.digest,
        )

    @property
    def _where(self) -> str:
        return str(self._sandbox.directory)

    def _base(self) -> tuple[Image, bool]:
        """The base in the sandbox's storage, and whether it is the very image of then."""
        reference, base_id, _architecture = base_of(self._derived.system, self._derived.actions)
        bare = base_id.removeprefix("sha256:")
        builder = self._host.builder
        try:
            return builder.resolve(bare), True
        except ImageError:
            source = self._in_source(bare)
        if source is not None:
            self._reporter.note(f"copying the base {reference}")
            builder_of_source = self._session.host.builder
            builder_of_source.send(source, builder, f"{BASE_NAME}:{bare[:16]}")
            return builder.resolve(bare), True
        return self._stand_in(reference, base_id)

    def _in_source(self, bare: str) -> Image | None:
        """The base on the host that the log is about, where there is such a host."""
        try:
            return self._session.host.builder.resolve(bare)
        except (ImageError, HostError, NotFoundError):
            return None

    def _stand_in(self, reference: str, base_id: str) -> tuple[Image, bool]:
        """What bears the base's name in the sandbox, or in its registry."""
        builder = self._host.builder
        try:
            try:
                found = builder.resolve(reference)
            except ImageError:
                builder.pull(reference, self._reporter.line)
                found = builder.resolve(reference)
        except AtomicstateError as error:
            raise ImageError(
                f"the base {reference} ({base_id[:19]}) is not to be had: {error.message}",
                hint=f"bring it into the storage of {self._where}, under that name",
            ) from error
        architecture = base_of(self._derived.system, self._derived.actions)[2]
        if found.architecture != architecture:
            raise ImageError(
                f"{reference} is for {found.architecture} in {self._where}, and the log is about"
                f" {architecture}"
            )
        return found, found.id == base_id

    def _refuse(self, status: HostStatus, labels: Mapping[str, str]) -> None:
        """Raises where the point is there already, or something would be lost."""
        if _with(status.boots_next, labels):
            raise NoOperationError(f"that point is what boots next in {self._where}")
        if status.staged is not None or status.rollback_queued:
            lost = status.boots_next or status.staged
            raise ConflictError(
                f"{lost.checksum[:12] if lost else 'something'} boots next in {self._where}, and"
                " would be lost: nothing was staged",
                hint=f"`atomicstate sandbox reboot {self._where}` starts it; or take another"
                " directory",
            )

    def _image(self, made: documents.Build, labels: Mapping[str, str]) -> Image:
        """The image: found by what it is made of, else built."""
        builder = self._host.builder
        # First what a killed build left, and what a power cut may have damaged.
        builder.clean()
        if (found := builder.find(labels)) is not None:
            return found
        directory = self._sandbox.state / "replay"
        make_directory(directory.parent)
        digest, blobs = made.containerfile.digest, self._session.blobs
        files = documents.kept_files(self._session, made)
        context.write(directory, blobs, digest, files, made.resources)
        path = directory / context.CONTAINERFILE
        tag = f"{IMAGE_NAME}:{digest[:16]}"
        build = partial(builder.build, directory, path, labels, tag, self._reporter.line)
        try:
            self._step("build", build)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        return builder.resolve(tag)

    def _step(self, name: str, do: Callable[[], None]) -> None:
        """Do it, and say so."""
        self._reporter.step(name, "started")
        try:
            do()
        except BaseException:
            self._reporter.step(name, "failed")
            raise
        self._reporter.step(name, "done")


def _with(deployment: Deployment | None, labels: Mapping[str, str]) -> Deployment | None:
    """The deployment, if it carries all of `labels`."""
    carries = deployment is not None and labels.items() <= deployment.labels.items()
    return deployment if carries else None
