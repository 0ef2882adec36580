"""The JSON Schema of image.yml, which editors hold documents against, agrees with the reader."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import fields

from atomicstate.errors import ValidationError
from atomicstate.recipe import reader, writer
from atomicstate.recipe.document import Text, parse
from atomicstate.recipe.jsonschema import document_schema, encode
from atomicstate.recipe.reader import look
from atomicstate.recipe.schema import BODIES, Module, Recipe
from tests.support.program import atomicstate
from tests.support.recipes import recipes
from tools.recipe_reference import EXAMPLES
from tools.schemas import IMAGE

if TYPE_CHECKING:
    from pathlib import Path

SCHEMAS = {included: document_schema(included=included) for included in (False, True)}
VALIDATORS = {key: jsonschema.Draft202012Validator(schema) for key, schema in SCHEMAS.items()}

_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


def as_an_editor_reads(value: Any) -> Any:
    """A document's value by the rules of YAML 1.2, where a word without quotes may be no text."""
    if isinstance(value, dict):
        return {str(key): as_an_editor_reads(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_an_editor_reads(item) for item in value]
    if not isinstance(value, Text) or not value.plain:
        return value
    if value in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return value.lower() == "true"
    if _INTEGER.fullmatch(value):
        return 1
    return 1.5 if _NUMBER.fullmatch(value) else str(value)


def agree(text: str, *, included: bool = False) -> bool:
    """Whether the schema takes `text`; where the reader takes it, it must."""
    try:
        document = parse(text.encode())
    except ValidationError:
        return False
    errors = list(VALIDATORS[included].iter_errors(as_an_editor_reads(document.value)))
    if look(text.encode(), included=included).recipe is not None:
        assert not errors, errors[0]
    return not errors


def refused(value: Any, *, included: bool = False) -> None:
    """Neither takes it."""
    text = json.dumps(value)
    assert look(text.encode(), included=included).recipe is None, text
    assert not agree(text, included=included), text


def body_of(kind: str) -> dict[str, Any]:
    """The body of the example of a type."""
    module = look(f"modules:\n{EXAMPLES[kind]}".encode()).recipe.modules[0]
    return writer.as_builtins(module)["body"]


def module_of(kind: str, **changed: Any) -> dict[str, Any]:
    parts = {"type": kind, "body": body_of(kind), **changed}
    return {"modules": [{key: part for key, part in parts.items() if part is not ...}]}


def test_the_file_is_up_to_date():
    assert IMAGE.read_bytes() == encode(document_schema()), "run `./dev docs`"


@pytest.mark.parametrize("included", [False, True])
def test_it_is_a_schema_of_draft_2020_12(included: bool):
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[included])


def test_every_key_of_a_document_has_a_description():
    for name, part in SCHEMAS[False]["$defs"].items():
        assert part["description"], name
        for key, value in part.get("properties", {}).items():
            told = value.get("description") or key in ("type", "body")
            assert told, f"{name}.{key}"


@pytest.mark.parametrize("kind", sorted(BODIES))
def test_an_example_is_taken(kind: str):
    assert agree(f"modules:\n{EXAMPLES[kind]}")
    assert agree(f"modules:\n{EXAMPLES[kind]}", included=True)


@given(recipes)
@settings(deadline=None, max_examples=150)
def test_what_the_reader_takes_is_taken(recipe: Recipe):
    text = writer.write(recipe).decode()
    assert look(text.encode()).recipe is not None
    assert agree(text)


# Words as people write them, which YAML reads in its own way.
_WORDS = st.sampled_from(
    (
        *("a", "1", "1.5", "1e3", "0x1F", "yes", "No", "on", "TRUE", "false", "~", "null", "''"),
        *('"a"', '"yes"', "'1'", "rwxr-xr-x", "/a", "20260102", "2026-01-02", "'${{ Arch }}'"),
    )
)
_VALUES = st.recursive(
    _WORDS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(st.sampled_from(["a", "flavour", "method", "X"]), inner, max_size=2).map(
            lambda items: "{" + ", ".join(f"{key}: {item}" for key, item in items.items()) + "}"
        ),
    ),
    max_leaves=3,
)


