"""`prune`: images and deployments of this log that nothing refers to any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate import failpoints
from atomicstate.engine import archives, bisect, leftovers, transactions
from atomicstate.engine.results import PruneObject, PruneProposal, PruneResult
from atomicstate.engine.runner import Answer, Effect, Runner
from atomicstate.engine.unfinished import refuse_unfinished
from atomicstate.errors import AtomicstateError, HostError, ImageError
from atomicstate.events.bodies import TransactionBegun
from atomicstate.events.ids import new_id
from atomicstate.host.ports import LABEL_BASE, LABEL_LOG, LABEL_TRANSACTION
from atomicstate.machine import recovery, table
from atomicstate.machine.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from atomicstate.engine.results import Reporter
    from atomicstate.engine.session import Session
    from atomicstate.events.bodies import AnyBody
    from atomicstate.events.event import Event
    from atomicstate.host.ports import Deployment, Image
    from atomicstate.projectors.system import System

KEEP = 2
"""So many of the newest transactions keep their images, whether they are deployed or not."""

IMAGE = "image"
DEPLOYMENT = "deployment"


def propose(session: Session, keep: int = KEEP) -> PruneProposal:
    """What nothing refers to: no deployment, no open transaction, no tag, no base that is still
    used, no bisection, and none of the `keep` newest transactions. Raises InterruptedWorkError.
    """
    system = session.observe()
    refuse_unfinished(session, system)
    objects = _unused(session, system, keep)
    return PruneProposal(
        objects=objects,
        leftovers=[path.name for path in leftovers.ended(session)],
        bytes=sum(item.bytes for item in objects),
        keep=keep,
    )


def carry_out(session: Session, proposal: PruneProposal, reporter: Reporter) -> PruneResult:
    """Remove what is in `proposal` and unused still, and what ended transactions left behind.

    Raises LockedError where the pipeline runs, and what a removal raised that failed: what was
    removed before stays so.
    """
    with session.pipeline():
        system = session.observe()
        refuse_unfinished(session, system)
        agreed = {str(item) for item in proposal.objects}
        unused = _unused(session, system, proposal.keep)
        objects = [item for item in unused if str(item) in agreed]
        transaction = None
        if objects:
            transaction = new_id()
            begun = TransactionBegun(table.PRUNE, objects=tuple(map(str, objects)))
            PruneTransaction(session, reporter, transaction, begun).begin()
        folders = leftovers.ended(session)
        leftovers.remove(folders)
        archives.let_go(session)
        session.host.builder.forget_unused()
    return PruneResult(
        transaction=transaction,
        removed=objects,
        leftovers=[path.name for path in folders],
        bytes=sum(item.bytes for item in objects),
    )


class PruneTransaction:
    """The transaction `transaction`, which removes `begun.objects`."""

    def __init__(
        self, session: Session, reporter: Reporter, transaction: str, begun: TransactionBegun
    ) -> None:
        self._session = session
        self._reporter = reporter
        self._transaction = transaction
        self._begun = begun

    def begin(self) -> list[Event]:
        """Run it from its start."""
        return self._runner(waiting=(self._begun,)).forward()

    def resume(self, statuses: Mapping[str, str]) -> list[Event]:
        """Go on after an interruption, with what nothing refers to now."""
        return self._runner(statuses=statuses).forward()

    def abort(self, statuses: Mapping[str, str], reason: str, code: str) -> None:
        """End it: what is gone was of no use to anybody, and is not brought back."""
        self._runner(statuses=statuses).back(reason, code)

    def settled(self) -> bool:
        """Whether all of it is gone already."""
        return not self._left()

    def _left(self) -> list[PruneObject]:
        """Those of the objects that are there, and that nothing refers to (any more, or again)."""
        listed = set(self._begun.objects)
        # What was to be kept for being new was left out of the list; nothing is newer now.
        unused = _unused(self._session, self._session.system(), keep=0)
        return [item for item in unused if str(item) in listed]

    def _runner(
        self, *, waiting: tuple[AnyBody, ...] = (), statuses: Mapping[str, str] | None = None
    ) -> Runner:
        def probe() -> Answer:
            left = len(self._left())
            if not left:
                return Answer(recovery.DONE, {"objects": str(len(self._begun.objects))})
            some = left < len(self._begun.objects)
            return Answer(recovery.PARTIAL if some else recovery.ABSENT)

        return Runner(
            self._session,
            self._reporter,
            self._transaction,
            Pipeline(table.PRUNE),
            (Effect("prune", self._remove, probe),),
            waiting=waiting,
            statuses=statuses,
        )

    def _remove(self) -> None:
        """Remove each; one that can't be is no reason to keep the others."""
        host = self._session.host
        failures: list[AtomicstateError] = []
        left = self._left()
        for number, item in enumerate(left):
            self._reporter.progress(100.0 * number / len(left), str(item))
            try:
                if item.kind == IMAGE:
                    host.builder.remove_image(item.id)
                else:
                    host.deployer.remove(item.id)
            except AtomicstateError as error:
                failures.append(error)
            failpoints.reach("prune.removed")
        if failures:
            raise HostError(
                f"{len(failures)} of {len(left)} could not be removed, the others are gone:"
                f" {failures[0].message}"
            ) from failures[0]


