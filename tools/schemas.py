"""Write docs/schemas/ from the Structs: `python -m tools.schemas`.

image.json is what `config schema` shows. events.json describes an event as `log -f jsonl` and
`export` show it (events/asjson.py): objects with named fields. The arrays that lie in the log are
another thing (docs/on-disk-format.md).
With `--check`, write nothing and exit 1 where a file is not what would be written.
"""

from __future__ import annotations

import functools
import inspect
import json
import operator
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from atomicstate.events.bodies import ALL, Body, kind_of
from atomicstate.events.event import Actor, BootInstance
from atomicstate.recipe import jsonschema
from tools.generated import settle

TARGET = Path(__file__).resolve().parent.parent / "docs/schemas/events.json"
IMAGE = TARGET.with_name("image.json")

_Hash = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
_LogId = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
_Time = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$")]
_Number = Annotated[int, Meta(ge=1)]
_Text = Annotated[str, Meta(min_length=1)]
_Base64 = Annotated[str, Meta(pattern="^[A-Za-z0-9+/]+={0,2}$")]


class Head(msgspec.Struct):
    """The newest event's number and hash; of an empty log 0 and 64 zeros."""

    seq: int
    hash: _Hash


class ExportOpening(msgspec.Struct):
    """The first line of an export. `created` is UTC in nanoseconds since 1970."""

    export: Literal["atomicstate-export"]
    version: _Number
    format: _Number
    log_id: _LogId
    created: int
    kinds: list[str]
    head: Head
    blobs: bool


class ExportBlob(msgspec.Struct):
    """A blob in an export with `--blobs`: its BLAKE2b-256 and its content."""

    blob: _Hash
    content: Annotated[str, Meta(pattern="^[A-Za-z0-9+/]*={0,2}$")]


class ExportRedacted(msgspec.Struct):
    """A blob whose content was dropped on purpose."""

    redacted: _Hash


class UnknownData(msgspec.Struct):
    """The body of a kind that the program does not know: its fields by number, from 1 on."""

    fields: list[Any]


_twins: dict[type[msgspec.Struct], type[msgspec.Struct]] = {}


def _twin(struct: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The Struct with the same fields that is an object in JSON, where `struct` is an array."""
    if struct not in _twins:
        hints = typing.get_type_hints(struct)
        fields: list[Any] = []
        for field in msgspec.structs.fields(struct):
            hint = _shown(hints[field.name])
            if not field.required:
                # It came later: what an older version shows lacks it. No default is named, since
                # what is lacking there may be in the record.
                fields.append((field.name, hint | UnsetType, UNSET))
            else:
                fields.append((field.name, hint))
        _twins[struct] = msgspec.defstruct(
            struct.__name__, fields, namespace={"__doc__": inspect.getdoc(struct)}
        )
    return _twins[struct]


def _shown(hint: Any) -> Any:  # noqa: ANN401 - a type
    """A field's type with each array-like Struct in it replaced by its twin."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return _twin(hint)
    arguments = typing.get_args(hint)
    if not arguments:
        return hint
    shown = tuple(_shown(item) if item is not Ellipsis else item for item in arguments)
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        return functools.reduce(operator.or_, shown)
    return origin[shown]


def _event(kind: Any, data: Any, name: str) -> type[msgspec.Struct]:  # noqa: ANN401 - types
    """An event of one kind, as a line shows it."""
    return msgspec.defstruct(
        name,
        [
            ("seq", _Number),
            ("time", _Time),
            ("txn", _Text | None),
            ("actor", _twin(Actor)),
            ("kind", kind),
            ("data", data),
            ("hash", _Hash),
            ("boottime", int),
            ("boot", _twin(BootInstance) | None),
            ("cause", _Number | None),
            ("request", _Text | None),
            ("log_id", _LogId),
            ("clock_went_back", bool | UnsetType, UNSET),
            ("record", _Base64 | UnsetType, UNSET),
        ],
        namespace={
            "__doc__": "`clock_went_back` is of `log`, `record` of `export`: the stored record."
        },
    )


def schema() -> dict[str, Any]:
    """The whole schema: each kind of event under `$defs`, any of them at the top."""
    known = {kind_of(body): _known(body) for body in ALL}
    unknown = _event(str, UnknownData, "unknown")
    parts = [*known.values(), unknown, ExportOpening, ExportBlob, ExportRedacted]
    references, components = msgspec.json.schema_components(parts, ref_template="#/$defs/{name}")
    # What is known must be shown as it is known.
    components["unknown"]["properties"]["kind"] = {
        "type": "string",
        "not": {"enum": sorted(known)},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An event, as `log -f jsonl` and `export` show it",
        "description": (
            "A line of `log -f jsonl`, or an item of `data.events` of `log -f json`. An export "
            "begins with an ExportOpening, then come ExportRedacted and ExportBlob lines, where "
            "they were asked for, then one event a line. Newer versions may add members."
        ),
        "anyOf": list(references[: len(known) + 1]),
        "$defs": dict(sorted(components.items())),
    }


def _known(body: type[Body]) -> type[msgspec.Struct]:
    kind = kind_of(body)
    return _event(Literal[kind], _twin(body), kind)


def main() -> None:
    """Write the files, or check them."""
    TARGET.parent.mkdir(exist_ok=True)
    settle(TARGET, json.dumps(schema(), indent=2) + "\n")
    settle(IMAGE, jsonschema.encode(jsonschema.document_schema()).decode())


if __name__ == "__main__":
    main()
