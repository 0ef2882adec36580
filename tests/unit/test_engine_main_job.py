"""The use cases of the main job, over a host in memory."""

from __future__ import annotations

import msgspec
import pytest

from atomicstate.engine import adopt, apply, base, documents, overlay, packages
from atomicstate.engine.initialize import initialize
from atomicstate.engine.results import Silent
from atomicstate.engine.selecting import Request
from atomicstate.engine.status import status
from atomicstate.errors import (
    AptError,
    ConflictError,
    HostError,
    ImageError,
    NoOperationError,
    NotFoundError,
    ValidationError,
)
from tests.support.fakehost import BASE, fake_host
from tests.support.sessions import Machine, adopted

SILENT = Silent()


@pytest.fixture
def machine(tmp_path):
    return adopted(tmp_path / "state", fake_host())


def add(session, *names, live=True):
    proposal = packages.propose(session, "add", names, live=live)
    return packages.carry_out(session, proposal, SILENT)


def remove(session, *names, live=True):
    proposal = packages.propose(session, "remove", names, live=live)
    return packages.carry_out(session, proposal, SILENT)


def apply_all(session):
    return apply.carry_out(session, apply.propose(session), SILENT)


def test_the_first_event_adopts_the_host(machine):
    [event] = machine.events()
    assert event.body.base == BASE
    assert event.body.booted == machine.host.deployments["booted"].checksum


def test_a_second_init_says_that_it_is_done_and_records_nothing(machine):
    assert machine.command(initialize).already
    assert len(machine.events()) == 1


def test_an_added_package_is_in_the_tree_and_then_in_the_log(machine):
    result = machine.command(lambda s: add(s, "jq"))
    assert {"jq", "oniguruma"} <= machine.host.tree
    event = machine.events()[-1]
    assert event.seq == result.seq
    assert event.body.names == ("jq",)
    assert [c.name for c in event.body.plan.comes] == ["jq", "oniguruma"]


def test_the_intent_of_each_step_comes_before_its_outcome(machine):
    machine.command(lambda s: add(s, "jq"))
    assert machine.kinds(2) == [
        "transaction.begun",
        "step.started",
        "step.done",
        "step.started",
        "step.done",
        "residue.found",
        "package.added",
    ]


def test_the_action_shares_the_commit_of_the_live_steps_outcome(machine):
    machine.command(lambda s: add(s, "jq"))
    *_, done, added = machine.events()
    assert done.time == added.time


def test_no_live_records_the_action_alone(machine):
    machine.command(lambda s: add(s, "jq", live=False))
    assert "jq" not in machine.host.tree
    assert machine.kinds()[-1] == "package.added"
    assert "transaction.begun" not in machine.kinds()


def test_an_unknown_name_is_not_recorded(machine):
    with pytest.raises(NotFoundError):
        machine.command(lambda s: add(s, "nonsuch"))
    assert len(machine.events()) == 1


@pytest.mark.parametrize("name", ["--force-yes", "a\nb", "a;b", "x" * 300, "", "Ä"])
def test_a_hostile_name_is_refused(machine, name):
    with pytest.raises(ValidationError):
        machine.command(lambda s: add(s, name))
    assert len(machine.events()) == 1


def test_adding_what_is_there_is_no_operation(machine):
    machine.command(lambda s: add(s, "jq"))
    for name in ("jq", "bash"):
        with pytest.raises(NoOperationError):
            machine.command(lambda s, name=name: add(s, name))


def test_a_dependency_that_came_along_can_be_asked_for_itself(machine):
    machine.command(lambda s: add(s, "jq"))
    machine.command(lambda s: add(s, "oniguruma"))
    assert machine.events()[-1].body.names == ("oniguruma",)


def test_names_that_need_nothing_are_left_out_of_the_action(machine):
    proposal = machine.command(lambda s: packages.propose(s, "add", ["jq", "bash"], live=True))
    assert proposal.names == ("jq",)
    assert proposal.skipped == ("bash",)


def test_a_plan_that_takes_out_what_was_added_is_refused(machine):
    machine.command(lambda s: add(s, "jq"))
    with pytest.raises(AptError, match="jq"):
        machine.command(lambda s: remove(s, "oniguruma"))


