"""Points of the history derived from the first event on, and restored, over a host in memory."""

from __future__ import annotations

import pytest

from atomicstate.engine import apply, documents, packages, replay, undo
from atomicstate.engine.results import Silent
from atomicstate.engine.status import status
from atomicstate.errors import (
    ConflictError,
    CorruptError,
    NoOperationError,
    NotFoundError,
    ValidationError,
)
from atomicstate.events.bodies import WantedHeld
from tests.support.fakehost import fake_host
from tests.support.logs import key, tamper
from tests.support.sessions import adopted

SILENT = Silent()


@pytest.fixture
def machine(tmp_path):
    return adopted(tmp_path / "state", fake_host())


def add(machine, name, *, live=False):
    def work(session):
        return packages.carry_out(
            session, packages.propose(session, "add", [name], live=live), SILENT
        ).seq

    return machine.command(work)


def applied(machine):
    return machine.command(lambda s: apply.carry_out(s, apply.propose(s), SILENT))


def replayed(machine, point):
    return machine.command(lambda s: replay.replay(s, str(point)))


def restored(machine, point):
    def work(session):
        return replay.restore(session, replay.propose_restore(session, str(point)), SILENT)

    return machine.command(work)


def recipe(machine):
    return machine.command(documents.recipe).content


def test_a_point_is_derived_as_it_was(machine):
    tree = add(machine, "tree")
    then, containerfile = recipe(machine), machine.command(documents.containerfile)
    add(machine, "nano")
    found = replayed(machine, tree)
    assert (found.events, found.actions) == (tree, (tree,))
    assert found.recipe.content == then
    assert found.containerfile == containerfile
    assert (found.differs.recipe_before, found.differs.recipe_after) == (then, recipe(machine))


def test_no_snapshot_is_read(machine, monkeypatch):
    tree = add(machine, "tree")

    def read(*_arguments):
        raise AssertionError("a snapshot was read")

    with machine.session() as session:
        session.system()
        monkeypatch.setattr("atomicstate.store.snapshots.Snapshots.load", read)
        system, _seqs = replay._folded(session, replay.resolve(session, str(tree)))
    assert system.position == tree


def test_a_log_that_was_altered_is_not_derived_from(machine):
    add(machine, "tree")
    nano = add(machine, "nano")

    def alter(transaction):
        record = bytearray(transaction.get(key(2)))
        record[-40] ^= 1
        transaction.put(key(2), bytes(record))

    with machine.session() as session:
        directory = session.state.log_directory
    tamper(directory, alter)
    with pytest.raises(CorruptError), machine.session() as session:
        replay._folded(session, replay.Point(nano, str(nano)))


def test_a_deployment_is_derived_with_what_it_holds(machine):
    tree = add(machine, "tree")
    applied(machine)
    add(machine, "nano")
    assert replayed(machine, "staged").actions == (tree,)


def test_a_restored_point_is_wanted_and_nothing_else_and_can_be_undone(machine):
    tree = add(machine, "tree")
    then = recipe(machine)
    nano = add(machine, "nano")
    now = recipe(machine)
    result = restored(machine, tree)
    assert (result.void, result.revive) == ((nano,), ())
    assert recipe(machine) == then
    assert machine.kinds()[-1] == "wanted.changed"
    machine.command(
        lambda s: undo.carry_out(s, undo.propose(s, undo.UNDO, [str(result.seq)]), SILENT)
    )
    assert recipe(machine) == now


def test_what_was_undone_since_is_wanted_again(machine):
    tree = add(machine, "tree")
    machine.command(lambda s: undo.carry_out(s, undo.propose(s, undo.UNDO, [str(tree)]), SILENT))
    assert restored(machine, tree).revive == (tree,)


def test_what_a_rollback_held_back_since_is_released(machine):
    tree = add(machine, "tree")
    then = recipe(machine)
    nano = add(machine, "nano")
    machine.command(lambda s: s.append([WantedHeld((tree, nano))]))
    restored(machine, tree)
    assert recipe(machine) == then
    assert [item.seq for item in machine.command(status).pending] == [tree]


def test_what_was_held_back_then_is_not_wanted_of_that_point(machine):
    tree = add(machine, "tree")
    machine.command(lambda s: s.append([WantedHeld((tree,))]))
    point = len(machine.events())
    then = recipe(machine)
    machine.command(lambda s: s.append([WantedHeld(())]))
    restored(machine, point)
    assert recipe(machine) == then


def test_a_restored_point_is_built(machine):
    add(machine, "tree")
    applied(machine)
    machine.host.reboot()

    def work(session):
        replay.require_appliable(session)
        result = replay.restore(session, replay.propose_restore(session, "1"), SILENT)
        return replay.apply_all(session, result, SILENT)

    assert machine.command(work).applied is not None
    machine.host.reboot()
    assert machine.host.tree == {"bash", "coreutils"}


def test_what_is_wanted_already_is_no_operation(machine):
    add(machine, "tree")
    before = len(machine.events())
    with pytest.raises(NoOperationError):
        restored(machine, "HEAD")
    assert len(machine.events()) == before


def test_what_changed_after_the_question_is_asked_again(machine):
    add(machine, "tree")
    restoring = machine.command(lambda s: replay.propose_restore(s, "1"))
    add(machine, "nano")
    before = len(machine.events())
    with pytest.raises(ConflictError):
        machine.command(lambda s: replay.restore(s, restoring, SILENT))
    assert len(machine.events()) == before


@pytest.mark.parametrize(
    ("point", "error"),
    [
        ("99", NotFoundError),
        ("0", NotFoundError),
        ("nonsense", NotFoundError),
        ("", ValidationError),
        ("rollback", NotFoundError),
        ("2001-01-01", NotFoundError),
    ],
)
def test_a_point_that_is_not_there_is_refused_and_nothing_recorded(machine, point, error):
    add(machine, "tree")
    before = len(machine.events())
    for work in (replay.replay, replay.propose_restore):
        with pytest.raises(error):
            machine.command(lambda s, work=work: work(s, point))
    assert len(machine.events()) == before
