"""Verbs that are short for a module or a variable: what they record, and when nothing."""

from __future__ import annotations

import pytest

from atomicstate.engine import modules, packages, shortcuts
from atomicstate.engine.results import Silent
from atomicstate.errors import ConflictError, NoOperationError, ValidationError
from atomicstate.events.bodies import EnvRemoved, EnvSet, ModuleChanged, ModuleRemoved
from atomicstate.recipe.schema import (
    KernelBody,
    KernelInfo,
    Module,
    NetworkBody,
    ReposBody,
    ShellBody,
    SystemdBody,
)
from tests.support import recording
from tests.support.fakehost import fake_host
from tests.support.recording import Notes, bodies, do, recipe, refused, undone
from tests.support.sessions import adopted

LINE = "deb http://a.example stable main"
OTHER = "deb http://b.example stable main"


@pytest.fixture
def machine(tmp_path):
    return adopted(tmp_path / "state", fake_host())


@pytest.fixture
def with_recipe(tmp_path):
    return recording.with_recipe(tmp_path / "state")


def service(machine, verb, *units, everyone=False):
    return do(machine, shortcuts.service, verb, units, everyone=everyone)


def no_service(machine, verb, *units, error=NoOperationError, everyone=False):
    return refused(machine, error, shortcuts.service, verb, units, everyone=everyone)


def put(machine, *given):
    return do(machine, modules.add, given)


def last(machine):
    return recipe(machine).modules[-1]


# -- units -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("enable", SystemdBody(("a.service", "b.timer"), enabled=True)),
        ("disable", SystemdBody(("a.service", "b.timer"))),
        ("mask", SystemdBody(("a.service", "b.timer"), masked=True)),
    ],
)
def test_units_of_a_verb_are_one_module(machine, verb, body):
    result = service(machine, verb, "a", "b.timer")
    assert last(machine) == Module("systemd", body)
    assert result.what == f"{verb} a.service b.timer"


def test_units_of_every_user_are_others_than_those_of_the_system(machine):
    service(machine, "enable", "a")
    service(machine, "enable", "a", everyone=True)
    assert last(machine).body == SystemdBody(("a.service",), enabled=True, global_=True)
    no_service(machine, "enable", "a", everyone=True)


@pytest.mark.parametrize("verb", ["enable", "disable", "mask"])
def test_a_unit_that_is_so_already_is_not_recorded_again(machine, verb):
    service(machine, verb, "a", "b")
    error = no_service(machine, verb, "b.service")
    assert f"b.service: {verb.removesuffix('e')}ed already" in error.message


def test_of_several_units_those_that_are_so_are_left_out(machine):
    service(machine, "enable", "a")
    result = service(machine, "enable", "a", "b")
    assert last(machine).body.targets == ("b.service",)
    assert result.skipped == ("a.service",)


@pytest.mark.parametrize(
    "between",
    [
        Module("shell", ShellBody("systemctl disable a")),
        Module("systemd", SystemdBody(("a",))),
        Module("systemd", SystemdBody(("a.service",), enabled=True), when="false"),
    ],
)
def test_after_what_may_have_changed_it_a_unit_is_recorded_again(machine, between):
    service(machine, "enable", "a")
    put(machine, between)
    service(machine, "enable", "a")
    assert last(machine) == Module("systemd", SystemdBody(("a.service",), enabled=True))


def test_a_package_that_comes_after_may_bring_the_unit(machine):
    service(machine, "disable", "a")
    machine.command(
        lambda s: packages.carry_out(s, packages.propose(s, "add", ["tree"], live=False), Silent())
    )
    service(machine, "disable", "a")
    assert [module.type for module in recipe(machine).modules] == ["systemd", "packages", "systemd"]


def test_what_has_nothing_to_do_with_a_unit_does_not_count(machine):
    service(machine, "enable", "a")
    do(machine, shortcuts.set_host_name, "b")
    service(machine, "mask", "c")
    no_service(machine, "enable", "a")


def test_a_masked_unit_is_not_enabled(machine):
    seq = service(machine, "mask", "a").seq
    error = no_service(machine, "enable", "a", error=ConflictError)
    assert f"masked by the module {seq}" in error.message
    do(machine, modules.remove, [str(seq)])
    service(machine, "enable", "a")


