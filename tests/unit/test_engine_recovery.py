"""Failures, kills, resume and abort, over a host in memory."""

from __future__ import annotations

import pytest

from atomicstate import failpoints, interrupts
from atomicstate.engine import apply, packages
from atomicstate.engine.results import Silent
from atomicstate.engine.status import status
from atomicstate.engine.unfinished import abort, resume
from atomicstate.errors import (
    AptError,
    ConflictError,
    ContainerError,
    HostError,
    InterruptedWorkError,
    UnclearError,
)
from tests.support.fakehost import Crash, fake_host
from tests.support.sessions import adopted

SILENT = Silent()


@pytest.fixture
def machine(tmp_path):
    return adopted(tmp_path / "state", fake_host())


def add(session, *names, live=True):
    proposal = packages.propose(session, "add", names, live=live)
    return packages.carry_out(session, proposal, SILENT)


def apply_all(session):
    return apply.carry_out(session, apply.propose(session), SILENT)


def resumed(session):
    return resume(session, SILENT)


def aborted(session):
    return abort(session, SILENT)


def pending_names(machine):
    return [tuple(item.data["names"]) for item in machine.command(status).pending]


# -- failures --------------------------------------------------------------------------------


def test_a_failing_install_is_taken_back_and_not_recorded(machine):
    machine.host.after["half"] = AptError("postinst exited 1")
    with pytest.raises(AptError):
        machine.command(lambda s: add(s, "jq"))
    assert not {"jq", "oniguruma"} & machine.host.tree
    assert "package.added" not in machine.kinds()
    assert machine.kinds()[-1] == "transaction.rolled_back"
    assert machine.command(status).state == "overlay"


def test_a_failing_build_leaves_the_actions_pending_and_the_reason_in_the_log(machine):
    machine.command(lambda s: add(s, "jq"))
    machine.host.failing["build"] = ContainerError("RUN exited 1")
    with pytest.raises(ContainerError):
        machine.command(apply_all)
    assert pending_names(machine) == [("jq",)]
    assert machine.command(status).state == "recorded"
    failed = next(e.body for e in machine.events() if e.body.__class__.__name__ == "StepFailed")
    assert (failed.step, failed.code, failed.reason) == ("build", "CONTAINER", "RUN exited 1")
    assert not list((machine.directory / "txn").glob("*"))


def test_steps_are_undone_newest_first(machine):
    machine.command(lambda s: add(s, "jq"))
    machine.host.failing["stage"] = HostError("no")
    with pytest.raises(HostError):
        machine.command(apply_all)
    undone = [e.body.step for e in machine.events() if e.body.__class__.__name__ == "StepUndone"]
    assert undone == ["switch", "build", "containerfile", "config"]
    assert len(machine.host.images) == 1


def test_a_tool_that_fails_after_its_work_was_done_is_believed_by_its_work(machine):
    machine.command(lambda s: add(s, "jq"))
    machine.host.after["stage"] = HostError("bootc exited 1")
    machine.command(apply_all)
    assert machine.command(status).state == "switched"


def test_an_unclear_answer_leaves_the_intent_open(machine):
    machine.command(lambda s: add(s, "jq"))
    machine.host.failing["stage"] = UnclearError("lock held")
    with pytest.raises(UnclearError):
        machine.command(apply_all)
    assert machine.command(status).unfinished[0].step == "switch"
    del machine.host.failing["stage"]
    machine.command(resumed)
    assert machine.command(status).state == "switched"


def test_what_can_not_be_taken_back_stays_rolling_back_until_abort_can(machine):
    machine.command(lambda s: add(s, "jq"))
    machine.host.failing["remove"] = HostError("storage is locked")
    machine.host.failing["stage"] = HostError("no")
    with pytest.raises(HostError):
        machine.command(apply_all)
    assert machine.command(status).state == "rolling_back"
    machine.host.failing.clear()
    machine.command(aborted)
    assert machine.command(status).state == "recorded"
    assert len(machine.host.images) == 1


def test_ctrl_c_takes_everything_back(machine):
    machine.host.failing["carry_out"] = KeyboardInterrupt()
    with pytest.raises(Exception, match="cancel"):
        machine.command(lambda s: add(s, "jq"))
    assert machine.kinds()[-1] == "transaction.rolled_back"


def test_ctrl_c_once_it_is_staged_is_too_late(machine):
    machine.command(lambda s: add(s, "jq"))
    machine.host.after["stage"] = KeyboardInterrupt()
    machine.command(apply_all)
    staged = machine.host.deployments["staged"]
    assert "jq" in machine.host.packages_of(staged.image_digest)
    assert pending_names(machine) == []


def test_ctrl_c_while_it_is_recorded_that_it_is_staged_is_too_late(machine, monkeypatch):
    def reach(name):
        if name == "promote.started":
            interrupts.put_off()

    monkeypatch.setattr(failpoints, "reach", reach)
    machine.command(lambda s: add(s, "jq"))
    machine.command(apply_all)
    assert machine.command(status).unfinished == []
    assert pending_names(machine) == []


def test_what_was_staged_before_the_switch_began_is_left_alone(machine):
    machine.command(lambda s: add(s, "jq"))
    kill(machine, "failing", "build", apply_all)
    machine.host.stage(machine.host._image("elsewhere/image:1", {}, frozenset({"bash"})))
    with pytest.raises(ConflictError):
        machine.command(resumed)
    assert machine.host.deployments["staged"].image == "elsewhere/image:1"
    assert pending_names(machine) == [("jq",)]


