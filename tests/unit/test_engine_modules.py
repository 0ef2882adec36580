"""The recipe's modules: what is added, removed and listed, and what is refused."""

from __future__ import annotations

import pytest

from atomicstate.engine import modules, packages, shortcuts
from atomicstate.engine.results import Silent
from atomicstate.errors import NotFoundError, ValidationError
from atomicstate.events.bodies import ModuleAdded, ModuleRemoved
from atomicstate.recipe.schema import BrandingBody, CopyBody, Module, ReposBody, ShellBody
from tests.support import recording
from tests.support.fakehost import fake_host
from tests.support.recording import Notes, bodies, do, recipe, refused, undone
from tests.support.sessions import adopted


@pytest.fixture
def machine(tmp_path):
    return adopted(tmp_path / "state", fake_host())


@pytest.fixture
def with_recipe(tmp_path):
    return recording.with_recipe(tmp_path / "state")


def add(machine, text, tmp_path, **options):
    """`module add` of what a file holds."""
    file = tmp_path / "modules.yml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return do(machine, modules.add, modules.read_modules(str(file)), **options)


# -- module add, remove, list ----------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "{type: shell, body: {command: 'true'}}",
        "- {type: shell, body: {command: 'true'}}",
        "modules:\n  - {type: shell, body: {command: 'true'}}",
        b'{"type": "shell", "body": {"command": "true"}}',
    ],
)
def test_a_module_a_list_and_a_document_are_taken(machine, tmp_path, text):
    result = add(machine, text, tmp_path)
    assert recipe(machine).modules == (Module("shell", ShellBody("true")),)
    [event] = machine.events()[-1:]
    assert isinstance(event.body, ModuleAdded)
    assert (event.body.module_type, event.body.before, event.body.what) == ("shell", 0, "run true")
    assert (result.seq, result.kind, result.what) == (event.seq, "module.added", "run true")
    assert result.module == {"type": "shell", "body": {"command": "true"}}
    assert result.request is None


def test_several_modules_come_in_one_commit_under_one_request(machine, tmp_path):
    text = "[{type: shell, body: {command: a}}, {type: network, body: {hostname: b}}]"
    result = add(machine, text, tmp_path)
    events = machine.events()[-2:]
    assert {event.request for event in events} == {result.request}
    assert [item.seq for item in result.actions] == [event.seq for event in events]
    assert [item.what for item in result.actions] == ["run a", "host name b"]
    assert set(undone(machine, result.request).void) == {event.seq for event in events}
    assert recipe(machine).modules == ()


@pytest.mark.parametrize("word", ["tools", "found-1"])
def test_modules_come_before_the_one_that_is_named_in_their_order(with_recipe, tmp_path, word):
    text = "[{type: shell, body: {command: a}}, {type: shell, body: {command: b}}]"
    add(with_recipe, text, tmp_path, before=word)
    types = [module.type for module in recipe(with_recipe).modules]
    assert types == ["shell", "shell", "packages", "repos"]
    assert recipe(with_recipe).modules[0].body == ShellBody("a")


@pytest.mark.parametrize("word", ["{}", "#{}"])
def test_a_module_is_known_by_the_number_of_its_event(machine, tmp_path, word):
    first = do(machine, shortcuts.run, "first").seq
    add(machine, "{type: shell, body: {command: b}}", tmp_path, before=word.format(first))
    assert [module.body.command for module in recipe(machine).modules] == ["b", "first"]


def test_a_module_is_known_by_the_number_of_the_event_that_changed_it(with_recipe):
    line = "deb http://a.example stable main"
    changed = do(with_recipe, shortcuts.remove_repository, line).seq
    do(with_recipe, modules.remove, [str(changed)])
    assert [module.type for module in recipe(with_recipe).modules] == ["packages"]
    assert bodies(with_recipe, 1) == [
        ModuleRemoved(-2, "repos", "repository deb http://b.example stable main")
    ]


@pytest.mark.parametrize(
    ("word", "near"), [("tool", "tools"), ("found-3", "found-2"), ("99", "module list")]
)
def test_an_unknown_module_is_told_with_what_is_near(with_recipe, word, near):
    error = refused(with_recipe, NotFoundError, modules.remove, [word])
    assert word in error.message
    assert near in error.hint


