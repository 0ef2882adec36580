"""The one view that status, config, package add and apply read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from atomicstate.errors import CorruptError
from atomicstate.events import bodies, codec
from atomicstate.events.event import Event, UnknownEvent
from atomicstate.projectors import selections, state
from atomicstate.projectors.compaction import is_superseded, keys_of, newest_writers, superseded
from atomicstate.projectors.fold import fold
from atomicstate.projectors.state import (
    Action,
    Deployed,
    Observed,
    OpenTransaction,
    Placed,
    out_of_order,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Set

    from atomicstate.events.event import BootInstance

__all__ = ["VERSION", "Action", "Deployed", "Observed", "OpenTransaction", "System", "fold"]

VERSION = 6
"""The projector's version: a snapshot of another one is not read, the log is folded anew."""

SLACK = 256
"""So many actions more than twice what the last compaction left, and the next one is due."""

MAX_SELECTIONS = 8
"""So many selections are kept before those that no deployment bears are let go."""

MAX_RESIDUES = 64
"""So many live transactions are remembered for what they left outside /usr."""

_ENDED = frozenset({"done", "skipped"})


class System:
    """What is wanted, what is where, and what is under way, after the first `position` events.

    `actions` are all that can have a bearing, by number; `wanted` those of them that are wanted,
    `held` those that a rollback holds back. `selections` tells what each deployment holds.
    `dropped` is the transaction whose staged deployment did not come up, `failure` what OSTree
    said of that, `broken` why /usr is not to be relied on until the next boot, `residue` which
    blob tells what a live transaction left outside /usr, for the newest of them. `tags` maps names
    to numbers of events. `placed` is what image.yml should hold, `layout` the blob of the text that
    the next one is made from, `containerfile` the blob of what lies beside it.

    Mutable: `apply` and `fold` move it on. With `compact`, what can have no bearing any more is
    let go now and then, so that its size follows the packages and not the log; `complete` says
    whether that was in vain, since the host went back to something that was let go.
    """

    def __init__(self, *, compact: bool = True, slack: int = SLACK) -> None:
        self.position = 0
        self.last_action = 0
        self.clock = 0
        self.log_id = b""
        self.origin: bodies.SystemInitialized | None = None
        self.host = Observed()
        self.actions: dict[int, Action] = {}
        self.wanted: set[int] = set()
        self.selections: dict[str, Deployed] = {"": Deployed()}
        self.adopted: set[str] = set()
        self.open: dict[str, OpenTransaction] = {}
        self.held: set[int] = set()
        self.dropped = ""
        self.failure = ""
        self.broken = ""
        self.residue: dict[str, str] = {}
        self.tags: dict[str, int] = {}
        self.placed = Placed()
        self.layout = ""
        self.containerfile = ""
        self._compact = compact
        self._slack = slack
        self._limit = slack
        # Of each key the newest action that was let go.
        self._gone: dict[str, int] = {}
        self._forgot = False
        self._lost = False

    # -- folding -----------------------------------------------------------------------------

    def apply(self, event: Event | UnknownEvent) -> None:
        """Fold `event`, which must be the next one. Raises CorruptError where it is not.

        Of a kind that is not known here only number and time count.
        """
        if event.seq != self.position + 1:
            raise out_of_order(event.seq, self.position + 1)
        if event.seq == 1:
            self.log_id = event.log_id
        if isinstance(event, Event):
            handler = _HANDLERS[event.body.__class__]
            handler(self, event.body, event.transaction, event)
        self.position = event.seq
        self.clock = max(self.clock, event.time)

    def apply_body(
        self, body: bodies.HostObserved | bodies.HostBooted, boot: BootInstance | None
    ) -> None:
        """Take in what the host shows, though it is not in the log yet: numbers stay."""
        self._observed(body, boot)

    # -- answers -----------------------------------------------------------------------------

    @property
    def complete(self) -> bool:
        """Whether all that was let go is without bearing still.

        If not (a deployment from long ago was booted, say), fold the log again, into
        `System(compact=False)`.
        """
        return not self._lost and not (self._forgot and self._unknown_deployment())

    def can_tell_without(self, void: Set[int]) -> bool:
        """Whether it is known what is wanted would come to without the actions `void`.

        What was let go may be in force again then.
        """
        return void <= self.actions.keys() and self._covers(void, self.wanted - void)

    def keep_all(self) -> None:
        """Let nothing go from here on."""
        self._compact = False

    def let_go(self) -> None:
        """Let go of what can have no bearing any more, if nothing was let go until now; and do so
        now and then from here on."""
        if not self._compact:
            self._compact = True
            self._let_go(many=True)

    def selection(self, key: str) -> frozenset[int]:
        """S(d) of the deployment with that key in `selections`. KeyError where it is not known."""
        return selections.actions_of(self.selections[key], self.wanted)

    def deployment(self, checksum: str, transaction: str) -> str | None:
        """The key in `selections` of a deployment; None of one that is foreign.

        It is the transaction that made it, the checksum of one that was adopted, and "" for the
        base as it was at `init`.
        """
        key = transaction or self._key_of(checksum)
        return key if key in self.selections else None

    def _key_of(self, checksum: str) -> str | None:
        """The key of a deployment that no transaction made; None of one that is foreign."""
        if self.origin is not None and checksum == self.origin.booted:
            return ""
        return checksum if checksum in self.adopted else None

    # -- snapshots ---------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """The whole view. The same bytes for the same history, wherever snapshots were taken."""
        return _encode(
            _Saved(
                position=self.position,
                last_action=self.last_action,
                clock=self.clock,
                log_id=self.log_id,
                origin=self.origin,
                host=self.host,
                actions=list(self.actions.values()),
                wanted=sorted(self.wanted),
                selections=list(self.selections.items()),
                adopted=sorted(self.adopted),
                open=list(self.open.items()),
                held=sorted(self.held),
                dropped=self.dropped,
                failure=self.failure,
                broken=self.broken,
                residue=list(self.residue.items()),
                tags=list(self.tags.items()),
                placed=self.placed,
                layout=self.layout,
                containerfile=self.containerfile,
                compact=self._compact,
                slack=self._slack,
                limit=self._limit,
                gone=sorted(self._gone.items()),
                forgot=self._forgot,
                lost=self._lost,
            )
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> System:
        """The view that `to_bytes` gave. Raises CorruptError where it is none."""
        try:
            saved = _decode(content)
        except msgspec.DecodeError as error:
            raise CorruptError(f"a snapshot that can't be read: {error}") from error
        system = cls(compact=saved.compact, slack=saved.slack)
        system.position = saved.position
        system.last_action = saved.last_action
        system.clock = saved.clock
        system.log_id = saved.log_id
        system.origin = saved.origin
        system.host = saved.host
        system.actions = {action.seq: action for action in saved.actions}
        system.wanted = set(saved.wanted)
        system.selections = dict(saved.selections)
        system.adopted = set(saved.adopted)
        system.open = dict(saved.open)
        system.held = set(saved.held)
        system.dropped = saved.dropped
        system.failure = saved.failure
        system.broken = saved.broken
        system.residue = dict(saved.residue)
        system.tags = dict(saved.tags)
        system.placed = saved.placed
        system.layout = saved.layout
        system.containerfile = saved.containerfile
        system._limit = saved.limit
        system._gone = dict(saved.gone)
        system._forgot = saved.forgot
        system._lost = saved.lost
        return system

    # -- one kind of event each --------------------------------------------------------------

    def _initialized(self, body: bodies.SystemInitialized, _transaction: str, event: Event) -> None:
        self.origin = body
        self.host = Observed(booted=body.booted, boot=event.boot)
        self._place(Placed(body.recipe, body.resources))

    def _added(self, body: bodies.PackageAdded, transaction: str, event: Event) -> None:
        self._acted(
            Action(event.seq, state.ADDED, body.names, body.live, transaction, body.in_base)
        )

    def _removed(self, body: bodies.PackageRemoved, transaction: str, event: Event) -> None:
        names, live = body.names, body.live
        self._acted(Action(event.seq, state.REMOVED, names, live, transaction, body.in_base))

    def _base_set(
        self,
        body: bodies.BaseSet | bodies.BaseUpdated | bodies.DeploymentAdopted,
        transaction: str,
        event: Event,
    ) -> None:
        self._acted(
            Action(
                event.seq,
                bodies.kind_of(body),
                transaction=transaction,
                reference=body.reference,
                image_id=body.image_id,
                architecture=body.architecture,
                created=body.created,
            )
        )

    def _module_placed(
        self, body: bodies.ModuleAdded | bodies.ModuleChanged, transaction: str, event: Event
    ) -> None:
        slot = body.before if isinstance(body, bodies.ModuleAdded) else body.slot
        self._acted(
            Action(
                event.seq,
                bodies.kind_of(body),
                transaction=transaction,
                key=body.module_type,
                content=body.module,
                slot=slot,
            )
        )

    def _module_removed(self, body: bodies.ModuleRemoved, transaction: str, event: Event) -> None:
        kind = bodies.kind_of(body)
        action = Action(
            event.seq, kind, transaction=transaction, key=body.module_type, slot=body.slot
        )
        self._acted(action)

    def _env_changed(
        self, body: bodies.EnvSet | bodies.EnvRemoved, transaction: str, event: Event
    ) -> None:
        self._acted(
            Action(
                event.seq,
                bodies.kind_of(body),
                transaction=transaction,
                key=body.name,
                content=body.value if isinstance(body, bodies.EnvSet) else "",
                given=body.given,
            )
        )

    def _resource_changed(
        self, body: bodies.ResourceSet | bodies.ResourceRemoved, transaction: str, event: Event
    ) -> None:
        content = body.manifest if isinstance(body, bodies.ResourceSet) else ""
        kind = bodies.kind_of(body)
        self._acted(
            Action(event.seq, kind, transaction=transaction, key=body.name, content=content)
        )

    def _deployment_adopted(
        self, body: bodies.DeploymentAdopted, transaction: str, event: Event
    ) -> None:
        self._base_set(body, transaction, event)
        # It holds none of the actions before it: what was let go is pending again.
        self._lost = self._lost or self._forgot
        self.adopted.add(body.checksum)
        self.selections[body.checksum] = selections.adopted(
            event.seq, self.wanted, body.reference, body.image_id, body.checksum
        )

    def _wanted_changed(self, body: bodies.WantedChanged, _transaction: str, event: Event) -> None:
        void = self.wanted & set(body.void)
        revive = set(body.revive) - self.wanted
        if self._forgot and not {*body.void, *revive} <= self.actions.keys():
            # It may have been let go.
            self._lost = True
        revive &= self.actions.keys()
        for key, item in self.selections.items():
            self.selections[key] = selections.rewanted(item, void, revive)
        self.wanted = (self.wanted - void) | revive
        self.last_action = event.seq
        self._check_gone(void)

    def _held_back(self, body: bodies.WantedHeld, _transaction: str, _event: Event) -> None:
        self.held = set(body.seqs)

    def _live_broken(self, body: bodies.LiveBroken, _transaction: str, _event: Event) -> None:
        self.broken = body.reason

    def _tag_set(self, body: bodies.TagSet, _transaction: str, _event: Event) -> None:
        self.tags.pop(body.name, None)
        if body.point:
            self.tags[body.name] = body.point

    def _note_added(self, _body: bodies.NoteAdded, _transaction: str, _event: Event) -> None:
        """A remark changes nothing."""

    def _residue_found(self, body: bodies.ResidueFound, transaction: str, _event: Event) -> None:
        self.residue[transaction] = body.found
        if len(self.residue) > MAX_RESIDUES:
            del self.residue[next(iter(self.residue))]

    def act(self, actions: dict[int, Action]) -> None:
        """Take in actions, by number and in order: each is wanted."""
        if actions:
            self.actions.update(actions)
            self.wanted.update(actions)
            self.last_action = next(reversed(actions))

    def _acted(self, action: Action) -> None:
        """Take in one action. The live transaction that recorded it ended with it."""
        self.act({action.seq: action})
        self.open.pop(action.transaction, None)

    def _begun(self, body: bodies.TransactionBegun, transaction: str, event: Event) -> None:
        self.open[transaction] = OpenTransaction(event.seq, body.mode, codec.encode(event), {})

    def step(self, transaction: str, step: str, status: str) -> None:
        """Take in that a step of `transaction` has another status. What has ended is left so."""
        item = self.open.get(transaction)
        if item is None:
            return
        item.steps[step] = status
        item.last_step = step
        if status in _ENDED:
            self._step_ended(transaction, item, step, status)

    def _step_ended(self, transaction: str, item: OpenTransaction, step: str, status: str) -> None:
        # Skipped says nothing of the host: it may be that the boot with the overlay is over.
        if step == "overlay" and status == "done" and not self.host.overlay:
            self.host = msgspec.structs.replace(self.host, overlay=True)
        if step == "promote" and status == "done":
            self._place(Placed(item.begun.promoted or item.begun.recipe, item.begun.beside))
            self.containerfile = item.begun.containerfile
        if step == state.LAST_STEPS.get(item.mode) or (step == "promote" and item.staged):
            del self.open[transaction]
            if item.mode in (state.ROLLBACK, state.UNSTAGE):
                # A person decided what boots next since: nothing is to be staged again.
                self.dropped = ""

    def _step_started(self, body: bodies.StepStarted, transaction: str, _event: Event) -> None:
        self.step(transaction, body.step, "started")

    def _recipe_taken(self, body: bodies.RecipeTaken, _transaction: str, _event: Event) -> None:
        self.layout = body.document
        if body.placed:
            self.placed = Placed(body.document, body.resources)

    def _place(self, placed: Placed) -> None:
        self.placed, self.layout = placed, placed.document

    def _step_done(self, body: bodies.StepDone, transaction: str, _event: Event) -> None:
        self.step(transaction, body.step, "done")

    def _step_skipped(self, body: bodies.StepSkipped, transaction: str, _event: Event) -> None:
        self.step(transaction, body.step, "skipped")

    def _step_undone(self, body: bodies.StepUndone, transaction: str, _event: Event) -> None:
        self.step(transaction, body.step, "undone")

    def _step_failed(self, body: bodies.StepFailed, transaction: str, _event: Event) -> None:
        self.step(transaction, body.step, "failed")
        if item := self.open.get(transaction):
            item.code, item.reason = body.code, body.reason

    def _step_undoing(self, body: bodies.StepUndoing, transaction: str, _event: Event) -> None:
        self.step(transaction, body.step, "undoing")
        item = self.open.get(transaction)
        if item and not item.reason:
            item.reason = body.reason

    def _rolled_back(
        self, _body: bodies.TransactionRolledBack, transaction: str, _event: Event
    ) -> None:
        self.open.pop(transaction, None)

    def _staged(self, body: bodies.TransactionStaged, transaction: str, _event: Event) -> None:
        made_by = transaction
        if item := self.open.get(transaction):
            item.staged = True
            if item.mode == state.DEPLOY:
                made_by = item.begun.target
                self._redeployed(made_by, body)
                del self.open[transaction]
            else:
                self._select(transaction, item, body)
        host = self.host
        # The log may learn of it only after the boot into it.
        if (host.booted, host.booted_txn) != (body.checksum, made_by):
            self.host = msgspec.structs.replace(
                host, staged=body.checksum, staged_txn=made_by, locked=False
            )
        self.dropped = ""
        self._let_go()

    def _redeployed(self, made_by: str, body: bodies.TransactionStaged) -> None:
        """The image of an earlier transaction is staged again, built anew perhaps."""
        if item := self.selections.get(made_by):
            self.selections[made_by] = msgspec.structs.replace(
                item, checksum=body.checksum, image_id=body.image_id
            )
        elif self._forgot:
            self._lost = True

    def _select(
        self, transaction: str, item: OpenTransaction, body: bodies.TransactionStaged
    ) -> None:
        begun = item.begun
        parent = self.selections.get(begun.parent)
        if self._forgot and (parent is None or not self.actions.keys() >= {*begun.drop}):
            self._lost = True
        # What was named and brought in is not held back any more.
        self.held.difference_update(begun.add)
        if parent is None:
            return
        between = self._wanted_between(parent.horizon, selections.horizon_of(parent, begun))
        self.selections[transaction] = msgspec.structs.replace(
            selections.grown(parent, begun, self.wanted, between),
            checksum=body.checksum,
            image_id=body.image_id,
            begun=item.seq,
        )
        self._check_gone(set(begun.drop))

    def _wanted_between(self, after: int, last: int) -> Iterator[int]:
        """The wanted actions with a number over `after`, up to `last`, newest first."""
        for seq in reversed(self.actions):
            if seq <= after:
                return
            if seq <= last and seq in self.wanted:
                yield seq

    def _host_seen(
        self,
        body: bodies.HostObserved | bodies.HostBooted,
        _transaction: str,
        event: Event,
    ) -> None:
        self._observed(body, event.boot)
        self._let_go()

    def _observed(
        self, body: bodies.HostObserved | bodies.HostBooted, boot: BootInstance | None
    ) -> None:
        before = self.host
        if isinstance(body, bodies.HostBooted):
            self.broken = ""
            here = {body.booted_txn, body.staged_txn, body.rollback_txn}
            lost = before.staged_txn in self.selections and before.staged_txn not in here
            if before.staged_txn and lost and not self._is_being_dropped(before.staged):
                self.dropped, self.failure = before.staged_txn, body.failure
        if self.dropped in (body.booted_txn, body.staged_txn, body.rollback_txn):
            # A person staged it again, or booted it.
            self.dropped = ""
        made = self.selections.get(body.booted_txn)
        if body.booted_txn and made is not None and not made.booted:
            self.selections[body.booted_txn] = msgspec.structs.replace(made, booted=True)
        self.host = Observed(
            body.booted,
            body.booted_txn,
            body.staged,
            body.staged_txn,
            body.rollback,
            body.rollback_txn,
            isinstance(body, bodies.HostObserved) and body.overlay,
            boot or before.boot,
            body.queued,
            body.locked,
        )

    def _is_being_dropped(self, checksum: str) -> bool:
        """Whether somebody was about to drop the staged deployment: then it is not missed."""
        goes = {
            item.begun.target if item.mode == state.UNSTAGE else item.begun.staged_before
            for item in self.open.values()
            if item.mode in (state.UNSTAGE, state.ROLLBACK, state.DEPLOY)
        }
        return checksum in goes

    # -- letting go --------------------------------------------------------------------------

    def _let_go(self, *, many: bool = False) -> None:
        """When what boots has moved: forget what has no bearing any more, if much came in."""
        if not self._compact:
            return
        many = many or len(self.actions) > self._limit
        if many or len(self.selections) > MAX_SELECTIONS:
            referred = self._referred()
            kept = {key: item for key, item in self.selections.items() if key in referred}
            self._forgot = self._forgot or len(kept) < len(self.selections)
            self.selections = kept
        if many:
            self._forget_superseded()
            self._limit = 2 * len(self.actions) + self._slack

    def _forget_superseded(self) -> None:
        forgotten = superseded(self.actions, self.wanted - self.held, self.selections.values())
        self._forgot = self._forgot or bool(forgotten)
        for key, seq in newest_writers(self.actions, forgotten).items():
            self._gone[key] = max(seq, self._gone.get(key, 0))
        self.wanted.difference_update(forgotten)
        for seq in forgotten:
            del self.actions[seq]

    def _check_gone(self, less: Set[int]) -> None:
        """`less` are wanted no more, or dropped: what was let go for them may be in force again."""
        known = less & self.actions.keys()
        self._lost = self._lost or not self._covers(known, self.wanted)

    def _covers(self, less: Set[int], wanted: Set[int]) -> bool:
        keys = {key for seq in less for key in keys_of(self.actions[seq])}
        gone = {key: self._gone[key] for key in keys & self._gone.keys()}
        return is_superseded(gone, self.actions, wanted - self.held, self.selections.values())

    def _slots(self) -> tuple[tuple[str, str], ...]:
        host = self.host
        return (
            (host.booted, host.booted_txn),
            (host.staged, host.staged_txn),
            (host.rollback, host.rollback_txn),
        )

    def _referred(self) -> set[str]:
        """The keys of the selections that a deployment or an open transaction rests on."""
        found = (self.deployment(*slot) for slot in self._slots() if slot[0])
        keys = {key for key in found if key is not None}
        # Told once, an adopted one has no other event to be told from again.
        keys |= self.adopted
        if self.dropped:
            keys.add(self.dropped)
        for transaction, item in self.open.items():
            # One that is staged and not yet promoted is asked for when its run ends.
            keys.add(transaction)
            if item.mode == state.APPLY:
                keys.add(item.begun.parent)
            elif item.mode == state.DEPLOY:
                keys.add(item.begun.target)
        return keys

    def _unknown_deployment(self) -> bool:
        """Whether a deployment of ours bears a selection that is not here.

        Of one that is open the selection comes with `transaction.staged`.
        """
        keys = {txn or self._key_of(checksum) for checksum, txn in self._slots() if checksum}
        return not keys <= {None, *self.selections, *self.open}


class _Saved(Struct, array_like=True):
    """A snapshot's layout. Sets are sorted lists: the same view is the same bytes."""

    position: int
    last_action: int
    clock: int
    log_id: bytes
    origin: bodies.SystemInitialized | None
    host: Observed
    actions: list[Action]
    wanted: list[int]
    selections: list[tuple[str, Deployed]]
    adopted: list[str]
    open: list[tuple[str, OpenTransaction]]
    held: list[int]
    dropped: str
    failure: str
    broken: str
    residue: list[tuple[str, str]]
    tags: list[tuple[str, int]]
    placed: Placed
    layout: str
    containerfile: str
    compact: bool
    slack: int
    limit: int
    gone: list[tuple[str, int]]
    forgot: bool
    lost: bool


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Saved).decode

