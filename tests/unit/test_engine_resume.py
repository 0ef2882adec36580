"""Coming up again: what a boot lost, what was changed past us, and a broken /usr, in memory."""

from __future__ import annotations

import pytest

from atomicstate.engine import apply, packages, restore, unfinished
from atomicstate.engine.results import Silent
from atomicstate.engine.resume import outlook, resume
from atomicstate.engine.status import status
from atomicstate.errors import (
    AptError,
    CanceledError,
    ContainerError,
    HostError,
    NotFoundError,
)
from atomicstate.events.bodies import NoteAdded
from atomicstate.host.ports import LABEL_TRANSACTION
from tests.support.fakehost import Crash, fake_host
from tests.support.sessions import adopted

SILENT = Silent()


@pytest.fixture
def machine(tmp_path):
    return adopted(tmp_path / "state", fake_host())


def add(session, *names, live=True):
    proposal = packages.propose(session, "add", names, live=live)
    return packages.carry_out(session, proposal, SILENT)


def remove(session, *names):
    proposal = packages.propose(session, "remove", names, live=True)
    return packages.carry_out(session, proposal, SILENT)


def apply_all(session):
    return apply.carry_out(session, apply.propose(session), SILENT)


def resumed(session):
    return resume(session, SILENT)


@pytest.fixture(autouse=True)
def online(monkeypatch):
    """Early in a boot there is no network; `online(True)` is a boot that has it."""

    def be(there):
        monkeypatch.setattr("atomicstate.engine.resume.has_way_out", lambda: there)

    be(False)
    return be


def at_boot(session):
    return resume(session, SILENT, boot=True)


def restored(session):
    return restore.restore(session, SILENT)


def modes(result):
    return [(item.mode, item.outcome) for item in result.done]


def pending_names(machine):
    return [tuple(item.data["names"]) for item in machine.command(status).pending]


# -- the overlay -----------------------------------------------------------------------------


def test_what_a_boot_took_out_of_the_overlay_is_put_back(machine):
    machine.command(lambda s: add(s, "jq"))
    machine.command(lambda s: remove(s, "coreutils"))
    machine.host.reboot()
    result = machine.command(resumed)
    assert modes(result) == [("restore", "finished")]
    assert {"jq", "oniguruma"} <= machine.host.tree
    assert "coreutils" not in machine.host.tree
    assert pending_names(machine) == [("jq",), ("coreutils",)]
    assert machine.kinds().count("package.added") == 1
    assert machine.command(status).unfinished == []


def test_in_the_boot_of_the_change_there_is_nothing_to_put_back(machine):
    machine.command(lambda s: add(s, "jq"))
    before = len(machine.events())
    assert modes(machine.command(resumed)) == []
    assert len(machine.events()) == before


def test_what_was_put_back_is_not_put_back_twice(machine):
    machine.command(lambda s: add(s, "jq"))
    machine.host.reboot()
    machine.command(resumed)
    before = len(machine.events())
    assert modes(machine.command(resumed)) == []
    assert len(machine.events()) == before


def test_what_was_only_recorded_is_not_put_into_the_overlay(machine):
    machine.command(lambda s: add(s, "jq", live=False))
    machine.host.reboot()
    assert modes(machine.command(resumed)) == []
    assert "jq" not in machine.host.tree


def test_what_was_removed_meanwhile_does_not_come_back(machine):
    machine.command(lambda s: add(s, "jq"))
    machine.command(lambda s: remove(s, "jq"))
    machine.host.reboot()
    assert modes(machine.command(resumed)) == []
    assert "jq" not in machine.host.tree


def test_the_version_of_then_is_taken_where_it_is_offered(machine):
    machine.command(lambda s: add(s, "jq"))
    machine.host.newest["jq"] = "2.0"
    machine.host.older.add(("jq", "1.0"))
    machine.host.reboot()
    assert machine.command(resumed).notes == []
    begun = [e.body for e in machine.events() if e.body.__class__.__name__ == "TransactionBegun"]
    assert {change.version for change in begun[-1].plan.comes} == {"1.0"}


def test_another_version_is_named(machine):
    machine.command(lambda s: add(s, "jq"))
    machine.host.newest["jq"] = "2.0"
    machine.host.reboot()
    [note] = machine.command(resumed).notes
    assert note == "jq was 1.0, 2.0 is what is offered now"
    assert "jq" in machine.host.tree