# -- kills -----------------------------------------------------------------------------------

LIVE_KILLS = [("failing", "enable"), ("after", "enable"), ("failing", "carry_out"),
              ("after", "half"), ("after", "carry_out")]  # fmt: skip
APPLY_KILLS = [("failing", "build"), ("after", "build"), ("failing", "stage"), ("after", "stage")]


def kill(machine, when, name, work):
    hooks = getattr(machine.host, when)
    hooks[name] = Crash()
    machine.killed(work)
    del hooks[name]


@pytest.mark.parametrize(("when", "name"), LIVE_KILLS)
def test_resume_finishes_a_live_transaction_killed_at(machine, when, name):
    kill(machine, when, name, lambda s: add(s, "jq"))
    machine.command(resumed)
    assert {"jq", "oniguruma"} <= machine.host.tree
    assert pending_names(machine) == [("jq",)]
    assert machine.kinds().count("package.added") == 1


@pytest.mark.parametrize(("when", "name"), LIVE_KILLS)
def test_abort_takes_back_a_live_transaction_killed_at(machine, when, name):
    kill(machine, when, name, lambda s: add(s, "jq"))
    machine.command(aborted)
    assert not {"jq", "oniguruma"} & machine.host.tree
    assert pending_names(machine) == []


@pytest.mark.parametrize(("when", "name"), LIVE_KILLS)
def test_after_a_reboot_a_killed_live_action_is_pending_and_not_live(machine, when, name):
    kill(machine, when, name, lambda s: add(s, "jq"))
    machine.host.reboot(power_cut=True)
    machine.command(resumed)
    added = machine.events()[-1].body
    assert (added.names, added.live) == (("jq",), False)
    assert pending_names(machine) == [("jq",)]


@pytest.mark.parametrize(("when", "name"), APPLY_KILLS)
def test_resume_finishes_an_apply_killed_at(machine, when, name):
    machine.command(lambda s: add(s, "jq"))
    kill(machine, when, name, apply_all)
    machine.command(resumed)
    staged = machine.host.deployments["staged"]
    assert "jq" in machine.host.packages_of(staged.image_digest)
    assert pending_names(machine) == []
    assert machine.host.calls.count("stage") == (2 if (when, name) == ("failing", "stage") else 1)


@pytest.mark.parametrize(("when", "name"), APPLY_KILLS[:3])
def test_abort_takes_back_an_apply_killed_at(machine, when, name):
    machine.command(lambda s: add(s, "jq"))
    kill(machine, when, name, apply_all)
    machine.command(aborted)
    assert machine.host.deployments["staged"] is None
    assert pending_names(machine) == [("jq",)]
    assert len(machine.host.images) == 1


@pytest.mark.parametrize(("when", "name"), APPLY_KILLS[:3])
def test_apply_after_a_kill_is_refused_until_resume_or_abort(machine, when, name):
    machine.command(lambda s: add(s, "jq"))
    kill(machine, when, name, apply_all)
    with pytest.raises(InterruptedWorkError):
        machine.command(apply.propose)


def test_a_kill_during_the_undo_is_taken_further_by_abort_or_resume(machine):
    machine.command(lambda s: add(s, "jq"))
    machine.host.failing["stage"] = HostError("no")
    machine.host.failing["remove"] = Crash()
    machine.killed(apply_all)
    machine.host.failing.clear()
    machine.command(resumed)
    assert pending_names(machine) == [("jq",)]
    assert machine.command(status).unfinished == []


def test_recording_goes_on_beside_an_interrupted_apply(machine):
    machine.command(lambda s: add(s, "jq"))
    kill(machine, "failing", "build", apply_all)
    machine.command(lambda s: add(s, "tree"))
    machine.command(resumed)
    assert pending_names(machine) == [("tree",)]


def test_the_next_live_command_finishes_interrupted_live_work_first(machine):
    kill(machine, "after", "half", lambda s: add(s, "jq"))
    machine.command(lambda s: add(s, "tree"))
    assert {"jq", "tree"} <= machine.host.tree
    assert pending_names(machine) == [("jq",), ("tree",)]


@pytest.mark.parametrize("point", ["switch.done", "promote.started", "promote.done"])
def test_abort_leaves_no_image_of_an_apply_that_had_staged(machine, killed, point):
    machine.command(lambda s: add(s, "jq"))
    images = set(machine.host.images)
    killed(apply_all, point)
    machine.command(aborted)
    assert set(machine.host.images) == images
    assert pending_names(machine) == [("jq",)]


@pytest.mark.parametrize("command", [resumed, aborted])
def test_live_work_that_can_not_be_ended_does_not_hold_up_an_apply(machine, command):
    machine.command(lambda s: add(s, "tree", live=False))
    kill(machine, "after", "build", apply_all)
    machine.host.after["half"] = AptError("postinst exited 1")
    machine.host.failing["revert"] = AptError("prerm exited 1")
    with pytest.raises(AptError):
        machine.command(lambda s: add(s, "jq"))
    machine.host.after.clear()
    with pytest.raises(AptError, match="prerm"):
        machine.command(command)
    assert [item.mode for item in machine.command(status).unfinished] == ["live"]
    assert (machine.host.deployments["staged"] is not None) == (command is resumed)


def test_resume_and_abort_with_nothing_to_do_do_nothing(machine):
    before = len(machine.events())
    assert machine.command(resumed).done == []
    assert machine.command(aborted).done == []
    assert len(machine.events()) == before
