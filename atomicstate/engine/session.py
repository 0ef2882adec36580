"""One command's hold on the log, the host and the view of both. Everything is opened when first
needed: reading commands stay cheap.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Self

from atomicstate.errors import AtomicstateError, NotPermittedError, TooNewError
from atomicstate.events.event import Draft, UnknownEvent
from atomicstate.projectors import system as view
from atomicstate.projectors.fold import fold
from atomicstate.store.log import CHECK_LIMIT
from atomicstate.store.snapshots import Snapshot
from atomicstate.store.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from atomicstate.events.bodies import AnyBody, HostBooted, HostObserved
    from atomicstate.events.event import Actor, BootInstance, Event
    from atomicstate.host.ports import Host, HostStatus, OverlayState
    from atomicstate.store.blobs import Blobs
    from atomicstate.store.locks import Holder
    from atomicstate.store.log import Log

SNAPSHOTS = ("system", "system-before", "system-long-before")
"""The newest view that was saved, the one before it, and one from FAR events before that."""

FAR = 20_000

PATIENCE = 600.0
"""Seconds that a recording command waits for another: a live install may take its time."""

LOOK = 0.3
"""Seconds after which a lock that is held is really held."""

SNAPSHOT_AFTER = 200
"""So many events after the newest snapshot, a command leaves a new one behind."""


class Session:
    """The log under `state_dir`, the host (that of `sandbox`, or this machine), and who acts.

    With `elsewhere` the log is another host's: what it tells of that one is not held against this.
    """

    def __init__(
        self, state_dir: Path, sandbox: Path | None, actor: Actor, *, elsewhere: bool = False
    ) -> None:
        self.elsewhere = elsewhere
        self.state_dir = state_dir
        self.sandbox = sandbox
        self.actor = actor
        self._system: view.System | None = None
        self._loaded: dict[str, Snapshot | None] = {}
        self._news: tuple[HostObserved | HostBooted, ...] = ()
        self._looked_at = 0
        self._ahead: list[tuple[str, AnyBody]] = []
        self._status: HostStatus | None = None
        self._overlay: OverlayState | None = None
        self._look = LOOK

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the log; leave a snapshot where it is due."""
        if "log" in vars(self):
            self._leave_snapshot()
            self.log.close()

    @cached_property
    def state(self) -> State:
        """The state directory."""
        return State(self.state_dir)

    def pipeline(self) -> AbstractContextManager[int]:
        """The lock of the pipeline. Raises LockedError, which names who holds it."""
        # A look at the lock by another process holds it for an instant.
        return self.state.pipeline(self.actor.verb, wait=self._look)

    def await_pipeline(self, on_wait: Callable[[Holder], None]) -> None:
        """Wait until nobody holds the pipeline's lock; this session will wait for it, too.

        `on_wait` is told whom it waits for, each time it is another.
        """
        import time

        self._look = float("inf")
        told = None
        while holder := self.state.pipeline_holder():
            if holder != told:
                told = holder
                on_wait(holder)
            time.sleep(LOOK)

    def recording(self) -> AbstractContextManager[int]:
        """The lock of recording commands: they wait for each other."""
        return self.state.recording(self.actor.verb, wait=PATIENCE)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Both locks: nobody else works on the host. Raises LockedError, which names who does."""
        with self.pipeline(), self.state.recording(self.actor.verb, wait=self._look):
            yield

    @cached_property
    def log(self) -> Log:
        """The log. Raises NotFoundError where `init` was never run.

        Where nothing can be written, for reading alone: appending to it says so.
        """
        try:
            return self.state.open_log()
        except NotPermittedError:
            return self.state.open_log(write=False)

    @property
    def blobs(self) -> Blobs:
        """The blobs beside the log."""
        return self.state.blobs

    @cached_property
    def host(self) -> Host:
        """The host. Raises HostError where there is none that can be driven."""
        from atomicstate.host.detect import open_host

        return open_host(self.sandbox)

    # -- the view ----------------------------------------------------------------------------

    def system(self) -> view.System:
        """The view of the log as it is now: the snapshot, and what came after it."""
        if self._system is None:
            self._system = self._from_snapshot()
        head = self.log.head()
        if head.seq > self._system.position:
            self._catch_up(self._system, head.seq)
            if not self._system.complete:
                # What the view had let go counts again: only the whole log tells.
                self._system = view.System(compact=False)
                self._catch_up(self._system, head.seq)
        return self._system

    def system_at(self, position: int) -> view.System:
        """The view as it was after the event `position`: from a snapshot before it, if there is."""
        if position >= self.log.head().seq:
            return self.system()
        system = self._from_snapshot(position)
        self._catch_up(system, position)
        return system if system.complete else self.whole_at(position)

    def whole_at(self, position: int) -> view.System:
        """As `system_at`, with all that the view lets go: the log is folded from its beginning."""
        system = view.System(compact=False)
        self._catch_up(system, position)
        return system

    def _catch_up(self, system: view.System, head: int) -> None:
        """Fold what came after; the chain is checked over a tail of usual length."""
        start = system.position + 1
        short = head - start < CHECK_LIMIT
        fold(
            system,
            self.log.records(start, head + 1),
            check_from=self.log.hash_at(start - 1) if short else None,
        )

    def _from_snapshot(self, position: int | None = None) -> view.System:
        """The newest view that was saved, of those up to `position`."""
        for name in SNAPSHOTS:
            found = self._load(name)
            if found is not None and (position is None or found.position <= position):
                return view.System.from_bytes(found.payload)
        return view.System()

    def _leave_snapshot(self) -> None:
        """A convenience for the next command: it need not succeed."""
        system = self._system
        newest, before, long_before = SNAPSHOTS
        saved = self._load(newest) if system is not None else None
        if system is None or system.position - (saved.position if saved else 0) < SNAPSHOT_AFTER:
            return
        # The recent past is asked for too, and a snapshot serves only what comes after it.
        older, oldest = self._load(before), self._load(long_before)
        if older and older.position - (oldest.position if oldest else 0) >= FAR:
            self._save(long_before, older)
        if saved:
            self._save(before, saved)
        system.let_go()
        self._save(newest, Snapshot(system.position, system.to_bytes(), system.clock))

    def _load(self, name: str) -> Snapshot | None:
        if name not in self._loaded:
            self._loaded[name] = self.state.snapshots.load(name, str(view.VERSION), self.log)
        return self._loaded[name]

    def _save(self, name: str, saved: Snapshot) -> None:
        hash_there = self.log.hash_at(saved.position)
        position, payload, clock = saved
        version = str(view.VERSION)
        self.state.snapshots.save(name, version, position, hash_there, payload, clock=clock)

    def event(self, seq: int) -> Event:
        """The event `seq`. Raises TooNewError where a newer version wrote it."""
        event, _hash = self.log.get(seq)
        if isinstance(event, UnknownEvent):
            raise TooNewError(f"event {seq} is of the kind {event.kind}, which is not known here")
        return event

    # -- the host ----------------------------------------------------------------------------

    def host_status(self, *, fresh: bool = False) -> HostStatus:
        """The deployments. Asked once in a command, unless `fresh`."""
        if self._status is None or fresh:
            self._status = self.host.deployer.status()
        return self._status

    def is_over(self, boot: BootInstance | None) -> bool:
        """Whether the host was booted again since the boot instance `boot`; of None not known."""
        return boot is not None and self.host_status().boot != boot

    def overlay_state(self, *, fresh: bool = False) -> OverlayState:
        """The overlay. Asked once in a command, unless `fresh`: it may take a process."""
        if self._overlay is None or fresh:
            self._overlay = self.host.overlay.state()
        return self._overlay

    def observe(self) -> view.System:
        """The view, with what the host shows now folded in.

        What differs from the last observation goes into the log with this command's first event,
        not on its own: looking changes nothing.
        """
        from atomicstate.engine.observe import news

        system = self.system()
        if self.elsewhere:
            return system
        status = self.host_status(fresh=True)
        self._news = news(system, status, self.overlay_state(fresh=True))
        self._looked_at = system.position
        if not self._news:
            return system
        seen = self._with_news(system, status)
        if not seen.complete:
            self._system = view.System(compact=False)
            seen = self._with_news(self.system(), status)
        return seen

    def _with_news(self, system: view.System, status: HostStatus) -> view.System:
        seen = view.System.from_bytes(system.to_bytes())
        for body in self._news:
            seen.apply_body(body, status.boot)
        return seen

    def observe_whole(self) -> view.System:
        """As `observe`, with all that the view lets go: the whole log is folded for it."""
        self._system = view.System(compact=False)
        return self.observe()

    def observe_since(self, first: int) -> view.System:
        """As `observe`, with every action from the event `first` on, whatever has no bearing."""
        self._system = self._from_snapshot(first - 1)
        self._system.keep_all()
        return self.observe()

    def observe_knowing(self, transaction: str) -> view.System:
        """As `observe`, with the selection of `transaction`, where it staged anything."""
        system = self.observe()
        return system if transaction in system.selections else self.observe_whole()

    def record_news(self) -> None:
        """Make durable what the last observation found, where it found anything."""
        if self._news:
            self.append(())

    # -- the log -----------------------------------------------------------------------------

    def put_ahead(self, transaction: str, body: AnyBody) -> None:
        """`body` of `transaction` goes into the next commit, before what that is called with."""
        self._ahead.append((transaction, body))

    def append(
        self,
        bodies: Sequence[AnyBody],
        *,
        transaction: str = "",
        decided_at: int | None = None,
        outcome: bool = False,
        request: str = "",
    ) -> list[Event]:
        """Make `bodies` durable, in one commit, after what the last observation found.

        `request` is an id that they share, where several were asked for in one go. `outcome`: they
        tell what was done already, so they are written even where space is short: the reserve is
        given up for them. Returns the events of `bodies`.
        """
        if self._news and self.log.head().seq > self._looked_at:
            # Another process wrote meanwhile: what was news may be known, or not so any more.
            try:
                self.observe()
            except AtomicstateError:
                self._news = ()
        boot = self.host_status().boot
        drafts = [Draft(body=body, actor=self.actor, boot=boot) for body in self._news]
        drafts += [
            Draft(body=body, actor=self.actor, boot=boot, transaction=of, request=request)
            for of, body in (*self._ahead, *((transaction, body) for body in bodies))
        ]
        if outcome:
            events = self.state.append_outcome(self.log, drafts)
        else:
            events = self.log.append(drafts, decided_at=decided_at)
        before = len(self._news) + len(self._ahead)
        self._news = ()
        self._ahead.clear()
        return events[before:]