def test_what_can_not_be_had_any_more_is_named_and_the_rest_is_put_back(machine):
    machine.command(lambda s: add(s, "jq", "tree"))
    machine.host.available.discard("tree")
    machine.host.reboot()
    result = machine.command(restored)
    assert "jq" in machine.host.tree
    assert result.installed == ["jq", "oniguruma"]
    assert "tree" in result.notes[0]


def test_a_missing_package_does_not_fail_the_boot(machine):
    machine.command(lambda s: add(s, "tree"))
    machine.host.available.discard("tree")
    machine.host.reboot()
    [note] = machine.command(at_boot).notes
    assert "tree" in note
    with pytest.raises(NotFoundError):
        machine.command(resumed)


# -- one part fails, or has to wait for the network -------------------------------------------


def live_tree_and_a_build_cut_short(machine, *, after=""):
    machine.command(lambda s: add(s, "tree"))
    machine.command(lambda s: add(s, "jq", live=False))
    if after:
        machine.host.after[after] = Crash()
    else:
        machine.host.failing["build"] = Crash()
    machine.killed(apply_all)
    machine.host.failing.clear()
    machine.host.after.clear()
    machine.host.reboot(power_cut=True)


def test_a_build_that_fails_does_not_keep_the_overlay_from_coming_back(machine):
    live_tree_and_a_build_cut_short(machine)
    machine.host.failing["build"] = ContainerError("deb.example.org can't be resolved")
    with pytest.raises(ContainerError, match="resolved"):
        machine.command(resumed)
    assert "tree" in machine.host.tree
    assert machine.command(status).unfinished == []


def test_whoever_ends_a_resume_ends_all_of_it(machine):
    live_tree_and_a_build_cut_short(machine)
    machine.host.failing["build"] = KeyboardInterrupt()
    with pytest.raises(CanceledError):
        machine.command(resumed)
    assert "tree" not in machine.host.tree


def test_at_boot_a_build_waits_for_the_network_and_the_overlay_does_not(machine):
    live_tree_and_a_build_cut_short(machine)
    before = machine.host.calls.count("build")
    result = machine.command(at_boot)
    assert modes(result) == [("restore", "finished")]
    assert machine.host.calls.count("build") == before
    assert "tree" in machine.host.tree
    [note] = result.notes
    assert "waits for the network" in note
    assert machine.kinds().count("host.booted") == 1
    assert modes(machine.command(resumed)) == [("apply", "finished")]


def test_at_boot_with_a_network_all_goes_on(machine, online):
    online(True)
    live_tree_and_a_build_cut_short(machine)
    result = machine.command(at_boot)
    assert modes(result) == [("apply", "finished"), ("restore", "finished")]
    assert result.notes == []


def test_at_boot_what_is_built_already_goes_on(machine):
    live_tree_and_a_build_cut_short(machine, after="build")
    result = machine.command(at_boot)
    assert modes(result) == [("apply", "finished"), ("restore", "finished")]
    assert result.notes == []
    assert machine.host.deployments["staged"] is not None


def test_at_boot_what_fails_is_told_in_the_end_and_the_rest_is_done(machine):
    live_tree_and_a_build_cut_short(machine, after="build")
    machine.host.failing["stage"] = HostError("ostree exited 1")
    with pytest.raises(HostError, match="ostree exited 1"):
        machine.command(at_boot)
    assert "tree" in machine.host.tree


def test_at_boot_a_podman_that_fails_keeps_the_overlay_from_nothing(machine):
    machine.command(lambda s: add(s, "tree"))
    machine.command(lambda s: add(s, "jq", live=False))
    machine.host.failing["build"] = Crash()
    machine.killed(apply_all)
    machine.host.failing.clear()
    machine.host.after["carry_out"] = Crash()
    machine.killed(lambda s: add(s, "nano"))
    machine.host.after.clear()
    machine.host.reboot(power_cut=True)
    machine.host.failing["clean"] = ContainerError("podman exited 125")
    with pytest.raises(ContainerError, match="exited 125"):
        machine.command(at_boot)
    assert "tree" in machine.host.tree
    assert [item.mode for item in machine.command(status).unfinished] == ["apply"]


