"""What nothing refers to goes, what anything refers to stays, over a host in memory."""

from __future__ import annotations

import msgspec
import pytest

from atomicstate.engine import apply, base, bisect, marks, packages, prune, rollback
from atomicstate.engine.results import Silent
from atomicstate.engine.status import status
from atomicstate.engine.unfinished import abort, found, resume
from atomicstate.errors import CanceledError, HostError, InterruptedWorkError
from atomicstate.host.ports import LABEL_BASE, LABEL_TRANSACTION
from tests.support.fakehost import BASE, Crash, fake_host
from tests.support.sessions import adopted

SILENT = Silent()


@pytest.fixture
def machine(tmp_path):
    return adopted(tmp_path / "state", fake_host())


def record(machine, name):
    def work(session):
        proposal = packages.propose(session, "add", [name], live=False)
        return packages.carry_out(session, proposal, SILENT)

    return machine.command(work)


def apply_all(session):
    return apply.carry_out(session, apply.propose(session), SILENT)


def made(machine, *names):
    """A transaction for each name, booted one after the other, oldest first."""
    found = []
    for name in names:
        record(machine, name)
        found.append(machine.command(apply_all).transaction)
        machine.host.reboot()
    return found


def pruned(machine, keep=0):
    def work(session):
        return prune.carry_out(session, prune.propose(session, keep), SILENT)

    return machine.command(work)


def with_images(machine):
    """The transactions whose images are there."""
    images = [image for image, _packages in machine.host.images.values()]
    return {image.labels.get(LABEL_TRANSACTION) for image in images} - {None}


def test_the_images_of_what_is_deployed_stay_and_older_ones_go(machine):
    first, second, third = made(machine, "tree", "nano", "hello")
    result = pruned(machine)
    assert [item.transaction for item in result.removed] == [first]
    assert with_images(machine) == {second, third}
    assert machine.kinds()[-3:] == ["transaction.begun", "step.started", "step.done"]
    assert machine.command(status).unfinished == []


def test_a_staged_deployments_image_stays(machine):
    first, second, _third = made(machine, "tree", "nano", "hello")
    record(machine, "vim")
    staged = machine.command(apply_all).transaction
    removed = {item.transaction for item in pruned(machine).removed}
    assert removed == {first}
    assert {second, staged} <= with_images(machine)


def test_the_newest_transactions_keep_their_images(machine):
    first, second, third = made(machine, "tree", "nano", "hello")
    machine.host.deployments["rollback"] = None
    assert pruned(machine, keep=3).removed == []
    assert [item.transaction for item in pruned(machine, keep=2).removed] == [first]
    assert [item.transaction for item in pruned(machine, keep=0).removed] == [second]
    assert with_images(machine) == {third}


def test_an_image_that_is_the_base_of_something_stays(machine):
    first = made(machine, "tree")[0]
    reference = f"localhost/atomicstate:{first}"
    machine.command(lambda s: base.record(s, base.propose(s, reference), SILENT))
    made(machine, "nano", "hello", "vim")
    assert first not in {item.transaction for item in pruned(machine).removed}


def test_what_an_image_that_is_kept_was_built_on_is_kept_with_it(machine):
    made(machine, "tree", "nano", "hello")
    images = {i.labels.get(LABEL_TRANSACTION): t for t, (i, _p) in machine.host.images.items()}
    first, second, _third = (images[name] for name in images if name)
    bottom = machine.host.images[first][0]
    image, held = machine.host.images[second]
    built_on = msgspec.structs.replace(image, labels={**image.labels, LABEL_BASE: bottom.id})
    machine.host.images[second] = (built_on, held)
    assert pruned(machine).removed == []


def tagged(machine, point, name="good"):
    machine.command(lambda session: marks.tag(session, name, point))


def test_the_image_of_a_tagged_transaction_stays(machine):
    first, second, *rest = made(machine, "tree", "nano", "hello", "vim")
    tagged(machine, first)
    assert [item.transaction for item in pruned(machine).removed] == [second]
    assert with_images(machine) == {first, *rest}


