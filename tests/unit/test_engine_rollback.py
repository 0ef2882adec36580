"""Going back: rollback, its holds, and what interrupts it, over a host in memory."""

from __future__ import annotations

import pytest

from atomicstate.engine import apply, documents, packages, rollback
from atomicstate.engine.results import Silent
from atomicstate.engine.status import status
from atomicstate.engine.unfinished import abort, resume
from atomicstate.errors import (
    ConflictError,
    HostError,
    InterruptedWorkError,
    NoOperationError,
    NotFoundError,
    ValidationError,
)
from tests.support.fakehost import Crash, fake_host
from tests.support.sessions import adopted

SILENT = Silent()


@pytest.fixture
def machine(tmp_path):
    return adopted(tmp_path / "state", fake_host())


def add(session, *names, live=False):
    proposal = packages.propose(session, "add", names, live=live)
    return packages.carry_out(session, proposal, SILENT)


def apply_all(session):
    return apply.carry_out(session, apply.propose(session), SILENT)


def go_back(session, to="", *, discard_staged=False):
    proposal = rollback.propose(session, to, discard_staged=discard_staged)
    return rollback.carry_out(session, proposal, SILENT, to=to)


def resumed(session):
    return resume(session, SILENT)


def aborted(session):
    return abort(session, SILENT)


def applied(machine, *names):
    """Add, apply, boot: returns the transaction."""
    machine.command(lambda s: add(s, *names))
    result = machine.command(apply_all)
    machine.host.reboot()
    return result.transaction


def names_of(results):
    return [tuple(item.data["names"]) for item in results]


def pending_names(machine):
    return names_of(machine.command(status).pending)


def held_names(machine):
    return names_of(machine.command(status).held)


def kill(machine, when, name, work):
    hooks = getattr(machine.host, when)
    hooks[name] = Crash()
    machine.killed(work)
    del hooks[name]


def foreign(machine):
    image = machine.host._image("elsewhere/image:1", {}, frozenset({"bash"}))
    return machine.host._deployment(image)


# -- one back --------------------------------------------------------------------------------


def test_rollback_lets_the_deployment_before_boot_next(machine):
    first = applied(machine, "jq")
    applied(machine, "tree")
    before = machine.host.deployments["rollback"]
    result = machine.command(go_back)
    assert (result.mode, result.etc) == ("rollback", "as-it-was")
    assert (result.target.checksum, result.target.transaction) == (before.checksum, first)
    assert machine.host.queued
    machine.host.reboot()
    assert machine.host.deployments["booted"] == before


def test_what_a_rollback_takes_away_is_held_and_a_plain_apply_leaves_it_out(machine):
    applied(machine, "jq")
    applied(machine, "tree")
    result = machine.command(go_back)
    assert held_names(machine) == [("tree",)]
    assert [item.seq for item in machine.command(status).held] == result.held
    assert pending_names(machine) == []
    with pytest.raises(NoOperationError):
        machine.command(apply.propose)
    machine.host.reboot()
    assert held_names(machine) == [("tree",)]
    assert b"tree" not in machine.command(documents.recipe).content


def test_back_and_forth_again_holds_nothing(machine):
    applied(machine, "jq")
    applied(machine, "tree")
    machine.command(go_back)
    machine.host.reboot()
    assert machine.command(go_back).held == []
    machine.host.reboot()
    assert held_names(machine) == []
    assert pending_names(machine) == []
    assert {"jq", "tree"} <= machine.host.tree


def test_a_second_rollback_never_toggles(machine):
    applied(machine, "jq")
    machine.command(go_back)
    with pytest.raises(NoOperationError):
        machine.command(go_back)
    assert machine.host.queued


def test_with_something_of_ours_staged_rollback_drops_that(machine):
    applied(machine, "jq")
    machine.command(lambda s: add(s, "tree"))
    machine.command(apply_all)
    result = machine.command(go_back)
    assert result.mode == "unstage"
    assert machine.host.deployments["staged"] is None
    assert result.target.checksum == machine.host.deployments["booted"].checksum
    assert held_names(machine) == [("tree",)]