def test_of_a_live_install_that_fails_again_nothing_is_pending_and_nothing_said_to_be(machine):
    machine.host.failing["carry_out"] = Crash()
    machine.killed(lambda s: add(s, "jq"))
    machine.host.failing["carry_out"] = machine.host.failing["finish"] = AptError("postinst")
    with pytest.raises(AptError) as failed:
        machine.command(resumed)
    assert "pending" not in failed.value.hint
    assert pending_names(machine) == []


def test_at_boot_an_image_that_is_gone_waits_for_the_network(machine):
    machine.command(lambda s: add(s, "jq", live=False))
    made = machine.command(apply_all)
    machine.host.reboot(power_cut=True)
    machine.host.remove_image(made.image)
    result = machine.command(at_boot)
    assert modes(result) == []
    [note] = result.notes
    assert made.transaction in note
    assert "waits for the network" in note
    assert modes(machine.command(resumed)) == [("deploy", "finished")]


def test_nothing_is_staged_again_beside_an_apply_that_is_not_ended(machine):
    machine.command(lambda s: add(s, "jq", live=False))
    machine.command(apply_all)
    machine.command(lambda s: add(s, "tree", live=False))
    machine.host.failing["build"] = Crash()
    machine.killed(apply_all)
    machine.host.failing.clear()
    machine.host.reboot(power_cut=True)
    assert modes(machine.command(at_boot)) == []
    assert machine.host.deployments["staged"] is None
    assert len(machine.command(status).unfinished) == 1


def test_putting_back_takes_out_nothing_that_nobody_agreed_to(machine):
    machine.command(lambda s: add(s, "jq"))
    machine.host.reboot()
    real = machine.host._with

    def conflicting(tree, install, remove):
        return real(tree, install, remove) - ({"bash"} if "jq" in install else set())

    machine.host._with = conflicting
    with pytest.raises(AptError, match="bash"):
        machine.command(restored)
    assert "bash" in machine.host.tree


@pytest.mark.parametrize("where", [("failing", "carry_out"), ("after", "half")])
def test_a_restore_that_was_killed_goes_on(machine, where):
    machine.command(lambda s: add(s, "jq"))
    machine.host.reboot()
    when, name = where
    getattr(machine.host, when)[name] = Crash()
    machine.killed(resumed)
    getattr(machine.host, when).clear()
    machine.command(resumed)
    assert {"jq", "oniguruma"} <= machine.host.tree
    assert machine.command(status).unfinished == []
    assert machine.kinds().count("package.added") == 1


def test_a_restore_that_a_boot_ended_is_begun_anew(machine):
    machine.command(lambda s: add(s, "jq"))
    machine.host.reboot()
    machine.host.after["half"] = Crash()
    machine.killed(resumed)
    machine.host.after.clear()
    machine.host.reboot()
    machine.command(resumed)
    assert {"jq", "oniguruma"} <= machine.host.tree


def silence():
    raise HostError("mute")


# -- what did not come up --------------------------------------------------------------------


def test_a_staged_deployment_that_did_not_come_up_is_staged_again(machine):
    machine.command(lambda s: add(s, "jq"))
    made = machine.command(apply_all)
    machine.host.reboot(power_cut=True)
    assert machine.command(status).dropped == made.transaction
    result = machine.command(resumed)
    assert modes(result) == [("restore", "finished"), ("deploy", "finished")]
    assert machine.command(status).host.staged.transaction == made.transaction
    assert machine.command(status).dropped is None
    assert pending_names(machine) == []
    assert machine.host.calls.count("build") == 1
    machine.host.reboot()
    assert "jq" in machine.host.tree


def test_status_says_that_resume_would_stage_it_again(machine):
    machine.command(lambda s: add(s, "jq"))
    made = machine.command(apply_all)
    machine.host.reboot(power_cut=True)
    shown = machine.command(status)
    assert (shown.dropped, shown.dropped_why) == (made.transaction, None)


@pytest.mark.parametrize("boots_it", [False, True])
def test_one_that_a_person_staged_again_is_not_missed_any_more(machine, boots_it):
    machine.command(lambda s: add(s, "jq", live=False))
    made = machine.command(apply_all)
    machine.host.reboot(power_cut=True)
    machine.command(lambda s: add(s, "tree", live=False))
    assert machine.command(status).dropped == made.transaction
    machine.host.stage(machine.host.find({LABEL_TRANSACTION: made.transaction}))
    if boots_it:
        machine.host.reboot()
    assert machine.command(status).dropped is None