def test_removing_what_was_added_leaves_no_trace_in_the_recipe(machine):
    before = machine.command(documents.recipe).content
    machine.command(lambda s: add(s, "jq"))
    machine.command(lambda s: remove(s, "jq"))
    assert machine.command(documents.recipe).content == before


def test_removing_what_the_base_holds_is_in_the_recipe(machine):
    machine.command(lambda s: remove(s, "coreutils"))
    assert b"coreutils" in machine.command(documents.recipe).content
    machine.command(lambda s: add(s, "coreutils"))
    assert b"coreutils" not in machine.command(documents.recipe).content
    machine.command(lambda s: remove(s, "coreutils"))
    assert b"coreutils" in machine.command(documents.recipe).content


def test_apply_stages_an_image_with_what_was_asked(machine):
    machine.command(lambda s: add(s, "jq"))
    machine.command(lambda s: remove(s, "coreutils"))
    result = machine.command(apply_all)
    staged = machine.host.deployments["staged"]
    assert staged.checksum == result.checksum
    held = machine.host.packages_of(result.image)
    assert "jq" in held
    assert "coreutils" not in held


def test_after_apply_nothing_is_pending(machine):
    machine.command(lambda s: add(s, "jq"))
    machine.command(apply_all)
    shown = machine.command(status)
    assert (shown.state, shown.pending) == ("switched", [])
    with pytest.raises(NoOperationError):
        machine.command(apply.propose)


def test_states_follow_the_machine(machine):
    assert machine.command(status).state == "idle"
    machine.command(lambda s: overlay.enable(s, SILENT))
    assert machine.command(status).state == "overlay"
    machine.command(lambda s: add(s, "jq"))
    assert machine.command(status).state == "recorded"
    machine.command(apply_all)
    assert machine.command(status).state == "switched"
    machine.host.reboot()
    assert machine.command(status).state == "idle"


def test_status_asks_the_overlay_once(machine, monkeypatch):
    asked = []
    state = machine.host.state
    monkeypatch.setattr(machine.host, "state", lambda *plan: asked.append(plan) or state(*plan))
    machine.command(status)
    assert len(asked) == 1


def test_status_records_nothing(machine):
    before = len(machine.events())
    machine.host.reboot()
    machine.command(status)
    assert len(machine.events()) == before


def test_a_boot_is_recorded_with_the_next_event(machine):
    machine.command(lambda s: add(s, "jq"))
    result = machine.command(apply_all)
    machine.host.reboot()
    machine.command(lambda s: add(s, "tree", live=False))
    booted = next(e for e in machine.events() if e.body.__class__.__name__ == "HostBooted")
    assert booted.body.booted_txn == result.transaction


def test_a_power_cut_makes_applied_actions_pending_again(machine):
    machine.command(lambda s: add(s, "jq"))
    machine.command(apply_all)
    machine.host.reboot(power_cut=True)
    shown = machine.command(status)
    assert [item.data["names"] for item in shown.pending] == [["jq"]]
    machine.command(apply_all)
    assert machine.host.deployments["staged"] is not None


def test_a_second_apply_builds_on_the_first(machine):
    machine.command(lambda s: add(s, "jq"))
    first = machine.command(apply_all)
    machine.command(lambda s: add(s, "tree"))
    second = machine.command(apply_all)
    assert {"jq", "tree"} <= machine.host.packages_of(second.image)
    begun = [e.body for e in machine.events() if e.body.__class__.__name__ == "TransactionBegun"]
    assert begun[-1].parent == first.transaction


def test_a_foreign_deployment_is_never_replaced(machine):
    machine.command(lambda s: add(s, "jq"))
    foreign = machine.host._image("elsewhere/image:1", {}, frozenset({"bash"}))
    machine.host.deployments["staged"] = machine.host._deployment(foreign)
    with pytest.raises(ConflictError):
        machine.command(apply.propose)
    assert machine.host.deployments["staged"].image == "elsewhere/image:1"


def layered(machine, slot="booted"):
    """Somebody layered packages on a deployment, by other means."""
    found = machine.host.deployments[slot]
    machine.host.deployments[slot] = msgspec.structs.replace(found, incompatible=True)


def refused_as_incompatible(machine, work):
    before = machine.kinds()
    with pytest.raises(HostError, match=r"incompatible.* nothing was changed"):
        machine.command(work)
    assert machine.kinds() == before
    assert "build" not in machine.host.calls


