"""Another base, and deployments that something else made, over a host in memory."""

from __future__ import annotations

import msgspec
import pytest

from atomicstate.engine import apply, base, documents, packages
from atomicstate.engine.adopt import adopt
from atomicstate.engine.results import Silent
from atomicstate.engine.status import status
from atomicstate.errors import ConflictError, ImageError, NoOperationError
from atomicstate.host.ports import Image
from tests.support.fakehost import BASE, Crash, fake_host
from tests.support.sessions import adopted

SILENT = Silent()
OTHER = "localhost/other:2"


@pytest.fixture
def machine(tmp_path):
    return adopted(tmp_path / "state", fake_host())


def add(session, *names):
    proposal = packages.propose(session, "add", names, live=False)
    return packages.carry_out(session, proposal, SILENT)


def apply_all(session):
    return apply.carry_out(session, apply.propose(session), SILENT)


def set_base(session, reference):
    return base.record(session, base.propose(session, reference), SILENT)


def update_base(session):
    return base.update(session, SILENT)


def adopt_it(session):
    return adopt(session, SILENT)


def other_image(machine, *packages_of, reference=OTHER, created=0):
    made = machine.host._image(reference, {}, frozenset(("bash", *packages_of)))
    made = msgspec.structs.replace(made, created=created)
    machine.host.images[reference] = (made, frozenset(("bash", *packages_of)))
    return made


def stage_foreign(machine) -> Image:
    image = other_image(machine, "nano", reference="localhost/foreign:1")
    machine.host.stage(image)
    return image


# -- base set, base update -------------------------------------------------------------------


def test_a_base_that_is_set_is_pending_until_an_apply_builds_on_it(machine):
    image = other_image(machine, "vim")
    result = machine.command(lambda s: set_base(s, OTHER))
    assert (result.kind, result.image_id) == ("base.set", image.id)
    assert [item.seq for item in machine.command(status).pending] == [result.seq]
    assert machine.host.deployments["staged"] is None
    with pytest.raises(NoOperationError) as refused:
        machine.command(lambda s: set_base(s, OTHER))
    assert "it is pending: `atomicstate apply`" in str(refused.value.hint)
    machine.command(apply_all)
    staged = machine.host.deployments["staged"]
    assert machine.host.packages_of(staged.image_digest) == {"bash", "vim"}
    with pytest.raises(NoOperationError) as refused:
        machine.command(lambda s: set_base(s, OTHER))
    assert refused.value.hint == ""


@pytest.mark.parametrize(
    ("reference", "error"), [("localhost/nonsuch:1", ImageError), (BASE, NoOperationError)]
)
def test_a_base_that_is_not_there_or_is_it_already_is_not_recorded(machine, reference, error):
    with pytest.raises(error):
        machine.command(lambda s: set_base(s, reference))
    assert machine.kinds() == ["system.initialized"]


def test_an_image_for_another_machine_is_refused(machine):
    image = other_image(machine)
    machine.host.images[OTHER] = (msgspec.structs.replace(image, architecture="arm64"), frozenset())
    with pytest.raises(ImageError, match="arm64"):
        machine.command(lambda s: set_base(s, OTHER))


def test_a_name_that_moved_on_after_the_question_is_a_conflict(machine):
    other_image(machine, "vim")
    proposal = machine.command(lambda s: base.propose(s, OTHER))
    machine.host.registry[OTHER] = frozenset({"bash"})
    machine.host.pull(OTHER, lambda _line: None)
    with pytest.raises(ConflictError):
        machine.command(lambda s: base.record(s, proposal, SILENT))
    assert machine.kinds() == ["system.initialized"]


def test_an_update_takes_what_the_registry_has_now(machine):
    machine.command(lambda s: add(s, "jq"))
    machine.host.registry[BASE] = frozenset({"bash", "nano"})
    result = machine.command(update_base)
    assert result.kind == "base.updated"
    assert (result.reference, result.image_id != result.image_id_before) == (BASE, True)
    machine.command(apply_all)
    staged = machine.host.deployments["staged"]
    assert machine.host.packages_of(staged.image_digest) == {"bash", "nano", "jq", "oniguruma"}


