"""The recipe for any text: it reads back, and nothing gets out of where it is written."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from atomicstate.errors import ValidationError
from atomicstate.recipe.checks import module_problems
from atomicstate.recipe.reader import read
from atomicstate.recipe.schema import BODIES, Recipe
from atomicstate.recipe.writer import decode_module, encode_module, quoted, write
from tests.support.recipes import modules, recipes


@given(recipes)
@settings(deadline=None, max_examples=150)
def test_a_recipe_reads_back_as_it_was_written(recipe: Recipe) -> None:
    assert read(write(recipe)) == recipe


@pytest.mark.parametrize("kind", BODIES)
@given(data=st.data())
@settings(deadline=None, max_examples=40)
def test_a_module_of_each_type_reads_back_from_the_document_and_from_an_actions_blob(
    kind: str, data: st.DataObject
) -> None:
    module = data.draw(modules(kind))
    assert list(module_problems(module)) == []
    recipe = Recipe("localhost/a:1", (module,))
    assert read(write(recipe)) == recipe
    assert decode_module(encode_module(module)) == module
    assert encode_module(decode_module(encode_module(module))) == encode_module(module)


@given(st.text(max_size=30))
@example("\x85\u2028\u2029\ufeff\U0001f600\xa0\xad")
@settings(deadline=None)
def test_any_text_stays_on_its_line_within_its_quotes(text: str) -> None:
    scalar = quoted(text)
    assert len(scalar.splitlines()) == 1
    assert not re.search(r'(?<!\\)(\\\\)*"', scalar[1:-1])


@given(st.binary(max_size=60))
@settings(deadline=None, max_examples=150)
def test_reading_anything_gives_a_recipe_or_a_sentence(content: bytes) -> None:
    try:
        read(content)
    except ValidationError as error:
        assert error.message.startswith("the recipe")


YAML = (
    *("image: x", "\n", "modules:", " ", "- ", "[", "]", "{", "}", "&a ", "*a", "!!str ", "? "),
    *("type: packages", "body:", "install: ", "jq", ": ", ",", "|\n", "'", '"', "%YAML 1.1\n"),
    *("---\n", "...\n", "<<: ", "null", "#"),
)
yaml_text = st.lists(st.sampled_from(YAML), max_size=25).map("".join)


@given(yaml_text)
@settings(deadline=None, max_examples=300)
def test_reading_anything_like_yaml_gives_a_recipe_or_a_sentence(text: str) -> None:
    try:
        recipe = read(text.encode())
    except ValidationError as error:
        assert error.message.startswith("the recipe")
    else:
        assert read(write(recipe)) == recipe
