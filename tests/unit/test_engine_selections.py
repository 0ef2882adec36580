"""Applying a part of what is pending, on top of what was chosen, over a host in memory."""

from __future__ import annotations

import pytest

from atomicstate.engine import apply, base, documents, packages, undo
from atomicstate.engine.points import resolve
from atomicstate.engine.results import Silent
from atomicstate.engine.selecting import Request
from atomicstate.engine.status import status
from atomicstate.errors import (
    AptError,
    ConflictError,
    NoOperationError,
    NotFoundError,
    ValidationError,
)
from atomicstate.events.bodies import WantedHeld
from tests.support.fakehost import fake_host
from tests.support.sessions import adopted

SILENT = Silent()


@pytest.fixture
def machine(tmp_path):
    host = fake_host()
    host.depends = {"jq": ("oniguruma",), "vim": ("oniguruma",)}
    return adopted(tmp_path / "state", host)


def add(machine, *names, live=False):
    def work(session):
        return packages.carry_out(
            session, packages.propose(session, "add", names, live=live), SILENT
        )

    return machine.command(work)


def remove(machine, *names):
    def work(session):
        return packages.carry_out(
            session, packages.propose(session, "remove", names, live=False), SILENT
        )

    return machine.command(work)


def applied(machine, *selected, **more):
    def work(session):
        return apply.carry_out(session, apply.propose(session, Request(selected, **more)), SILENT)

    return machine.command(work)


def proposed(machine, *selected, **more):
    return machine.command(lambda s: apply.propose(s, Request(selected, **more)))


def staged_packages(machine):
    staged = machine.host.deployments["staged"]
    return set(machine.host.packages_of(staged.image_digest)) - {"bash", "coreutils"}


def pending(machine):
    return [item.seq for item in machine.command(status).pending]


def stage_foreign(machine):
    image = machine.host._image("localhost/foreign:1", {}, frozenset({"bash"}))
    machine.host.stage(image)
    return machine.host.deployments["staged"]


# -- which actions ---------------------------------------------------------------------------


def test_a_part_is_applied_and_the_rest_stays_pending(machine):
    tree, nano = add(machine, "tree").seq, add(machine, "nano").seq
    result = applied(machine, str(nano))
    assert (result.actions, staged_packages(machine)) == ([nano], {"nano"})
    assert pending(machine) == [tree]
    applied(machine)
    assert staged_packages(machine) == {"tree", "nano"}


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        (["2"], [2]),
        (["#2"], [2]),
        (["2-3"], [2, 3]),
        (["#3-#4", "2"], [2, 3, 4]),
        (["1-99"], [2, 3, 4]),
    ],
)
def test_numbers_and_ranges_name_actions(machine, words, chosen):
    for name in ("tree", "nano", "hello"):
        add(machine, name)
    assert list(proposed(machine, *words).add) == chosen


def test_except_leaves_out_of_what_is_pending_or_named(machine):
    for name in ("tree", "nano", "hello"):
        add(machine, name)
    assert list(proposed(machine, excepted=("3",)).add) == [2, 4]
    assert proposed(machine, excepted=("3",)).left_out == [3]
    assert list(proposed(machine, "2-3", excepted=("3",)).add) == [2]


def test_a_transaction_names_the_action_that_it_recorded(machine):
    tree = add(machine, "tree", live=True)
    add(machine, "nano", live=True)
    for word in (tree.transaction, tree.transaction[:-1], tree.transaction.upper()):
        assert list(proposed(machine, word).add) == [tree.seq]


def test_a_transaction_that_applied_names_its_actions(machine):
    tree = add(machine, "tree").seq
    transaction = applied(machine).transaction
    machine.host.reboot(power_cut=True)
    nano = add(machine, "nano").seq
    assert pending(machine) == [tree, nano]
    assert list(proposed(machine, transaction).add) == [tree]