@pytest.mark.parametrize("mute", [False, True])
def test_what_was_seen_before_another_process_wrote_is_not_recorded_over_it(
    machine, monkeypatch, mute
):
    machine.command(lambda s: add(s, "jq", live=False))
    made = machine.command(apply_all)
    machine.host.reboot(power_cut=True)
    with machine.session() as early:
        early.observe()
        other = machine.session()
        other.log = early.log  # LMDB: a process opens it once
        resumed(other)
        if mute:
            monkeypatch.setattr(machine.host.overlay, "state", silence)
        early.append([NoteAdded(1, "late")])
        monkeypatch.undo()
    assert machine.kinds().count("host.booted") == 1
    shown = machine.command(status)
    assert (shown.dropped, shown.host.staged.transaction) == (None, made.transaction)


def test_what_ostree_says_of_it_is_told(machine):
    machine.command(lambda s: add(s, "jq", live=False))
    made = machine.command(apply_all)
    machine.host.reboot(power_cut=True)
    machine.host.finalize_failure = "grub2-mkconfig: exited with code 1"
    assert machine.command(status).dropped_failure == "grub2-mkconfig: exited with code 1"
    [note] = machine.command(resumed).notes
    assert made.transaction in note and "grub2-mkconfig" in note
    booted = next(e.body for e in machine.events() if e.body.__class__.__name__ == "HostBooted")
    assert booted.failure == "grub2-mkconfig: exited with code 1"
    assert machine.command(status).dropped_failure is None


def test_its_image_is_built_again_where_it_is_gone(machine):
    machine.command(lambda s: add(s, "jq"))
    made = machine.command(apply_all)
    machine.host.reboot(power_cut=True)
    machine.host.remove_image(made.image)
    machine.command(resumed)
    machine.host.reboot()
    assert "jq" in machine.host.tree


def test_it_is_not_staged_again_where_something_else_boots_next(machine):
    machine.command(lambda s: add(s, "jq"))
    machine.command(apply_all)
    machine.host.reboot()
    machine.command(lambda s: add(s, "tree"))
    made = machine.command(apply_all)
    # The power went, and a person went back with another tool.
    machine.host.reboot(power_cut=True)
    machine.host.rollback(machine.host.deployments["rollback"].checksum)
    machine.host.reboot(power_cut=True)
    found = machine.command(outlook)
    assert found.stages == ""
    assert made.transaction in found.notes[0]
    shown = machine.command(status)
    assert (shown.dropped, shown.dropped_why) == (made.transaction, found.notes[0])
    assert machine.command(resumed).notes == found.notes
    assert machine.host.deployments["staged"] is None
    assert ("tree",) in pending_names(machine)


def test_what_waits_to_be_held_back_is_held_still_when_it_is_staged_again(machine):
    from atomicstate.engine import rollback

    machine.command(lambda s: add(s, "jq"))
    machine.command(apply_all)
    machine.host.reboot()
    machine.command(lambda s: rollback.carry_out(s, rollback.propose(s), SILENT))
    machine.host.reboot()
    machine.command(lambda s: add(s, "tree"))
    machine.command(apply_all)
    machine.host.reboot(power_cut=True)
    machine.command(resumed)
    assert [item.data["names"] for item in machine.command(status).held] == [["jq"]]


def test_on_a_foreign_deployment_resume_says_why_it_stages_nothing(machine):
    machine.command(lambda s: add(s, "jq"))
    machine.command(apply_all)
    machine.host.reboot(power_cut=True)
    image = machine.host._image("elsewhere/image:1", {}, frozenset({"bash"}))
    machine.host.deployments["staged"] = machine.host._deployment(image)
    machine.host.reboot()
    [note] = machine.command(resumed).notes
    assert "not made by atomicstate" in note
    assert machine.host.deployments["staged"] is None


# -- a boot, and what was done past us -------------------------------------------------------


def test_resume_records_a_new_boot_instance(machine):
    machine.host.reboot()
    machine.command(outlook)
    assert machine.kinds()[-1] == "host.booted"
    before = len(machine.events())
    machine.command(outlook)
    assert len(machine.events()) == before


