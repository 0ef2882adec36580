"""Points, differences, blame, tags and notes, over a host in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from atomicstate.cli.commands.history import _readable
from atomicstate.cli.render.history import shown_text
from atomicstate.cli.terminal import Look
from atomicstate.engine import apply, blame, documents, history, marks, packages, undo
from atomicstate.engine.points import Point, resolve
from atomicstate.engine.results import Silent
from atomicstate.engine.transactions import can_be_id
from atomicstate.errors import (
    ConflictError,
    ContainerError,
    NoOperationError,
    NotFoundError,
    ValidationError,
)
from tests.support.fakehost import fake_host
from tests.support.sessions import Machine, adopted

if TYPE_CHECKING:
    from pathlib import Path

SILENT = Silent()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return adopted(tmp_path / "state", fake_host())


def add(machine: Machine, *names: str) -> int:
    def work(session):
        proposal = packages.propose(session, "add", names, live=False)
        return packages.carry_out(session, proposal, SILENT).seq

    return machine.command(work)


def applied(machine: Machine) -> str:
    def work(session):
        return apply.carry_out(session, apply.propose(session), SILENT).transaction

    return machine.command(work)


def point(machine: Machine, text: str) -> Point:
    return machine.command(lambda session: resolve(session, text))


def test_a_number_with_and_without_its_sign(machine: Machine) -> None:
    seq = add(machine, "jq")
    assert point(machine, str(seq)).seq == point(machine, f"#{seq}").seq == seq


def test_head_and_what_came_before_it(machine: Machine) -> None:
    add(machine, "jq")
    seq = add(machine, "tree")
    assert point(machine, "HEAD").seq == point(machine, "@").seq == seq
    assert point(machine, "HEAD~1").seq == seq - 1


@pytest.mark.parametrize("text", ["99", "#99", "HEAD~99", "nonsense", "0000ffff", "@{nonsense}"])
def test_what_is_not_there_is_said_so(machine: Machine, text: str) -> None:
    with pytest.raises(NotFoundError):
        point(machine, text)


def test_nothing_is_no_point(machine: Machine) -> None:
    with pytest.raises(ValidationError):
        point(machine, " ")


def test_a_transaction_by_the_start_of_its_id_is_its_last_event(machine: Machine) -> None:
    add(machine, "jq")
    transaction = applied(machine)
    assert point(machine, transaction).seq == len(machine.events())
    assert point(machine, transaction[:30]).seq == len(machine.events())


def test_the_start_of_several_transactions_names_them(machine: Machine) -> None:
    for name in ("jq", "tree"):
        add(machine, name)
        applied(machine)
    with pytest.raises(NotFoundError, match="begins 2 transactions"):
        point(machine, machine.events()[-1].transaction[:4])


def test_a_time_is_the_last_event_before_it(machine: Machine) -> None:
    add(machine, "jq")
    assert point(machine, "@{0 seconds ago}").seq == len(machine.events())
    assert point(machine, "2001-01-01").seq == 0


def test_a_deployment_has_the_actions_that_are_in_it(machine: Machine) -> None:
    first = add(machine, "jq")
    applied(machine)
    add(machine, "tree")
    found = point(machine, "applied")
    _system, seqs = machine.command(lambda session: documents.view(session, found))
    assert seqs == {first}
    with pytest.raises(NotFoundError, match="rollback"):
        point(machine, "rollback")


def test_a_foreign_deployment_is_not_guessed_at(machine: Machine) -> None:
    machine.host.stage(machine.host._image("foreign", {}, frozenset({"bash"})))
    with pytest.raises(ConflictError):
        point(machine, "staged")


def test_a_tag_is_a_point_until_it_is_taken_away(machine: Machine) -> None:
    seq = add(machine, "jq")
    machine.command(lambda session: marks.tag(session, "good", "HEAD"))
    add(machine, "tree")
    assert point(machine, "good").seq == seq
    with pytest.raises(NoOperationError):
        machine.command(lambda session: marks.tag(session, "good", str(seq)))
    with pytest.raises(NotFoundError) as caught:
        point(machine, "goood")
    assert "good" in caught.value.hint
    machine.command(lambda session: marks.untag(session, "good"))
    with pytest.raises(NotFoundError):
        point(machine, "good")


@pytest.mark.parametrize("name", ["HEAD", "booted", "12", "abcd", "now", "a b", "", "-x", "é"])
def test_a_name_that_could_be_another_point_is_no_tag(machine: Machine, name: str) -> None:
    before = len(machine.events())
    with pytest.raises(ValidationError):
        machine.command(lambda session: marks.tag(session, name, "HEAD"))
    assert len(machine.events()) == before


def test_a_note_is_shown_with_its_event(machine: Machine) -> None:
    seq = add(machine, "jq")
    machine.command(lambda session: marks.note(session, str(seq), "for the build scripts"))
    shown = machine.command(lambda s: history.show(s, resolve(s, str(seq))))
    assert shown.notes == ["for the build scripts"]


@pytest.mark.parametrize("text", ["", "  ", "x" * 3000, "bell\a"])
def test_a_note_is_text(machine: Machine, text: str) -> None:
    with pytest.raises(ValidationError):
        machine.command(lambda session: marks.note(session, "HEAD", text))


def test_a_difference_names_packages_with_versions_and_their_event(machine: Machine) -> None:
    seq = add(machine, "jq")
    found = machine.command(lambda s: history.difference(s, resolve(s, "1"), resolve(s, "HEAD")))
    assert [(p.name, p.was, p.version, p.event) for p in found.packages] == [
        ("jq", "", "1.0", seq),
        ("oniguruma", "", "1.0", seq),
    ]
    back = machine.command(lambda s: history.difference(s, resolve(s, "HEAD"), resolve(s, "1")))
    assert [(p.name, p.was, p.version) for p in back.packages] == [
        ("jq", "1.0", ""),
        ("oniguruma", "1.0", ""),
    ]
    assert (back.removed, back.added) == ([seq], [])


def test_the_past_is_as_it_was(machine: Machine) -> None:
    before = machine.command(documents.recipe).content
    seq = add(machine, "jq")
    add(machine, "tree")
    past = machine.command(lambda s: documents.recipe(s, at=resolve(s, str(seq - 1))))
    assert past.content == before
    with pytest.raises(NotFoundError):
        machine.command(lambda s: documents.recipe(s, at=Point(0, "0")))


def test_each_line_is_blamed_on_the_event_that_brought_it(machine: Machine) -> None:
    first, second = add(machine, "jq"), add(machine, "tree")
    lines = machine.command(lambda s: blame.recipe(s, *documents.view(s, None)))
    owner = {line.text.strip(): line.seq for line in lines}
    assert owner['- "jq"'] == first
    assert owner['- "tree"'] == second
    assert owner['image: "localhost/base:test"'] == 1
    text = machine.command(documents.recipe).content.decode()
    assert "\n".join(line.text for line in lines) + "\n" == text


def test_a_containerfile_is_blamed_layer_by_layer(machine: Machine) -> None:
    first, second = add(machine, "jq"), add(machine, "tree")
    lines = machine.command(lambda s: blame.containerfile(s, *documents.view(s, None)))
    assert {line.seq for line in lines} == {1, first, second}
    assert {line.seq for line in lines if '"jq"' in line.text} == {first}
    assert {line.seq for line in lines if '"tree"' in line.text} == {second}
    labels = [line.seq for line in lines if line.text.startswith("LABEL ")]
    assert labels
    assert set(labels) == {1}


def test_a_transaction_shows_its_steps(machine: Machine) -> None:
    add(machine, "jq")
    transaction = applied(machine)
    shown = machine.command(lambda s: history.show(s, resolve(s, transaction)))
    assert shown.transaction is not None
    assert shown.transaction.outcome == "done"
    assert [step.name for step in shown.transaction.steps][-1] == "promote"


def test_head_with_a_tilde_alone_is_the_one_before(machine: Machine) -> None:
    seq = add(machine, "jq")
    assert point(machine, "HEAD~").seq == point(machine, "@~").seq == seq - 1


def test_what_was_near_is_named(machine: Machine) -> None:
    add(machine, "jq")
    transaction = applied(machine)
    head = len(machine.events())
    for text, near in (
        ("999", f"#{head} (step.done"),
        ("HEAD~999", f"#{head} (step.done"),
        ("0000ffff", transaction),
        ("boted", "booted"),
    ):
        with pytest.raises(NotFoundError) as caught:
            point(machine, text)
        assert near in caught.value.hint


def test_a_date_is_no_start_of_an_id() -> None:
    assert not can_be_id("2026-11-24")
    assert can_be_id("01a21517-8888")


def test_an_apply_is_shown_with_its_actions_and_what_it_changed_in_the_recipe(
    machine: Machine,
) -> None:
    first = add(machine, "jq")
    applied(machine)
    machine.host.reboot()
    before = machine.command(documents.recipe).content
    second = add(machine, "tree")
    machine.command(lambda s: undo.carry_out(s, undo.propose(s, "undo", [str(first)]), SILENT))
    transaction = applied(machine)
    shown = machine.command(lambda s: history.show(s, resolve(s, transaction)))
    assert shown.whole
    assert shown.event.seq == shown.transaction.first
    assert [(item.seq, item.change) for item in shown.actions] == [(second, "add"), (first, "drop")]
    assert (shown.recipe_before, shown.recipe_after) == (
        before,
        machine.command(documents.recipe).content,
    )


def test_an_apply_that_failed_is_shown_with_what_it_was_to_change(machine: Machine) -> None:
    add(machine, "jq")
    machine.host.failing["build"] = ContainerError("podman exited 1")
    with pytest.raises(ContainerError):
        applied(machine)
    shown = machine.command(lambda s: history.show(s, resolve(s, "HEAD")))
    assert shown.transaction.outcome == "rolled back"
    assert b"jq" in shown.recipe_after
    text = shown_text(shown, Look())
    assert "What it was to change in the recipe" in text


def test_a_live_transaction_is_shown_with_what_it_was_for(machine: Machine) -> None:
    def work(session):
        return packages.carry_out(
            session, packages.propose(session, "add", ["jq"], live=True), SILENT
        )

    result = machine.command(work)
    shown = machine.command(lambda s: history.show(s, resolve(s, result.transaction)))
    assert shown.event.body.names == ("jq",)
    assert {change.name for change in shown.changes} == {"jq", "oniguruma"}
    assert b"jq" not in shown.recipe_before
    assert b"jq" in shown.recipe_after


def test_a_plan_of_many_packages_is_shown_too(machine: Machine) -> None:
    names = tuple(f"library-of-some-length-{number}" for number in range(40))
    machine.host.available.update(names)
    machine.host.depends["tree"] = names
    seq = add(machine, "tree")
    assert machine.events()[seq - 1].body.plan is None
    text = shown_text(machine.command(lambda s: history.show(s, resolve(s, str(seq)))), Look())
    assert all(f"install {name} 1.0" in text for name in names)


def test_what_a_build_printed_does_nothing_to_the_terminal() -> None:
    said = "Reading... 5%\rReading... done\r\nred \x1b[31mtext\tand a tab\n"
    assert _readable(said) == "Reading... done\nred \\x1b[31mtext   and a tab\n"
