"""What happens between an interruption and its end: boots, other commands, hosts that are mute."""

from __future__ import annotations

import msgspec
import pytest

from atomicstate.engine import apply, overlay, packages, rollback, undo
from atomicstate.engine.results import Silent
from atomicstate.engine.resume import resume as resume_all
from atomicstate.engine.status import status
from atomicstate.engine.unfinished import abort, found
from atomicstate.errors import (
    CanceledError,
    ConflictError,
    HostError,
    ImageError,
    InterruptedWorkError,
    UnclearError,
)
from tests.support.fakehost import fake_host
from tests.support.sessions import adopted

SILENT = Silent()


@pytest.fixture
def machine(tmp_path):
    return adopted(tmp_path / "state", fake_host())


def add(name, *, live=False):
    def command(session):
        proposal = packages.propose(session, "add", (name,), live=live)
        return packages.carry_out(session, proposal, SILENT)

    return command


def apply_all(session):
    return apply.carry_out(session, apply.propose(session), SILENT)


def go_back(session):
    return rollback.carry_out(session, rollback.propose(session), SILENT)


def aborted(session):
    return abort(session, SILENT)


def resumed(session):
    return resume_all(session, SILENT)


def outcomes(result):
    return [(item.mode, item.outcome) for item in result.done]


def boot_elsewhere(machine):
    image = machine.host._image("elsewhere/image:1", {}, frozenset({"bash"}))
    machine.host.deployments["staged"] = machine.host._deployment(image)
    machine.host.reboot()


def staged_by(machine):
    staged = machine.command(status).host.staged
    return staged and staged.transaction


def pending(machine):
    return [tuple(item.data["names"]) for item in machine.command(status).pending]


# -- taking back, and a boot comes between -----------------------------------------------------


@pytest.mark.parametrize("command", [resumed, aborted])
def test_an_apply_that_was_booted_while_it_was_taken_back_is_finished(machine, killed, command):
    machine.command(add("jq"))
    killed(apply_all, "switch.done")
    killed(aborted, "switch.undoing")
    machine.host.reboot()
    assert outcomes(machine.command(command)) == [("apply", "finished")]
    assert machine.command(found) == []
    assert pending(machine) == []


@pytest.mark.parametrize("command", [resumed, aborted])
def test_a_rollback_that_was_booted_while_it_was_taken_back_is_finished(machine, killed, command):
    machine.command(add("jq"))
    machine.command(apply_all)
    machine.host.reboot()
    killed(go_back, "rollback.done")
    killed(aborted, "rollback.undoing")
    machine.host.reboot()
    assert outcomes(machine.command(command)) == [("rollback", "finished")]
    assert [item.data["names"] for item in machine.command(status).held] == [["jq"]]


def test_an_apply_that_unqueued_a_rollback_is_taken_back_after_a_boot_into_something_else(
    machine, killed
):
    machine.command(add("jq"))
    machine.command(apply_all)
    machine.host.reboot()
    machine.command(go_back)
    machine.command(add("tree"))
    killed(apply_all, "unqueue.done")
    boot_elsewhere(machine)
    assert outcomes(machine.command(aborted)) == [("apply", "rolled_back")]
    assert machine.command(found) == []


# -- another command comes between -------------------------------------------------------------


@pytest.mark.parametrize("point", ["build.started", "promote.started"])
def test_what_is_not_wanted_any_more_does_not_stop_the_apply_that_has_it(machine, killed, point):
    machine.command(add("jq"))
    seq = len(machine.events())
    killed(apply_all, point)
    machine.command(lambda s: undo.carry_out(s, undo.propose(s, "undo", (str(seq),)), SILENT))
    assert outcomes(machine.command(resumed)) == [("apply", "finished")]
    [item] = machine.command(status).pending
    assert (item.seq, item.change) == (seq, "drop")


def test_a_run_that_was_proposed_before_another_was_cut_short_is_refused(machine, killed):
    machine.command(add("jq"))
    with machine.session() as session:
        proposal = apply.propose(session)
    killed(apply_all, "build.started")
    with pytest.raises(InterruptedWorkError):
        machine.command(lambda s: apply.carry_out(s, proposal, SILENT))
    assert outcomes(machine.command(resumed)) == [("apply", "finished")]


def test_a_rollback_that_a_person_queues_while_it_builds_is_left(machine):
    machine.command(add("jq"))
    machine.command(apply_all)
    machine.host.reboot()
    machine.command(add("tree"))

    def queue(when, name):
        if (when, name) == ("after", "build"):
            machine.host.queued = True

    machine.host.on_effect = queue
    with pytest.raises(ConflictError, match="boots next meanwhile"):
        machine.command(apply_all)
    assert machine.host.queued
    assert staged_by(machine) is None
    assert machine.command(found) == []