@pytest.mark.parametrize(
    ("word", "error", "said"),
    [
        ("99", NotFoundError, "the log ends at"),
        ("1", NotFoundError, "system.initialized"),
        ("2", NoOperationError, "already"),
        ("5000-6000", NoOperationError, "none of"),
        ("6-5", ValidationError, "smaller"),
        ("x", ValidationError, "names no action"),
        ("-1", ValidationError, "names no action"),
        ("0", ValidationError, "names no action"),
        ("1" * 40, ValidationError, "names no action"),
        ("abcd", NotFoundError, "no transaction abcd"),
        ("a\nb", ValidationError, "names no action"),
    ],
)
def test_a_word_that_means_nothing_pending_is_refused(machine, word, error, said):
    add(machine, "tree")
    applied(machine)
    add(machine, "nano")
    before = len(machine.events())
    for selected, excepted in (((word,), ()), ((), (word,))):
        with pytest.raises(error, match=said):
            applied(machine, *selected, excepted=excepted)
    assert len(machine.events()) == before


def test_a_start_that_several_transactions_have_is_refused(machine):
    add(machine, "tree", live=True)
    transaction = add(machine, "nano", live=True).transaction
    with pytest.raises(ValidationError, match="2 transactions") as raised:
        proposed(machine, transaction[:4])
    assert transaction in raised.value.hint


def test_nothing_left_is_no_operation(machine):
    add(machine, "tree")
    with pytest.raises(NoOperationError):
        proposed(machine, excepted=("2",))


def test_a_simulated_part_changes_nothing(machine):
    add(machine, "tree")
    add(machine, "nano")
    before = len(machine.events())
    shown = proposed(machine, "3")
    assert (b"nano" in shown.recipe, b"tree" in shown.recipe) == (True, False)
    assert len(machine.events()) == before


# -- what can't go without what ---------------------------------------------------------------


def test_a_part_that_an_earlier_action_gives_its_meaning_is_refused(machine):
    first, second = add(machine, "jq").seq, remove(machine, "jq").seq
    with pytest.raises(ConflictError, match=rf"#{second} .* builds on #{first}") as raised:
        applied(machine, str(second))
    assert f"#{first}" in raised.value.hint
    assert machine.host.deployments["staged"] is None


def test_with_dependencies_takes_along_what_is_needed_alone(machine):
    first, _tree = add(machine, "jq").seq, add(machine, "tree").seq
    last = remove(machine, "jq").seq
    assert list(proposed(machine, str(last), with_dependencies=True).add) == [first, last]


def test_what_is_excepted_is_not_taken_along(machine):
    first, last = add(machine, "jq").seq, remove(machine, "jq").seq
    with pytest.raises(ConflictError):
        proposed(machine, str(last), with_dependencies=True, excepted=(str(first),))


def test_a_common_dependency_ties_nothing(machine):
    add(machine, "jq")
    vim = add(machine, "vim").seq
    applied(machine, str(vim))
    assert staged_packages(machine) == {"vim", "oniguruma"}


def test_two_bases_are_tied_and_a_package_is_not_tied_to_a_base(machine):
    for name in ("one", "two"):
        machine.host._image(f"localhost/{name}:1", {}, frozenset({"bash"}))
        machine.command(
            lambda s, n=name: base.record(s, base.propose(s, f"localhost/{n}:1"), SILENT)
        )
    tree = add(machine, "tree").seq
    assert list(proposed(machine, str(tree)).add) == [tree]
    with pytest.raises(ConflictError, match="builds on #2"):
        proposed(machine, "3")


def test_a_part_first_and_then_the_rest_is_all_at_once(machine, tmp_path):
    def grown(directory):
        host = fake_host()
        other = adopted(directory, host)
        for name in ("jq", "tree", "nano", "hello"):
            add(other, name)
        remove(other, "coreutils")
        return other

    at_once, in_parts = grown(tmp_path / "a"), grown(tmp_path / "b")
    applied(at_once)
    applied(in_parts, "4", "6")
    applied(in_parts, "2")
    applied(in_parts)

    def rendered(session):
        return (
            documents.recipe(session, at=resolve(session, "applied")).content,
            documents.containerfile(session, at=resolve(session, "applied")).content,
        )

    assert at_once.command(rendered) == in_parts.command(rendered)


