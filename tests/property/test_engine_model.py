"""The engine against a naive model: commands, failures, kills, boots and meddlers, in any order.

After each step the promises of the design hold: the log is whole and keeps what was acknowledged,
an apply is staged or nothing of it is left, `status` says what is so, nobody's work is lost.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from atomicstate.engine import apply, base, documents, leave, overlay, packages, rollback
from atomicstate.engine.adopt import adopt
from atomicstate.engine.initialize import initialize as init
from atomicstate.engine.results import Silent
from atomicstate.engine.selecting import Request
from atomicstate.engine.status import status
from atomicstate.engine.unfinished import abort, resume
from atomicstate.engine.withdraw import withdraw
from atomicstate.errors import AtomicstateError, CanceledError, UnclearError
from atomicstate.events.asjson import kind as kind_of
from atomicstate.host.ports import LABEL_LOG, LABEL_TRANSACTION
from atomicstate.machine.state import transaction_state
from atomicstate.machine.table import OF_THE_OVERLAY
from atomicstate.projectors import pending as projected
from atomicstate.projectors import system as view
from atomicstate.projectors.fold import fold
from atomicstate.store.verify import verify
from tests.support.engine_model import ACTIONS, DONE, OPEN, TAKEN_BACK, Model
from tests.support.fakehost import Crash, fake_host
from tests.support.faults import FAIL, INTERRUPT, KILL, UNCLEAR, Faults
from tests.support.sessions import Machine

if TYPE_CHECKING:
    from collections.abc import Callable

    from atomicstate.engine.session import Session

SILENT = Silent()
BASE = ("bash", "coreutils", "vim")
BASES = {"localhost/other:2": {"bash", "nano"}, "localhost/other:3": {"bash", "coreutils"}}
NAMES = st.lists(
    st.sampled_from(["jq", "oniguruma", "tree", "hello", "nano", "vim", "nonsuch"]),
    min_size=1, max_size=2, unique=True,
)  # fmt: skip
NONE = st.builds(Faults)
FAULTS = st.one_of(
    NONE,
    NONE,
    st.builds(Faults, st.just(KILL), st.tuples(st.integers(0, 45))),
    st.builds(Faults, st.just(FAIL), st.sets(st.integers(0, 8), min_size=1, max_size=3)),
    st.builds(
        Faults, st.sampled_from([UNCLEAR, INTERRUPT]), st.tuples(st.integers(0, 8))
    ),
)  # fmt: skip


class Engine(RuleBasedStateMachine):
    """`mine` is what a person wrote into image.yml, None while the program's own lies there."""

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        self.scratch = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self.host = fake_host(BASE)
        for reference, held in BASES.items():
            self.host._image(reference, {}, frozenset(held))
        self.host.registry["localhost/other:2"] = frozenset({"bash", "nano", "tree"})
        self.machine = Machine(self.scratch / "state", self.host)
        self.recipe = self.machine.directory / "recipe" / "image.yml"
        self.model = Model()
        self.hashes: list[bytes] = []
        self.acknowledged: dict[int, tuple[str, tuple[str, ...]]] = {}
        self.mine: bytes | None = None
        self.foreign = 0
        self.adoptions = 0
        self.log_id = ""
        self.patches = ExitStack()
        # Snapshots and letting go are to happen all the time.
        self.patches.enter_context(patch("atomicstate.engine.session.SNAPSHOT_AFTER", 5))
        self.patches.enter_context(patch.object(view, "MAX_SELECTIONS", 2))
        defaults = {"compact": True, "slack": 3}
        self.patches.enter_context(patch.object(view.System.__init__, "__kwdefaults__", defaults))

    @initialize()
    def begin(self) -> None:
        self.machine.command(init, "init")
        self.read()

    # -- running a command -------------------------------------------------------------------

    def run(
        self,
        work: Callable[[Session], object],
        faults: Faults,
        *,
        gives_up: bool = False,
        adopting: bool = False,
        recovery: bool = False,
    ) -> object:
        """What `work` returned, or the AtomicstateError or Crash that it came to.

        `gives_up`: what is staged may go. `recovery`: it ends unfinished work.
        """
        before, events = self.fingerprint(), len(self.model.events)
        staged, was_open = self.host.deployments["staged"], self.model.open
        outcome: object
        session = self.machine.session()
        with faults.armed(self.host):
            try:
                outcome = work(session)
            except (AtomicstateError, Crash) as error:
                outcome = error
            except KeyboardInterrupt:
                # The command line makes that of Ctrl-C where no transaction runs.
                outcome = CanceledError("canceled")
        if isinstance(outcome, Crash):
            session.log.close()
        else:
            session.close()
        self.read()
        new = self.model.events[events:]
        self.adoptions += adopting and any(kind_of(it) == "deployment.adopted" for it in new)
        if isinstance(outcome, AtomicstateError):
            # A switch or a leave that fails after its record leaves that pending.
            asked = [event for event in new if kind_of(event) in ACTIONS]
            interrupted = any(story.mode in OF_THE_OVERLAY for story in was_open.values())
            if not interrupted and not recovery:
                assert not asked, f"{outcome!r}, and yet {asked}"
                if not faults.came:
                    assert self.fingerprint() == before, f"{outcome!r}, and yet the host changed"
                    assert self.model.open.keys() <= was_open.keys()
        elif not isinstance(outcome, Crash) and recovery:
            assert not self.model.open, "something is still open"
        if isinstance(outcome, AtomicstateError) and not isinstance(outcome, UnclearError):
            for story in self.model.open.values():
                undoing = {"failed", "undoing", "undone"} & {*story.steps.values()}
                assert undoing or faults.came or story in was_open.values()
        if recovery and staged is not None:
            # Who began it was told that this goes.
            told = [(it.begun.staged_before, it.begun.target) for it in was_open.values()]
            gives_up = gives_up or any(staged.checksum in item for item in told)
        self.nothing_discarded(staged, gives_up=gives_up)
        return outcome

    def fingerprint(self) -> object:
        host = self.host
        slots = {key: it and it.checksum for key, it in host.deployments.items()}
        return (
            slots,
            host.queued,
            sorted(image.id for image, _ in host.images.values()),
            sorted(host.tree),
            sorted(host.files.items()),
            host.overlay_on,
        )

    def nothing_discarded(self, staged, *, gives_up: bool) -> None:
        """What was staged still is, or lives on in what is now, unless that was asked for."""
        now = self.host.deployments["staged"]
        if staged is None or (now and now.checksum == staged.checksum) or gives_up:
            return
        assert now is not None, "what was staged is gone"
        story = self.model.stories[now.labels[LABEL_TRANSACTION]]
        key = self.model.key_of(staged, self.log_id)
        assert key is not None, "what a foreign tool staged is gone"
        assert story.begun.parent == key, "what was staged is not in what is staged now"

    def read(self) -> None:
        """Take in what the log says now; what it said before stands."""
        with self.machine.session() as session:
            self.log_id = session.log.log_id.hex()
            at = len(self.hashes)
            if at:
                assert session.log.hash_at(at) == self.hashes[-1], "the past is another one"
            for event, found in session.log.events(at + 1):
                self.model.take(event)
                self.hashes.append(found)

    def acknowledge(self, result) -> None:
        self.acknowledged[result.seq] = (result.kind, getattr(result, "names", ()))

    # -- commands ----------------------------------------------------------------------------

    @rule(verb=st.sampled_from(["add", "add", "remove"]), names=NAMES, live=st.booleans(),
          faults=FAULTS, between=st.sampled_from(["", "", "", "foreign", "record"]))  # fmt: skip
    def package(self, verb, names, live, faults, between) -> None:
        proposal = self.run(lambda s: packages.propose(s, verb, names, live=live), Faults())
        if isinstance(proposal, AtomicstateError):
            return
        goes = {change.name for change in proposal.plan.goes}
        comes = {change.name for change in proposal.plan.comes}
        if live and (comes & self.host.tree or not goes <= self.host.tree):
            # Known to be wrong: over what is pending and was not done live, the plan tells what is
            # not so in the tree, and taking it back would change what it never did.
            return
        self.meanwhile(between)
        result = self.run(lambda s: packages.carry_out(s, proposal, SILENT), faults)
        if not isinstance(result, BaseException):
            self.acknowledge(result)

    @rule(faults=FAULTS, discard=st.booleans(), few=st.integers(0, 3), closure=st.booleans(),
          between=st.sampled_from(["", "", "", "foreign", "record", "edit"]))  # fmt: skip
    def apply(self, faults, discard, few, closure, between) -> None:
        def propose(session: Session):
            waiting = projected.pending(session.observe())
            chosen = tuple(str(item.seq) for item in waiting[:few])
            request = Request(selected=chosen, discard_staged=discard, with_dependencies=closure)
            return apply.propose(session, request)

        proposal = self.run(propose, Faults())
        if isinstance(proposal, AtomicstateError):
            return
        self.meanwhile(between)
        before, was_open = self.fingerprint(), set(self.model.open)
        result = self.run(lambda s: apply.carry_out(s, proposal, SILENT), faults, gives_up=discard)
        if isinstance(result, BaseException):
            if len(faults.came) == 1 and faults.kind in (FAIL, INTERRUPT):
                assert self.model.open.keys() == was_open
                assert self.fingerprint() == before
            return
        staged = self.host.deployments["staged"]
        assert staged is not None
        assert staged.checksum == result.checksum
        assert self.model.key_of(staged, self.log_id) == result.transaction

    @rule(reference=st.sampled_from([*BASES, "localhost/base:test"]), faults=FAULTS,
          apply_it=st.booleans())  # fmt: skip
    def another_base(self, reference, faults, apply_it) -> None:
        if not apply_it:
            result = self.run(lambda s: base.record(s, base.propose(s, reference), SILENT), faults)
            if not isinstance(result, BaseException):
                self.acknowledge(result)
            return
        change = self.run(lambda s: base.propose_switch(s, reference), Faults())
        if not isinstance(change, AtomicstateError):
            # A switch that fails leaves its base pending: no refusal.
            self.run(lambda s: base.switch(s, change, SILENT), faults, recovery=False) if (
                not faults.kind
            ) else None

    @rule(faults=FAULTS, discard=st.booleans(), to=st.integers(0, 6),
          between=st.sampled_from(["", "", "", "foreign", "record"]))  # fmt: skip
    def rollback(self, faults, discard, to, between) -> None:
        """`rollback`, or `rollback --to` the transaction `to`, counted from the newest."""
        applied = [key for key, it in self.model.stories.items() if it.mode == "apply"]
        named = applied[-to] if 0 < to <= len(applied) else ""
        proposal = self.run(lambda s: rollback.propose(s, named, discard_staged=discard), Faults())
        if isinstance(proposal, AtomicstateError):
            return
        self.meanwhile(between)
        before = self.fingerprint()
        result = self.run(
            lambda s: rollback.carry_out(s, proposal, SILENT, to=named), faults, gives_up=True
        )
        first = self.host.status().boots_next
        if not isinstance(result, BaseException):
            assert first is not None
            assert first.checksum == result.target.checksum
            held = self.model.held_back(self.model.key_of(first, self.log_id))
            assert held == set(result.held)
        elif len(faults.came) == 1 and faults.kind in (FAIL, INTERRUPT):
            assert not self.model.open
            assert self.fingerprint() == before

    @rule(faults=FAULTS)
    def leave(self, faults) -> None:
        proposal = self.run(leave.propose, Faults())
        if isinstance(proposal, AtomicstateError):
            return
        result = self.run(lambda s: leave.carry_out(s, proposal, SILENT), faults)
        if not isinstance(result, BaseException):
            assert not [
                seq for seq in self.model.wanted if hasattr(self.model.actions[seq].body, "names")
            ]

    @rule(faults=FAULTS)
    def base_update(self, faults) -> None:
        result = self.run(lambda s: base.update(s, SILENT), faults)
        if not isinstance(result, BaseException):
            self.acknowledge(result)

    @rule(faults=FAULTS)
    def adopt(self, faults) -> None:
        result = self.run(lambda s: adopt(s, SILENT), faults, adopting=True)
        if not isinstance(result, BaseException):
            self.acknowledged[result.seq] = ("deployment.adopted", ())

    @rule(faults=FAULTS)
    def overlay(self, faults) -> None:
        result = self.run(lambda s: overlay.enable(s, SILENT), faults)
        if not isinstance(result, BaseException):
            assert self.host.overlay_on

    @rule(faults=FAULTS)
    def init_again(self, faults) -> None:
        result = self.run(init, faults)
        assert isinstance(result, Crash) or result.already

    @rule(faults=FAULTS)
    def resume(self, faults) -> None:
        self.run(lambda s: resume(s, SILENT), faults, recovery=True)

    @precondition(lambda self: self.model.open)
    @rule(faults=FAULTS)
    def resume_what_is_open(self, faults) -> None:
        self.run(lambda s: resume(s, SILENT), faults, recovery=True)

    @rule(faults=FAULTS)
    def abort(self, faults) -> None:
        staged = self.host.deployments["staged"]
        # What the log does not say is staged yet is given up too.
        ours = staged is not None and staged.labels.get(LABEL_LOG) == self.log_id
        self.run(lambda s: abort(s, SILENT), faults, recovery=True, gives_up=ours)

    @precondition(lambda self: self.model.open)
    @rule()
    def somehow_it_ends(self) -> None:
        """Where no more goes wrong, resume or else abort ends what is open."""
        resumed = self.run(lambda s: resume(s, SILENT), Faults(), recovery=True)
        if isinstance(resumed, AtomicstateError) and self.model.open:
            ended = self.run(lambda s: abort(s, SILENT), Faults(), recovery=True, gives_up=True)
            assert not isinstance(ended, AtomicstateError), f"{resumed!r}, then {ended!r}"

    # -- the world ---------------------------------------------------------------------------

    def meanwhile(self, what: str) -> None:
        if what == "foreign":
            self.a_foreign_tool_stages(locked=False)
        elif what == "edit":
            self.a_person_edits(b"image: mine:1 # meanwhile\n")
        elif what == "record":
            self.package("add", ["hello"], False, Faults(), "")

    @rule(locked=st.booleans())
    def a_foreign_tool_stages(self, *, locked: bool) -> None:
        self.foreign += 1
        image = self.host._image(
            f"localhost/foreign:{self.foreign}", {}, frozenset({"bash", "hello"})
        )
        self.host.stage(image)
        staged = self.host.deployments["staged"]
        self.host.deployments["staged"] = msgspec.structs.replace(staged, locked=locked)

    @rule()
    def a_foreign_tool_unstages(self) -> None:
        self.host.deployments["staged"] = None

    @precondition(lambda self: self.host.deployments["rollback"])
    @rule()
    def a_foreign_tool_rolls_back(self) -> None:
        if self.host.queued:
            self.host.unqueue()
        else:
            self.host.rollback(self.host.deployments["rollback"].checksum)

    @rule(content=st.sampled_from([b"image: mine:1\n", b"not: [a recipe", b"own", b""]))
    def a_person_edits(self, content: bytes) -> None:
        """They write something, put the program's own back, or delete the file."""
        self.mine = None
        if content == b"own":
            content = self.machine.command(documents.recipe).content
        elif content:
            self.mine = content
        else:
            self.recipe.unlink(missing_ok=True)
            return
        self.recipe.write_bytes(content)

    @rule(power_cut=st.booleans(), other_entry=st.booleans(), faults=FAULTS)
    def reboot(self, power_cut, other_entry, faults) -> None:
        if not power_cut:
            self.run(lambda s: withdraw(s, SILENT), faults)
        self.host.reboot(power_cut=power_cut, other_entry=other_entry)

    @rule(name=st.sampled_from(["system", "system-before"]))
    def a_snapshot_is_lost(self, name: str) -> None:
        for path in (self.machine.directory / "snapshots").glob(f"{name}*"):
            if path.is_file():
                path.unlink()

    # -- the promises ------------------------------------------------------------------------

    @invariant()
    def the_promises_hold(self) -> None:
        if not self.model.events:
            return
        self.acknowledged_actions_stand()
        self.staged_or_nothing_left()
        self.deployments_hold_what_their_selection_says()
        self.the_tree_is_what_was_done_in_it()
        self.a_persons_file_is_theirs()
        self.status_says_what_is_so()
        self.documents_do_not_hang_on_snapshots()

    def acknowledged_actions_stand(self) -> None:
        for seq, (what, names) in self.acknowledged.items():
            event = self.model.events[seq - 1]
            assert kind_of(event) == what
            assert tuple(getattr(event.body, "names", ())) == tuple(names)
        adopted = [it for it in self.model.events if kind_of(it) == "deployment.adopted"]
        assert len(adopted) == self.adoptions, "adopted on a guess"

    def staged_or_nothing_left(self) -> None:
        on_host = {
            labels.get(LABEL_TRANSACTION)
            for labels in (
                *(image.labels for image, _ in self.host.images.values()),
                *(it.labels for it in self.host.status().all),
            )
            if labels.get(LABEL_LOG) == self.log_id
        }
        assert on_host <= self.model.stories.keys(), "an effect before its intent"
        for transaction, story in self.model.stories.items():
            if story.mode != "apply":
                continue
            if story.state == TAKEN_BACK:
                assert transaction not in on_host, "taken back, and something of it is left"
            elif story.state == DONE:
                assert story.staged

    def deployments_hold_what_their_selection_says(self) -> None:
        for deployment in self.host.status().all:
            key = self.model.key_of(deployment, self.log_id)
            if key and key in self.model.stories:
                held = self.host.packages_of(deployment.image_digest)
                assert held == self.model.packages(self.host, key)

    def the_tree_is_what_was_done_in_it(self) -> None:
        if any(story.mode in OF_THE_OVERLAY for story in self.model.open.values()):
            return
        assert self.host.tree == self.model.tree(self.host)

    def a_persons_file_is_theirs(self) -> None:
        if self.mine is not None:
            assert self.recipe.read_bytes() == self.mine

    def status_says_what_is_so(self) -> None:
        before = self.fingerprint()
        shown = self.machine.command(status)
        host, model = self.host.status(), self.model
        key = model.key_of(host.boots_next, self.log_id)
        pending = model.pending(key)
        assert {(item.seq, item.change) for item in shown.pending} == pending
        assert (shown.head.seq, shown.head.hash) == (len(self.hashes), self.hashes[-1].hex())
        assert shown.overlay.active == self.host.overlay_on
        assert {item.seq for item in shown.held} == model.held_back(key)
        assert {item.transaction for item in shown.unfinished} == model.open.keys()
        for name, slot in self.host.deployments.items():
            said = getattr(shown.host, name)
            assert (said and said.checksum) == (slot and slot.checksum)
        states = {transaction_state(it.mode, it.steps) for it in model.open.values()}
        if states:
            assert shown.state in states
        elif host.boots_next != host.booted:
            assert shown.state == "switched"
        else:
            plain = "overlay" if self.host.overlay_on else "idle"
            assert shown.state == ("recorded" if pending else plain)
        assert self.fingerprint() == before
        with self.machine.session() as session:
            assert session.log.head().seq == len(self.hashes), "looking wrote something"

    def documents_do_not_hang_on_snapshots(self) -> None:
        with self.machine.session() as session:
            whole = view.System(compact=False)
            fold(whole, session.log.records(1, len(self.hashes) + 1))
            wanted = projected.kept(whole)
            recipe = documents.recipe_document(session, whole, wanted)
            assert documents.recipe(session) == recipe
            built = documents.build(session, whole, wanted)
            assert documents.containerfile(session) == built.containerfile

    def teardown(self) -> None:
        try:
            if self.model.events:
                with self.machine.session() as session:
                    state = session.state
                    report = verify(session.log, state.blobs, state.snapshots)
                    assert report.checked == len(self.hashes)
                assert all(
                    story.state in (OPEN, DONE, TAKEN_BACK) for story in self.model.stories.values()
                )
        finally:
            self.patches.close()
            shutil.rmtree(self.scratch)


def run_machine(examples: int, steps: int, *, derandomize: bool = False) -> None:
    run_state_machine_as_test(
        Engine,
        settings=settings(
            derandomize=derandomize,
            database=None,
            report_multiple_bugs=False,
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            # Finding a smaller example takes longer than a test may.
            phases=[Phase.generate],
        ),
    )


@pytest.mark.slow
def test_whatever_happens_the_promises_hold() -> None:
    run_machine(examples=25, steps=20, derandomize=True)


@pytest.mark.crash
@pytest.mark.timeout(3600)
def test_whatever_happens_for_long_the_promises_hold() -> None:
    run_machine(examples=800, steps=40)