_HANDLERS: dict[type[bodies.Body], Callable[[System, Any, str, Event], None]] = {
    bodies.PackageAdded: System._added,
    bodies.PackageRemoved: System._removed,
    bodies.BaseSet: System._base_set,
    bodies.BaseUpdated: System._base_set,
    bodies.DeploymentAdopted: System._deployment_adopted,
    bodies.WantedChanged: System._wanted_changed,
    bodies.ModuleAdded: System._module_placed,
    bodies.ModuleChanged: System._module_placed,
    bodies.ModuleRemoved: System._module_removed,
    bodies.EnvSet: System._env_changed,
    bodies.EnvRemoved: System._env_changed,
    bodies.ResourceSet: System._resource_changed,
    bodies.ResourceRemoved: System._resource_changed,
    bodies.TransactionBegun: System._begun,
    bodies.StepStarted: System._step_started,
    bodies.StepUndoing: System._step_undoing,
    bodies.SystemInitialized: System._initialized,
    bodies.StepDone: System._step_done,
    bodies.StepFailed: System._step_failed,
    bodies.StepUndone: System._step_undone,
    bodies.StepSkipped: System._step_skipped,
    bodies.TransactionStaged: System._staged,
    bodies.TransactionRolledBack: System._rolled_back,
    bodies.RecipeTaken: System._recipe_taken,
    bodies.HostObserved: System._host_seen,
    bodies.HostBooted: System._host_seen,
    bodies.WantedHeld: System._held_back,
    bodies.LiveBroken: System._live_broken,
    bodies.ResidueFound: System._residue_found,
    bodies.TagSet: System._tag_set,
    bodies.NoteAdded: System._note_added,
}
