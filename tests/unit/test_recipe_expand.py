"""The recipe as the steps of a build: includes in their place, expressions filled in."""

from __future__ import annotations

import pytest

from atomicstate.errors import ValidationError
from atomicstate.recipe import expand as expanding
from atomicstate.recipe.expand import Expansion, Step, expand
from atomicstate.recipe.reader import read
from atomicstate.recipe.resources import Entry, Manifest
from atomicstate.recipe.schema import PackagesBody, ShellBody


class Shelf:
    """A library of text files, by name; a name that ends in / is a folder of those below it."""

    def __init__(self, **files: str) -> None:
        self._files = {name.replace("__", "/"): text for name, text in files.items()}

    def add(self, name: str, text: str) -> Shelf:
        self._files[name] = text
        return self

    def manifest(self, name: str) -> Manifest | None:
        if name in self._files:
            return (Entry("", 0o644, name),)
        below = sorted(path for path in self._files if path.startswith(f"{name}/"))
        if not below:
            return None
        entries = [Entry(path.removeprefix(f"{name}/"), 0o644, path) for path in below]
        return (Entry("", 0o755), *entries)

    def content(self, digest: str) -> bytes:
        return self._files[digest].encode()


def expanded(text: str, shelf: Shelf | None = None, **options: object) -> Expansion:
    return expand(read(text.encode()), shelf or Shelf(), **options)  # type: ignore[arg-type]


def commands(expansion: Expansion) -> list[str]:
    found = []
    for step in expansion.require():
        assert isinstance(step.module.body, ShellBody)
        found.append(step.module.body.command)
    return found


def shell(command: str, *lines: str) -> str:
    more = "".join(f"    {line}\n" for line in lines)
    return f"  - type: shell\n{more}    body: {{command: '{command}'}}\n"


INCLUDE = "modules:\n  - {type: include, body: {targets: [%s]}}\n"


def only(expansion: Expansion) -> Step:
    [step] = expansion.require()
    return step


def test_an_include_stands_in_its_place() -> None:
    text = "modules:\n" + shell("one") + "  - {type: include, body: {targets: [two.yml]}}\n"
    shelf = Shelf().add("two.yml", "modules:\n" + shell("two"))
    assert commands(expanded(text + shell("three"), shelf)) == ["one", "two", "three"]


def test_a_folder_is_included_by_the_names_of_its_documents() -> None:
    shelf = Shelf()
    for name in ("b.yaml", "a.yml", "c.json"):
        shelf.add(f"all/{name}", "modules:\n" + shell(name))
    shelf.add("all/note.txt", "no recipe").add("all/deeper/d.yml", "no: recipe")
    assert commands(expanded(INCLUDE % "all", shelf)) == ["a.yml", "b.yaml", "c.json"]


def test_what_an_included_document_names_lies_beside_it() -> None:
    shelf = (
        Shelf()
        .add("sub/x.conf", "")
        .add(
            "sub/inc.yml",
            "modules:\n  - {type: copy, body: {source: x.conf, destination: /etc/x}}\n",
        )
    )
    assert only(expanded(INCLUDE % "sub/inc.yml", shelf)).sources == {"x.conf": "sub/x.conf"}


def test_what_the_base_image_includes_names_files_of_the_base_image() -> None:
    top = "/usr/share/it/clean.yml"
    shelf = Shelf().add(top, INCLUDE % "more.yml").add("/usr/share/it/more.yml", "modules: []\n")
    assert expanded(INCLUDE % top, shelf).uses == (top, "/usr/share/it/more.yml")


def test_a_circle_of_includes_is_told_and_ends() -> None:
    shelf = Shelf().add("a.yml", INCLUDE % "b.yml").add("b.yml", INCLUDE % "a.yml")
    [trouble] = expanded(INCLUDE % "a.yml", shelf).troubles
    assert "a circle: a.yml includes b.yml includes a.yml" in trouble.message
    assert trouble.name == "b.yml"


def test_many_documents_that_include_many_come_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expanding, "MAX_DOCUMENTS", 50)
    shelf = Shelf().add("end.yml", "modules: []\n")
    for level in range(10):
        below = f"d{level + 1}.yml" if level < 9 else "end.yml"
        shelf.add(f"d{level}.yml", INCLUDE % ", ".join([below] * 8))
    [trouble, *_] = expanded(INCLUDE % "d0.yml", shelf).troubles
    assert "more than 50 documents are included" in trouble.message