def _unused(session: Session, system: System, keep: int) -> list[PruneObject]:
    """Deployments first, then images, the newest first: one may be built on an older one."""
    log_id = session.log.log_id.hex()
    status = session.host_status(fresh=True)
    gone = [item for item in status.others if item.transaction_of(log_id) and not item.pinned]
    images = session.host.builder.images({LABEL_LOG: log_id})
    kept = [item for item in status.all if item not in gone]
    needed_by = _transactions(system, kept, log_id) | _newest(system, images, keep)
    needed_by |= _tagged(session, system)
    ids = _bases(system) | {item.image_digest for item in kept}
    bisecting = bisect.is_under_way(session)
    unused = []
    for image in reversed(images):
        tried = bisecting and bisect.LABEL_BISECT in image.labels
        if tried or image.id in ids or image.labels.get(LABEL_TRANSACTION) in needed_by:
            # What it was built on is older, and comes later.
            ids.add(image.labels.get(LABEL_BASE, ""))
        else:
            unused.append(image)
    return [
        *(PruneObject(DEPLOYMENT, item.checksum, item.transaction_of(log_id), 0) for item in gone),
        *(
            PruneObject(IMAGE, image.id, image.labels.get(LABEL_TRANSACTION, ""), size)
            for image, size in zip(unused, _sizes(session, unused), strict=True)
        ),
    ]


def _transactions(system: System, kept: Iterable[Deployment], log_id: str) -> set[str]:
    """The transactions whose images a deployment or unfinished work refers to."""
    found = {item.transaction_of(log_id) for item in kept}
    for transaction, item in system.open.items():
        found |= {transaction, item.begun.target, item.begun.parent}
    # No transaction is none of them: a bisection's images have none.
    return (found | {system.dropped}) - {""}


def _tagged(session: Session, system: System) -> set[str]:
    """The transactions whose images bear a tag.

    A tag on an event of an apply, or of a deploy, names the image which that staged; on any other
    event the one that booted next there.
    """
    found = set()
    for seq in set(system.tags.values()):
        event, _hash = session.log.get(seq)
        named = transactions.matching(session, event.transaction)
        if named and named[0].begun.mode in (table.APPLY, table.DEPLOY):
            found.add(named[0].made_by)
        else:
            found.add(session.system_at(seq).host.boots_next[1])
    return found - {""}


def _bases(system: System) -> set[str]:
    """The images that something which is kept is, or may be again, built on."""
    found = {action.image_id for action in system.actions.values()}
    found |= {item.base_id for item in system.selections.values()}
    found |= {item.begun.base_id for item in system.open.values()}
    if system.origin:
        found.add(system.origin.base_id)
    return found


def _newest(system: System, images: Iterable[Image], keep: int) -> set[str]:
    """The newest `keep` transactions that have an image, by their place in the log."""
    known = system.selections

    def place(transaction: str) -> tuple[int, str]:
        # Of one that was let go the view has no number: it is older than all that it has.
        return known[transaction].begun if transaction in known else 0, transaction

    made = {image.labels.get(LABEL_TRANSACTION, "") for image in images} - {""}
    newest = sorted(made, key=place, reverse=True)
    return set(newest[:keep])


def _sizes(session: Session, images: list[Image]) -> list[int]:
    """What removing each of `images` sets free: not what it shares with its base."""
    bases: dict[str, int] = {}
    for name in {image.labels.get(LABEL_BASE, "") for image in images}:
        try:
            bases[name] = session.host.builder.resolve(name).size if name else 0
        except ImageError:
            bases[name] = 0
    return [max(image.size - bases[image.labels.get(LABEL_BASE, "")], 0) for image in images]