def test_a_foreign_staged_deployment_needs_a_word_of_its_own(machine):
    applied(machine, "jq")
    machine.host.deployments["staged"] = foreign(machine)
    with pytest.raises(ConflictError):
        machine.command(go_back)
    assert machine.host.deployments["staged"] is not None
    machine.command(lambda s: go_back(s, discard_staged=True))
    assert machine.host.deployments["staged"] is None


def test_rolling_back_to_a_foreign_deployment_holds_all_that_is_wanted(machine):
    applied(machine, "jq")
    machine.host.deployments["rollback"] = foreign(machine)
    proposal = machine.command(rollback.propose)
    assert not proposal.known
    machine.command(go_back)
    machine.host.reboot()
    assert held_names(machine) == [("jq",)]
    assert machine.command(status).host.booted.transaction is None


def test_without_another_deployment_there_is_nothing_to_go_back_to(machine):
    with pytest.raises(NotFoundError):
        machine.command(go_back)
    assert len(machine.events()) == 1


def test_the_last_commit_holds_the_outcome_the_hold_and_what_the_host_shows(machine):
    applied(machine, "jq")
    machine.command(go_back)
    last = machine.events()[-3:]
    assert {event.body.__class__.__name__ for event in last} == {
        "HostObserved",
        "StepDone",
        "WantedHeld",
    }
    assert len({event.time for event in last}) == 1


def test_a_rollback_that_others_overtook_is_refused(machine):
    applied(machine, "jq")
    proposal = machine.command(rollback.propose)
    machine.command(lambda s: add(s, "tree"))
    with pytest.raises(ConflictError):
        machine.command(lambda s: rollback.carry_out(s, proposal, SILENT))
    assert not machine.host.queued


def test_an_apply_onto_a_queued_rollback_takes_it_out_of_the_queue(machine):
    applied(machine, "jq")
    applied(machine, "tree")
    machine.command(go_back)
    machine.command(lambda s: add(s, "nano"))
    result = machine.command(apply_all)
    assert not machine.host.queued
    assert machine.host.packages_of(result.image) >= {"jq", "nano"}
    assert "tree" not in machine.host.packages_of(result.image)
    assert held_names(machine) == [("tree",)]


def test_an_apply_that_fails_queues_the_rollback_again(machine):
    applied(machine, "jq")
    machine.command(go_back)
    machine.command(lambda s: add(s, "nano"))
    machine.host.failing["stage"] = HostError("no")
    with pytest.raises(HostError):
        machine.command(apply_all)
    assert machine.host.queued


# -- to a transaction ------------------------------------------------------------------------


def test_rollback_to_a_transaction_stages_its_image_anew(machine):
    first = applied(machine, "jq")
    applied(machine, "tree")
    applied(machine, "nano")
    builds = machine.host.calls.count("build")
    result = machine.command(lambda s: go_back(s, first))
    assert (result.mode, result.etc) == ("deploy", "merged")
    assert machine.host.calls.count("build") == builds
    staged = machine.host.deployments["staged"]
    assert result.target == rollback.TargetResult(staged.checksum, first)
    assert held_names(machine) == [("tree",), ("nano",)]
    machine.host.reboot()
    assert machine.command(status).host.booted.transaction == first
    assert pending_names(machine) == []


def test_an_image_that_is_gone_is_built_again_from_the_log(machine):
    first = applied(machine, "jq")
    applied(machine, "tree")
    applied(machine, "nano")
    image = next(
        image for image, _ in machine.host.images.values() if first in image.labels.values()
    )
    machine.host.remove_image(image.id)
    machine.command(lambda s: go_back(s, first))
    staged = machine.host.deployments["staged"]
    assert machine.host.packages_of(staged.image_digest) >= {"jq"}
    assert not machine.host.packages_of(staged.image_digest) & {"tree", "nano"}


def test_a_start_of_the_id_is_enough_where_there_is_one_alone(machine):
    first = applied(machine, "jq")
    second = applied(machine, "tree")
    common = first[: next(i for i, pair in enumerate(zip(first, second, strict=True))
                          if pair[0] != pair[1])]  # fmt: skip
    with pytest.raises(ValidationError) as raised:
        machine.command(lambda s: rollback.propose(s, common))
    assert second in raised.value.hint
    start = first[: len(common) + 1]
    with pytest.raises(NoOperationError, match="boots next already"):
        machine.command(lambda s: rollback.propose(s, second[: len(common) + 1]))
    assert machine.command(lambda s: rollback.propose(s, start)).target.transaction == first


