"""Packages that the recipe's own modules install or remove, and what `package` says of them."""

from __future__ import annotations

import pytest

from atomicstate.engine import apply, modules, packages
from atomicstate.engine.results import Silent
from atomicstate.errors import AptError, NoOperationError
from atomicstate.recipe.schema import Module, PackagesBody
from tests.support.fakehost import fake_host
from tests.support.recording import do, recipe
from tests.support.sessions import adopted

SILENT = Silent()


@pytest.fixture
def machine(tmp_path):
    return adopted(tmp_path / "state", fake_host())


def put(machine, *, install=(), remove=(), when=""):
    body = PackagesBody(tuple(install), tuple(remove))
    return do(machine, modules.add, [Module("packages", body, when=when)])


def booted(machine):
    machine.command(lambda s: apply.carry_out(s, apply.propose(s), SILENT))
    machine.host.reboot()


def change(machine, verb, *names, live=False):
    def work(session):
        proposal = packages.propose(session, verb, names, live=live)
        packages.carry_out(session, proposal, SILENT)
        return proposal

    return machine.command(work)


def entries(machine):
    """What the recipe installs and removes, module by module."""
    found = [module.body for module in recipe(machine).modules]
    return [(body.install, body.remove) for body in found]


def test_what_a_module_installs_and_runs_need_not_be_added(machine):
    put(machine, install=["tree"])
    booted(machine)
    with pytest.raises(NoOperationError):
        change(machine, "add", "tree")


def test_what_a_module_installs_is_removed_without_a_trace_in_the_recipe(machine):
    put(machine, install=["tree", "nano"])
    booted(machine)
    assert change(machine, "remove", "tree").in_base == ()
    assert entries(machine) == [(("nano",), ())]
    booted(machine)
    assert machine.host.tree >= {"nano"}
    assert "tree" not in machine.host.tree


def test_what_a_pending_module_installs_is_added_at_once_and_stands_there_once(machine):
    put(machine, install=["tree", "nano"])
    change(machine, "add", "tree", live=True)
    assert "tree" in machine.host.tree
    assert entries(machine) == [(("nano",), ()), (("tree",), ())]


def test_what_a_module_removes_need_not_be_removed(machine):
    put(machine, remove=["coreutils"])
    booted(machine)
    with pytest.raises(NoOperationError):
        change(machine, "remove", "coreutils")
    change(machine, "add", "coreutils")
    assert entries(machine) == [(("coreutils",), ())]


def test_a_module_has_the_last_word_after_an_action(machine):
    change(machine, "add", "tree")
    put(machine, remove=["tree"])
    booted(machine)
    assert "tree" not in machine.host.tree
    change(machine, "add", "tree")
    assert entries(machine) == [(("tree",), ())]


def test_what_the_base_holds_is_removed_in_the_recipe_though_a_module_installs_it(machine):
    change(machine, "remove", "coreutils")
    put(machine, install=["coreutils"])
    booted(machine)
    assert change(machine, "remove", "coreutils").in_base == ("coreutils",)
    assert entries(machine) == [((), ("coreutils",))]


def test_what_a_module_installs_on_a_condition_is_removed_in_the_recipe(machine):
    put(machine, install=["tree"], when='Arch == "x86_64"')
    booted(machine)
    assert change(machine, "remove", "tree").in_base == ("tree",)
    booted(machine)
    assert "tree" not in machine.host.tree


def test_a_plan_that_takes_out_what_a_module_installs_is_refused(machine):
    put(machine, install=["jq"])
    booted(machine)
    with pytest.raises(AptError, match="take out jq"):
        change(machine, "remove", "oniguruma")
