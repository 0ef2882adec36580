"""The Containerfile as a whole: its head, its order, where each part comes from, its end."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import msgspec
import pytest

from atomicstate.errors import ValidationError
from atomicstate.recipe.containerfile import (
    ALONE,
    JOINED,
    LABEL_RENDERER,
    LABEL_WHOLE,
    RENDERER,
    render,
)
from atomicstate.recipe.dialects import DIALECTS
from atomicstate.recipe.schema import BODIES, MkdirBody, Module, PackagesBody, ShellBody
from tests.support.containerfiles import BASE, BASE_ID, layers, only, rendered, step, steps

if TYPE_CHECKING:
    from atomicstate.recipe.expand import Step
    from tests.support.containerfiles import Instruction

THREE = """
modules:
  - {type: packages, body: {install: [jq]}}
  - {type: mkdir, body: {targets: [/opt/a], perm: rwxr-xr-x}}
  - {type: packages, body: {install: [tree]}}
"""


def test_it_begins_with_the_base_and_ends_with_a_label_of_its_own() -> None:
    made = rendered("modules: []")
    assert made.content.decode() == (
        f"# Written by atomicstate (renderer {RENDERER}): a change made here is lost.\n"
        f"# base {BASE}\n"
        f"FROM {BASE_ID}\n"
        f'LABEL {LABEL_RENDERER}="{RENDERER}"\n'
        "\n"
        f'LABEL {LABEL_WHOLE}="{RENDERER}"\n'
    )
    assert made.files == {}


def test_the_id_may_have_a_prefix() -> None:
    content = render([], f"sha256:{BASE_ID}", BASE, "deb", {}).content
    assert content == rendered("modules: []").content


def test_each_step_is_a_layer_in_order() -> None:
    found = layers(rendered(THREE).content)
    assert [layer.keyword for layer in found] == ["RUN", "RUN", "RUN"]
    assert [layer.arguments for layer in found] == [("jq",), ("0755", "/opt/a"), ("tree",)]


def test_one_more_step_leaves_the_layers_before_as_they_are() -> None:
    all_steps = steps(THREE)
    one, two = (render(all_steps[:count], BASE_ID, BASE, "deb", {}).content for count in (2, 3))
    end = f"\nLABEL {LABEL_WHOLE}".encode()
    assert two.startswith(one[: one.rindex(end)])
    assert two[one.rindex(end) :].startswith(b"\n# event 3\n# packages (modules[2])\nRUN ")


def test_a_step_says_which_event_it_comes_from_on_a_line_of_its_own() -> None:
    made = render(
        [step("shell", ShellBody("true"), event) for event in (0, 7)], BASE_ID, BASE, "deb", {}
    )
    found, added = layers(made.content)
    assert found.comments == ("# recipe", "# shell (modules[0])")
    assert added.comments == ("# event 7", "# shell (modules[0])")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Install it", "'Install it'"),
        ("a\nRUN touch /x", r"'a\nRUN touch /x'"),
        ("\u0418\u043c\u044f\\", r"'\u0418\u043c\u044f\\'"),
        ("x" * 100, "'" + "x" * 60 + "...'"),
    ],
)
def test_a_name_is_one_line_of_a_comment(name: str, shown: str) -> None:
    named = msgspec.structs.replace(
        step("shell", ShellBody("true")), module=Module("shell", ShellBody("true"), name)
    )
    [instruction] = layers(render([named], BASE_ID, BASE, "deb", {}).content)
    assert instruction.comments[1] == f"# shell {shown} (modules[0])"


def test_where_a_step_stands_is_one_line_of_a_comment() -> None:
    placed = msgspec.structs.replace(
        step("shell", ShellBody("true")), where="a\n# event 9\n\u0444.yml: modules[0]"
    )
    [instruction] = layers(render([placed], BASE_ID, BASE, "deb", {}).content)
    assert instruction.comments[1] == r"# shell (a\n# event 9\n\u0444.yml: modules[0])"


def test_no_line_of_a_command_looks_like_the_mark_of_an_event() -> None:
    command = "# event 9\n# recipe\necho\n\n# recipe\n"
    made = render([step("shell", ShellBody(command))], BASE_ID, BASE, "deb", {})
    assert [line for line in made.content.decode().splitlines() if line.startswith("# ")] == [
        f"# Written by atomicstate (renderer {RENDERER}): a change made here is lost.",
        f"# base {BASE}",
        "# event 1",
        "# shell (modules[0])",
    ]


def test_the_same_steps_give_the_same_bytes() -> None:
    assert rendered(THREE) == rendered(THREE)


def test_a_module_that_does_nothing_is_no_layer() -> None:
    document = "".join(
        f"  - {{type: {kind}, body: {{}}}}\n"
        for kind in ("packages", "repos", "kernel", "branding")
    )
    for dialect in DIALECTS:
        assert rendered(f"modules:\n{document}", dialect) == rendered("modules: []", dialect)


def test_every_type_of_module_but_include_can_be_rendered() -> None:
    from atomicstate.recipe.containerfile import _renderers

    assert _renderers().keys() | {"include"} == BODIES.keys()


def test_variables_are_given_to_what_runs_programs_of_others() -> None:
    for type_, body in (
        ("shell", "{command: 'true'}"),
        ("git", "{url: 'https://a.example/b', command: make}"),
        ("packages", "{install: [jq]}"),
        ("repos", "{custom: [deb http://a.example b c]}"),
        ("kernel", "{initrd: {method: dracut}}"),
    ):
        assert only(type_, body, env='{A: "b c", Q: "it\'s $A"}').env == {
            "A": "b c",
            "Q": "it's $A",
        }


def test_variables_are_not_given_to_what_runs_only_our_scripts() -> None:
    run = only("mkdir", "{targets: [/a], perm: rwxr-xr-x}", env="{BASH_ENV: /evil}")
    assert run.words[0] == "/bin/bash"


def test_a_name_of_a_variable_that_is_none_is_refused() -> None:
    bad = msgspec.structs.replace(step("shell", ShellBody("true")), env={"A B": "c"})
    with pytest.raises(ValidationError, match=r"modules\[0\].*'A B' is no name of a variable"):
        render([bad], BASE_ID, BASE, "deb", {})


def test_a_dialect_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError, match="'dnf' can't be rendered for") as caught:
        render([], BASE_ID, BASE, "dnf", {})
    assert "deb, rpm, apm" in caught.value.hint


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_what_no_program_can_be_given_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match=r"modules\[0\], a module of the type shell"):
        render([step("shell", ShellBody(text))], BASE_ID, BASE, "deb", {})


def test_a_value_that_is_too_long_is_refused() -> None:
    long = msgspec.structs.replace(step("shell", ShellBody("true")), env={"A": "x" * 70_000})
    with pytest.raises(ValidationError, match="longer than a program can be told"):
        render([long], BASE_ID, BASE, "deb", {})


def test_more_values_than_a_program_can_be_given_are_refused() -> None:
    many = MkdirBody(tuple(f"/{'x' * 4000}{place}" for place in range(300)), "rwxr-xr-x")
    with pytest.raises(ValidationError, match="more than 1000000 bytes") as caught:
        render([step("mkdir", many)], BASE_ID, BASE, "deb", {})
    assert "divide it" in caught.value.hint


def test_no_line_is_longer_than_podman_reads() -> None:
    names = tuple(f"package-{place}" for place in range(20_000))
    made = render([step("packages", PackagesBody(names))], BASE_ID, BASE, "deb", {})
    [instruction] = layers(made.content)
    assert instruction.arguments == names
    assert max(map(len, made.content.splitlines())) < 200


def test_a_hostile_base_is_refused() -> None:
    for arguments in ((BASE_ID, "a\nRUN x"), ("x", BASE), (f"{BASE_ID}\nRUN x", BASE)):
        with pytest.raises(ValidationError):
            render([], *arguments, "deb", {})


def many(count: int) -> list[Step]:
    return [step("shell", ShellBody(f"echo {number}"), number) for number in range(1, count + 1)]


def made_of(count: int) -> list[Instruction]:
    return layers(render(many(count), BASE_ID, BASE, "deb", {}).content)


def test_as_many_as_stand_alone_are_a_layer_each() -> None:
    assert len(made_of(JOINED + ALONE)) == JOINED + ALONE


def test_the_oldest_of_many_are_joined() -> None:
    first, *others = made_of(JOINED + ALONE + 1)
    assert first.name == "steps"
    assert [layer.name for layer in others] == ["shell"] * (ALONE + 1)
    assert [comment for comment in first.comments if comment.startswith("# event ")] == [
        f"# event {number}" for number in range(1, JOINED + 1)
    ]


def test_an_image_has_room_for_a_thousand_steps() -> None:
    assert len(made_of(1_000)) < 80


def test_one_more_step_is_one_more_layer_however_many_there_are() -> None:
    assert made_of(101)[:-1] == made_of(100)


def test_what_is_joined_starts_just_what_its_steps_would() -> None:
    made = render(many(JOINED + ALONE + 1), BASE_ID, BASE, "deb", {})
    [joined, *_others] = layers(made.content)
    [content] = [text for path, text in made.files.items() if f"source={path}," in joined.flags[-1]]
    alone = [str(layer.words[-1]) for layer in made_of(JOINED)]
    words = shlex.split(content.decode())
    assert [word for word in words if word.startswith("set -e\n")] == alone


def test_steps_that_are_joined_see_their_resources_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atomicstate.recipe.containerfile.JOINED", 2)
    monkeypatch.setattr("atomicstate.recipe.containerfile.ALONE", 0)
    document = "modules:\n" + "".join(
        f"  - {{type: copy, body: {{source: {name}, destination: /{name}}}}}\n" for name in "abc"
    )
    [joined, alone] = layers(rendered(document, resources=("a", "b", "c")).content)
    targets = [flag.partition(",target=")[2] for flag in joined.flags]
    assert len(set(targets)) == 3
    assert alone.name == "copy"
