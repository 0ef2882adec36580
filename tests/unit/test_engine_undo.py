"""Undoing and redoing what was asked for, over a host in memory."""

from __future__ import annotations

import pytest

from atomicstate.engine import apply, base, documents, marks, packages, resume, undo, unfinished
from atomicstate.engine.results import Silent
from atomicstate.engine.status import status
from atomicstate.errors import (
    AptError,
    ConflictError,
    NoOperationError,
    NotFoundError,
    ValidationError,
)
from atomicstate.events.bodies import PackageAdded, WantedChanged, WantedHeld
from atomicstate.events.event import Draft
from tests.support.fakehost import Crash, fake_host
from tests.support.sessions import adopted

SILENT = Silent()


@pytest.fixture
def machine(tmp_path):
    host = fake_host()
    host.depends = {"jq": ("oniguruma",), "vim": ("oniguruma",)}
    return adopted(tmp_path / "state", host)


def change(machine, verb, *names, live=False):
    def work(session):
        proposal = packages.propose(session, verb, names, live=live)
        return packages.carry_out(session, proposal, SILENT)

    return machine.command(work)


def add(machine, *names, live=False):
    return change(machine, "add", *names, live=live).seq


def applied(machine):
    return machine.command(lambda s: apply.carry_out(s, apply.propose(s), SILENT))


def steer(machine, verb, *words, **options):
    def work(session):
        return undo.carry_out(session, undo.propose(session, verb, words, **options), SILENT)

    return machine.command(work)


def undone(machine, *words, **options):
    return steer(machine, undo.UNDO, *words, **options)


def redone(machine, *words, **options):
    return steer(machine, undo.REDO, *words, **options)


def recipe(machine):
    return machine.command(documents.recipe).content


def pending(machine):
    return [(item.seq, item.change) for item in machine.command(status).pending]


# -- what is wanted --------------------------------------------------------------------------


def test_a_pending_action_is_void_and_the_recipe_is_as_before(machine):
    before = recipe(machine)
    seq = add(machine, "jq")
    result = undone(machine, str(seq))
    assert recipe(machine) == before
    assert pending(machine) == []
    event = machine.events()[-1]
    assert event.seq == result.seq
    assert event.body == WantedChanged((seq,), (), f"undo {seq}")


def test_an_applied_one_becomes_pending_to_drop_and_the_next_apply_drops_it(machine):
    tree, nano = add(machine, "tree"), add(machine, "nano")
    applied(machine)
    machine.host.reboot()
    undone(machine, str(tree))
    assert pending(machine) == [(tree, "drop")]
    assert "tree" in machine.host.tree
    applied(machine)
    machine.host.reboot()
    assert "tree" not in machine.host.tree
    assert "nano" in machine.host.tree
    assert nano in machine.command(lambda s: s.system().wanted)


@pytest.mark.parametrize("word", ["action", "undo"])
def test_redo_by_the_action_or_by_its_undo_revives_it(machine, word):
    seq = add(machine, "jq")
    there = recipe(machine)
    undo_seq = undone(machine, str(seq)).seq
    redone(machine, str(seq if word == "action" else undo_seq))
    assert recipe(machine) == there
    assert machine.events()[-1].body.revive == (seq,)


def test_undoing_an_undo_swaps_its_sets(machine):
    seq = add(machine, "jq")
    there = recipe(machine)
    first = undone(machine, str(seq)).seq
    undone(machine, str(first))
    assert recipe(machine) == there
    assert (machine.events()[-1].body.void, machine.events()[-1].body.revive) == ((), (seq,))


def test_a_range_takes_every_action_in_it_and_the_rest_is_passed_over(machine):
    first = add(machine, "jq", live=True)
    last = add(machine, "tree", live=True)
    result = undone(machine, f"{first - 2}-{last}")
    assert result.void == (first, last)
    assert machine.host.tree == {"bash", "coreutils"}


