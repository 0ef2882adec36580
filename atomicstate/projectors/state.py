"""The parts of the view `System`: small values, saved in snapshots as they are."""

from __future__ import annotations

from functools import cached_property

from msgspec import Struct

from atomicstate.errors import CorruptError
from atomicstate.events import codec
from atomicstate.events.bodies import TransactionBegun
from atomicstate.events.event import Actor, BootInstance, Event

ADDED = "package.added"
REMOVED = "package.removed"
MODULE_ADDED = "module.added"
MODULE_CHANGED = "module.changed"
MODULE_REMOVED = "module.removed"
ENV_SET = "env.set"
ENV_REMOVED = "env.removed"
RESOURCE_SET = "resource.set"
RESOURCE_REMOVED = "resource.removed"

APPLY = "apply"
DEPLOY = "deploy"
ROLLBACK = "rollback"
UNSTAGE = "unstage"

LAST_STEPS = {
    "overlay": "overlay",
    "restore": "live",
    "rollback": "rollback",
    "unstage": "unstage",
    "prune": "prune",
    "withdraw": "withdraw",
    "undo": "live",
}
"""The step that ends a transaction, by mode. The other modes end with a fact of their own."""


class Action(Struct, frozen=True, array_like=True, gc=False):
    """An action, as far as recipe and pending need it: `seq`, wire name, what it writes.

    `names`, `live` and `in_base` (those of the names that the image holds unasked) are of
    packages; `reference`, `image_id`, `architecture` and `created` of what sets the base.
    `transaction` is the live one that recorded it, or empty. Of a module `key` is the type,
    `content` its blob and `slot` where it stands (before which, of one that is added); of a
    variable `key` is the name and `content` the value, `given` where it is no part of the
    document; of a resource `key` is the name and `content` the manifest's blob.
    """

    seq: int
    kind: str
    names: tuple[str, ...] = ()
    live: bool = False
    transaction: str = ""
    in_base: tuple[str, ...] = ()
    reference: str = ""
    image_id: str = ""
    architecture: str = ""
    created: int = 0
    key: str = ""
    content: str = ""
    slot: int = 0
    given: bool = False

    @property
    def of_overlay(self) -> bool:
        """Whether it was done in the overlay, or was about to be when the boot that had it ended.

        A live transaction recorded it then; what is recorded alone has none.
        """
        return self.live or bool(self.names and self.transaction)


class Deployed(Struct, frozen=True, array_like=True):
    """The deployment of one transaction: what it holds, and what it was made from.

    S(d), the actions in it, is told by how it differs from what is wanted, which is little: the
    wanted ones up to the number `horizon`, without `lacks`, with `extra` (System.selection).
    `base` and `base_id` name the image in FROM, `recipe` and `containerfile` are blobs' digests,
    `checksum` the deployment's, `image_id` the image's. `parent` is the key of the selection that
    it was made on, `begun` the number of its `transaction.begun` (0: no transaction made it).
    `booted`: it came up once.
    """

    horizon: int = 0
    lacks: tuple[int, ...] = ()
    extra: tuple[int, ...] = ()
    base: str = ""
    base_id: str = ""
    recipe: str = ""
    containerfile: str = ""
    checksum: str = ""
    image_id: str = ""
    parent: str = ""
    begun: int = 0
    booted: bool = False


class Placed(Struct, frozen=True, array_like=True):
    """What image.yml and the resources beside it should be: blobs of the text and of manifests."""

    document: str = ""
    resources: dict[str, str] = {}


class Observed(Struct, frozen=True, array_like=True):
    """The host as the log last knew it: checksums of deployments, and what made them.

    Empty: there is none, or no transaction of this log made it. `boot` is the boot instance in
    which that was seen. `queued`: the rollback boots next; `locked`: what is staged does not.
    """

    booted: str = ""
    booted_txn: str = ""
    staged: str = ""
    staged_txn: str = ""
    rollback: str = ""
    rollback_txn: str = ""
    overlay: bool = False
    boot: BootInstance | None = None
    queued: bool = False
    locked: bool = False

    @property
    def boots_next(self) -> tuple[str, str]:
        """H, by checksum, and the transaction that made it: staged unless locked, else a queued
        rollback, else what is booted."""
        if self.staged and not self.locked:
            return self.staged, self.staged_txn
        if self.queued and self.rollback:
            return self.rollback, self.rollback_txn
        return self.booted, self.booted_txn


class OpenTransaction(Struct, array_like=True, dict=True):
    """A transaction that has begun and not ended: `mode` as in its `transaction.begun`.

    `record` is its `transaction.begun` as it stands in the log, `steps` the status of each step
    that was reached (started, done, skipped, failed, undoing, undone), oldest first. `code` and
    `reason` are of the newest failure. `staged`: its deployment is what boots next.
    """

    seq: int
    mode: str
    record: bytes
    steps: dict[str, str]
    last_step: str = ""
    code: str = ""
    reason: str = ""
    staged: bool = False

    @cached_property
    def event(self) -> Event:
        """The event by which it began. Raises CorruptError where the record is no such event."""
        event = codec.decode(self.record + bytes(codec.HASH_SIZE))
        if not isinstance(event, Event) or not isinstance(event.body, TransactionBegun):
            raise CorruptError(f"event {self.seq} is no transaction.begun", seq=self.seq)
        return event

    @property
    def begun(self) -> TransactionBegun:
        """What it is to do."""
        body = self.event.body
        assert isinstance(body, TransactionBegun)  # noqa: S101 - `event` saw to it
        return body

    @property
    def time(self) -> int:
        """When it began: UTC, nanoseconds."""
        return self.event.time

    @property
    def actor(self) -> Actor:
        """Who began it."""
        return self.event.actor

    @property
    def boot(self) -> BootInstance | None:
        """The boot instance that it began in."""
        return self.event.boot


def out_of_order(seq: int, expected: int) -> CorruptError:
    """The error for the event `seq` where `expected` belongs."""
    return CorruptError(f"event {seq} stands where event {expected} belongs", seq=expected)