def test_a_transaction_that_is_not_known_is_answered_with_near_ones(machine):
    first = applied(machine, "jq")
    with pytest.raises(NotFoundError) as raised:
        machine.command(lambda s: go_back(s, "ffff-"))
    assert first in raised.value.hint


def test_a_transaction_that_staged_nothing_is_nothing_to_go_back_to(machine):
    live = machine.command(lambda s: add(s, "jq", live=True)).transaction
    with pytest.raises(NotFoundError, match="staged nothing"):
        machine.command(lambda s: go_back(s, live))


def test_back_to_what_is_booted_drops_what_is_staged(machine):
    first = applied(machine, "jq")
    machine.command(lambda s: add(s, "tree"))
    machine.command(apply_all)
    result = machine.command(lambda s: go_back(s, first))
    assert result.mode == "unstage"
    assert machine.host.deployments["staged"] is None


def test_back_to_what_is_booted_takes_a_rollback_out_of_the_queue(machine):
    first = applied(machine, "jq")
    machine.command(go_back)
    result = machine.command(lambda s: go_back(s, first))
    assert not machine.host.queued
    assert result.held == []
    assert held_names(machine) == []


def test_the_plain_base_that_is_booted_is_named_by_its_checksum(machine):
    applied(machine, "jq")
    machine.command(go_back)
    machine.host.reboot()
    machine.command(go_back)
    assert machine.host.queued
    with pytest.raises(NoOperationError) as raised:
        machine.command(go_back)
    booted = machine.host.deployments["booted"].checksum
    assert f"--to {booted[:12]}`" in raised.value.hint
    result = machine.command(lambda s: go_back(s, booted[:12]))
    assert (result.mode, result.target.checksum) == ("rollback", booted)
    assert not machine.host.queued
    assert held_names(machine) == [("jq",)]


def test_the_deployment_in_the_rollback_slot_is_named_by_its_checksum(machine):
    applied(machine, "jq")
    slot = machine.host.deployments["rollback"].checksum
    result = machine.command(lambda s: go_back(s, slot[:8]))
    assert (result.mode, result.target.checksum) == ("rollback", slot)
    assert machine.host.queued
    with pytest.raises(NoOperationError):
        machine.command(lambda s: go_back(s, slot[:8]))


def test_what_is_staged_is_in_the_way_of_another_deployments_checksum(machine):
    applied(machine, "jq")
    machine.command(lambda s: add(s, "tree"))
    machine.command(apply_all)
    slot = machine.host.deployments["rollback"].checksum
    with pytest.raises(ConflictError, match="is staged"):
        machine.command(lambda s: go_back(s, slot))
    assert machine.host.deployments["staged"] is not None


def test_back_to_what_boots_next_is_no_operation(machine):
    first = applied(machine, "jq")
    with pytest.raises(NoOperationError):
        machine.command(lambda s: go_back(s, first))


def test_a_transaction_that_the_view_let_go_is_found_in_the_log(machine):
    first = applied(machine, "jq")
    for _round in range(6):
        for verb in ("add", "remove"):
            machine.command(
                lambda s, v=verb: packages.carry_out(
                    s, packages.propose(s, v, ["tree"], live=False), SILENT
                )
            )
            machine.command(apply_all)
            machine.host.reboot()
    machine.command(lambda s: add(s, "nano"))
    with machine.session() as session:
        assert first not in session.system().selections
    result = machine.command(lambda s: go_back(s, first))
    assert result.target.transaction == first
    machine.host.reboot()
    shown = machine.command(status)
    assert shown.host.booted.transaction == first
    assert pending_names(machine) == []
    assert ("nano",) in names_of(shown.held)


# -- kills -----------------------------------------------------------------------------------

KILLS = [("failing", "rollback"), ("after", "rollback")]
UNSTAGE_KILLS = [("failing", "unstage"), ("after", "unstage")]


@pytest.mark.parametrize(("when", "name"), KILLS)
def test_resume_finishes_a_rollback_killed_at(machine, when, name):
    applied(machine, "jq")
    kill(machine, when, name, go_back)
    with pytest.raises(InterruptedWorkError):
        machine.command(go_back)
    machine.command(resumed)
    assert machine.host.queued
    assert held_names(machine) == [("jq",)]
    assert machine.command(status).unfinished == []