def test_ranges_that_overlap_are_refused(machine):
    first = add(machine, "jq", live=True)
    last = add(machine, "tree", live=True)
    before = len(machine.events())
    for words in ((f"{first}-{last}", f"{first - 2}-{last}"), (f"{last}", f"{first}-{last}")):
        with pytest.raises(ValidationError, match="overlap"):
            undone(machine, *words)
    assert len(machine.events()) == before
    assert undone(machine, str(first), f"{last}-{last}").void == (first, last)


def test_head_and_a_tag_name_one_event(machine):
    seq = add(machine, "tree")
    machine.command(lambda s: marks.tag(s, "good", "HEAD"))
    assert undone(machine, "good").void == (seq,)
    nano = add(machine, "nano")
    assert undone(machine, "HEAD").void == (nano,)


def test_a_transaction_stands_for_its_action(machine):
    live = change(machine, "add", "tree", live=True)
    assert undone(machine, live.transaction[:-1]).void == (live.seq,)


def test_an_apply_stands_for_all_that_it_brought_and_dropped(machine):
    tree, nano = add(machine, "tree"), add(machine, "nano")
    applied(machine)
    undone(machine, str(tree))
    hello = add(machine, "hello")
    second = applied(machine).transaction
    result = undone(machine, second)
    assert (result.void, result.revive) == ((hello,), (tree,))
    again = redone(machine, str(result.seq))
    assert (again.void, again.revive) == ((tree,), (hello,))
    assert nano in machine.command(lambda s: s.system().wanted)


def test_a_request_stands_for_all_its_actions(machine):
    request = "01a20bf3-d6ec-7703-b7f5-bdbfb7ef504f"
    with machine.session() as session:
        drafts = [
            Draft(body=PackageAdded((name,), False), actor=session.actor, request=request)
            for name in ("tree", "nano")
        ]
        seqs = tuple(event.seq for event in session.log.append(drafts))
    assert undone(machine, request).void == seqs


def test_a_base_change_can_be_undone(machine):
    machine.host._image("localhost/other:1", {}, frozenset({"bash"}))
    before = recipe(machine)
    made = machine.command(lambda s: base.record(s, base.propose(s, "localhost/other:1"), SILENT))
    assert undone(machine, str(made.seq)).void == (made.seq,)
    assert recipe(machine) == before


def test_the_undo_of_a_held_action_ends_the_hold(machine):
    tree, nano = add(machine, "tree"), add(machine, "nano")
    machine.command(lambda s: s.append([WantedHeld((tree, nano))]))
    undone(machine, str(tree))
    system = machine.command(lambda s: s.system())
    assert tree not in system.wanted
    assert nano in system.wanted


def test_what_the_view_let_go_can_be_undone(machine, monkeypatch):
    monkeypatch.setattr("atomicstate.projectors.system.SLACK", 0)
    first = add(machine, "tree")
    for _round in range(4):
        change(machine, "remove", "tree")
        applied(machine)
        machine.host.reboot()
        add(machine, "tree")
        applied(machine)
        machine.host.reboot()
    result = undone(machine, str(first), cascade=True)
    assert first in result.void
    assert b"tree" not in recipe(machine)


# -- what stands on what ---------------------------------------------------------------------


def test_what_a_later_action_stands_on_goes_with_it_or_not_at_all(machine):
    first = add(machine, "jq")
    second = change(machine, "remove", "jq").seq
    tree = add(machine, "tree")
    before = len(machine.events())
    with pytest.raises(ConflictError, match=rf"#{second} .* stands on #{first}") as raised:
        undone(machine, str(first))
    assert "--cascade" in raised.value.hint
    assert len(machine.events()) == before
    assert undone(machine, str(first), cascade=True).void == (first, second)
    assert tree in machine.command(lambda s: s.system().wanted)


def test_all_of_them_named_need_no_cascade(machine):
    first = add(machine, "jq")
    second = change(machine, "remove", "jq").seq
    assert undone(machine, str(second), str(first)).void == (first, second)


def test_what_goes_along_takes_along_what_stands_on_it(machine):
    seqs = [add(machine, "jq")]
    for verb in ("remove", "add", "remove"):
        seqs.append(change(machine, verb, "jq").seq)
    assert undone(machine, str(seqs[0]), cascade=True).void == tuple(seqs)


