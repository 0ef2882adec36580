"""The steps of an apply transaction: config, Containerfile, build, switch, promote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate import failpoints
from atomicstate.engine import leftovers
from atomicstate.engine.runner import Answer, Effect, Runner
from atomicstate.errors import AtomicstateError, ImageError
from atomicstate.events.bodies import TransactionStaged
from atomicstate.files import make_directory, write_atomically
from atomicstate.host.ports import LABEL_BASE, LABEL_LOG, LABEL_RECIPE, LABEL_TRANSACTION
from atomicstate.machine import recovery, table
from atomicstate.machine.pipeline import Pipeline
from atomicstate.store.blobs import digest_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from atomicstate.engine.results import Reporter
    from atomicstate.engine.session import Session
    from atomicstate.events.bodies import AnyBody, TransactionBegun
    from atomicstate.events.event import Event
    from atomicstate.host.ports import Deployment, Image

IMAGE_NAME = "localhost/atomicstate"
RECIPE = "image.yml"
CONTAINERFILE = "Containerfile"


class ApplyTransaction:
    """The apply transaction `transaction`, which does what `begun` says."""

    def __init__(
        self, session: Session, reporter: Reporter, transaction: str, begun: TransactionBegun
    ) -> None:
        self._session = session
        self._reporter = reporter
        self._transaction = transaction
        self._begun = begun
        self._directory = session.state.transaction_directory(transaction)
        self._output = ""
        self._labels = {
            LABEL_LOG: session.log.log_id.hex(),
            LABEL_TRANSACTION: transaction,
            LABEL_RECIPE: begun.recipe,
            LABEL_BASE: begun.base_id,
        }

    def begin(self) -> list[Event]:
        """Run it from its start."""
        return self._forward(self._runner(waiting=(self._begun,)))

    def resume(self, statuses: Mapping[str, str]) -> list[Event]:
        """Go on after an interruption, from the statuses of its steps."""
        return self._forward(self._runner(statuses=statuses))

    def abort(self, statuses: Mapping[str, str], reason: str, code: str) -> None:
        """Take it back after an interruption before the pivot."""
        self._runner(statuses=statuses).back(reason, code)
        leftovers.clean(self._session)

    def image(self) -> Image | None:
        """The image that it built."""
        return self._session.host.builder.find(self._labels)

    def _forward(self, runner: Runner) -> list[Event]:
        try:
            return runner.forward()
        finally:
            leftovers.clean(self._session)

    def _runner(
        self, *, waiting: tuple[AnyBody, ...] = (), statuses: Mapping[str, str] | None = None
    ) -> Runner:
        wanted = self._session.system().wanted
        return Runner(
            self._session,
            self._reporter,
            self._transaction,
            Pipeline(table.APPLY, selected=self._begun.add, ready=lambda seq: seq in wanted),
            (
                self._file("config", RECIPE, self._begun.recipe),
                self._file("containerfile", CONTAINERFILE, self._begun.containerfile),
                self._build(),
                self._switch(),
                self._promote(),
            ),
            waiting=waiting,
            statuses=statuses,
        )

    # -- config and containerfile ------------------------------------------------------------

    def _file(self, step: str, name: str, digest: str) -> Effect:
        path = self._directory / name

        def do() -> None:
            make_directory(self._directory)
            write_atomically(path, self._session.blobs.get(digest))

        def probe() -> Answer:
            found = file_digest(path)
            if found == digest:
                return Answer(recovery.DONE, {"digest": digest})
            return Answer(recovery.ABSENT)

        return Effect(step, do, probe, undo=lambda: path.unlink(missing_ok=True))

    # -- build -------------------------------------------------------------------------------

    def _build(self) -> Effect:
        builder = self._session.host.builder
        tag = f"{IMAGE_NAME}:{self._transaction}"

        def do() -> None:
            said: list[str] = []

            def take(line: str) -> None:
                said.append(line)
                self._reporter.line(line)

            try:
                self._require_base()
                builder.build(
                    self._directory, self._directory / CONTAINERFILE, self._labels, tag, take
                )
            finally:
                if said:
                    self._output = self._session.blobs.put("\n".join(said).encode() + b"\n")

        def probe() -> Answer:
            image = self.image()
            if image is None:
                return Answer(recovery.ABSENT)
            return Answer(recovery.DONE, {"image": image.id})

        return Effect(
            "build", do, probe, undo=lambda: builder.remove(tag), output=lambda: self._output
        )

    def _require_base(self) -> None:
        """The image in FROM must be the one that the event names, not what its tag is now."""
        try:
            self._session.host.builder.resolve(self._begun.base_id.removeprefix("sha256:"))
        except ImageError as error:
            raise ImageError(
                f"the base image {self._begun.base} ({self._begun.base_id[:19]}) is not on this"
                " machine any more",
                hint="bring it back, or choose a base with `atomicstate switch IMAGE`",
            ) from error

    # -- switch ------------------------------------------------------------------------------

    def _switch(self) -> Effect:
        deployer = self._session.host.deployer

        def do() -> None:
            image = self.image()
            if image is None:
                raise ImageError("the image that was built is not there any more")
            deployer.stage(image, self._reporter.progress)

        def probe() -> Answer:
            found = self._deployment()
            if found is not None:
                return Answer(
                    recovery.DONE, {"checksum": found.checksum, "image": found.image_digest}
                )
            staged = self._session.host_status(fresh=True).staged
            now = staged.checksum if staged else ""
            return Answer(recovery.ABSENT if now == self._begun.staged_before else recovery.OTHER)

        def staged(answer: Answer) -> tuple[AnyBody, ...]:
            return (
                TransactionStaged(
                    answer.evidence["checksum"],
                    answer.evidence["image"],
                    self._begun.staged_before,
                ),
            )

        def undo() -> None:
            found = self._deployment()
            if found is not None:
                deployer.unstage(found.checksum)

        return Effect("switch", do, probe, undo=undo, then=staged)

    def _deployment(self) -> Deployment | None:
        """The deployment, staged or booted, that this transaction made."""
        status = self._session.host_status(fresh=True)
        log_id = self._session.log.log_id.hex()
        for deployment in (status.staged, status.booted, status.rollback):
            if deployment and deployment.transaction_of(log_id) == self._transaction:
                return deployment
        return None

    # -- promote -----------------------------------------------------------------------------

    def _promote(self) -> Effect:
        directory = self._session.state.recipe_directory
        path = directory / RECIPE

        def do() -> None:
            make_directory(directory)
            blobs = self._session.blobs
            write_atomically(directory / CONTAINERFILE, blobs.get(self._begun.containerfile))
            failpoints.reach("promote.containerfile")
            if probe().answer == recovery.ABSENT:
                write_atomically(path, blobs.get(self._begun.recipe))

        def probe() -> Answer:
            found = file_digest(path)
            if found == self._begun.recipe:
                return Answer(recovery.DONE, {"digest": found})
            # A person's edit since the beginning is drift: it is left alone.
            return Answer(recovery.ABSENT if found == self._begun.user_recipe else recovery.OTHER)

        return Effect("promote", do, probe, skips=recovery.OTHER)


def file_digest(path: Path) -> str:
    """The digest of the file's content; empty where there is no such file."""
    try:
        return digest_of(path.read_bytes())
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise AtomicstateError(f"can't read {path}: {error.strerror}") from error
