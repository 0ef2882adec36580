"""`config import`: a document becomes events, the fewest that do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from atomicstate.engine import apply, documents, import_plan, importing, packages, undo
from atomicstate.engine.importing import Options, Source
from atomicstate.engine.results import Silent
from atomicstate.engine.status import status
from atomicstate.errors import (
    AtomicstateError,
    ConflictError,
    ImageError,
    NoOperationError,
    NotFoundError,
    ValidationError,
)
from atomicstate.events.asjson import kind
from atomicstate.recipe.reader import read
from tests.support.fakehost import BASE, fake_host
from tests.support.sessions import Machine, adopted

if TYPE_CHECKING:
    from atomicstate.engine.session import Session

SILENT = Silent()
FIRST = """\
# ours
env:
  KIND: kiosk
modules:
  - type: packages
    body: {install: [tree, hello]}
  - type: copy
    name: Root
    body: {source: root, destination: /}
  - type: shell
    body: {command: echo one}
"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return adopted(tmp_path / "state", fake_host())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "work"
    (made / "resources/root/etc").mkdir(parents=True)
    (made / "resources/root/etc/motd").write_text("hello")
    return made


def take(session: Session, folder: Path, text: str, **options):
    (folder / "image.yml").write_text(text)
    return take_file(session, str(folder / "image.yml"), **options)


def take_file(session: Session, file: str | None, **options):
    source = importing.source_of(session, file, None)
    return importing.carry_out(
        session, importing.propose(session, source, Options(**options)), SILENT
    )


def kinds(machine: Machine, start: int = 2) -> list[str]:
    return [kind(event) for event in machine.events()[start - 1 :]]


def recipe(machine: Machine):
    return read(machine.command(documents.recipe).content)


def own(machine: Machine) -> Path:
    return machine.directory / "recipe/image.yml"


def apply_all(session: Session):
    return apply.carry_out(session, apply.propose(session), SILENT)


def add(session: Session, *names: str):
    return packages.carry_out(session, packages.propose(session, "add", names, live=False), SILENT)


# -- what is recorded --------------------------------------------------------------------------


def test_a_document_becomes_an_event_for_each_of_its_parts(machine, folder):
    machine.command(lambda s: take(s, folder, FIRST))
    assert kinds(machine) == [
        "resource.set",
        "env.set",
        "module.added",
        "module.added",
        "module.added",
        "recipe.taken",
    ]
    wanted = read(FIRST.encode())
    assert (recipe(machine).modules, recipe(machine).env) == (wanted.modules, wanted.env)
    assert recipe(machine).image == BASE


def test_they_share_one_request_and_say_what_they_do(machine, folder):
    result = machine.command(lambda s: take(s, folder, FIRST))
    assert {event.request for event in machine.events()[1:]} == {result.request}
    assert [event.what for event in result.events][:3] == [
        "resource root, 1 file",
        "variable KIND=kiosk",
        "install tree hello",
    ]


def test_the_same_document_again_is_no_operation(machine, folder):
    machine.command(lambda s: take(s, folder, FIRST))
    with pytest.raises(NoOperationError):
        machine.command(lambda s: take(s, folder, FIRST))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[tree, hello]", "[tree]", ["module.changed"]),
        ("echo one", "echo two", ["module.changed"]),
        ("Root", "Other", ["module.removed", "module.added"]),
        ("kiosk", "server", ["env.set"]),
        ("  KIND: kiosk\n", "", ["env.removed"]),
        (
            "modules:\n",
            "modules:\n  - type: network\n    body: {hostname: a}\n",
            ["module.added"],
        ),
        ("  - type: shell\n    body: {command: echo one}\n", "", ["module.removed"]),
    ],
)
def test_only_what_differs_is_recorded(machine, folder, old, new, expected):
    machine.command(lambda s: take(s, folder, FIRST))
    before = len(machine.events())
    text = FIRST.replace(old, new)
    machine.command(lambda s: take(s, folder, text))
    assert kinds(machine, before + 1) == [*expected, "recipe.taken"]
    assert recipe(machine).modules == read(text.encode()).modules


def test_a_module_that_moves_is_taken_out_and_put_in(machine, folder):
    machine.command(lambda s: take(s, folder, FIRST))
    before = len(machine.events())
    head, *modules = FIRST.split("  - type: ")
    text = "  - type: ".join([head, modules[2], modules[0], modules[1]])
    machine.command(lambda s: take(s, folder, text))
    assert sorted(kinds(machine, before + 1)) == ["module.added", "module.removed", "recipe.taken"]
    assert recipe(machine).modules == read(text.encode()).modules