def test_an_image_whose_tag_was_taken_away_goes(machine):
    first = made(machine, "tree", "nano", "hello")[0]
    tagged(machine, first)
    machine.command(lambda session: marks.untag(session, "good"))
    assert [item.transaction for item in pruned(machine).removed] == [first]


def test_the_image_of_a_deployment_that_was_tagged_while_it_was_booted_stays(machine):
    first = made(machine, "tree")[0]
    tagged(machine, "booted")
    made(machine, "nano", "hello")
    assert pruned(machine).removed == []
    assert first in with_images(machine)


def test_what_booted_next_at_a_tagged_action_stays(machine):
    first = made(machine, "tree")[0]
    record(machine, "nano")
    tagged(machine, "HEAD")
    second = machine.command(apply_all).transaction
    machine.host.reboot()
    rest = made(machine, "hello", "vim")
    assert [item.transaction for item in pruned(machine).removed] == [second]
    assert with_images(machine) == {first, *rest}


def test_a_tag_on_a_rollback_keeps_the_image_that_it_staged_again(machine):
    first, second = made(machine, "tree", "nano")
    record(machine, "hello")
    third = machine.command(apply_all).transaction
    machine.host.reboot()
    back = machine.command(
        lambda s: rollback.carry_out(s, rollback.propose(s, first), SILENT, to=first)
    )
    tagged(machine, back.transaction)
    machine.host.unstage(machine.host.deployments["staged"].checksum)
    assert first != back.transaction
    assert pruned(machine).removed == []
    assert with_images(machine) == {first, second, third}


def bisected(machine):
    """An image of a bisection, whose folder tells nothing of one any more: killed at its end."""
    machine.command(lambda session: bisect.start(session, "HEAD", "1"))
    machine.command(lambda session: bisect.run(session, ("has", "tree"), SILENT))
    found = [i.id for i, _p in machine.host.images.values() if bisect.LABEL_BISECT in i.labels]
    assert found
    return found


def test_a_bisections_images_stay_as_long_as_it_is_under_way(machine):
    made(machine, "tree", "nano")
    bisected(machine)
    assert pruned(machine).removed == []


def test_images_that_a_bisection_left_behind_go(machine):
    made(machine, "tree", "nano")
    images = bisected(machine)
    (machine.directory / "bisect.json").unlink()
    # Among what is deployed is something that no transaction made.
    machine.host.others = [machine.host._deployment(machine.host.resolve_image(BASE))]
    assert sorted(item.id for item in pruned(machine).removed) == sorted(images)


def test_images_of_another_log_and_the_bases_stay(machine):
    made(machine, "tree", "nano", "hello")
    other = {"org.atomicstate.log": "00" * 16, LABEL_TRANSACTION: "other"}
    machine.host._image("localhost/atomicstate:other", other, frozenset())
    pruned(machine)
    assert {BASE, "localhost/atomicstate:other"} <= machine.host.images.keys()


def test_deployments_of_ours_beyond_the_rollback_slot_go_unless_pinned(machine):
    first, second, third, fourth = made(machine, "tree", "nano", "hello", "vim")
    image = {i.labels.get(LABEL_TRANSACTION): i for i, _p in machine.host.images.values()}
    pinned = msgspec.structs.replace(machine.host._deployment(image[first]), pinned=True)
    old = machine.host._deployment(image[second])
    foreign = machine.host._deployment(machine.host.resolve_image(BASE))
    machine.host.others = [pinned, old, foreign]
    removed = pruned(machine).removed
    assert [(item.kind, item.transaction) for item in removed] == [
        ("deployment", second),
        ("image", second),
    ]
    assert machine.host.others == [pinned, foreign]
    assert with_images(machine) == {first, third, fourth}


def test_what_did_not_come_up_at_a_boot_is_kept_for_resume(machine):
    made(machine, "tree", "nano")
    record(machine, "hello")
    lost = machine.command(apply_all).transaction
    machine.host.reboot(power_cut=True)
    assert machine.command(lambda s: s.observe().dropped) == lost
    pruned(machine)
    assert lost in with_images(machine)


