"""Back to the plain base, over a host in memory."""

from __future__ import annotations

import pytest

from atomicstate.engine import apply, base, documents, leave, packages
from atomicstate.engine.points import resolve
from atomicstate.engine.results import Silent
from atomicstate.engine.status import status
from atomicstate.engine.unfinished import abort
from atomicstate.errors import ConflictError, ContainerError, InterruptedWorkError, NoOperationError
from atomicstate.projectors import system as view
from atomicstate.projectors.system import System
from tests.support import containerfiles
from tests.support.fakehost import BASE, Crash, fake_host
from tests.support.sessions import adopted

SILENT = Silent()


@pytest.fixture
def machine(tmp_path):
    return adopted(tmp_path / "state", fake_host())


def change(machine, verb, *names):
    def work(session):
        proposal = packages.propose(session, verb, names, live=False)
        return packages.carry_out(session, proposal, SILENT)

    return machine.command(work)


def apply_all(session):
    return apply.carry_out(session, apply.propose(session), SILENT)


def leave_it(session):
    return leave.carry_out(session, leave.propose(session), SILENT)


def staged_packages(machine):
    return machine.host.packages_of(machine.host.deployments["staged"].image_digest)


def test_nothing_but_the_base_is_wanted_and_the_containerfile_is_from_alone(machine):
    change(machine, "add", "jq")
    change(machine, "remove", "coreutils")
    machine.command(apply_all)
    machine.host.reboot()
    change(machine, "add", "tree")
    result = machine.command(leave_it)
    assert len(result.void) == 3
    assert staged_packages(machine) == {"bash", "coreutils"}
    text = machine.command(lambda s: documents.containerfile(s, at=resolve(s, "applied"))).content
    # Labels say what made it; nothing is done to the base.
    keywords = [instruction.keyword for instruction in containerfiles.read(text)]
    assert keywords[0] == "FROM"
    assert set(keywords[1:]) == {"LABEL"}
    assert machine.command(status).pending == []


def test_the_base_that_was_set_stays(machine):
    machine.host._image("localhost/other:2", {}, frozenset({"bash", "vim"}))
    set_base = base.propose
    machine.command(lambda s: base.record(s, set_base(s, "localhost/other:2"), SILENT))
    change(machine, "add", "jq")
    assert machine.command(leave_it).base == "localhost/other:2"
    assert staged_packages(machine) == {"bash", "vim"}


def test_where_nothing_was_applied_yet_no_image_is_built(machine):
    change(machine, "add", "jq")
    result = machine.command(leave_it)
    assert (result.transaction, result.base) == (None, BASE)
    assert machine.kinds()[-1] == "wanted.changed"
    assert machine.command(status).pending == []


def test_from_the_plain_base_there_is_nowhere_to_go(machine):
    with pytest.raises(NoOperationError):
        machine.command(leave_it)
    change(machine, "add", "jq")
    machine.command(apply_all)
    machine.command(leave_it)
    with pytest.raises(NoOperationError):
        machine.command(leave_it)


class Forgetful(System):
    """Lets go of what can be whenever what boots has moved."""

    def __init__(self, *, compact=True, slack=-1_000_000):
        super().__init__(compact=compact, slack=slack)


def test_what_later_actions_outweighed_does_not_come_back(machine, monkeypatch):
    monkeypatch.setattr(view, "System", Forgetful)
    change(machine, "add", "jq")
    for _round in range(3):
        change(machine, "remove", "jq")
        change(machine, "add", "jq")
        machine.command(apply_all)
        machine.host.reboot()
    assert len(machine.command(leave_it).void) == 7
    assert "jq" not in staged_packages(machine)


def test_a_build_that_fails_leaves_what_is_to_go_pending(machine):
    change(machine, "add", "jq")
    machine.command(apply_all)
    machine.host.reboot()
    machine.host.failing["build"] = ContainerError("no")
    with pytest.raises(ContainerError):
        machine.command(leave_it)
    assert [item.change for item in machine.command(status).pending] == ["drop"]
    machine.host.failing.clear()
    machine.command(leave_it)
    assert staged_packages(machine) == {"bash", "coreutils"}


def test_what_was_recorded_after_the_question_is_not_voided(machine):
    change(machine, "add", "jq")
    proposal = machine.command(leave.propose)
    change(machine, "add", "tree")
    with pytest.raises(ConflictError):
        machine.command(lambda s: leave.carry_out(s, proposal, SILENT))
    assert len(machine.command(status).pending) == 2


def test_a_foreign_deployment_and_work_cut_short_are_refused(machine):
    change(machine, "add", "jq")
    machine.host.failing["build"] = Crash()
    machine.killed(apply_all, "apply")
    with pytest.raises(InterruptedWorkError):
        machine.command(leave_it)
    machine.host.failing.clear()
    machine.command(lambda s: abort(s, SILENT))
    machine.host.stage(machine.host._image("localhost/x:1", {}, frozenset()))
    with pytest.raises(ConflictError):
        machine.command(leave_it)
    assert "wanted.changed" not in machine.kinds()