# -- what is held back -----------------------------------------------------------------------


def hold(machine, *seqs):
    machine.command(lambda s: s.append([WantedHeld(seqs)]))


def test_a_plain_apply_leaves_out_what_is_held_and_naming_it_releases_it(machine):
    tree, nano = add(machine, "tree").seq, add(machine, "nano").seq
    hold(machine, tree)
    assert proposed(machine).held == [tree]
    applied(machine)
    assert staged_packages(machine) == {"nano"}
    with pytest.raises(NoOperationError) as raised:
        applied(machine)
    assert f"apply {tree}`" in raised.value.hint
    applied(machine, str(tree))
    assert staged_packages(machine) == {"tree", "nano"}
    assert not machine.command(lambda s: set(s.system().held))
    assert nano in machine.command(lambda s: s.system().wanted)


def test_what_is_held_ties_what_was_held_with_it_alone(machine):
    first = add(machine, "jq").seq
    second = remove(machine, "jq").seq
    hold(machine, first, second)
    with pytest.raises(ConflictError):
        proposed(machine, str(second))
    again = add(machine, "jq").seq
    assert list(proposed(machine, str(again)).add) == [again]


# -- on top of what --------------------------------------------------------------------------


def test_onto_builds_on_an_earlier_transaction(machine):
    add(machine, "tree")
    first = applied(machine).transaction
    machine.host.reboot()
    nano = add(machine, "nano").seq
    applied(machine)
    machine.host.reboot()
    hello = add(machine, "hello").seq
    result = applied(machine, str(hello), onto=first[:-2])
    assert staged_packages(machine) == {"tree", "hello"}
    assert result.actions == [hello]
    assert pending(machine) == [nano]


def test_onto_goes_on_where_the_booted_deployment_is_foreign(machine):
    add(machine, "tree")
    first = applied(machine).transaction
    machine.host.reboot()
    stage_foreign(machine)
    machine.host.reboot()
    nano = add(machine, "nano").seq
    with pytest.raises(ConflictError) as raised:
        applied(machine)
    assert "adopt" in raised.value.hint
    assert "--onto" in raised.value.hint
    with pytest.raises(ConflictError):
        applied(machine, discard_staged=True)
    applied(machine, onto=first)
    assert staged_packages(machine) == {"tree", "nano"}
    begun = next(e.body for e in reversed(machine.events()) if hasattr(e.body, "mode"))
    assert (begun.parent, begun.add) == (first, (nano,))


def test_onto_a_transaction_that_staged_nothing_is_a_conflict(machine):
    transaction = add(machine, "tree", live=True).transaction
    with pytest.raises(ConflictError, match="staged nothing"):
        applied(machine, onto=transaction)
    with pytest.raises(NotFoundError):
        applied(machine, onto="0123abcd")


def test_a_foreign_staged_deployment_is_given_up_only_where_that_is_said(machine):
    add(machine, "tree")
    foreign = stage_foreign(machine)
    with pytest.raises(ConflictError) as raised:
        applied(machine)
    assert all(way in raised.value.hint for way in ("adopt", "--onto", "--discard-staged"))
    assert machine.host.deployments["staged"] == foreign
    assert proposed(machine, discard_staged=True).discards == foreign.checksum
    applied(machine, discard_staged=True)
    assert staged_packages(machine) == {"tree"}
    begun = next(e.body for e in reversed(machine.events()) if hasattr(e.body, "mode"))
    assert begun.staged_before == foreign.checksum


