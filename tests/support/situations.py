"""Situations in which a command is killed, and what others may do before it is taken up again."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple

from atomicstate.engine import apply, packages, prune, rollback
from atomicstate.engine.results import Silent
from atomicstate.engine.resume import resume as resume_all
from atomicstate.engine.selecting import Request
from atomicstate.engine.unfinished import abort
from atomicstate.events.asjson import kind
from tests.support.crossings import Frozen
from tests.support.fakehost import fake_host
from tests.support.sessions import adopted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from atomicstate.engine.session import Session
    from tests.support.crossings import Command
    from tests.support.sessions import Machine

SILENT = Silent()


# -- commands ------------------------------------------------------------------------------------


def add(session: Session, name: str) -> object:
    proposal = packages.propose(session, "add", (name,), live=False)
    return packages.carry_out(session, proposal, SILENT)


def apply_all(session: Session) -> object:
    return apply.carry_out(session, apply.propose(session), SILENT)


def apply_discarding(session: Session) -> object:
    proposal = apply.propose(session, Request(discard_staged=True))
    return apply.carry_out(session, proposal, SILENT)


def go_back(session: Session) -> object:
    return rollback.carry_out(session, rollback.propose(session), SILENT)


def to_the_first(session: Session) -> object:
    events = (event for event, _hash in session.log.events())
    first = next(event.transaction for event in events if kind(event) == "transaction.begun")
    return rollback.carry_out(session, rollback.propose(session, first), SILENT, to=first)


def to_the_booted(session: Session) -> object:
    booted = session.host.deployer.status().booted.checksum
    return rollback.carry_out(session, rollback.propose(session, booted), SILENT, to=booted)


def prune_all(session: Session) -> object:
    return prune.carry_out(session, prune.propose(session), SILENT)


RECOVERIES: dict[str, Command] = {
    "abort": lambda session: abort(session, SILENT),
    "resume": lambda session: resume_all(session, SILENT),
}


# -- situations ----------------------------------------------------------------------------------


class Situation(NamedTuple):
    """The packages `booted` one by one, those staged or recorded `then`, and the command."""

    booted: tuple[str, ...]
    then: tuple[str, ...]
    command: Command


SITUATIONS = {
    "first apply": Situation((), ("add jq",), apply_all),
    "apply": Situation(("jq", "tree"), ("add nano",), apply_all),
    "apply over staged": Situation(("jq", "tree"), ("stage nano", "add hello"), apply_all),
    "apply over queued": Situation(("jq", "tree"), ("go back", "add nano"), apply_all),
    "discard": Situation(("jq", "tree"), ("stage nano", "add hello"), apply_discarding),
    "discard foreign": Situation(("jq", "tree"), ("foreign", "add hello"), apply_discarding),
    "rollback": Situation(("jq", "tree"), (), go_back),
    "unstage": Situation(("jq", "tree"), ("stage nano",), go_back),
    "unstage newer": Situation(("jq", "tree"), ("stage nano", "stage hello"), go_back),
    "unstage over queued": Situation(("jq", "tree"), ("stage nano", "queued"), go_back),
    "to booted": Situation(("jq", "tree"), ("go back",), to_the_booted),
    "to first": Situation(("jq", "tree", "vim"), (), to_the_first),
    "to first over staged": Situation(("jq", "tree", "vim"), ("stage nano",), to_the_first),
    "to first over queued": Situation(("jq", "tree", "vim"), ("go back",), to_the_first),
    "prune": Situation(("jq", "tree", "vim"), (), prune_all),
}


def prepare(machine: Machine, step: str) -> None:
    what, _, name = step.partition(" ")
    if what in ("add", "stage", "boot"):
        machine.command(partial(add, name=name))
    match what:
        case "stage" | "boot":
            machine.command(apply_all)
        case "go":
            machine.command(go_back)
        case "queued":
            machine.host.queued = True
        case "foreign":
            stage(machine, "zero")
    if what == "boot":
        machine.host.reboot()


@cache
def begun_with(steps: tuple[str, ...], scratch: Path) -> Frozen:
    """The machine after these steps."""
    if not steps:
        return Frozen(adopted(scratch / "state", fake_host()))
    with begun_with(steps[:-1], scratch).thawed() as machine:
        prepare(machine, steps[-1])
        return Frozen(machine)


def start_of(situation: Situation, scratch: Path) -> Frozen:
    return begun_with((*(f"boot {name}" for name in situation.booted), *situation.then), scratch)


# -- what comes between --------------------------------------------------------------------------


class Theirs(NamedTuple):
    """What somebody else `staged`, and whether they `queued` a rollback: it is to stay."""

    staged: str = ""
    queued: bool = False

    def lost(self, machine: Machine) -> Iterator[str]:
        staged = machine.host.deployments["staged"]
        if self.staged and not (staged and staged.image == self.staged):
            yield "what somebody staged is gone"
        if self.queued and not machine.host.queued:
            yield "what somebody queued is not queued any more"
        if self.queued and staged and staged.image != self.staged:
            yield "staged over what somebody queued"


def stage(machine: Machine, name: str) -> str:
    image = machine.host._image(f"elsewhere/{name}:1", {}, frozenset({"bash"}))
    machine.host.stage(image)
    return image.reference


def boots(machine: Machine, _theirs: Theirs, **how: bool) -> Theirs | None:
    if how.get("other_entry") and not machine.host.deployments["rollback"]:
        return None
    machine.host.reboot(**how)
    return Theirs()


def stages(machine: Machine, theirs: Theirs, name: str) -> Theirs:
    return theirs._replace(staged=stage(machine, name))


def stages_and_boots(machine: Machine, _theirs: Theirs) -> Theirs:
    stage(machine, "one")
    machine.host.reboot()
    return Theirs()


def queues(machine: Machine, _theirs: Theirs) -> Theirs | None:
    """Where it can be told from what an open transaction queues, or takes out of the queue."""
    slot = machine.host.deployments["rollback"]
    if not slot or machine.host.queued:
        return None
    still_open = machine.command(lambda session: [*session.system().open.values()])
    for item in still_open:
        takes_out = item.begun.boots_next == slot.checksum and item.steps.get("unqueue") != "done"
        queues_it = item.begun.target == slot.checksum and item.steps.get("rollback") != "undone"
        if takes_out or queues_it:
            return None
    machine.host.rollback(slot.checksum)
    return Theirs(queued=True)


def unqueues(machine: Machine, theirs: Theirs) -> Theirs | None:
    if not machine.host.queued:
        return None
    machine.host.unqueue()
    return theirs._replace(queued=False)


def unstages(machine: Machine, theirs: Theirs) -> Theirs | None:
    if not machine.host.deployments["staged"]:
        return None
    machine.host.deployments["staged"] = None
    return theirs._replace(staged="")


Between = dict[str, "Callable[[Machine, Theirs], Theirs | None]"]

BETWEEN: Between = {
    "nothing": lambda _machine, theirs: theirs,
    "boot": boots,
    "power cut": partial(boots, power_cut=True),
    "other entry": partial(boots, other_entry=True),
    "power cut, other entry": partial(boots, power_cut=True, other_entry=True),
    "staged": partial(stages, name="one"),
    "staged and booted": stages_and_boots,
    "queued": queues,
    "unqueued": unqueues,
    "unstaged": unstages,
}
AGAIN = {name: BETWEEN[name] for name in ("nothing", "boot", "power cut", "other entry", "queued")}
AGAIN["staged"] = partial(stages, name="two")