def test_the_order_of_the_variables_is_no_difference(machine, folder):
    machine.command(lambda s: take(s, folder, "env: {A: a, B: b}\nmodules: []\n"))
    with pytest.raises(NoOperationError):
        machine.command(lambda s: take(s, folder, "env: {B: b, A: a}\nmodules: []\n"))


def test_undoing_the_request_brings_the_recipe_back(machine, folder):
    machine.command(lambda s: take(s, folder, FIRST))
    before = recipe(machine)
    text = FIRST.replace("kiosk", "server").replace("tree, hello", "nano").replace("Root", "Other")
    result = machine.command(lambda s: take(s, folder, text))
    machine.command(
        lambda s: undo.carry_out(s, undo.propose(s, undo.UNDO, [result.request]), SILENT)
    )
    assert recipe(machine) == before


def test_what_packages_were_added_by_name_can_be_imported_away_and_added_again(machine, folder):
    machine.command(lambda s: add(s, "jq"))
    machine.command(lambda s: take(s, folder, "modules: []\n"))
    assert recipe(machine).modules == ()
    machine.command(lambda s: add(s, "jq"))
    assert recipe(machine).modules[0].body.install == ("jq",)


# -- the base ----------------------------------------------------------------------------------


def test_another_image_becomes_the_base(machine, folder):
    machine.host._image("localhost/other:1", {}, frozenset({"bash"}))
    machine.command(lambda s: take(s, folder, "image: localhost/other:1\nmodules: []\n"))
    assert kinds(machine) == ["base.set", "recipe.taken"]


def test_an_image_that_is_not_there_is_refused(machine, folder):
    with pytest.raises(ImageError):
        machine.command(lambda s: take(s, folder, "image: localhost/none:1\nmodules: []\n"))
    assert len(machine.events()) == 1


# -- resources ---------------------------------------------------------------------------------


def test_resources_are_in_the_log_and_need_no_folder_any_more(machine, folder):
    machine.command(lambda s: take(s, folder, FIRST))
    (folder / "resources/root/etc/motd").unlink()
    with machine.session() as session:
        build = documents.build(session, session.system(), documents.view(session, None)[1])
    assert set(build.resources) == {"root"}


def test_a_changed_file_alone_is_a_difference(machine, folder):
    machine.command(lambda s: take(s, folder, FIRST))
    before = len(machine.events())
    (folder / "resources/root/etc/motd").write_text("bye")
    machine.command(lambda s: take(s, folder, FIRST))
    assert kinds(machine, before + 1) == ["resource.set", "recipe.taken"]


def test_a_resource_that_nothing_uses_any_more_goes(machine, folder):
    machine.command(lambda s: take(s, folder, FIRST))
    before = len(machine.events())
    machine.command(lambda s: take(s, folder, "env: {KIND: kiosk}\nmodules: []\n"))
    assert kinds(machine, before + 1)[-2:] == ["resource.removed", "recipe.taken"]


def test_where_not_all_uses_are_known_nothing_is_forgotten(machine, folder):
    machine.command(lambda s: take(s, folder, FIRST))
    text = "modules:\n  - type: include\n    body: {targets: ['${{ Env.WHICH }}.yml']}\n"
    machine.command(lambda s: take(s, folder, text))
    assert "resource.removed" not in kinds(machine)


def test_a_document_that_moved_alone_keeps_the_resources_that_were_recorded(machine, folder):
    machine.command(lambda s: take(s, folder, FIRST))
    (folder / "elsewhere").mkdir()
    text = FIRST.replace("kiosk", "server")
    machine.command(lambda s: take(s, folder / "elsewhere", text))
    assert kinds(machine)[-2:] == ["env.set", "recipe.taken"]


def test_an_include_of_the_base_image_is_recorded_with_all_that_it_includes(machine, folder):
    machine.host.base_files |= {
        "/usr/share/i/a.yml": b"modules: [{type: include, body: {targets: [b.yml]}}]\n",
        "/usr/share/i/b.yml": b"modules: [{type: shell, body: {command: x}}]\n",
    }
    text = "modules:\n  - type: include\n    body: {targets: [/usr/share/i/a.yml]}\n"
    machine.command(lambda s: take(s, folder, text))
    names = [e.body.name for e in machine.events() if kind(e) == "resource.set"]
    assert names == ["/usr/share/i/a.yml", "/usr/share/i/b.yml"]
    machine.host.base_files.clear()
    with machine.session() as session:
        composed = documents.composition(session, *documents.view(session, None))
        steps = documents.expansion(session, session.system(), composed).require()
    assert [step.module.type for step in steps] == ["shell"]


