"""The JSON Schema of image.yml, for editors: made of the Structs.

It takes whatever the reader takes, as an editor reads YAML: a number or a truth value is text where
text is due, what is optional may be left empty. What the reader refuses for its structure (an
unknown key, a missing one, a list in the place of a text) it refuses, too.
"""

from __future__ import annotations

from inspect import getdoc
from typing import Any, Literal

import msgspec
from msgspec.structs import FieldInfo, fields

from atomicstate.recipe.schema import BODIES, Body, Module, Recipe

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_TEXT = ["string", "number", "boolean"]
_FLAG = "^(true|True|TRUE|yes|Yes|YES|on|On|ON|false|False|FALSE|no|No|NO|off|Off|OFF)$"


def document_schema(*, included: bool = False) -> dict[str, Any]:
    """The schema of image.yml, or of a document that is `included`."""
    types = [_module(kind, body) for kind, body in sorted(BODIES.items())]
    references, components = msgspec.json.schema_components(
        [*types, Recipe], ref_template="#/$defs/{name}"
    )
    document = _as_read(components.pop("Recipe"))
    defs = {
        name: _as_read(part) for name, part in components.items() if name not in ("Body", "Module")
    }
    defs["module"] = {
        "description": (getdoc(Module) or "").splitlines()[0],
        "oneOf": list(references[:-1]),
    }
    keys = document["properties"]
    keys["modules"]["items"] = {"$ref": "#/$defs/module"}
    if included:
        # It is there for its modules: they can't be left out, and the rest has no meaning.
        keys["modules"] = {**keys["modules"], "type": "array"}
        document["required"] = ["modules"]
        for key in keys.keys() - {"modules"}:
            keys[key] = {**keys[key], "deprecated": True}
    title = "A document that an image.yml includes" if included else "image.yml"
    return {"$schema": DIALECT, **document, "title": title, "$defs": dict(sorted(defs.items()))}


def encode(schema: dict[str, Any]) -> bytes:
    """A schema as a file."""
    return msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"


def _module(kind: str, body: type[Body]) -> type[msgspec.Struct]:
    """The Struct of the modules of one type."""
    own: dict[str, Any] = {"type": Literal[kind], "body": body}
    return msgspec.defstruct(
        kind,
        [
            (field.encode_name, own.get(field.name, field.type), *_default(field))
            for field in fields(Module)
        ],
        namespace={"__doc__": getdoc(body)},
        forbid_unknown_fields=True,
    )


def _default(field: FieldInfo) -> tuple[Any, ...]:
    if field.required:
        return ()
    if field.default is not msgspec.NODEFAULT:
        return (field.default,)
    return (msgspec.field(default_factory=field.default_factory),)


def _as_read(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a Struct, as the reader takes values. Its name in the source is left out."""
    needed = schema["required"]
    return {
        **{key: part for key, part in schema.items() if key != "title"},
        "properties": {
            key: _value(part) if key in needed else _optional(_value(part))
            for key, part in schema["properties"].items()
        },
    }


def _value(schema: dict[str, Any]) -> dict[str, Any]:
    match schema.get("type"):
        case "string":
            return {**schema, "type": _TEXT}
        case "boolean":
            # YAML of today has no other words for these than true and false, the reader does.
            return {**schema, "type": ["boolean", "string"], "pattern": _FLAG}
        case "array":
            return {**schema, "items": _value(schema["items"])}
        case "object":
            return {
                **schema,
                "additionalProperties": _optional(_value(schema["additionalProperties"])),
            }
    return schema


def _optional(schema: dict[str, Any]) -> dict[str, Any]:
    """What may also be empty."""
    if "$ref" in schema:
        rest = {key: part for key, part in schema.items() if key != "$ref"}
        return {**rest, "anyOf": [{"$ref": schema["$ref"]}, {"type": "null"}]}
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return {**schema, "type": [*kinds, "null"]}