def test_a_module_is_removed_and_undoing_that_brings_it_back(with_recipe):
    before = recipe(with_recipe)
    result = do(with_recipe, modules.remove, ["tools", "found-1"])
    assert bodies(with_recipe, 1) == [ModuleRemoved(-1, "packages", "install jq")]
    assert result.what == "take out found-1: install jq"
    undone(with_recipe, str(result.seq))
    assert recipe(with_recipe) == before


def test_a_packages_action_is_not_removed_as_a_module(machine):
    seq = machine.command(
        lambda s: (
            packages.carry_out(s, packages.propose(s, "add", ["jq"], live=False), Silent()).seq
        )
    )
    error = refused(machine, ValidationError, modules.remove, [str(seq)])
    assert f"atomicstate undo {seq}" in error.hint


def test_the_list_says_where_each_module_comes_from(with_recipe, tmp_path):
    seq = add(with_recipe, "{type: shell, name: check, body: {command: 'true'}}", tmp_path).seq
    listed = with_recipe.command(modules.modules)
    assert [(item.id, item.type, item.event, item.what) for item in listed] == [
        ("tools", "packages", 1, "install jq"),
        (
            "found-2",
            "repos",
            1,
            "repository deb http://a.example stable main,"
            " repository deb http://b.example stable main",
        ),
        (str(seq), "shell", seq, "run true (check)"),
    ]


def test_a_wrong_module_is_refused_with_its_place_and_what_is_near(tmp_path):
    file = tmp_path / "m.yml"
    file.write_text("- type: systemd\n  body:\n    targets: [a]\n    enabld: true\n")
    with pytest.raises(ValidationError, match=r"line 4, column 5 .*'enabld' is no key") as raised:
        modules.read_modules(str(file))
    assert "did you mean enabled?" in raised.value.hint


@pytest.mark.parametrize("text", ["", "[]", "modules: []"])
def test_a_file_without_modules_is_refused(tmp_path, text):
    file = tmp_path / "m.yml"
    file.write_text(text)
    with pytest.raises(ValidationError):
        modules.read_modules(str(file))


def test_a_second_module_with_an_id_is_refused(with_recipe, tmp_path):
    module = Module("shell", ShellBody("true"), id="tools")
    error = refused(with_recipe, ValidationError, modules.add, [module])
    assert "has the id 'tools' already" in error.message


def test_a_module_that_reads_one_which_is_not_there_is_refused(machine):
    module = Module("shell", ShellBody("echo ${{ Modules.nope.Name }}"))
    error = refused(machine, ValidationError, modules.add, [module])
    assert "nope" in error.message


def test_removing_what_another_module_reads_is_refused(with_recipe):
    module = Module("shell", ShellBody("true"), when='Modules.tools.Name == ""')
    do(with_recipe, modules.add, [module])
    error = refused(with_recipe, ValidationError, modules.remove, ["tools"])
    assert "tools" in error.message


def test_what_is_only_missing_yet_is_told_and_recorded(machine):
    notes = Notes()
    copied = Module("copy", CopyBody("root", "/"))
    shell = Module("shell", ShellBody("echo ${{ Env.WHO }}"))
    do(machine, modules.add, [copied, shell], reporter=notes)
    assert len(recipe(machine).modules) == 2
    assert [note for note in notes.notes if "root" in note]
    assert [note for note in notes.notes if "WHO" in note]


def test_what_the_base_can_not_have_is_told_once_and_recorded(machine):
    notes, later = Notes(), Notes()
    module = Module("branding", BrandingBody("x"))
    do(machine, modules.add, [module], reporter=notes)
    assert [note for note in notes.notes if "branding" in note and "an apply refuses" in note]
    do(machine, shortcuts.run, "true", reporter=later)
    assert later.notes == []
    assert recipe(machine).modules[0] == module


@pytest.mark.parametrize(
    "module",
    [
        Module("shell", ShellBody("curl https://me:s3cr3tpass@example.org/x")),
        Module("shell", ShellBody("true"), env={"DB_PASSWORD": "s3cr3tpass"}),
        Module("repos", ReposBody(custom=("deb https://me:s3cr3tpass@example.org a b",))),
    ],
)
def test_a_likely_secret_is_refused_unless_it_is_meant(machine, module):
    error = refused(machine, ValidationError, modules.add, [module])
    assert "--allow-secret" in error.hint
    assert "s3cr3tpass" not in error.message + error.hint
    result = do(machine, modules.add, [module], allow_secret=True)
    # What the blob holds can be dropped later; what the event says stays.
    assert result.what == f"{module.type}, with what looks like a secret"
    assert recipe(machine).modules == (module,)