def test_what_is_held_back_is_not_in_the_way_of_what_came_after(machine):
    first = add(machine, "jq")
    machine.command(lambda s: s.append([WantedHeld((first,))]))
    second = add(machine, "jq")
    assert undone(machine, str(first)).void == (first,)
    assert second in machine.command(lambda s: s.system().wanted)


# -- in the overlay --------------------------------------------------------------------------


def test_a_live_effect_is_taken_back_with_what_came_along(machine):
    seq = add(machine, "jq", live=True)
    result = undone(machine, str(seq))
    assert machine.host.tree == {"bash", "coreutils"}
    assert [(c.kind, c.name) for c in result.plan.changes] == [
        ("remove", "jq"),
        ("remove", "oniguruma"),
    ]
    kinds = machine.kinds(seq + 1)
    assert kinds[0] == "transaction.begun"
    assert kinds[-2:] == ["step.done", "wanted.changed"]
    *_, done, changed = machine.events()
    assert done.time == changed.time
    assert machine.command(lambda s: not s.system().open)


def test_no_live_leaves_the_running_system_as_it_is(machine):
    seq = add(machine, "jq", live=True)
    undone(machine, str(seq), live=False)
    assert "jq" in machine.host.tree
    assert machine.kinds()[-1] == "wanted.changed"
    assert "transaction.begun" not in machine.kinds(seq + 1)


def test_a_live_removal_brings_the_package_back(machine):
    seq = change(machine, "remove", "coreutils", live=True).seq
    assert "coreutils" not in machine.host.tree
    undone(machine, str(seq))
    assert "coreutils" in machine.host.tree


def test_what_another_package_needs_stays_in_the_overlay(machine):
    jq = add(machine, "jq", live=True)
    vim = add(machine, "vim", live=True)
    undone(machine, str(jq))
    assert machine.host.tree == {"bash", "coreutils", "vim", "oniguruma"}
    assert pending(machine) == [(vim, "add")]


def test_what_another_wanted_action_asks_for_too_stays(machine):
    first = add(machine, "tree", live=True)
    undone(machine, str(first))
    again = add(machine, "tree", live=True)
    redone(machine, str(first))
    undone(machine, str(again))
    assert "tree" in machine.host.tree
    assert pending(machine) == [(first, "add")]


def test_what_writes_what_came_along_stands_on_it(machine):
    jq = add(machine, "jq", live=True)
    add(machine, "oniguruma", live=True)
    with pytest.raises(ConflictError):
        undone(machine, str(jq))
    undone(machine, str(jq), cascade=True)
    assert machine.host.tree == {"bash", "coreutils"}


def test_what_the_running_system_needs_stays_and_is_named(machine):
    oniguruma = add(machine, "oniguruma", live=True)
    add(machine, "jq", live=True)
    proposal = machine.command(lambda s: undo.propose(s, undo.UNDO, [str(oniguruma)]))
    assert proposal.back.stays == ("oniguruma",)
    undone(machine, str(oniguruma))
    assert {"jq", "oniguruma"} <= machine.host.tree


def test_after_a_boot_there_is_no_live_effect_to_take_back(machine):
    seq = add(machine, "jq", live=True)
    machine.host.reboot()
    result = undone(machine, str(seq))
    assert result.transaction is None
    assert "revert" not in machine.host.calls


def test_what_was_brought_back_after_a_boot_is_taken_back_too(machine):
    seq = add(machine, "jq", live=True)
    machine.host.reboot()
    machine.command(lambda s: resume.resume(s, SILENT))
    assert "jq" in machine.host.tree
    assert undone(machine, str(seq)).transaction is not None
    assert machine.host.tree == {"bash", "coreutils"}