def test_an_older_deployment_booted_by_hand_is_recorded_and_left(machine):
    machine.command(lambda s: add(s, "jq"))
    machine.command(apply_all)
    machine.host.reboot()
    machine.host.reboot(other_entry=True)
    machine.command(resumed)
    shown = machine.command(status)
    assert machine.kinds()[-1] == "host.booted"
    # The menu's first entry is what it was: that boots next.
    assert pending_names(machine) == []
    assert shown.state == "switched"
    assert shown.held == []
    assert "jq" not in machine.host.tree
    assert shown.host.staged is None


def test_a_switch_past_us_is_recorded_and_left(machine):
    machine.command(lambda s: add(s, "jq", live=False))
    image = machine.host._image("elsewhere/image:1", {}, frozenset({"bash"}))
    machine.host.deployments["staged"] = machine.host._deployment(image)
    machine.command(resumed)
    assert machine.kinds()[-1] == "host.observed"
    assert machine.host.deployments["staged"].image == "elsewhere/image:1"


def test_a_rollback_queued_past_us_is_recorded_and_left(machine):
    machine.command(lambda s: add(s, "jq"))
    machine.command(apply_all)
    machine.host.reboot()
    machine.host.queued = True
    machine.command(resumed)
    assert machine.events()[-1].body.queued
    assert machine.host.queued
    assert pending_names(machine) == [("jq",)]


def test_a_deployment_from_long_ago_that_boots_by_hand_is_known(machine):
    """The view had let go of it: the whole log is folded."""
    machine.command(lambda s: add(s, "jq", live=False))
    first = machine.command(apply_all)
    machine.host.reboot()
    old = machine.host.deployments["booted"]
    for name in ("tree", "nano", "vim", "hello"):
        for verb in ("add", "remove"):
            machine.command(
                lambda s, v=verb, n=name: packages.carry_out(
                    s, packages.propose(s, v, [n], live=False), SILENT
                )
            )
            machine.command(apply_all)
            machine.host.reboot()
    with machine.session() as session:
        assert first.transaction not in session.system().selections
    machine.host.deployments["booted"] = old
    machine.host.reboot()
    machine.command(lambda s: add(s, "vim", live=False))
    assert pending_names(machine)[-1] == ("vim",)
    assert ("jq",) not in pending_names(machine)
    machine.command(apply_all)


# -- a broken /usr ---------------------------------------------------------------------------


def broken(machine):
    machine.host.after["half"] = AptError("postinst exited 1")
    machine.host.failing["revert"] = AptError("prerm exited 1")
    with pytest.raises(AptError):
        machine.command(lambda s: add(s, "jq"))
    machine.host.after.clear()


def test_what_can_neither_be_finished_nor_taken_back_is_said_and_recorded(machine):
    broken(machine)
    assert "live.broken" in machine.kinds()
    shown = machine.command(status)
    assert "prerm exited 1" in shown.broken
    assert shown.state == "rolling_back"


def test_on_a_broken_usr_live_commands_refuse_and_recording_goes_on(machine):
    broken(machine)
    with pytest.raises(HostError, match="neither finished nor taken back"):
        machine.command(lambda s: add(s, "tree"))
    with pytest.raises(HostError):
        machine.command(restored)
    machine.command(lambda s: add(s, "tree", live=False))
    assert pending_names(machine) == [("tree",)]


def test_abort_tries_again_to_take_it_back(machine):
    broken(machine)
    with pytest.raises(AptError):
        machine.command(lambda s: unfinished.abort(s, SILENT))
    assert machine.command(status).state == "rolling_back"
    machine.host.failing.clear()
    machine.command(lambda s: unfinished.abort(s, SILENT))
    assert "jq" not in machine.host.tree
    assert machine.command(status).unfinished == []


def test_the_next_boot_makes_a_broken_usr_whole(machine):
    broken(machine)
    machine.host.failing.clear()
    machine.host.reboot()
    assert machine.command(status).broken is None
    machine.command(resumed)
    assert machine.command(status).unfinished == []
    machine.command(lambda s: add(s, "tree"))
    assert "tree" in machine.host.tree


def test_resume_of_a_half_done_change_that_can_not_end_breaks_usr(machine):
    machine.host.after["half"] = Crash()
    machine.killed(lambda s: add(s, "jq"))
    machine.host.after.clear()
    machine.host.failing["finish"] = AptError("postinst exited 1")
    machine.host.failing["revert"] = AptError("prerm exited 1")
    with pytest.raises(AptError, match="postinst"):
        machine.command(resumed)
    assert machine.command(status).broken