def test_what_is_not_to_be_had_is_told_as_missing() -> None:
    text = "modules:\n  - {type: copy, body: {source: root, destination: /}}\n"
    found = expanded(text)
    assert [trouble.missing for trouble in found.troubles] == [True]
    with pytest.raises(ValidationError) as caught:
        found.require()
    assert "config import" in caught.value.hint


def test_conditions_decide_and_later_ones_see_what_was_decided() -> None:
    text = "modules:\n" + shell("no", "id: first", 'if: Arch == "other"')
    text += shell("yes", "if: not Modules.first.If")
    assert commands(expanded(text)) == ["yes"]


def test_a_condition_does_not_see_the_variables_of_its_own_module() -> None:
    text = "env: {A: outer}\nmodules:\n"
    text += shell("${{ Env.A }}", "env: {A: inner}", 'if: Env.A == "outer"')
    assert commands(expanded(text)) == ["inner"]


def test_the_recipes_own_variables_come_before_those_that_are_given() -> None:
    text = "env: {A: mine, B: '${{ Env.C }}'}\nmodules:\n" + shell("${{ Env.A }} ${{ Env.B }}")
    found = expanded(text, inputs={"A": "given", "C": "told"})
    assert commands(found) == ["mine told"]
    assert only(found).env == {"A": "mine", "C": "told", "B": "told"}


def test_the_process_is_not_asked_for_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    [trouble] = expanded("modules:\n" + shell("${{ Env.SECRET }}")).troubles
    assert "SECRET" in trouble.message


def test_the_variables_of_an_include_hold_within_it() -> None:
    text = "modules:\n  - {type: include, env: {A: x}, body: {targets: [a.yml]}}\n"
    shelf = Shelf().add("a.yml", "modules:\n" + shell("${{ Env.A }}"))
    assert commands(expanded(text, shelf)) == ["x"]


def test_a_value_that_only_the_build_knows_is_refused() -> None:
    text = "modules:\n" + shell("x=1", "id: first", "output: {x: '${{ Env.x }}'}")
    text += shell("echo ${{ Modules.first.Output.x }}")
    [trouble] = expanded(text).troubles
    assert "known only while the image is built" in trouble.message
    assert trouble.path == "modules[1].body.command"


def test_what_was_filled_in_is_checked_again() -> None:
    text = "env: {D: '../etc'}\nmodules:\n"
    text += "  - {type: copy, body: {source: '${{ Env.D }}', destination: /x}}\n"
    [trouble] = expanded(text).troubles
    assert trouble.path == "modules[0].body.source"


def test_every_step_knows_the_event_that_it_comes_from() -> None:
    text = "modules:\n  - {type: include, body: {targets: [a.yml]}}\n" + shell("two")
    shelf = Shelf().add("a.yml", "modules:\n" + shell("one"))
    steps = expanded(text, shelf, owners=(7, 9)).require()
    assert [(step.event, step.where) for step in steps] == [
        (7, "a.yml: modules[0]"),
        (9, "modules[1]"),
    ]


def test_packages_are_filled_in_too() -> None:
    text = "env: {V: '12'}\nmodules:\n"
    text += "  - {type: packages, body: {install: ['gcc-${{ Env.V }}']}}\n"
    assert only(expanded(text)).module.body == PackagesBody(("gcc-12",))


@pytest.mark.parametrize(
    ("command", "used"),
    [
        ("scripts/boot.sh now", ["scripts"]),
        ("./run.sh", ["run.sh"]),
        ("cp ./scripts/a /etc && scripts/b", ["scripts"]),
        ("/scripts/a ../scripts/b $D/scripts/c scripts", []),
        ("other/thing", []),
    ],
)
def test_a_command_takes_the_resources_that_it_names(command: str, used: list[str]) -> None:
    shelf = Shelf().add("scripts/boot.sh", "").add("run.sh", "")
    step = only(expanded(f"modules:\n  - type: shell\n    body: {{command: '{command}'}}\n", shelf))
    assert sorted(step.sources) == used