def test_what_the_host_can_not_change_is_found_before_the_build(machine):
    machine.command(lambda s: add(s, "jq"))
    layered(machine)
    refused_as_incompatible(machine, apply.propose)


def test_what_the_host_can_not_change_since_the_question_is_found_before_the_build(machine):
    machine.command(lambda s: add(s, "jq"))
    proposal = machine.command(apply.propose)
    layered(machine)
    refused_as_incompatible(machine, lambda s: apply.carry_out(s, proposal, SILENT))


def test_what_boots_next_and_can_not_be_changed_is_built_over_where_it_is_given_up(machine):
    machine.command(lambda s: add(s, "jq"))
    foreign = machine.host._image("elsewhere/image:1", {}, frozenset({"bash"}))
    machine.host.deployments["staged"] = machine.host._deployment(foreign)
    layered(machine, "staged")
    refused_as_incompatible(machine, apply.propose)
    refused_as_incompatible(machine, lambda s: adopt.adopt(s, SILENT))
    machine.command(
        lambda s: apply.carry_out(s, apply.propose(s, Request(discard_staged=True)), SILENT)
    )
    assert machine.host.deployments["staged"].image != "elsewhere/image:1"


def test_a_switch_on_a_host_that_can_not_be_changed_records_nothing(machine):
    machine.host._image("localhost/other:2", {}, frozenset({"bash", "nano"}))
    layered(machine)
    refused_as_incompatible(machine, lambda s: base.propose_switch(s, "localhost/other:2"))


def test_status_tells_what_is_in_the_way_for_as_long_as_it_is(machine):
    assert machine.command(status).warnings == ()
    machine.host.warnings = ("a timer is enabled",)
    assert machine.command(status).warnings == ("a timer is enabled",)


def test_switch_records_the_base_and_applies_it(machine):
    machine.host._image("localhost/other:2", {}, frozenset({"bash", "nano"}))
    machine.command(lambda s: base.switch(s, base.propose_switch(s, "localhost/other:2"), SILENT))
    assert "base.set" in machine.kinds()
    staged = machine.host.deployments["staged"]
    assert "nano" in machine.host.packages_of(staged.image_digest)


def test_switch_to_an_image_that_is_not_there_records_nothing(machine):
    with pytest.raises(ImageError):
        machine.command(lambda s: base.propose_switch(s, "localhost/nonsuch:1"))
    assert len(machine.events()) == 1


def test_switch_to_the_present_base_is_no_operation(machine):
    with pytest.raises(NoOperationError):
        machine.command(lambda s: base.propose_switch(s, BASE))


def test_the_users_recipe_is_replaced_by_the_last_step(machine):
    machine.command(lambda s: add(s, "jq"))
    machine.command(apply_all)
    written = (machine.directory / "recipe" / "image.yml").read_bytes()
    assert written == machine.command(documents.recipe).content


def test_an_edited_recipe_is_left_alone_as_drift(machine):
    machine.command(lambda s: add(s, "jq"))
    proposal = machine.command(apply.propose)
    path = machine.directory / "recipe" / "image.yml"

    def edited(*args):
        path.write_text("image: mine:1\n", encoding="utf-8")
        type(machine.host).stage(machine.host, *args)

    machine.host.deployer.stage = edited
    machine.command(lambda s: apply.carry_out(s, proposal, SILENT))
    assert path.read_text(encoding="utf-8") == "image: mine:1\n"
    assert machine.events()[-1].body.__class__.__name__ == "StepSkipped"


def test_a_recipe_that_was_edited_before_the_apply_is_left_alone_too(machine):
    machine.command(lambda s: add(s, "jq"))
    path = machine.directory / "recipe" / "image.yml"
    path.write_text("image: mine:1\n", encoding="utf-8")
    machine.command(apply_all)
    assert path.read_text(encoding="utf-8") == "image: mine:1\n"


def test_what_is_staged_and_locked_is_not_what_boots_next(machine):
    machine.host.stage(machine.host.resolve_image(BASE))
    staged = machine.host.deployments["staged"]
    machine.host.deployments["staged"] = msgspec.structs.replace(staged, locked=True)
    assert machine.command(status).state == "idle"


def test_without_init_a_command_says_so(tmp_path):
    machine = Machine(tmp_path / "state", fake_host())
    with pytest.raises(NotFoundError, match="log"):
        machine.command(lambda s: add(s, "jq"))
