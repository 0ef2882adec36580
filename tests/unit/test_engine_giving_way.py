"""What an apply took the place of, when the apply is taken back: it boots next again."""

from __future__ import annotations

import contextlib

import pytest

from atomicstate.engine import apply, packages, rollback
from atomicstate.engine.results import Silent
from atomicstate.engine.resume import resume as resume_all
from atomicstate.engine.selecting import Request
from atomicstate.engine.status import status
from atomicstate.engine.unfinished import abort, found
from atomicstate.errors import ConflictError, HostError, UnclearError
from tests.support.fakehost import fake_host
from tests.support.sessions import adopted

SILENT = Silent()


@pytest.fixture
def machine(tmp_path):
    return adopted(tmp_path / "state", fake_host())


def add(name):
    def command(session):
        proposal = packages.propose(session, "add", (name,), live=False)
        return packages.carry_out(session, proposal, SILENT)

    return command


def apply_all(session):
    return apply.carry_out(session, apply.propose(session), SILENT)


def go_back(session):
    return rollback.carry_out(session, rollback.propose(session), SILENT)


def back_to(target):
    def command(session):
        return rollback.carry_out(session, rollback.propose(session, target), SILENT, to=target)

    return command


def aborted(session):
    return abort(session, SILENT)


def resumed(session):
    return resume_all(session, SILENT)


def outcomes(result):
    return [(item.mode, item.outcome) for item in result.done]


def stage_elsewhere(machine):
    image = machine.host._image("elsewhere/image:1", {}, frozenset({"bash"}))
    machine.host.stage(image)


def staged_elsewhere(machine):
    staged = machine.host.deployments["staged"]
    return staged is not None and staged.image == "elsewhere/image:1"


def staged_by(machine):
    staged = machine.command(status).host.staged
    return staged and staged.transaction


def pending(machine):
    return [tuple(item.data["names"]) for item in machine.command(status).pending]


def packages_of_what_boots_next(machine):
    """Those of its image, which is there."""
    first = machine.host.status().boots_next
    assert first.image_digest in {image.id for image, _packages in machine.host.images.values()}
    return machine.host.packages_of(first.image_digest)


def boots(machine, name):
    """The transaction of an apply of the package, which is booted."""
    machine.command(add(name))
    applied = machine.command(apply_all).transaction
    machine.host.reboot()
    return applied


@pytest.mark.parametrize("point", ["switch.done", "promote.started"])
def test_an_apply_that_is_taken_back_gives_way_to_what_was_staged_before(machine, killed, point):
    machine.command(add("jq"))
    first = machine.command(apply_all).transaction
    machine.command(add("tree"))
    killed(apply_all, point)
    machine.command(aborted)
    assert staged_by(machine) == first
    assert pending(machine) == [("tree",)]
    assert machine.command(found) == []


@pytest.mark.parametrize("command", [resumed, aborted])
@pytest.mark.parametrize("point", ["switch.done", "promote.started"])
@pytest.mark.parametrize("second", ["switch.started", "switch.done"])
def test_a_kill_while_it_gives_way_leaves_one_of_both_staged(
    machine, killed, point, second, command
):
    machine.command(add("jq"))
    first = machine.command(apply_all).transaction
    machine.command(add("tree"))
    killed(apply_all, point)
    killed(aborted, second)
    assert machine.host.deployments["staged"] is not None
    machine.command(command)
    assert machine.command(found) == []
    if command is aborted:
        assert staged_by(machine) == first
    assert pending(machine) == ([("tree",)] if staged_by(machine) == first else [])


def test_what_was_staged_before_and_is_foreign_is_said_to_be_gone(machine, killed):
    image = machine.host._image("elsewhere/image:1", {}, frozenset({"bash"}))
    machine.host.deployments["staged"] = machine.host._deployment(image)
    machine.command(add("jq"))

    def onto(session):
        proposal = apply.propose(session, Request(discard_staged=True))
        return apply.carry_out(session, proposal, SILENT)

    killed(onto, "promote.started")
    told = []

    class Telling(Silent):
        def note(self, text):
            told.append(text)

    machine.command(lambda s: abort(s, Telling()))
    assert staged_by(machine) is None
    assert any("stays gone" in text for text in told)