def test_onto_does_not_give_up_what_is_staged_without_a_word(machine):
    add(machine, "tree")
    first = applied(machine).transaction
    machine.host.reboot()
    add(machine, "nano")
    applied(machine)
    hello = add(machine, "hello").seq
    with pytest.raises(ConflictError, match="staged"):
        applied(machine, str(hello), onto=first)
    assert staged_packages(machine) == {"tree", "nano"}
    applied(machine, str(hello), onto=first, discard_staged=True)
    assert staged_packages(machine) == {"tree", "hello"}


def test_a_foreign_one_that_is_staged_after_the_question_is_not_replaced(machine):
    add(machine, "tree")
    proposal = proposed(machine)
    foreign = stage_foreign(machine)
    with pytest.raises(ConflictError):
        machine.command(lambda s: apply.carry_out(s, proposal, SILENT))
    assert machine.host.deployments["staged"] == foreign


def test_a_part_on_top_of_what_is_staged_carries_it_along(machine):
    add(machine, "tree")
    applied(machine)
    nano = add(machine, "nano").seq
    add(machine, "hello")
    applied(machine, str(nano))
    assert staged_packages(machine) == {"tree", "nano"}


# -- libapt checks a part as a whole ---------------------------------------------------------


def changed(machine, verb, *names, live):
    def work(session):
        proposal = packages.propose(session, verb, names, live=live)
        return packages.carry_out(session, proposal, SILENT).seq

    return machine.command(work)


@pytest.fixture
def rivals(machine):
    """`nano` is in the image, taken out again, and `vim`, which excludes it, is asked for."""
    machine.host.conflicts = [{"nano", "vim"}]
    add(machine, "nano")
    applied(machine)
    machine.host.reboot()
    return machine


@pytest.mark.parametrize("live", [True, False])
def test_a_part_that_would_push_something_aside_is_refused_by_name(rivals, live):
    gone = changed(rivals, "remove", "nano", live=live)
    come = changed(rivals, "add", "vim", live=live)
    before = len(rivals.events())
    with pytest.raises(AptError, match="would take out nano") as caught:
        rivals.command(lambda s: apply.propose(s, Request((str(come),))))
    assert f"#{gone} takes that out" in caught.value.hint
    assert len(rivals.events()) == before
    rivals.command(lambda s: apply.preview(s, Request((str(come),))))
    rivals.command(lambda s: apply.propose(s, Request((str(come), str(gone)))))


def test_what_an_action_of_the_part_was_to_take_out_may_go(rivals):
    gone = changed(rivals, "remove", "nano", live=False)
    come = changed(rivals, "add", "vim", live=False)
    other = changed(rivals, "add", "tree", live=False)
    proposal = rivals.command(lambda s: apply.propose(s, Request((str(gone), str(come)))))
    assert proposal.left_out == [other]


def test_what_is_dropped_may_go(rivals):
    nano = next(seq for seq, kind in enumerate(rivals.kinds(), 1) if kind == "package.added")
    rivals.command(lambda s: undo.carry_out(s, undo.propose(s, "undo", [str(nano)]), SILENT))
    changed(rivals, "add", "vim", live=False)
    assert rivals.command(apply.propose).drop == (nano,)


def test_all_that_is_pending_was_resolved_already(rivals):
    changed(rivals, "remove", "nano", live=False)
    changed(rivals, "add", "vim", live=False)

    def asked(*_words, **_options):
        raise AssertionError("libapt was asked")

    def work(session):
        session.host.catalog.resolve = asked
        return apply.propose(session)

    assert len(rivals.command(work).add) == 2


def test_of_another_base_the_running_image_tells_nothing(rivals):
    changed(rivals, "remove", "nano", live=False)
    come = changed(rivals, "add", "vim", live=False)
    rivals.host._image("localhost/other:1", {}, frozenset({"bash", "coreutils"}))
    rivals.command(lambda s: base.record(s, base.propose(s, "localhost/other:1"), SILENT))
    moved = len(rivals.events())
    proposal = rivals.command(lambda s: apply.propose(s, Request((str(come), str(moved)))))
    assert proposal.add == (come, moved)