def test_nothing_to_remove_records_nothing(machine):
    made(machine, "tree")
    before = len(machine.events())
    result = pruned(machine)
    assert (result.removed, result.transaction, result.bytes) == ([], None, 0)
    assert len(machine.events()) == before


def test_the_bytes_are_those_that_the_base_does_not_hold(machine):
    made(machine, "tree", "nano", "hello")
    for tag, (image, held) in list(machine.host.images.items()):
        size = 100 if tag == BASE else 130
        machine.host.images[tag] = (msgspec.structs.replace(image, size=size), held)
    assert pruned(machine).bytes == 30


def test_folders_of_ended_transactions_go_and_those_of_open_ones_stay(machine):
    old = machine.directory / "txn/0123"
    old.mkdir()
    (old / "image.yml").write_text("x")
    assert pruned(machine).leftovers == ["0123"]
    assert not old.exists()
    assert "forget_unused" in machine.host.calls


def test_work_that_was_cut_short_is_ended_first(machine):
    record(machine, "tree")
    machine.host.after["build"] = Crash()
    machine.killed(apply_all, "apply")
    with pytest.raises(InterruptedWorkError):
        pruned(machine)
    assert len(machine.host.images) == 2


@pytest.mark.parametrize("where", ["failing", "after"])
@pytest.mark.parametrize("then", [resume, abort])
def test_a_kill_leaves_a_prune_that_is_finished_or_ended(machine, where, then):
    first, second, *rest = made(machine, "tree", "nano", "hello", "vim")
    getattr(machine.host, where)["remove_image"] = Crash()
    machine.killed(lambda s: prune.carry_out(s, prune.propose(s, 0), SILENT), "prune")
    [unfinished] = machine.command(status).unfinished
    assert (unfinished.mode, unfinished.step) == ("prune", "prune")
    getattr(machine.host, where).clear()
    machine.command(lambda s: then(s, SILENT))
    assert machine.command(status).unfinished == []
    assert set(rest) <= with_images(machine)
    if then is resume:
        assert with_images(machine) == set(rest)
    else:
        pruned(machine)
        assert with_images(machine) == set(rest)
    assert {first, second}.isdisjoint(with_images(machine))


def test_ctrl_c_between_two_images_is_not_said_to_take_the_first_back(machine):
    made(machine, "jq", "tree", "hello", "nano")

    def request(when, name):
        if (when, name) == ("after", "remove_image"):
            raise KeyboardInterrupt

    machine.host.on_effect = request
    with pytest.raises(CanceledError, match="had done by then stays so"):
        pruned(machine)
    machine.host.on_effect = lambda _when, _name: None
    assert machine.command(found) == []
    pruned(machine)


def test_after_a_kill_what_came_into_use_meanwhile_stays(machine):
    first, second, third, fourth = made(machine, "tree", "nano", "hello", "vim")
    machine.host.failing["remove_image"] = Crash()
    machine.killed(lambda s: prune.carry_out(s, prune.propose(s, 0), SILENT), "prune")
    machine.host.failing.clear()
    image = {i.labels.get(LABEL_TRANSACTION): i for i, _p in machine.host.images.values()}
    machine.host.stage(image[first])
    machine.command(lambda s: resume(s, SILENT))
    assert with_images(machine) == {first, third, fourth}
    assert second not in with_images(machine)


def test_one_that_can_not_be_removed_is_told_and_the_others_go(machine):
    made(machine, "tree", "nano", "hello", "vim")
    remove_image = machine.host.builder.remove_image
    failed = []

    def once(image_id):
        if not failed:
            failed.append(image_id)
            raise HostError("it is in use")
        remove_image(image_id)

    machine.host.builder.remove_image = once
    with pytest.raises(HostError, match="1 of 2 could not be removed"):
        pruned(machine)
    machine.host.builder.remove_image = remove_image
    assert [item.id for item in pruned(machine).removed] == failed
