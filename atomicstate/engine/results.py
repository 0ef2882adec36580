"""What the use cases answer: values that the command line shows, as text or as JSON."""

from __future__ import annotations

from typing import Any, Protocol

from msgspec import Struct

from atomicstate.events.plan import Plan


class HeadResult(Struct, frozen=True):
    """The last event: its number and its hash (hexadecimal)."""

    seq: int
    hash: str


class InitResult(Struct, frozen=True):
    """The host as it was adopted. `already`: an earlier `init` did it, nothing was changed.

    `warnings` are sentences on what will be in the way on this host.
    """

    already: bool
    log_id: str
    driver: str
    base: str
    base_id: str
    architecture: str
    booted: str
    head: HeadResult
    dialect: str
    warnings: tuple[str, ...] = ()


class PendingResult(Struct, frozen=True):
    """An action that is wanted and not in what boots next (add), or the other way (drop)."""

    seq: int
    kind: str
    data: dict[str, Any]
    change: str
    time: str
    user: str


class DeploymentResult(Struct, frozen=True):
    """A deployment. `transaction` is None for one that is not ours."""

    image: str
    checksum: str
    transaction: str | None
    version: str = ""


class HostResult(Struct, frozen=True):
    """The deployments, as the host shows them now. `boots_next` is the checksum of one of them."""

    driver: str
    booted: DeploymentResult | None
    staged: DeploymentResult | None
    rollback: DeploymentResult | None
    boots_next: str | None = None


class OverlayResult(Struct, frozen=True):
    """Whether an overlay lies on /usr, takes writes, and was changed by this command."""

    active: bool
    writable: bool
    changed: bool = False


class UnfinishedResult(Struct, frozen=True):
    """A transaction that an earlier run did not end. `step` is where it stopped."""

    transaction: str
    mode: str
    step: str
    state: str
    since: str
    user: str
    verb: str
    running: bool


class StatusResult(Struct, frozen=True):
    """The pipeline, the host, and what is pending. `state` as in the design's machine.

    `base_created` is when the image of the base was made (RFC 3339), None where that is not known.
    `dropped` is the transaction whose staged deployment did not come up, `dropped_failure` what
    OSTree said of that, `dropped_why` why `resume` does not stage it again.
    `drift` says which files of the recipe were edited and not taken in. `warnings` are sentences on
    what is in the way on this host.
    """

    state: str
    pending: list[PendingResult]
    overlay: OverlayResult
    head: HeadResult
    host: HostResult
    base: str
    unfinished: list[UnfinishedResult]
    residue: list[str]
    base_created: str | None = None
    held: list[PendingResult] = []
    dropped: str | None = None
    broken: str | None = None
    dropped_why: str | None = None
    dropped_failure: str | None = None
    drift: str | None = None
    warnings: tuple[str, ...] = ()


class PackageProposal(Struct, frozen=True):
    """What adding or removing `names` will do, before anybody agreed to it.

    `position` is the log's when it was resolved. `skipped` are names that need nothing.
    """

    verb: str
    names: tuple[str, ...]
    in_base: tuple[str, ...]
    plan: Plan
    live: bool
    position: int
    skipped: tuple[str, ...] = ()


class PackageResult(Struct, frozen=True):
    """The action that was recorded."""

    seq: int
    transaction: str | None
    kind: str
    names: tuple[str, ...]
    live: bool
    plan: Plan


class ApplyProposal(Struct, frozen=True):
    """What an apply will do: the selection, and the documents that come of it.

    `parent` is the key of the selection that it is built on, `boots_next` and `staged_before` the
    checksums of deployments at that time. `left_out` are pending actions that are not in it,
    `held` those that a rollback holds back, `discards` the staged deployment that it gives up.
    `files`, `resources` and `given` are what else a build reads (documents.Build). Where it is
    `pinned`, `unpinned` are the packages that no version was recorded of.
    """

    add: tuple[int, ...]
    drop: tuple[int, ...]
    actions: list[PendingResult]
    base: str
    base_id: str
    recipe: bytes
    recipe_before: bytes
    containerfile: bytes
    recipe_digest: str
    containerfile_digest: str
    position: int
    architecture: str = ""
    parent: str = ""
    boots_next: str = ""
    staged_before: str = ""
    left_out: list[int] = []
    held: list[int] = []
    discards: str = ""
    files: dict[str, bytes] = {}
    resources: dict[str, str] = {}
    given: dict[str, str] = {}
    pinned: bool = False
    unpinned: list[str] = []

    @property
    def actions_by_number(self) -> tuple[int, ...]:
        """All that is to be added or dropped, in order."""
        return tuple(sorted((*self.add, *self.drop)))

    @property
    def on(self) -> tuple[object, ...]:
        """What it rests on: where that is another now, it is no answer to the question asked."""
        return self.parent, self.boots_next, self.staged_before, self.recipe_before


class ApplyResult(Struct, frozen=True):
    """The deployment that an apply staged."""

    transaction: str
    image: str
    checksum: str
    actions: list[int]
    recipe_digest: str
    containerfile_digest: str