@pytest.mark.parametrize(("when", "name"), KILLS)
def test_abort_takes_a_rollback_out_of_the_queue_killed_at(machine, when, name):
    applied(machine, "jq")
    kill(machine, when, name, go_back)
    machine.command(aborted)
    assert not machine.host.queued
    assert held_names(machine) == []
    assert machine.kinds()[-1] == "transaction.rolled_back"


@pytest.mark.parametrize("work", [resumed, aborted])
def test_a_rollback_that_booted_before_the_log_knew_is_finished(machine, work):
    applied(machine, "jq")
    kill(machine, "after", "rollback", go_back)
    machine.host.reboot()
    machine.command(work)
    assert machine.command(status).unfinished == []
    assert held_names(machine) == [("jq",)]
    assert "jq" not in machine.host.tree


@pytest.mark.parametrize(("when", "name"), UNSTAGE_KILLS)
@pytest.mark.parametrize("cut", [False, True])
def test_resume_finishes_an_unstage_killed_at(machine, when, name, cut):
    applied(machine, "jq")
    machine.command(lambda s: add(s, "tree"))
    machine.command(apply_all)
    kill(machine, when, name, go_back)
    if cut:
        machine.host.reboot(power_cut=True)
    machine.command(resumed)
    assert machine.host.deployments["staged"] is None
    assert held_names(machine) == [("tree",)]
    assert machine.command(status).dropped is None


def test_an_unstage_whose_deployment_booted_meanwhile_holds_nothing(machine):
    applied(machine, "jq")
    machine.command(lambda s: add(s, "tree"))
    machine.command(apply_all)
    kill(machine, "failing", "unstage", go_back)
    machine.host.reboot()
    machine.command(resumed)
    assert machine.command(status).unfinished == []
    assert held_names(machine) == []
    assert "tree" in machine.host.tree


def test_abort_leaves_what_was_about_to_be_dropped(machine):
    machine.command(lambda s: add(s, "tree"))
    machine.command(apply_all)
    kill(machine, "failing", "unstage", go_back)
    machine.command(aborted)
    assert machine.host.deployments["staged"] is not None
    assert held_names(machine) == []


@pytest.mark.parametrize(("when", "name"), [("failing", "stage"), ("after", "stage")])
def test_resume_finishes_a_deploy_killed_at(machine, when, name):
    first = applied(machine, "jq")
    applied(machine, "tree")
    applied(machine, "nano")
    kill(machine, when, name, lambda s: go_back(s, first))
    machine.command(resumed)
    assert machine.command(status).host.staged.transaction == first
    assert held_names(machine) == [("tree",), ("nano",)]


def test_a_failing_deploy_keeps_the_image_that_was_there(machine):
    first = applied(machine, "jq")
    applied(machine, "tree")
    applied(machine, "nano")
    images = set(machine.host.images)
    machine.host.failing["stage"] = HostError("no")
    with pytest.raises(HostError):
        machine.command(lambda s: go_back(s, first))
    assert set(machine.host.images) == images
    assert held_names(machine) == []


# -- abort past the switch -------------------------------------------------------------------


def cut_before_promote(machine, monkeypatch):
    from atomicstate.engine import promotion

    real = promotion.write_atomically

    def write(path, content):
        if path.parent.name == "recipe":
            raise Crash
        real(path, content)

    monkeypatch.setattr(promotion, "write_atomically", write)
    machine.killed(apply_all)
    monkeypatch.undo()


def test_abort_past_the_switch_drops_what_was_staged(machine, monkeypatch):
    applied(machine, "jq")
    machine.command(lambda s: add(s, "tree"))
    cut_before_promote(machine, monkeypatch)
    before = (machine.directory / "recipe" / "image.yml").read_bytes()
    [done] = machine.command(aborted).done
    assert (done.mode, done.outcome) == ("apply", "rolled_back")
    assert machine.host.deployments["staged"] is None
    assert pending_names(machine) == [("tree",)]
    assert held_names(machine) == []
    assert machine.command(status).unfinished == []
    assert (machine.directory / "recipe" / "image.yml").read_bytes() == before


