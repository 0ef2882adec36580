"""The log and the host, told naively: what the engine's answers are held against.

Nothing is let go, nothing is saved, and no code of the projectors is used: every event is folded
in the most obvious way, and what a deployment holds is asked of the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.events import bodies
from atomicstate.events.asjson import kind
from atomicstate.host.ports import LABEL_LOG, LABEL_TRANSACTION

if TYPE_CHECKING:
    from atomicstate.events.event import Event
    from atomicstate.host.ports import Deployment
    from tests.support.fakehost import FakeHost

ACTIONS = frozenset(
    {"package.added", "package.removed", "base.set", "base.updated", "deployment.adopted"}
)
_LAST_STEP = {
    "apply": "promote",
    "overlay": "overlay",
    "restore": "live",
    "rollback": "rollback",
    "unstage": "unstage",
    "prune": "prune",
    "withdraw": "withdraw",
}
OPEN, DONE, TAKEN_BACK = "open", "done", "taken back"


class Story:
    """One transaction: its begin, the newest status of each step, and how it stands."""

    def __init__(self, begun: Event) -> None:
        assert isinstance(begun.body, bodies.TransactionBegun)
        self.begun = begun.body
        self.boot = begun.boot
        self.steps: dict[str, str] = {}
        self.state = OPEN
        self.staged = ""

    @property
    def mode(self) -> str:
        return self.begun.mode


class Model:
    """`wanted`, `held`, `selections` and `stories` after the events that `take` was given."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.actions: dict[int, Event] = {}
        self.wanted: set[int] = set()
        self.held: set[int] = set()
        self.selections: dict[str, frozenset[int]] = {"": frozenset()}
        self.stories: dict[str, Story] = {}
        self.origin: bodies.SystemInitialized | None = None

    def take(self, event: Event) -> None:
        assert event.seq == len(self.events) + 1
        self.events.append(event)
        body, story = event.body, self.stories.get(event.transaction)
        if kind(event) in ACTIONS:
            self.actions[event.seq] = event
            self.wanted.add(event.seq)
            if story:
                story.state = DONE
        match body:
            case bodies.SystemInitialized():
                self.origin = body
            case bodies.DeploymentAdopted():
                self.selections[body.checksum] = frozenset({event.seq})
            case bodies.WantedChanged():
                self.wanted = (self.wanted - set(body.void)) | set(body.revive)
            case bodies.WantedHeld():
                self.held = set(body.seqs)
            case bodies.TransactionBegun():
                assert event.transaction not in self.stories
                self.stories[event.transaction] = Story(event)
            case _ if story:
                self._of_transaction(event.transaction, story, body)

    def _of_transaction(self, transaction: str, story: Story, body: bodies.AnyBody) -> None:
        match body:
            case bodies.StepStarted():
                self._step(story, body.step, "started")
            case bodies.StepFailed():
                self._step(story, body.step, "failed")
            case bodies.StepUndoing():
                self._step(story, body.step, "undoing")
            case bodies.StepUndone():
                self._step(story, body.step, "undone")
            case bodies.StepDone() | bodies.StepSkipped():
                self._step(story, body.step, "done")
                if body.step == _LAST_STEP.get(story.mode):
                    story.state = DONE
            case bodies.TransactionStaged():
                story.staged = body.checksum
                begun = story.begun
                if begun.mode == "deploy":
                    story.state = DONE
                else:
                    there = self.selections[begun.parent]
                    self.selections[transaction] = there.union(begun.add).difference(begun.drop)
                    self.held -= set(begun.add)
            case bodies.TransactionRolledBack():
                assert not story.staged, "staged by the log, and taken back"
                story.state = TAKEN_BACK

    @staticmethod
    def _step(story: Story, step: str, status: str) -> None:
        assert story.state == OPEN, "a step of a transaction that has ended"
        story.steps[step] = status

    # -- answers -----------------------------------------------------------------------------

    @property
    def open(self) -> dict[str, Story]:
        return {key: it for key, it in self.stories.items() if it.state == OPEN}

    def key_of(self, deployment: Deployment | None, log_id: str) -> str | None:
        """The selection of a deployment; None of one that is foreign, or not in the log yet."""
        assert self.origin is not None
        if deployment is None:
            return None
        if deployment.labels.get(LABEL_LOG) == log_id:
            transaction = deployment.labels[LABEL_TRANSACTION]
            assert transaction in self.stories, "a deployment that the log knows nothing of"
            return transaction if transaction in self.selections else None
        if deployment.checksum == self.origin.booted:
            return ""
        return deployment.checksum if deployment.checksum in self.selections else None

    def pending(self, key: str | None) -> set[tuple[int, str]]:
        """(number, add or drop) of what is pending on top of the selection `key`."""
        if key is None:
            return {(seq, "add") for seq in self._last_writers(self.wanted - self.held)}
        there = self.selections[key]
        add = self.wanted - there - self.held
        return {(seq, "add") for seq in add} | {(seq, "drop") for seq in there - self.wanted}

    def held_back(self, key: str | None) -> set[int]:
        return (self.wanted & self.held) - self.selections.get(key or "", frozenset())

    def _last_writers(self, seqs: set[int]) -> set[int]:
        last = {}
        for seq in sorted(seqs):
            for name in getattr(self.actions[seq].body, "names", ("/base",)):
                last[name] = seq
        return set(last.values())

    def packages(self, host: FakeHost, key: str) -> frozenset[str]:
        """What an image of the selection `key` has to hold."""
        assert self.origin is not None
        actions = [self.actions[seq].body for seq in sorted(self.selections[key])]
        base = self.origin.base_id
        writer: dict[str, bodies.AnyBody] = {}
        for body in actions:
            if isinstance(body, bodies.PackageAdded | bodies.PackageRemoved):
                writer |= dict.fromkeys(body.names, body)
            else:
                base = body.image_id
        there = set(host.contents[base])
        for body in actions:
            names = tuple(name for name in getattr(body, "names", ()) if writer[name] is body)
            if isinstance(body, bodies.PackageAdded):
                # Of what the base held, the removal is dropped: it is the base's matter again.
                asked = tuple(name for name in names if name not in body.in_base)
                there |= host._with(set(), asked, ())
            elif of_base := tuple(name for name in names if name in body.in_base):
                # What the base did not hold then needs no removal: the addition was left out.
                there = host._with(there, (), of_base)
        return frozenset(there)

    def tree(self, host: FakeHost) -> set[str]:
        """What the running tree has to hold: its image, and what was done live in this boot."""
        booted = host.deployments["booted"]
        assert booted is not None
        there = set(host.packages_of(booted.image_digest))
        for event in self.events:
            body = event.body
            if isinstance(body, bodies.PackageAdded | bodies.PackageRemoved) and body.live:
                done = event.boot == host.boot
                plan = body.plan
            elif isinstance(body, bodies.StepDone) and body.step == "live":
                story = self.stories[event.transaction]
                done = story.mode == "restore" and story.boot == host.boot
                plan = story.begun.plan
            else:
                continue
            if done and plan is not None:
                there |= {change.name for change in plan.comes}
                there -= {change.name for change in plan.goes}
        return there