def test_what_failed_in_the_overlay_is_put_there_again_and_nothing_is_recorded(machine):
    seq = add(machine, "jq", live=True)
    machine.host.failing["revert"] = AptError("a script failed")
    with pytest.raises(AptError):
        undone(machine, str(seq))
    assert {"jq", "oniguruma"} <= machine.host.tree
    assert machine.kinds()[-1] == "transaction.rolled_back"
    assert pending(machine) == [(seq, "add")]


@pytest.mark.parametrize("moment", ["failing", "after"])
@pytest.mark.parametrize("go_on", [True, False])
def test_a_kill_in_the_overlay_ends_in_one_of_two_states(machine, moment, go_on):
    seq = add(machine, "jq", live=True)
    getattr(machine.host, moment)["revert"] = Crash()
    machine.killed(
        lambda s: undo.carry_out(s, undo.propose(s, undo.UNDO, [str(seq)]), SILENT), "undo"
    )
    getattr(machine.host, moment).clear()
    recover = unfinished.resume if go_on else unfinished.abort
    machine.command(lambda s: recover(s, SILENT))
    assert ("jq" in machine.host.tree) is not go_on
    assert pending(machine) == ([] if go_on else [(seq, "add")])
    assert machine.command(lambda s: not s.system().open)


def test_a_kill_and_a_boot_leave_the_wish_alone_to_be_recorded(machine):
    seq = add(machine, "jq", live=True)
    machine.host.failing["revert"] = Crash()
    machine.killed(
        lambda s: undo.carry_out(s, undo.propose(s, undo.UNDO, [str(seq)]), SILENT), "undo"
    )
    machine.host.failing.clear()
    machine.host.reboot()
    machine.command(lambda s: unfinished.resume(s, SILENT))
    assert pending(machine) == []


def test_what_stays_outside_usr_is_residue_once_it_is_undone(machine):
    seq = add(machine, "jq", live=True)
    undone(machine, str(seq))
    assert "/etc/jq.conf" in machine.command(status).residue


# -- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [undo.UNDO, undo.REDO])
@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        ([], ValidationError, "name what"),
        (["99"], NotFoundError, "the log ends at"),
        (["1"], ValidationError, "system.initialized"),
        (["6-5"], ValidationError, "smaller"),
        (["nonsense"], ValidationError, "names no action"),
        (["HEAD~99"], NotFoundError, "no event"),
        (["abcd"], NotFoundError, "no transaction"),
        (["5000-6000"], NoOperationError, "no action"),
        ([""], ValidationError, "names no action"),
        (["a\nb"], ValidationError, "names no action"),
        (["\udcff"], ValidationError, "names no action"),
        (["2", "99"], NotFoundError, "the log ends at"),
    ],
)
def test_a_word_that_means_nothing_is_refused(machine, verb, words, error, said):
    add(machine, "tree")
    before = len(machine.events())
    with pytest.raises(error, match=said):
        steer(machine, verb, *words)
    assert len(machine.events()) == before


def test_a_step_was_not_asked_for(machine):
    seq = add(machine, "tree", live=True)
    with pytest.raises(ValidationError, match=r"step\.done"):
        undone(machine, str(seq - 1 if machine.kinds()[seq - 2] == "step.done" else seq - 2))


def test_undone_twice_and_redone_without_an_undo_are_no_operation(machine):
    seq = add(machine, "tree")
    with pytest.raises(NoOperationError):
        redone(machine, str(seq))
    undone(machine, str(seq))
    before = len(machine.events())
    with pytest.raises(NoOperationError):
        undone(machine, str(seq))
    assert len(machine.events()) == before


def test_what_changed_after_the_question_is_asked_again(machine):
    seq = add(machine, "jq")
    proposal = machine.command(lambda s: undo.propose(s, undo.UNDO, [str(seq)]))
    undone(machine, str(seq))
    with pytest.raises((ConflictError, NoOperationError)):
        machine.command(lambda s: undo.carry_out(s, proposal, SILENT))


# -- a long log ------------------------------------------------------------------------------