@st.composite
def written(draw: st.DrawFn) -> str:
    """A document by hand: a module's keys with their values, or with others."""
    kind = draw(st.sampled_from(sorted(BODIES)))
    body = {key: json.dumps(value) for key, value in body_of(kind).items()}
    keys = [field.encode_name for field in fields(BODIES[kind])]
    body |= draw(st.dictionaries(st.sampled_from(keys), _VALUES, max_size=3))
    parts = {"type": kind, "body": "{" + ", ".join(f"{k}: {v}" for k, v in body.items()) + "}"}
    names = [field.encode_name for field in fields(Module)]
    parts |= draw(st.dictionaries(st.sampled_from(names), _VALUES, max_size=1))
    module = "{" + ", ".join(f"{key}: {value}" for key, value in parts.items()) + "}"
    top = {"modules": f"[{module}]"}
    top |= draw(st.dictionaries(st.sampled_from(["image", "env", "modules"]), _VALUES, max_size=1))
    return "".join(f"{key}: {value}\n" for key, value in top.items())


@given(written(), st.booleans())
@settings(deadline=None, max_examples=300)
def test_what_the_reader_takes_is_taken_however_it_is_written(text: str, included: bool):
    agree(text, included=included)


@given(_WORDS)
def test_any_word_means_the_same_to_both_where_yes_or_no_is_asked_for(word: str):
    text = f"modules: [{{type: packages, body: {{update: {word}}}}}]"
    taken = look(text.encode()).recipe is not None
    # A quoted yes is text to the reader, and to an editor the same as one without quotes.
    assert agree(text) == (taken or word == '"yes"')


@pytest.mark.parametrize("word", sorted(reader._TRUE | reader._FALSE))
def test_every_word_for_yes_and_no_is_taken(word: str):
    assert agree(f"modules: [{{type: packages, body: {{update: {word}}}}}]")


# -- what neither takes --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(BODIES))
def test_an_unknown_key_is_refused_by_both(kind: str):
    refused({**module_of(kind), "moduls": []})
    refused(module_of(kind, nam="x"))
    refused(module_of(kind, body={**body_of(kind), "unknown": "x"}))


def test_an_unknown_key_within_is_refused_by_both():
    refused(module_of("kernel", body={"kernel-info": {"flavor": "x"}}))
    refused(module_of("kernel", body={"initrd": {"methode": "auto"}}))


@pytest.mark.parametrize("kind", sorted(BODIES))
def test_a_module_without_what_it_needs_is_refused_by_both(kind: str):
    refused(module_of(kind, type=...))
    refused(module_of(kind, body=...))
    refused(module_of(kind, body=None))
    for field in fields(BODIES[kind]):
        if field.required:
            body = body_of(kind)
            refused(module_of(kind, body={**body, field.encode_name: None}))
            del body[field.encode_name]
            refused(module_of(kind, body=body))


@pytest.mark.parametrize("kind", sorted(BODIES))
def test_a_value_of_the_wrong_kind_is_refused_by_both(kind: str):
    for part in ("x", [], [{}]):
        refused(module_of(kind, body=part))
        refused(module_of(kind, env=part))
    for field in fields(BODIES[kind]):
        for value in ({"no": ["such"]}, [["list"]], [None]):
            refused(module_of(kind, body={**body_of(kind), field.encode_name: value}))


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "x",
        {"modules": {}},
        {"modules": "x"},
        {"modules": [None]},
        {"modules": ["x"]},
        {"modules": [{}]},
        {"env": []},
        {"env": {"A": []}},
        {"image": {}},
        {"image": ["x"]},
        module_of("packages", type="pakages"),
        module_of("packages", type=None),
        module_of("packages", type="shell"),
        module_of("packages", name=[]),
        module_of("packages", output=[]),
        module_of("packages", **{"if": {}}),
        module_of("kernel", body={"initrd": {"method": "other"}}),
        module_of("shell", body={"command": ""}),
        module_of("mkdir", body={"targets": [], "perm": "rwxr-xr-x"}),
        module_of("mkdir", body={"targets": [""], "perm": "rwxr-xr-x"}),
    ],
)
def test_a_document_of_another_shape_is_refused_by_both(value: Any):
    refused(value)


@pytest.mark.parametrize("value", [{}, {"modules": None}, {"image": "x"}])
def test_an_included_document_is_there_for_its_modules(value: Any):
    refused(value, included=True)
    assert agree(json.dumps(value))


# -- the command -------------------------------------------------------------------------------


def test_the_command_shows_it_without_a_host_or_a_log(tmp_path: Path):
    state = tmp_path / "state"
    ran = atomicstate("--state-dir", state, "config", "schema")
    assert ran.stdout == IMAGE.read_text()
    ran = atomicstate("--state-dir", state, "config", "schema", "--included", "-f", "json")
    assert ran.data["schema"] == json.loads(encode(SCHEMAS[True]))
    assert not state.exists()