def test_an_update_without_news_is_no_operation_and_not_recorded(machine):
    with pytest.raises(NoOperationError, match="up to date"):
        machine.command(update_base)
    assert machine.host.calls == ["pull"]
    assert machine.kinds() == ["system.initialized"]


def test_status_shows_when_the_wanted_base_was_made(machine):
    assert machine.command(status).base_created is None
    other_image(machine, created=1_700_000_000_000_000_000)
    machine.command(lambda s: set_base(s, OTHER))
    assert machine.command(status).base_created == "2023-11-14T22:13:20.000000000Z"


def test_a_base_is_recorded_while_an_apply_lies_cut_short_and_that_is_said(machine):
    machine.command(lambda s: add(s, "jq"))
    machine.host.failing["build"] = Crash()
    machine.killed(apply_all, "apply")
    other_image(machine)
    notes = []
    told = Silent()
    told.note = notes.append
    machine.command(lambda s: base.record(s, base.propose(s, OTHER), told))
    assert "cut short" in notes[0]
    assert machine.kinds()[-1] == "base.set"


# -- deployments that something else made ----------------------------------------------------


def test_a_foreign_deployment_is_not_built_over_and_the_ways_on_are_named(machine):
    machine.command(lambda s: add(s, "jq"))
    stage_foreign(machine)
    other_image(machine)
    before = dict(machine.host.deployments)
    for refused in (apply_all, lambda s: base.propose_switch(s, OTHER)):
        with pytest.raises(ConflictError) as raised:
            machine.command(refused)
        assert "atomicstate adopt" in raised.value.hint
    assert machine.host.deployments == before


def test_adopt_takes_its_image_as_base_and_what_is_wanted_is_pending_on_it(machine):
    machine.command(lambda s: add(s, "jq"))
    machine.command(apply_all)
    machine.host.reboot()
    image = stage_foreign(machine)
    result = machine.command(adopt_it)
    assert (result.image_id, result.reference) == (image.id, "localhost/foreign:1")
    assert result.checksum == machine.host.deployments["staged"].checksum
    assert result.pending == 1
    assert machine.kinds()[-1] == "deployment.adopted"
    machine.command(apply_all)
    staged = machine.host.deployments["staged"]
    assert machine.host.packages_of(staged.image_digest) == {"bash", "nano", "jq", "oniguruma"}


def test_an_adopted_deployment_that_was_booted_is_what_is_built_on(machine):
    stage_foreign(machine)
    machine.host.reboot()
    machine.command(adopt_it)
    assert machine.command(status).pending == []
    machine.command(lambda s: add(s, "jq"))
    assert b"localhost/foreign:1" in machine.command(documents.recipe).content
    machine.command(apply_all)


def test_adopt_of_what_is_ours_is_no_operation(machine):
    with pytest.raises(NoOperationError):
        machine.command(adopt_it)
    machine.command(lambda s: add(s, "jq"))
    machine.command(apply_all)
    with pytest.raises(NoOperationError):
        machine.command(adopt_it)
    stage_foreign(machine)
    machine.command(adopt_it)
    with pytest.raises(NoOperationError):
        machine.command(adopt_it)


def test_a_foreign_image_that_is_not_in_the_storage_can_not_be_adopted(machine):
    stage_foreign(machine)
    del machine.host.images["localhost/foreign:1"]
    with pytest.raises(ImageError, match="foreign:1"):
        machine.command(adopt_it)
    assert "deployment.adopted" not in machine.kinds()


def test_a_foreign_image_is_known_by_its_id_whatever_its_name_stands_for_now(machine):
    image = stage_foreign(machine)
    machine.host.registry["localhost/foreign:1"] = frozenset({"bash", "vim"})
    machine.host.pull("localhost/foreign:1", lambda _line: None)
    assert machine.command(adopt_it).image_id == image.id


def test_a_switch_that_a_locked_foreign_deployment_forbids_records_nothing(machine):
    other_image(machine, "vim")
    stage_foreign(machine)
    staged = machine.host.deployments["staged"]
    machine.host.deployments["staged"] = msgspec.structs.replace(staged, locked=True)
    with pytest.raises(ConflictError):
        machine.command(lambda s: base.switch(s, base.propose_switch(s, OTHER), SILENT))
    assert "base.set" not in machine.kinds()