def test_a_queued_rollback_boots_next_again_in_one_step(machine, killed):
    machine.command(add("jq"))
    machine.command(apply_all)
    machine.host.reboot()
    machine.command(go_back)
    machine.command(add("tree"))
    killed(apply_all, "promote.started")
    machine.host.failing["rollback"] = HostError("the lock is held")
    with pytest.raises(HostError):
        machine.command(aborted)
    machine.host.failing.clear()
    machine.command(aborted)
    assert machine.host.queued
    assert staged_by(machine) is None
    assert pending(machine) == [("tree",)]


def test_two_applies_that_a_power_cut_dropped_come_back_as_the_newer(machine):
    machine.command(add("jq"))
    machine.command(apply_all)
    machine.command(add("tree"))
    second = machine.command(apply_all).transaction
    machine.host.reboot(power_cut=True)
    assert outcomes(machine.command(resumed)) == [("deploy", "finished")]
    assert staged_by(machine) == second


# -- and something comes between ---------------------------------------------------------------


@pytest.mark.parametrize("command", [resumed, aborted])
@pytest.mark.parametrize("point", ["switch.done", "promote.started"])
def test_a_power_cut_while_it_gives_way_ends_with_what_was_staged_before(
    machine, killed, point, command
):
    machine.command(add("jq"))
    first = machine.command(apply_all).transaction
    machine.command(add("tree"))
    killed(apply_all, point)
    killed(aborted, "switch.started")
    machine.host.reboot(power_cut=True)
    machine.command(command)
    assert machine.command(found) == []
    assert pending(machine) == (
        [("tree",)] if staged_by(machine) == first else [("jq",), ("tree",)]
    )


@pytest.mark.parametrize("boots_it", [False, True])
@pytest.mark.parametrize("command", [resumed, aborted])
@pytest.mark.parametrize("point", ["switch.done", "promote.started"])
def test_what_somebody_stages_while_it_gives_way_is_left(machine, killed, point, command, boots_it):
    machine.command(add("jq"))
    machine.command(apply_all)
    machine.command(add("tree"))
    killed(apply_all, point)
    killed(aborted, "switch.started")
    stage_elsewhere(machine)
    if boots_it:
        machine.host.reboot()
    machine.command(command)
    assert machine.command(found) == []
    assert staged_elsewhere(machine) != boots_it


def test_an_apply_whose_deployment_a_power_cut_took_ends_with_its_abort(machine, killed):
    machine.command(add("jq"))
    first = machine.command(apply_all).transaction
    machine.command(add("tree"))
    killed(apply_all, "promote.started")
    machine.host.reboot(power_cut=True)
    assert outcomes(machine.command(aborted)) == [("apply", "rolled_back")]
    assert machine.command(found) == []
    assert staged_by(machine) == first
    assert pending(machine) == [("tree",)]


def test_what_was_staged_before_stays_gone_where_another_system_was_booted(machine, killed):
    machine.command(add("jq"))
    machine.command(apply_all)
    machine.command(add("tree"))
    killed(apply_all, "promote.started")
    machine.host.reboot(power_cut=True)
    stage_elsewhere(machine)
    machine.host.reboot()
    machine.command(aborted)
    assert machine.command(found) == []
    assert staged_by(machine) is None


def test_a_queued_rollback_boots_next_again_after_a_power_cut(machine, killed):
    boots(machine, "jq")
    machine.command(go_back)
    machine.command(add("tree"))
    killed(apply_all, "promote.started")
    machine.host.reboot(power_cut=True)
    machine.command(aborted)
    assert machine.command(found) == []
    assert machine.host.queued


def test_abort_leaves_what_somebody_staged_over_an_apply(machine, killed):
    machine.command(add("jq"))
    machine.command(apply_all)
    machine.command(add("tree"))
    killed(apply_all, "promote.started")
    stage_elsewhere(machine)
    machine.command(aborted)
    assert machine.command(found) == []
    assert staged_elsewhere(machine)


def test_abort_leaves_what_somebody_staged_over_an_apply_that_unqueued_a_rollback(machine, killed):
    boots(machine, "jq")
    machine.command(go_back)
    machine.command(add("tree"))
    killed(apply_all, "promote.started")
    stage_elsewhere(machine)
    machine.command(aborted)
    assert machine.command(found) == []
    assert staged_elsewhere(machine)


