"""docs/recipe.md is what the Structs say, and its examples are recipes that build something."""

from __future__ import annotations

import re

import pytest

from atomicstate.recipe import placeholders
from atomicstate.recipe.expand import LANGUAGE, expand
from atomicstate.recipe.expressions import grammar, parse
from atomicstate.recipe.expressions.functions import FUNCTIONS
from atomicstate.recipe.reader import look
from atomicstate.recipe.resources import NoLibrary
from atomicstate.recipe.schema import BODIES, Module, Recipe, ShellBody
from tools import recipe_reference
from tools.generated import filled
from tools.recipe_reference import EXAMPLES, RULES, TARGET, sections

TEXT = TARGET.read_text(encoding="utf-8")


def test_the_reference_is_up_to_date():
    assert filled(TEXT, sections()) == TEXT, "run `./dev docs`"


def test_every_type_of_module_has_an_example_and_rules():
    assert EXAMPLES.keys() == RULES.keys() == BODIES.keys()


@pytest.mark.parametrize("kind", sorted(BODIES))
def test_an_example_is_in_order(kind: str):
    reading = look(f"modules:\n{EXAMPLES[kind]}".encode())
    assert reading.problems == ()
    assert [module.type for module in reading.recipe.modules] == [kind]


def documents() -> list[str]:
    blocks = re.findall(r"```yaml\n(.*?)```", TEXT, re.S)
    return [block for block in blocks if not block.startswith("- ")]


@pytest.mark.parametrize("text", documents())
def test_a_whole_document_in_the_text_expands(text: str):
    reading = look(text.encode())
    assert reading.problems == ()
    for architecture in ("amd64", "arm"):
        inputs = {"VARIANT": "server"}
        expansion = expand(reading.recipe, NoLibrary(), inputs=inputs, architecture=architecture)
        assert expansion.require()


def test_there_are_whole_documents_in_the_text():
    assert len(documents()) == 2


def test_every_operator_is_named():
    table = TEXT.partition("| operators | what they do |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`([^`]+)`", table.replace("\\|", "|")))
    assert named >= {*grammar._BINARY, *grammar._SAME, "-a", "+a"}


def test_the_operators_stand_in_the_order_in_which_they_hold():
    table = TEXT.partition("| operators | what they do |")[2].partition("\n\n")[0]
    rows = [set(re.findall(r"`([^`]+)`", row)) for row in table.splitlines()]
    known = {**grammar._BINARY, "-a": grammar._PREFIX["-"], "!": grammar._PREFIX["not"]}
    order = [known[name] for row in rows for name in sorted(row) if name in known]
    assert order == sorted(order)


def test_every_function_is_told_as_it_is_called():
    for name, (call, _meaning) in recipe_reference._FUNCTIONS.items():
        needed, optional = re.fullmatch(rf"{name}\((.*?)((?:, \[\w+\])*)\)", call).groups()
        assert len(needed.split(", ")) == FUNCTIONS[name].needed, call
        assert optional.count("[") == len(FUNCTIONS[name].checks) - FUNCTIONS[name].needed, call


def test_every_name_is_there():
    table = TEXT.partition("| name | what it is |")[2].partition("\n\n")[0]
    names = []
    for row in table.splitlines()[2:]:
        first, *others = re.findall(r"`([^`]+)`", row.split("|")[1])
        names.append(first)
        names += [o if o[0] != "." else first.rpartition(".")[0] + o for o in others]
    text = " ".join(f"${{{{ {name} }}}}" for name in names)
    text = text.replace("ID", "tools").replace("NAME", "VARIANT")
    modules = (
        Module("shell", ShellBody("true"), "a name", "tools"),
        Module("shell", ShellBody(text)),
    )
    (_first, step) = expand(Recipe(modules=modules), NoLibrary(), inputs={"VARIANT": "v"}).require()
    major, minor, patch = LANGUAGE
    version = f"{major} {minor} {patch} {major}.{minor}.{patch}"
    assert step.module.body.command == f"v a name shell tools true {version} x86_64 amd64"


def test_what_is_said_of_expressions_is_so():
    assert placeholders.holds("1 < 2 < 5", {})
    assert parse('not ("a" in ["b"])')
