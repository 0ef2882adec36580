"""image.yml, read strictly: what is wrong is said with its place."""

from __future__ import annotations

import time

import pytest

from atomicstate.errors import ValidationError
from atomicstate.recipe.reader import read
from atomicstate.recipe.schema import LATER, Module, PackagesBody, Recipe

GOOD = """\
# a comment
image: localhost/base:1
modules:
  - type: packages
    name: tools
    id: tools
    body:
      install: &names [jq, "g++"]
      remove:
        - nano  # not wanted
  - {type: packages, body: {remove: *names}}
"""


def refused(text: str | bytes) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        read(text if isinstance(text, bytes) else text.encode())
    return caught.value


def module(line: str) -> str:
    return f"image: x\nmodules:\n  - {line}\n"


def test_a_recipe_as_people_write_it() -> None:
    assert read(GOOD.encode()) == Recipe(
        "localhost/base:1",
        (
            Module("packages", PackagesBody(("jq", "g++"), ("nano",)), "tools", "tools"),
            Module("packages", PackagesBody((), ("jq", "g++"))),
        ),
    )


@pytest.mark.parametrize("kind", LATER)
def test_a_module_of_a_later_version_is_refused_in_a_sentence(kind: str) -> None:
    error = refused(module(f"{{type: {kind}, body: {{}}}}"))
    assert f"modules of the type {kind} are not taken yet" in error.message
    assert "line 3, column 6 (modules[0].type)" in error.message
    assert "these come later" in error.hint


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("", "line 1, column 1", "expected `object`"),
        ("modules: []\n", "line 1, column 1", "missing required field `image`"),
        ("image: x\nimag: y\n", "line 2, column 1 (imag)", "unknown field"),
        ("image: x\nimage: y\n", "line 2, column 1", "twice"),
        (module("{type: packages, body: {instal: [a]}}"), "line 3, column 29", "unknown field"),
        (module("{type: packages, body: {install: [1]}}"), "line 3, column 39", "expected `str`"),
        (module("{type: packages, body: {install: [yes, null]}}"), "column 44", "got `null`"),
        (module("{type: packages, body: {install: jq}}"), "line 3, column 29", "expected `array`"),
        (module("{type: packages}"), "line 3, column 5", "missing required field `body`"),
        (module("{type: pakages, body: {}}"), "line 3, column 6", "no type of module"),
        (module("{body: {}}"), "line 3, column 5", "missing required field `type`"),
        (module("{type: packages, body: {install: [--yes]}}"), "column 39", "no package name"),
        (module('{type: packages, body: {install: ["a\\nb"]}}'), "column 39", "no package name"),
        ("image: -x\n", "line 1, column 1 (image)", "no reference"),
        ("image: 'x\n", "line 2, column 1", "unexpected end"),
        ("image: {a: [b\n", "line 2, column 1", "expected"),
        ("image: x\n---\nimage: y\n", "line 2, column 1", "second document"),
        ("image: !!python/object:os.system x\n", "line 1, column 8", "a tag"),
        ("image: !!binary aGk=\n", "line 1, column 8", "a tag"),
        ("modules: !!set {a}\n", "line 1, column 10", "a tag"),
        ("a: &a [*a]\n", "line 1, column 8", "stands for nothing"),
        ("a: *b\n", "line 1, column 4", "stands for nothing"),
        ("<<: {image: x}\n", "line 1, column 1", "merge keys"),
        ("? [a]\n: b\n", "line 1, column 3", "no plain text"),
        ("1: b\n", "line 1, column 1", "no plain text"),
        ("image: x\n\tmodules: []\n", "line", "the recipe"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, place: str, what: str) -> None:
    message = refused(text).message
    assert place in message
    assert what in message


def test_text_that_is_no_unicode_is_refused_with_its_line() -> None:
    assert "line 2: this is no UTF-8" in refused(b"image: x\n\xff\n").message


def test_control_characters_are_refused() -> None:
    assert "special characters" in refused(b"image: \x00\n").message


def nine_of_nine(depth: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, depth)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[" * 500_000, "in one another"),
        ("{a: " * 100_000, "in one another"),
        ("a:\n" + "".join(" " * i + "- a:\n" for i in range(1, 300, 2)), "in one another"),
        (nine_of_nine(20), "aliases counted"),
        ("- a\n" * 200_000, "values"),
        ("#" * ((1 << 20) + 1), "larger than"),
    ],
)
def test_a_bomb_is_refused_before_it_costs(text: str, what: str) -> None:
    start = time.monotonic()
    assert what in refused(text).message
    assert time.monotonic() - start < 30
