"""The steps of an apply or a deploy: config, Containerfile, build, unqueue, switch, promote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.engine import context, leftovers, superseded
from atomicstate.engine.promotion import promote
from atomicstate.engine.recipe_folder import RECIPE, file_digest
from atomicstate.engine.runner import Answer, Effect, Runner
from atomicstate.errors import ConflictError, ImageError
from atomicstate.events.bodies import TransactionStaged, WantedHeld
from atomicstate.files import make_directory, write_atomically
from atomicstate.host.ports import (
    IMAGE_NAME,
    LABEL_BASE,
    LABEL_LOG,
    LABEL_RECIPE,
    LABEL_TRANSACTION,
)
from atomicstate.machine import recovery, table
from atomicstate.machine.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from atomicstate.engine.results import Reporter
    from atomicstate.engine.session import Session
    from atomicstate.events.bodies import AnyBody, TransactionBegun
    from atomicstate.events.event import Event
    from atomicstate.host.ports import Deployment, HostStatus, Image

CONTAINERFILE = context.CONTAINERFILE


class ApplyTransaction:
    """The apply or deploy `transaction`, which does what `begun` says.

    A deploy brings back the image of another transaction: by that one's labels it is found, and
    built again where it is not there any more.
    """

    def __init__(
        self, session: Session, reporter: Reporter, transaction: str, begun: TransactionBegun
    ) -> None:
        self._session = session
        self._reporter = reporter
        self._transaction = transaction
        self._begun = begun
        self._directory = session.state.transaction_directory(transaction)
        self._output = ""
        self._unqueues = False
        self._base_is_there = False
        self._built: Image | None = None
        self._of = begun.target or transaction
        self._labels = {
            LABEL_LOG: session.log.log_id.hex(),
            LABEL_TRANSACTION: self._of,
            LABEL_RECIPE: begun.recipe,
            LABEL_BASE: begun.base_id,
        }

    def begin(self) -> list[Event]:
        """Run it from its start.

        What has no base, or no podman to ask for it, is not begun at all.
        """
        if not (self._begun.target and self.image()):
            self._require_base()
        return self._forward(self._runner(waiting=(self._begun,)))

    def resume(self, statuses: Mapping[str, str]) -> list[Event]:
        """Go on after an interruption, from the statuses of its steps."""
        return self._forward(self._runner(statuses=statuses))

    def abort(self, statuses: Mapping[str, str], reason: str, code: str) -> None:
        """Take it back after an interruption before the pivot."""
        self._runner(statuses=statuses).back(reason, code)
        leftovers.clean(self._session)

    def settled(self) -> bool:
        """Whether a boot or shutdown finalized its deployment: then the only way is forward."""
        found = self._deployment()
        return found is not None and found != self._session.host_status().staged

    def image(self) -> Image | None:
        """The image that it built."""
        return self._session.host.builder.find(self._labels)

    def _forward(self, runner: Runner) -> list[Event]:
        try:
            return runner.forward(self._last)
        finally:
            leftovers.clean(self._session)

    def _last(self) -> tuple[AnyBody, ...]:
        superseded.end(self._session, self._transaction)
        held = self._begun.held
        if self._begun.mode == table.APPLY or self._session.system().held == set(held):
            return ()
        return (WantedHeld(held),)

    def _runner(
        self, *, waiting: tuple[AnyBody, ...] = (), statuses: Mapping[str, str] | None = None
    ) -> Runner:
        wanted = self._session.system().wanted
        applies = self._begun.mode == table.APPLY
        # What a deploy brings back need not be wanted any more, nor what was begun already.
        selected = self._begun.add if applies and statuses is None else ()
        self._unqueues = self._queued(statuses or {})
        return Runner(
            self._session,
            self._reporter,
            self._transaction,
            Pipeline(self._begun.mode, selected=selected, ready=lambda seq: seq in wanted),
            (
                self._config(),
                self._containerfile(),
                self._build(),
                *((self._unqueue(),) if self._unqueues else ()),
                self._switch(),
                *((promote(self._session, self._begun),) if applies else ()),
            ),
            waiting=waiting,
            statuses=statuses,
        )

    @property
    def _needless(self) -> tuple[str, ...]:
        """A deploy makes nothing that it needs for an image which is there already."""
        return (recovery.DONE,) if self._begun.target else ()

    # -- config and containerfile ------------------------------------------------------------

    def _config(self) -> Effect:
        path, digest = self._directory / RECIPE, self._begun.recipe

        def do() -> None:
            make_directory(self._directory)
            write_atomically(path, self._session.blobs.get(digest))

        def undo() -> None:
            path.unlink(missing_ok=True)

        return self._written("config", do, lambda: file_digest(path) == digest, undo, digest)

    def _containerfile(self) -> Effect:
        begun, directory = self._begun, self._directory

        def do() -> None:
            blobs = self._session.blobs
            context.write(directory, blobs, begun.containerfile, begun.files, begun.resources)

        return self._written(
            "containerfile",
            do,
            lambda: context.is_whole(directory, begun.containerfile),
            lambda: context.clear(directory),
            begun.containerfile,
        )

    def _written(
        self,
        step: str,
        do: Callable[[], None],
        is_there: Callable[[], bool],
        undo: Callable[[], None],
        digest: str,
    ) -> Effect:
        def probe() -> Answer:
            if is_there():
                return Answer(recovery.DONE, {"digest": digest})
            if self._begun.target and (image := self.image()):
                return Answer(recovery.DONE, {"image": image.id})
            return Answer(recovery.ABSENT)

        return Effect(step, do, probe, undo=undo, needless=self._needless)

    # -- build -------------------------------------------------------------------------------

    def _build(self) -> Effect:
        builder = self._session.host.builder
        tag = f"{IMAGE_NAME}:{self._of}"

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
            self._built = self.image()
            if self._built is None:
                return Answer(recovery.ABSENT)
            return Answer(recovery.DONE, {"image": self._built.id})

        return Effect(
            "build",
            do,
            probe,
            undo=lambda: builder.remove(tag),
            needless=self._needless,
            output=lambda: self._output,
        )

    def _require_base(self) -> None:
        """The image in FROM must be the one that the event names, not what its tag is now."""
        if self._base_is_there:
            return
        try:
            self._session.host.builder.resolve(self._begun.base_id.removeprefix("sha256:"))
        except ImageError as error:
            raise ImageError(
                f"the base image {self._begun.base} ({self._begun.base_id[:19]}) is not on this"
                " machine any more",
                hint="bring it back, or choose a base with `atomicstate switch IMAGE`",
            ) from error
        self._base_is_there = True

    # -- unqueue -----------------------------------------------------------------------------

    def _queued(self, statuses: Mapping[str, str]) -> bool:
        """Whether a rollback was queued when it began: that comes first then, by itself."""
        if "unqueue" in statuses or "switch" in statuses:
            return "unqueue" in statuses
        status = self._session.host_status(fresh=True)
        return status.rollback_queued and self._is_in_slot(status)

    def _unqueue(self) -> Effect:
        deployer = self._session.host.deployer

        def do() -> None:
            status = self._session.host_status(fresh=True)
            if is_staged_since(status, self._begun):
                raise _changed_meanwhile(status)
            deployer.unqueue()

        def probe() -> Answer:
            if self._deployment() is not None:
                # What was staged after it was booted, perhaps: then the slot says nothing.
                return Answer(recovery.DONE)
            status = self._session.host_status(fresh=True)
            if not self._is_in_slot(status) or is_staged_since(status, self._begun):
                return Answer(recovery.OTHER)
            return Answer(recovery.ABSENT if status.rollback_queued else recovery.DONE)

        return Effect(
            "unqueue",
            do,
            probe,
            undo=lambda: requeue(self._session, self._begun),
        )

    # -- switch ------------------------------------------------------------------------------

    def _switch(self) -> Effect:
        deployer = self._session.host.deployer

        def do() -> None:
            image = self._built or self.image()
            if image is None:
                raise ImageError("the image that was built is not there any more")
            # Building takes its time: somebody else may have changed something meanwhile.
            status = self._session.host_status(fresh=True)
            if not self._is_as_before(status):
                raise _changed_meanwhile(status)
            deployer.stage(image, self._reporter.progress)

        def probe() -> Answer:
            found = self._deployment()
            if found is not None and found.locked:
                # Somebody locked it meanwhile: it is staged, and does not boot next.
                return Answer(recovery.PARTIAL)
            if found is not None:
                return Answer(
                    recovery.DONE, {"checksum": found.checksum, "image": found.image_digest}
                )
            as_before = self._is_as_before(self._session.host_status(fresh=True))
            return Answer(recovery.ABSENT if as_before else recovery.OTHER)

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
            before = self._begun.staged_before
            if found and not superseded.give_way(self._session, self._reporter, before):
                deployer.unstage(found.checksum)

        return Effect("switch", do, probe, undo=undo, then=staged)

    def _is_as_before(self, status: HostStatus) -> bool:
        """Whether what boots next is what did when it began; that it was booted is no matter."""
        if is_staged_since(status, self._begun):
            return False
        if self._unqueues:
            return self._is_in_slot(status) and not status.rollback_queued
        first = status.boots_next
        return (first.checksum if first else "") == self._begun.boots_next

    def _is_in_slot(self, status: HostStatus) -> bool:
        """Whether what was to boot next when it began is in the rollback slot."""
        return bool(status.rollback and status.rollback.checksum == self._begun.boots_next)

    def _deployment(self) -> Deployment | None:
        """The deployment that this transaction made: staged, or finalized by a boot meanwhile."""
        status = self._session.host_status(fresh=True)
        log_id = self._session.log.log_id.hex()
        shown: Iterable[Deployment | None] = status.all
        if self._begun.target:
            # There may be another one, from before.
            first = status.boots_next
            is_new = first is not None and first.checksum != self._begun.boots_next
            shown = (status.staged, status.booted, first if is_new else None)
        return next(
            (item for item in shown if item and item.transaction_of(log_id) == self._of), None
        )


def _changed_meanwhile(status: HostStatus) -> ConflictError:
    now = status.boots_next.checksum[:12] if status.boots_next else "nothing"
    return ConflictError(
        f"{now} boots next meanwhile, and not by this: it was left so",
        hint="look at `atomicstate status` and try again",
    )


def is_staged_since(status: HostStatus, begun: TransactionBegun) -> bool:
    """Whether another deployment is staged than was when `begun`."""
    return status.staged is not None and status.staged.checksum != begun.staged_before


def requeue(session: Session, begun: TransactionBegun) -> None:
    """Let the rollback deployment that was queued when `begun` boot next again.

    Only where it still is in its slot, and nothing was staged since, which that would drop.
    """
    status = session.host_status(fresh=True)
    slot = status.rollback
    if slot and slot.checksum == begun.boots_next and not is_staged_since(status, begun):
        session.host.deployer.rollback(slot.checksum)