@pytest.fixture
def old(machine, monkeypatch):
    """A machine whose view has let go of much: many rounds of two packages, each booted."""
    monkeypatch.setattr("atomicstate.projectors.system.System.__init__.__kwdefaults__", SOON)
    monkeypatch.setattr("atomicstate.engine.session.SNAPSHOT_AFTER", 1)
    for _round in range(4):
        for verb in ("add", "remove"):
            change(machine, verb, "jq")
            change(machine, verb, "tree")
        applied(machine)
        machine.host.reboot()
    return machine


SOON = {"compact": True, "slack": -1_000_000}


@pytest.fixture
def recent_alone(monkeypatch):
    """The whole log is not folded."""

    def refused(_session):
        raise AssertionError("the whole log was folded")

    return lambda: monkeypatch.setattr("atomicstate.engine.session.Session.observe_whole", refused)


def test_what_was_asked_for_lately_is_undone_without_reading_the_whole_log(old, recent_alone):
    then = recipe(old)
    seq = add(old, "jq")
    assert len(old.command(lambda s: s.system().actions)) < 17
    recent_alone()
    now = recipe(old)
    undo_seq = undone(old, str(seq)).seq
    assert recipe(old) == then
    undone(old, str(undo_seq))
    assert recipe(old) == now
    undone(old, str(seq))
    redone(old, str(seq))
    assert recipe(old) == now


def test_what_was_let_go_is_undone_by_the_whole_log(old):
    first = old.kinds().index("package.added") + 1
    assert first not in old.command(lambda s: s.system().actions)
    with pytest.raises(ConflictError, match="stands on"):
        undone(old, str(first))
    assert len(undone(old, str(first), cascade=True).void) == 8


def test_all_that_superseded_what_was_let_go_is_undone_by_the_whole_log(old):
    numbers = [event.seq for event in old.events() if "jq" in getattr(event.body, "names", ())]
    undone(old, *map(str, numbers[1:]))
    assert b'"jq"' in recipe(old)
    assert pending(old) == [(seq, "drop") for seq in numbers[1:]]
    assert old.command(lambda s: s.system()).complete


def test_a_view_that_was_folded_whole_is_small_again_afterwards(old):
    numbers = [event.seq for event in old.events() if "jq" in getattr(event.body, "names", ())]
    undone(old, *map(str, numbers[1:]))
    old.command(status)
    add(old, "nano")
    with old.session() as session:
        saved = session._from_snapshot()
    assert saved.position > numbers[-1]
    assert len(saved.actions) < len(numbers) + 8


# -- and asked for again -----------------------------------------------------------------------


@pytest.mark.parametrize("live", [True, False])
def test_what_was_undone_and_runs_still_can_be_asked_for_again(machine, live):
    tree = add(machine, "tree")
    applied(machine)
    machine.host.reboot()
    there = recipe(machine)
    undone(machine, str(tree))
    again = change(machine, "add", "tree", live=live)
    assert machine.events()[again.seq - 1].body.in_base == ()
    assert recipe(machine) == there
    applied(machine)
    machine.host.reboot()
    assert "tree" in machine.host.tree


def test_what_was_undone_and_is_removed_then_was_never_the_bases(machine):
    tree = add(machine, "tree")
    applied(machine)
    machine.host.reboot()
    undone(machine, str(tree))
    gone = change(machine, "remove", "tree", live=True)
    assert machine.events()[gone.seq - 1].body.in_base == ()
    assert "tree" not in machine.host.tree
    assert b"tree" not in recipe(machine)


def test_what_an_undo_left_in_the_overlay_is_not_the_bases(machine):
    tree = add(machine, "tree", live=True)
    undone(machine, str(tree), live=False)
    again = change(machine, "add", "tree")
    assert again.plan.changes == ()
    assert pending(machine) == [(again.seq, "add")]


def test_a_live_change_brings_what_only_the_next_image_would_have(machine):
    add(machine, "jq")
    assert "oniguruma" not in machine.host.tree
    result = change(machine, "add", "vim", live=True)
    assert {item.name for item in result.plan.comes} == {"vim", "oniguruma"}
    assert machine.host.tree >= {"vim", "oniguruma"}
    assert "jq" not in machine.host.tree