@pytest.mark.parametrize("unit", ["a b", "-a", "", "../a", "a\n"])
def test_what_is_no_unit_is_refused(machine, unit):
    no_service(machine, "enable", unit, error=ValidationError)


def test_an_undone_one_is_recorded_anew(machine):
    seq = service(machine, "enable", "a").seq
    undone(machine, str(seq))
    assert service(machine, "enable", "a").seq > seq


# -- repositories ----------------------------------------------------------------------------


def test_a_branch_is_set_and_once(machine):
    do(machine, shortcuts.set_branch, "sisyphus", "20260102")
    assert last(machine).body == ReposBody(branch="sisyphus", date="20260102")
    refused(machine, NoOperationError, shortcuts.set_branch, "sisyphus", "20260102")
    do(machine, shortcuts.set_branch, "sisyphus", "")
    assert last(machine).body == ReposBody(branch="sisyphus")


@pytest.mark.parametrize(("branch", "date"), [("a b", ""), ("p11", "yesterday"), ("-p", "")])
def test_what_is_no_branch_or_day_is_refused(machine, branch, date):
    refused(machine, ValidationError, shortcuts.set_branch, branch, date)


def test_a_repository_is_added_and_once(machine):
    do(machine, shortcuts.add_repository, f"  {LINE.replace(' ', '  ')} ")
    assert last(machine).body == ReposBody(custom=(LINE,))
    refused(machine, NoOperationError, shortcuts.add_repository, LINE)


@pytest.mark.parametrize("body", [ReposBody(clean=True), ReposBody(branch="p11")])
def test_a_repository_that_was_forgotten_since_is_added_again(machine, body):
    do(machine, shortcuts.add_repository, LINE)
    put(machine, Module("repos", body))
    do(machine, shortcuts.add_repository, LINE)
    assert last(machine).body == ReposBody(custom=(LINE,))


def test_a_repository_is_taken_out_of_the_module_that_adds_it(with_recipe):
    before = recipe(with_recipe)
    result = do(with_recipe, shortcuts.remove_repository, LINE)
    [body] = bodies(with_recipe, 1)
    assert isinstance(body, ModuleChanged)
    assert (body.slot, last(with_recipe).body) == (-2, ReposBody(custom=(OTHER,)))
    assert result.what == f"change found-2 to: repository {OTHER}"
    undone(with_recipe, str(result.seq))
    assert recipe(with_recipe) == before


def test_a_module_that_adds_nothing_any_more_goes(machine):
    seq = do(machine, shortcuts.add_repository, LINE).seq
    do(machine, shortcuts.remove_repository, LINE)
    assert bodies(machine, 1) == [ModuleRemoved(seq, "repos", f"repository {LINE}")]
    assert recipe(machine).modules == ()
    refused(machine, NoOperationError, shortcuts.remove_repository, LINE)


def test_a_repository_in_two_modules_leaves_both_under_one_request(with_recipe):
    put(with_recipe, Module("repos", ReposBody(custom=(LINE,), clean=True)))
    result = do(with_recipe, shortcuts.remove_repository, LINE)
    assert [item.kind for item in result.actions] == ["module.changed", "module.changed"]
    assert len({event.request for event in with_recipe.events()[-2:]}) == 1
    assert not [
        module
        for module in recipe(with_recipe).modules
        if LINE in getattr(module.body, "custom", ())
    ]


def test_a_password_in_a_repository_is_refused_unless_it_is_meant(machine):
    line = "deb https://me:s3cr3tpass@example.org stable main"
    error = refused(machine, ValidationError, shortcuts.add_repository, line)
    assert "s3cr3tpass" not in error.message + error.hint
    result = do(machine, shortcuts.add_repository, line, allow_secret=True)
    assert "s3cr3tpass" not in result.what
    assert last(machine).body.custom == (line,)


# -- kernel, host name, command --------------------------------------------------------------