def test_an_apply_is_not_gone_on_with_after_a_person_went_back(machine, killed):
    machine.command(add("jq"))
    machine.command(apply_all)
    machine.host.reboot()
    machine.command(add("tree"))
    killed(apply_all, "build.done")
    machine.host.queued = True
    machine.host.reboot()
    with pytest.raises(ConflictError, match="boots next meanwhile"):
        machine.command(resumed)
    assert machine.command(found) == []
    assert staged_by(machine) is None


def test_an_apply_goes_on_after_what_was_staged_before_it_was_booted(machine, killed):
    machine.command(add("jq"))
    machine.command(apply_all)
    machine.command(add("tree"))
    killed(apply_all, "build.done")
    machine.host.reboot()
    assert outcomes(machine.command(resumed)) == [("apply", "finished")]
    assert pending(machine) == []


def test_what_somebody_locked_is_not_called_staged(machine, killed):
    machine.command(add("jq"))
    killed(apply_all, "switch.done")
    slots = machine.host.deployments
    slots["staged"] = msgspec.structs.replace(slots["staged"], locked=True)
    with pytest.raises(UnclearError, match="the step switch was interrupted"):
        machine.command(resumed)
    machine.command(aborted)
    assert slots["staged"] is None
    assert pending(machine) == [("jq",)]


# -- the overlay -------------------------------------------------------------------------------


def test_an_install_that_a_boot_cut_short_is_put_back_like_one_that_was_done(machine, killed):
    killed(add("tree", live=True), "live.done")
    machine.host.reboot()
    assert outcomes(machine.command(resumed)) == [("live", "finished"), ("restore", "finished")]
    assert "tree" in machine.host.tree
    machine.host.tree.discard("tree")
    machine.host.reboot()
    assert outcomes(machine.command(resumed)) == [("restore", "finished")]


def test_the_undo_of_an_install_that_came_back_takes_it_out_again(machine, killed):
    killed(add("tree", live=True), "live.done")
    machine.host.reboot()
    machine.command(resumed)
    [item] = machine.command(status).pending
    machine.command(lambda s: undo.carry_out(s, undo.propose(s, "undo", (str(item.seq),)), SILENT))
    assert "tree" not in machine.host.tree
    assert outcomes(machine.command(resumed)) == []


def test_what_was_recorded_alone_is_not_put_into_the_overlay(machine):
    machine.command(add("tree"))
    machine.host.reboot()
    assert outcomes(machine.command(resumed)) == []


def test_an_overlay_that_is_on_can_not_be_taken_back_and_is_called_on(machine, killed):
    killed(lambda s: overlay.enable(s, SILENT), "overlay.done")
    assert outcomes(machine.command(aborted)) == [("overlay", "finished")]
    assert machine.host.overlay_on


def test_ctrl_c_while_the_overlay_is_laid_ends_before_the_packages(machine):
    def interrupt(when, name):
        if (when, name) == ("after", "enable"):
            raise KeyboardInterrupt

    machine.host.on_effect = interrupt
    with pytest.raises(CanceledError, match="the overlay is on until the next boot"):
        machine.command(add("tree", live=True))
    assert machine.host.overlay_on
    assert "tree" not in machine.host.tree
    assert machine.command(found) == []


# -- a host that does not answer ---------------------------------------------------------------


def test_what_the_host_does_not_tell_is_neither_done_nor_failed(machine):
    machine.command(add("jq"))
    machine.command(apply_all)
    told, mute = machine.host.deployer.status, True

    def shown():
        if mute and machine.host.deployments["staged"] is None:
            raise HostError("it timed out")
        return told()

    machine.host.deployer.status = shown
    with pytest.raises(UnclearError, match="what came of it can't be told"):
        machine.command(go_back)
    assert machine.kinds()[-1] == "step.started"
    mute = False
    assert outcomes(machine.command(resumed)) == [("unstage", "finished")]
    assert [item.data["names"] for item in machine.command(status).held] == [["jq"]]


def test_a_file_that_cant_be_removed_is_a_plain_error(machine, killed, monkeypatch):
    machine.command(add("jq"))
    killed(apply_all, "build.started")

    def unlink(self, missing_ok=False):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.unlink", unlink)
        with pytest.raises(HostError):
            machine.command(aborted)
    machine.command(aborted)
    assert machine.command(found) == []


def test_an_apply_without_its_base_is_not_begun(machine):
    machine.command(add("jq"))
    machine.host.images.clear()
    before = len(machine.events())
    with pytest.raises(ImageError, match="not on this machine any more"):
        machine.command(apply_all)
    assert len(machine.events()) == before