def test_what_is_missing_is_told_and_no_obstacle(machine, folder):
    text = "modules:\n  - type: copy\n    body: {source: nowhere, destination: /}\n"
    (folder / "image.yml").write_text(text)

    def proposed(session):
        source = importing.source_of(session, str(folder / "image.yml"), None)
        return importing.propose(session, source, Options())

    [warning] = machine.command(proposed).checked.problems
    assert "nowhere" in warning.message
    machine.command(lambda s: take(s, folder, text))
    with pytest.raises(ValidationError, match="nowhere"):
        machine.command(apply.propose)


def test_a_file_that_changes_between_question_and_answer_is_refused(machine, folder):
    (folder / "image.yml").write_text(FIRST)
    with machine.session() as session:
        source = importing.source_of(session, str(folder / "image.yml"), None)
        proposal = importing.propose(session, source, Options())
        (folder / "resources/root/etc/motd").write_text("bye")
        with pytest.raises(ConflictError):
            importing.carry_out(session, proposal, SILENT)
    assert len(machine.events()) == 1


# -- values and secrets ------------------------------------------------------------------------


def test_given_values_are_recorded_and_fill_the_document_in(machine, folder):
    text = "modules:\n  - type: network\n    body: {hostname: '${{ Env.HOST }}'}\n"
    machine.command(lambda s: take(s, folder, text, given={"HOST": "kiosk"}))
    body = next(e.body for e in machine.events() if kind(e) == "env.set")
    assert (body.name, body.value, body.given) == ("HOST", "kiosk", True)
    with machine.session() as session:
        composed = documents.composition(session, *documents.view(session, None))
        [step] = documents.expansion(session, session.system(), composed).require()
    assert step.module.body.hostname == "kiosk"
    assert recipe(machine).env == {}


@pytest.mark.parametrize(
    "text",
    [
        "env: {A_TOKEN: abc}\nmodules: []\n",
        "modules:\n  - type: git\n    body: {url: 'https://a:b@e.org/x', command: make}\n",
        "modules:\n  - type: include\n    body: {targets: [secret.yml]}\n",
    ],
)
def test_a_likely_secret_is_refused_unless_somebody_agrees(machine, folder, text):
    (folder / "resources/secret.yml").write_text(
        "modules:\n  - type: shell\n    body: {command: API_TOKEN=abc x}\n"
    )
    with pytest.raises(ValidationError, match="looks like"):
        machine.command(lambda s: take(s, folder, text))
    assert len(machine.events()) == 1
    machine.command(lambda s: take(s, folder, text, allow_secret=True))
    # What is recorded already is not asked about again.
    machine.command(lambda s: take(s, folder, text + "# more\n", given={"X": "y"}))


def test_a_given_value_that_looks_like_a_secret_is_refused(machine, folder):
    with pytest.raises(ValidationError, match=r"env\.TOKEN"):
        machine.command(lambda s: take(s, folder, "modules: []\n", given={"TOKEN": "abc"}))


# -- refusals ----------------------------------------------------------------------------------


def test_a_document_with_problems_is_refused_with_all_of_them(machine, folder):
    with pytest.raises(ValidationError) as caught:
        machine.command(lambda s: take(s, folder, "modulez: []\nimages: x\n"))
    assert len(caught.value.details["problems"]) == 2
    assert f"{folder}/image.yml:1:1" in caught.value.message
    assert len(machine.events()) == 1


def test_a_circle_of_includes_is_refused(machine, folder):
    (folder / "resources/a.yml").write_text(
        "modules:\n  - type: include\n    body: {targets: [a.yml]}\n"
    )
    with pytest.raises(ValidationError, match="circle"):
        machine.command(
            lambda s: take(s, folder, "modules:\n  - {type: include, body: {targets: [a.yml]}}\n")
        )


def test_events_that_would_come_to_something_else_are_not_recorded(machine, folder, monkeypatch):
    monkeypatch.setattr(import_plan, "differences", lambda _before, _after: [])
    with pytest.raises(AtomicstateError, match="would not come to"):
        machine.command(lambda s: take(s, folder, FIRST))
    assert len(machine.events()) == 1


def test_a_file_that_is_not_there_is_not_found(machine, folder):
    with pytest.raises(NotFoundError):
        machine.command(lambda s: take_file(s, str(folder / "none.yml")))


# -- the person's own image.yml ----------------------------------------------------------------


@pytest.mark.parametrize("what", ["a pipe", "a device", "a folder"])
def test_what_is_no_file_in_the_place_of_image_yml_is_not_waited_for(machine, what):
    path = own(machine)
    path.unlink()
    if what == "a pipe":
        os.mkfifo(path)
    elif what == "a device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    assert "image.yml" in machine.command(status).drift
    with pytest.raises(AtomicstateError):
        machine.command(lambda s: take_file(s, None))