def test_a_kernel_is_set_and_once(machine):
    do(machine, shortcuts.set_kernel, "6.12", ("drm", "drm", "nvidia"), headers=True)
    info = KernelInfo("6.12", ("drm", "nvidia"), include_headers=True)
    assert last(machine).body == KernelBody(info)
    do(machine, shortcuts.set_host_name, "a")
    arguments = (shortcuts.set_kernel, "6.12", ("drm", "nvidia"))
    refused(machine, NoOperationError, *arguments, headers=True)
    do(machine, *arguments, headers=False)


def test_a_host_name_is_set_and_once(machine):
    do(machine, shortcuts.set_host_name, "node-1")
    assert last(machine) == Module("network", NetworkBody("node-1"))
    service(machine, "enable", "a")
    refused(machine, NoOperationError, shortcuts.set_host_name, "node-1")
    do(machine, shortcuts.set_host_name, "node-2")
    do(machine, shortcuts.set_host_name, "node-1")
    assert len(recipe(machine).modules) == 4


@pytest.mark.parametrize("name", ["", "-a", "a_b", "a b", "x" * 64, "a\nb"])
def test_what_is_no_host_name_is_refused(machine, name):
    refused(machine, ValidationError, shortcuts.set_host_name, name)


def test_a_command_is_recorded_each_time(machine):
    for _time in range(2):
        do(machine, shortcuts.run, "date >> /etc/built")
    assert [module.body for module in recipe(machine).modules] == [
        ShellBody("date >> /etc/built")
    ] * 2


@pytest.mark.parametrize("command", ["", "  \n", "a\0b"])
def test_what_is_no_command_is_refused(machine, command):
    refused(machine, ValidationError, shortcuts.run, command)


def test_a_token_in_a_command_is_refused_unless_it_is_meant(machine):
    command = "curl -H 'Authorization: Bearer abcdefgh12345678' https://example.org"
    refused(machine, ValidationError, shortcuts.run, command)
    result = do(machine, shortcuts.run, command, allow_secret=True)
    assert "abcdefgh12345678" not in result.what


# -- variables -------------------------------------------------------------------------------


def test_variables_are_set_each_by_its_action(machine):
    result = do(machine, shortcuts.set_env, {"A": "1", "B": "x y"})
    assert bodies(machine, 2) == [EnvSet("A", "1"), EnvSet("B", "x y")]
    assert recipe(machine).env == {"A": "1", "B": "x y"}
    assert [item.what for item in result.actions] == ["variable A=1", "variable B=x y"]
    assert result.request


def test_a_variable_that_has_its_value_is_left_out(with_recipe):
    refused(with_recipe, NoOperationError, shortcuts.set_env, {"LANG": "C.UTF-8"})
    result = do(with_recipe, shortcuts.set_env, {"LANG": "C.UTF-8", "A": "1"})
    assert (result.skipped, recipe(with_recipe).env) == (
        ("LANG",),
        {"LANG": "C.UTF-8", "A": "1"},
    )


def test_a_variable_is_removed_and_undoing_that_brings_it_back(with_recipe):
    result = do(with_recipe, shortcuts.remove_env, ("LANG", "NOPE"))
    assert bodies(with_recipe, 1) == [EnvRemoved("LANG")]
    assert (result.skipped, recipe(with_recipe).env) == (("NOPE",), {})
    refused(with_recipe, NoOperationError, shortcuts.remove_env, ("LANG",))
    undone(with_recipe, str(result.seq))
    assert recipe(with_recipe).env == {"LANG": "C.UTF-8"}


def test_who_reads_a_variable_that_goes_is_told(with_recipe):
    put(with_recipe, Module("shell", ShellBody("echo ${{ Env.LANG }}")))
    notes = Notes()
    do(with_recipe, shortcuts.remove_env, ("LANG",), reporter=notes)
    assert [note for note in notes.notes if "LANG" in note]


@pytest.mark.parametrize("name", ["", "1A", "A B", "A-B"])
def test_what_is_no_variable_is_refused(machine, name):
    refused(machine, ValidationError, shortcuts.set_env, {name: "1"})


def test_a_variable_that_is_a_secret_by_its_name_is_refused_unless_it_is_meant(machine):
    refused(machine, ValidationError, shortcuts.set_env, {"API_TOKEN": "abc"})
    do(machine, shortcuts.set_env, {"API_TOKEN": "abc"}, allow_secret=True)
    assert recipe(machine).env == {"API_TOKEN": "abc"}