@pytest.mark.parametrize("point", ["unqueue.done", "switch.started"])
def test_a_rollback_is_not_queued_again_over_what_somebody_staged(machine, killed, point):
    boots(machine, "jq")
    machine.command(go_back)
    machine.command(add("tree"))
    killed(apply_all, point)
    stage_elsewhere(machine)
    with pytest.raises(UnclearError):
        machine.command(resumed)
    machine.command(aborted)
    assert machine.command(found) == []
    assert staged_elsewhere(machine)


def test_what_somebody_stages_before_a_rollback_is_unqueued_is_left(machine):
    boots(machine, "jq")
    machine.command(go_back)
    machine.command(add("tree"))

    def stage_one(when, name):
        if (when, name) == ("after", "build"):
            machine.host.on_effect = lambda _when, _name: None
            stage_elsewhere(machine)

    machine.host.on_effect = stage_one
    with pytest.raises(ConflictError, match="boots next meanwhile"):
        machine.command(apply_all)
    assert staged_elsewhere(machine)
    assert machine.host.queued


def test_the_abort_of_a_rollback_leaves_what_somebody_staged(machine, killed):
    boots(machine, "jq")
    machine.command(go_back)
    killed(back_to(machine.host.deployments["booted"].checksum), "rollback.started")
    stage_elsewhere(machine)
    machine.command(aborted)
    assert machine.command(found) == []
    assert staged_elsewhere(machine)


def test_the_abort_of_a_rollback_leaves_another_that_somebody_queued(machine, killed):
    boots(machine, "jq")
    boots(machine, "tree")
    killed(go_back, "rollback.started")
    stage_elsewhere(machine)
    machine.host.reboot()
    machine.host.queued = True
    machine.command(aborted)
    assert machine.command(found) == []
    assert machine.host.queued


# -- a rollback to a transaction ---------------------------------------------------------------


@pytest.mark.parametrize("command", [resumed, aborted])
@pytest.mark.parametrize("second", ["switch.started", "switch.done"])
def test_the_abort_of_a_rollback_that_was_killed_too_brings_back_what_was_staged(
    machine, killed, second, command
):
    first = boots(machine, "jq")
    boots(machine, "tree")
    machine.command(add("hello"))
    staged = machine.command(apply_all).transaction
    killed(back_to(first), "switch.done")
    assert staged_by(machine) == first
    killed(aborted, second)
    machine.command(command)
    assert machine.command(found) == []
    assert staged_by(machine) == staged


@pytest.mark.parametrize("command", [resumed, aborted])
def test_what_a_shutdown_finalized_while_it_was_dropped_is_finished(machine, killed, command):
    boots(machine, "jq")
    machine.command(add("tree"))
    killed(apply_all, "promote.started")
    killed(aborted, "unstage.started")
    machine.host.reboot(other_entry=True)
    result = machine.command(command)
    assert ("apply", "finished") in outcomes(result)
    assert "tree" in packages_of_what_boots_next(machine)
    assert machine.command(found) == []


@pytest.mark.parametrize("command", [resumed, aborted])
@pytest.mark.parametrize("queued", [False, True])
def test_a_rollback_to_a_transaction_that_a_shutdown_finalized_is_finished(
    machine, killed, queued, command
):
    target = boots(machine, "jq")
    boots(machine, "tree")
    boots(machine, "hello")
    if queued:
        machine.command(go_back)
    killed(back_to(target), "switch.done")
    machine.host.reboot(other_entry=True)
    assert outcomes(machine.command(command)) == [("deploy", "finished")]
    assert "tree" not in packages_of_what_boots_next(machine)
    assert machine.command(found) == []


# -- what runs -----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [resumed, aborted])
def test_what_was_booted_while_it_gave_way_is_finished(machine, killed, command):
    boots(machine, "hello")
    machine.command(add("jq"))
    machine.command(apply_all)
    machine.command(add("tree"))
    killed(apply_all, "promote.started")
    killed(aborted, "switch.started")
    machine.host.reboot()
    result = machine.command(command)
    assert outcomes(result) == [("deploy", "rolled_back"), ("apply", "finished")]
    assert (staged_by(machine), pending(machine)) == (None, [])


@pytest.mark.parametrize("queued", [False, True])
@pytest.mark.parametrize("point", ["switch.done", "promote.started"])
def test_what_runs_is_not_staged_again_over_itself(machine, killed, point, queued):
    boots(machine, "hello")
    machine.command(add("jq"))
    machine.command(apply_all)
    machine.command(add("tree"))
    killed(apply_all, "build.started")
    machine.host.reboot()
    killed(resumed, point)
    if queued:
        machine.host.rollback(machine.host.deployments["rollback"].checksum)
    machine.command(aborted)
    assert machine.command(found) == []
    assert (staged_by(machine), machine.host.queued) == (None, queued)