def cut_after_promote(machine, monkeypatch):
    from atomicstate.engine import recipe_folder

    real = recipe_folder.write_atomically

    def write(path, content):
        real(path, content)
        if path.parent.name == "recipe" and path.name == "image.yml":
            raise Crash

    monkeypatch.setattr(recipe_folder, "write_atomically", write)
    machine.killed(apply_all)
    monkeypatch.undo()


@pytest.mark.parametrize("killed", [False, True])
def test_abort_gives_back_the_recipe_that_was_promoted_already(machine, monkeypatch, killed):
    applied(machine, "jq")
    machine.command(lambda s: add(s, "tree"))
    path = machine.directory / "recipe" / "image.yml"
    before = path.read_bytes()
    cut_after_promote(machine, monkeypatch)
    assert path.read_bytes() != before
    if killed:
        machine.host.failing["unstage"] = Crash()
        machine.killed(aborted)
        machine.host.failing.clear()
    machine.command(aborted)
    assert path.read_bytes() == before
    assert machine.host.deployments["staged"] is None


def test_abort_leaves_a_recipe_that_was_edited_after_its_promotion(machine, monkeypatch):
    machine.command(lambda s: add(s, "tree"))
    path = machine.directory / "recipe" / "image.yml"
    cut_after_promote(machine, monkeypatch)
    path.write_text("image: mine:1\n", encoding="utf-8")
    machine.command(aborted)
    assert path.read_text(encoding="utf-8") == "image: mine:1\n"


def test_abort_past_the_switch_keeps_what_a_rollback_holds_back(machine, monkeypatch):
    applied(machine, "jq")
    machine.command(go_back)
    machine.host.reboot()
    machine.command(lambda s: add(s, "tree"))
    cut_before_promote(machine, monkeypatch)
    machine.command(aborted)
    assert pending_names(machine) == [("tree",)]
    assert held_names(machine) == [("jq",)]


def test_abort_past_the_switch_queues_the_rollback_again(machine, monkeypatch):
    applied(machine, "jq")
    machine.command(go_back)
    machine.command(lambda s: add(s, "tree"))
    cut_before_promote(machine, monkeypatch)
    machine.command(aborted)
    assert machine.host.queued
    assert pending_names(machine) == [("tree",)]
    assert held_names(machine) == [("jq",)]


def test_abort_of_an_apply_that_booted_meanwhile_finishes_it(machine, monkeypatch):
    machine.command(lambda s: add(s, "tree"))
    kill(machine, "after", "stage", apply_all)
    machine.host.reboot()
    [done] = machine.command(aborted).done
    assert done.outcome == "finished"
    assert "tree" in machine.host.tree
    assert pending_names(machine) == []


def test_an_aborted_apply_that_a_power_cut_dropped_is_not_staged_again(machine, monkeypatch):
    machine.command(lambda s: add(s, "tree"))
    cut_before_promote(machine, monkeypatch)
    machine.host.reboot(power_cut=True)
    machine.command(aborted)
    assert machine.command(status).dropped is None
    assert pending_names(machine) == [("tree",)]


def test_what_abort_can_not_drop_is_said_and_abort_tries_again(machine, monkeypatch):
    machine.command(lambda s: add(s, "tree"))
    cut_before_promote(machine, monkeypatch)
    machine.host.failing["unstage"] = HostError("sysroot is locked")
    with pytest.raises(HostError, match="locked"):
        machine.command(aborted)
    assert machine.command(status).host.staged is not None
    assert machine.command(status).unfinished[0].mode == "apply"
    machine.host.failing.clear()
    machine.command(aborted)
    assert machine.host.deployments["staged"] is None
    assert machine.command(status).unfinished == []


@pytest.mark.parametrize("work", [resumed, aborted])
@pytest.mark.parametrize(("when", "name"), UNSTAGE_KILLS)
def test_an_abort_past_the_switch_that_is_killed(machine, monkeypatch, when, name, work):
    machine.command(lambda s: add(s, "tree"))
    cut_before_promote(machine, monkeypatch)
    before = (machine.directory / "recipe" / "image.yml").read_bytes()
    kill(machine, when, name, aborted)
    machine.command(work)
    assert machine.host.deployments["staged"] is None
    assert machine.command(status).unfinished == []
    assert pending_names(machine) == [("tree",)]
    assert (machine.directory / "recipe" / "image.yml").read_bytes() == before