class LeaveProposal(Struct, frozen=True):
    """What `leave` will do: `actions` are wanted no more, and `base` is what is left.

    `stays`: so many modules of the recipe that `init` found; they are no action of anybody's.
    """

    actions: list[PendingResult]
    base: str
    base_id: str
    stays: int


class LeaveResult(Struct, frozen=True):
    """What `leave` did. `seq` is the event that voids the actions `void`, None where none was.

    `transaction`, `image` and `checksum` are of the apply, None where the plain base boots anyway.
    """

    seq: int | None
    void: list[int]
    base: str
    transaction: str | None
    image: str | None
    checksum: str | None


class PruneObject(Struct, frozen=True):
    """An image or a deployment (`kind`) that nothing refers to, and the transaction that made it.

    `bytes` is what only this image holds; of a deployment it is not known.
    """

    kind: str
    id: str
    transaction: str
    bytes: int

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class PruneProposal(Struct, frozen=True):
    """What `prune` will remove. `leftovers` are folders of transactions that have ended."""

    objects: list[PruneObject]
    leftovers: list[str]
    bytes: int
    keep: int


class PruneResult(Struct, frozen=True):
    """What `prune` removed; `transaction` is None where there was no image or deployment."""

    transaction: str | None
    removed: list[PruneObject]
    leftovers: list[str]
    bytes: int


class RecordedChange(Struct, frozen=True):
    """An action about the recipe. `module` is the one that it puts there, as image.yml has it."""

    seq: int
    kind: str
    what: str
    module: dict[str, Any] | None


class ChangeResult(Struct, frozen=True):
    """The actions about the recipe that one command recorded, and what it left out.

    `request` is the id that several share. The other fields are those of the last one. `skipped`
    is what was so already.
    """

    seq: int
    kind: str
    what: str
    module: dict[str, Any] | None
    request: str | None
    actions: list[RecordedChange]
    skipped: tuple[str, ...] = ()


class BaseResult(Struct, frozen=True):
    """The base that was recorded. `created` (RFC 3339) is when its image was made, if known."""

    seq: int
    kind: str
    reference: str
    image_id: str
    architecture: str
    created: str | None
    image_id_before: str


class AdoptResult(Struct, frozen=True):
    """The deployment that was adopted, its image, and how many actions are pending on top of it."""

    seq: int
    checksum: str
    reference: str
    image_id: str
    architecture: str
    created: str | None
    pending: int


class TargetResult(Struct, frozen=True):
    """A deployment that boots next, and the transaction that made it (None: not one of ours).

    The checksum is empty as long as it is to be staged anew.
    """

    checksum: str
    transaction: str | None


class RollbackProposal(Struct, frozen=True):
    """What a rollback will do, before anybody agreed to it.

    `mode` is rollback (another deployment is first), unstage (what is staged goes) or deploy (an
    earlier image is staged again). `held` are the numbers of the `actions` that it takes away,
    `drops` is the staged deployment that goes. `etc`: "as-it-was", that deployment's own,
    "as-it-is", since that is what is booted, or "merged", today's. `known`: what the target holds
    is known.
    """

    mode: str
    target: TargetResult
    held: list[int]
    etc: str
    actions: list[PendingResult]
    drops: str
    known: bool


class RollbackResult(Struct, frozen=True):
    """What a rollback did; the fields are as in its proposal."""

    transaction: str
    mode: str
    target: TargetResult
    held: list[int]
    etc: str


class RestoreResult(Struct, frozen=True):
    """The packages that are in the overlay again, or gone from it again, and sentences about it.

    `transaction` is None where nothing had to be done.
    """

    transaction: str | None
    installed: list[str]
    removed: list[str]
    notes: list[str]


class RecoveryResult(Struct, frozen=True):
    """What `resume` or `abort` did to each unfinished transaction: resumed or aborted.

    `notes` are sentences about what could not be brought back, and why.
    """

    done: list[RecoveredResult]
    notes: list[str] = []


class RecoveredResult(Struct, frozen=True):
    """One of them, or what `resume` began itself (deploy, restore).

    `outcome` is finished (went through) or rolled_back.
    """

    transaction: str
    mode: str
    outcome: str
    seq: int


class DocumentResult(Struct, frozen=True):
    """A recipe or Containerfile: its bytes, and their digest (BLAKE2b-256, hexadecimal)."""

    content: bytes
    digest: str


class Reporter(Protocol):
    """Who watches a run: the command line draws it, tests collect it."""

    def step(self, step: str, status: str) -> None:
        """`step` is now started, done, failed, skipped, undoing or undone."""

    def progress(self, percent: float, message: str) -> None:
        """How far the step is, from 0 to 100, and what it is at."""

    def line(self, text: str) -> None:
        """A line of a tool's output."""

    def note(self, text: str) -> None:
        """A sentence for the person: what was found, what goes on."""


class Silent:
    """A reporter that says nothing."""

    def step(self, step: str, status: str) -> None:
        """Nothing."""

    def progress(self, percent: float, message: str) -> None:
        """Nothing."""

    def line(self, text: str) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""


SILENT = Silent()
"""Where nobody listens."""
