"""`apply --pin`: the versions that the packages were recorded with, over a host in memory."""

from __future__ import annotations

import pytest

from atomicstate.engine import apply, blame, documents, edits, packages
from atomicstate.engine.points import resolve
from atomicstate.engine.results import Silent
from atomicstate.engine.selecting import Request
from atomicstate.events.bodies import PackageAdded
from atomicstate.events.plan import PackageChange, Plan
from atomicstate.recipe.schema import Module, PackagesBody
from tests.support import containerfiles
from tests.support.fakehost import fake_host
from tests.support.sessions import adopted

SILENT = Silent()
PINNED = Request(pinned=True)


@pytest.fixture
def machine(tmp_path):
    host = fake_host()
    host.depends = {"jq": ("oniguruma",)}
    return adopted(tmp_path / "state", host)


def add(machine, name, version):
    machine.host.newest[name] = version

    def work(session):
        asked = packages.propose(session, "add", (name,), live=False)
        packages.carry_out(session, asked, SILENT)

    machine.command(work)


def apply_pinned(machine):
    machine.command(lambda s: apply.carry_out(s, apply.propose(s, PINNED), SILENT))


def of_applied(machine):
    def work(session):
        return documents.containerfile(session, at=resolve(session, "applied")).content

    return machine.command(work)


def arguments(content):
    return [layer.arguments for layer in containerfiles.layers(content)]


def test_what_was_recorded_comes_though_something_newer_is_offered(machine):
    machine.host.newest["oniguruma"] = "3.0"
    add(machine, "jq", "1.6")
    machine.host.newest.update(jq="1.7", oniguruma="3.1")
    apply_pinned(machine)
    assert arguments(of_applied(machine)) == [("oniguruma=3.0", "--", "jq=1.6")]


def test_of_two_versions_that_were_recorded_the_newer_comes(machine):
    for name, version in (("jq", "3.0"), ("vim", "3.1")):
        plan = Plan(
            (
                PackageChange("install", name, "1.0", "all"),
                PackageChange("upgrade", "oniguruma", version, "all", automatic=True),
            )
        )
        body = PackageAdded((name,), live=False, plan=plan)
        machine.command(lambda s, body=body: s.append([body]))
    apply_pinned(machine)
    both = [("oniguruma=3.1", "--", f"{name}=1.0") for name in ("jq", "vim")]
    assert arguments(of_applied(machine)) == both


def test_a_package_that_no_plan_tells_of_is_named_and_comes_as_it_may(machine):
    module = Module(type="packages", body=PackagesBody(install=("nano",)))
    machine.command(lambda s: edits.record(s, lambda _here: [edits.added(module)], SILENT))
    add(machine, "jq", "1.6")
    proposal = machine.command(lambda s: apply.propose(s, PINNED))
    assert proposal.unpinned == ["nano"]
    assert arguments(proposal.containerfile) == [("nano",), ("oniguruma=1.0", "--", "jq=1.6")]


def test_what_the_log_gives_for_the_image_is_what_it_was_built_of(machine):
    add(machine, "jq", "1.6")
    apply_pinned(machine)
    with machine.session() as session:
        staged = session.system().host.staged_txn
        kept = session.blobs.get(session.system().selections[staged].containerfile)
    assert of_applied(machine) == kept

    def blamed(session):
        at = resolve(session, "applied")
        return blame.containerfile(session, *documents.view(session, at), pinned=True)

    assert [line.text for line in machine.command(blamed)] == kept.decode().splitlines()


def test_a_later_apply_without_it_takes_the_newest(machine):
    add(machine, "jq", "1.6")
    apply_pinned(machine)
    add(machine, "tree", "2")
    machine.command(lambda s: apply.carry_out(s, apply.propose(s), SILENT))
    assert arguments(of_applied(machine)) == [("jq",), ("tree",)]