def test_an_edit_of_image_yml_is_drift_until_it_is_imported(machine):
    own(machine).write_text("# ours\nmodules:\n  - type: network\n    body: {hostname: a}\n")
    assert machine.command(status).drift == "image.yml was edited"
    machine.command(lambda s: take_file(s, None))
    assert machine.command(status).drift is None
    assert kinds(machine) == ["module.added", "recipe.taken"]
    assert recipe(machine).modules[0].body.hostname == "a"


def test_a_comment_alone_is_taken_in_without_an_action(machine):
    own(machine).write_text(own(machine).read_text() + "# a remark\n")
    machine.command(lambda s: take_file(s, None))
    assert kinds(machine) == ["recipe.taken"]
    assert machine.command(status).drift is None
    with pytest.raises(NoOperationError):
        machine.command(lambda s: take_file(s, None))


def test_what_was_asked_for_since_stays(machine):
    machine.command(lambda s: add(s, "jq"))
    own(machine).write_text(
        own(machine)
        .read_text()
        .replace("modules: []", "modules:\n  - type: network\n    body: {hostname: a}")
    )
    machine.command(lambda s: take_file(s, None))
    assert [module.type for module in recipe(machine).modules] == ["packages", "network"]


def test_with_replace_the_document_alone_counts(machine):
    machine.command(lambda s: add(s, "jq"))
    own(machine).write_text(own(machine).read_text() + "# edited\n")
    machine.command(lambda s: take_file(s, None, replace=True))
    assert recipe(machine).modules == ()


def test_what_was_changed_on_both_sides_is_a_conflict(machine, folder):
    machine.command(lambda s: take(s, folder, "env: {A: a}\nmodules: []\n"))
    machine.command(apply_all)
    machine.command(lambda s: take(s, folder, "env: {A: b}\nmodules: []\n"))
    own(machine).write_text(own(machine).read_text().replace("A: a", "A: c"))
    with pytest.raises(ConflictError, match="the variable A"):
        machine.command(lambda s: take_file(s, None))


def test_own_by_its_path_is_own_too(machine):
    machine.command(lambda s: add(s, "jq"))
    own(machine).write_text(own(machine).read_text() + "# edited\n")
    machine.command(lambda s: take_file(s, str(own(machine))))
    assert [module.type for module in recipe(machine).modules] == ["packages"]


def test_an_edited_resource_is_drift_and_is_imported(machine, folder):
    machine.command(lambda s: take(s, folder, FIRST))
    machine.command(apply_all)
    path = machine.directory / "recipe/resources/root/etc/motd"
    assert path.read_text() == "hello"
    path.write_text("bye")
    assert machine.command(status).drift == "resources/root was edited"
    before = len(machine.events())
    machine.command(lambda s: take_file(s, None))
    assert kinds(machine, before + 1) == ["resource.set", "recipe.taken"]
    assert machine.command(status).drift is None


def test_a_resource_that_was_recorded_since_is_not_set_back(machine, folder):
    machine.command(lambda s: take(s, folder, FIRST))
    machine.command(apply_all)
    (folder / "resources/root/etc/motd").write_text("newer")
    machine.command(lambda s: take(s, folder, FIRST))
    own(machine).write_text(own(machine).read_text() + "# edited\n")
    before = len(machine.events())
    machine.command(lambda s: take_file(s, None))
    assert kinds(machine, before + 1) == ["recipe.taken"]


def test_an_apply_keeps_the_comments_of_what_was_imported(machine, folder):
    machine.command(lambda s: take(s, folder, FIRST))
    machine.command(lambda s: add(s, "jq"))
    machine.command(apply_all)
    text = own(machine).read_text()
    assert text.startswith(f'# ours\nimage: "{BASE}"\nenv:\n  KIND: kiosk\n')
    assert "body: {install: [tree, hello]}" in text
    assert read(text.encode()) == recipe(machine)
    assert machine.command(status).drift is None


def test_an_apply_leaves_an_edit_alone_and_says_so(machine):
    said = []

    class Telling(Silent):
        def note(self, text: str) -> None:
            said.append(text)

    machine.command(lambda s: add(s, "jq"))
    own(machine).write_text("# mine\n")
    machine.command(lambda s: apply.carry_out(s, apply.propose(s), Telling()))
    assert own(machine).read_text() == "# mine\n"
    assert "config import" in said[0]
    assert "config restore" in said[0]


def test_a_document_of_standard_input_has_no_file(machine, monkeypatch):
    source = Source(b"modules:\n  - {type: network, body: {hostname: a}}\n", "-", Path("none"))

    def work(session):
        return importing.carry_out(session, importing.propose(session, source, Options()), SILENT)

    assert len(machine.command(work).events) == 2