@pytest.mark.parametrize("point", ["switch.started", "switch.done", "promote.started"])
def test_abort_leaves_a_rollback_that_somebody_queued_meanwhile(machine, killed, point):
    boots(machine, "hello")
    boots(machine, "nano")
    machine.command(go_back)
    machine.command(add("jq"))
    machine.command(apply_all)
    machine.command(add("tree"))
    killed(apply_all, point)
    machine.host.rollback(machine.host.deployments["rollback"].checksum)
    machine.command(aborted)
    assert machine.command(found) == []
    assert (staged_by(machine), machine.host.queued) == (None, True)


@pytest.mark.parametrize("command", [resumed, aborted])
@pytest.mark.parametrize("point", ["switch.done", "promote.started"])
def test_the_end_of_an_apply_that_was_booted_leaves_a_queued_rollback(
    machine, killed, point, command
):
    machine.command(add("jq"))
    killed(apply_all, point)
    machine.host.reboot()
    machine.host.rollback(machine.host.deployments["rollback"].checksum)
    assert outcomes(machine.command(command)) == [("apply", "finished")]
    assert machine.host.queued


@pytest.mark.parametrize("command", [resumed, aborted])
def test_a_rollback_that_was_booted_is_finished_whatever_is_staged_then(machine, killed, command):
    boots(machine, "jq")
    killed(go_back, "rollback.done")
    machine.host.reboot()
    stage_elsewhere(machine)
    machine.command(command)
    assert machine.command(found) == []
    assert staged_elsewhere(machine)


def test_what_did_not_come_up_is_not_staged_over_what_somebody_queued(machine):
    machine.command(add("jq"))
    machine.command(apply_all)
    stage_elsewhere(machine)
    machine.host.reboot()
    machine.host.rollback(machine.host.deployments["rollback"].checksum)
    machine.command(resumed)
    assert (staged_by(machine), machine.host.queued) == (None, True)


# -- a host that is mute for an instant --------------------------------------------------------


@pytest.fixture
def mute(machine, monkeypatch):
    """Lets one look at the host fail, after something was staged; a tool's exit status too."""

    def after_staging(failure=None):
        looks, real = [], machine.host.status

        def look():
            if looks:
                looks.pop()
                raise HostError("mute")
            return real()

        def effect(when, name):
            if (when, name) == ("after", "stage"):
                machine.host.on_effect = lambda _when, _name: None
                looks.append(1)
                if failure is not None:
                    raise failure

        monkeypatch.setattr(machine.host.deployer, "status", look)
        machine.host.on_effect = effect

    return after_staging


@pytest.mark.parametrize(
    ("point", "failure"),
    [("switch.done", None), ("promote.started", None), ("promote.started", HostError("exit 1"))],
)
def test_nothing_is_taken_back_on_a_guess(machine, killed, mute, point, failure):
    machine.command(add("jq"))
    first = machine.command(apply_all).transaction
    machine.command(add("tree"))
    killed(apply_all, point)
    mute(failure)
    with contextlib.suppress(HostError):
        machine.command(aborted)
    machine.command(aborted)
    assert machine.command(found) == []
    assert staged_by(machine) == first
    assert pending(machine) == [("tree",)]


# -- no network yet ------------------------------------------------------------------------------


@pytest.mark.parametrize("power_cut", [False, True])
def test_a_boot_without_a_network_leaves_an_abort_that_has_to_build(
    machine, killed, monkeypatch, power_cut
):
    machine.command(add("jq"))
    first = machine.command(apply_all)
    machine.command(add("tree"))
    killed(apply_all, "promote.started")
    machine.host.remove_image(first.image)
    killed(aborted, "build.started")
    machine.host.reboot(power_cut=power_cut)
    monkeypatch.setattr("atomicstate.engine.resume.has_way_out", lambda: False)
    assert machine.command(lambda s: resume_all(s, SILENT, boot=True)).done == []
    assert [item.mode for item in machine.command(found)] == ["apply", "deploy"]
    machine.command(resumed)
    assert machine.command(found) == []
    # Without the power cut the apply was booted: that is finished.
    assert pending(machine) == ([("tree",)] if power_cut else [])
    assert staged_by(machine) == (first.transaction if power_cut else None)
