"""The recipe as image.yml: one way to write each, the same bytes on every machine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from atomicstate.errors import ValidationError
from atomicstate.recipe.names import shown
from atomicstate.recipe.schema import BODIES, Module

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from atomicstate.recipe.schema import Recipe

# What stands as it is. The range is fixed: what counts as printable differs from one Python to the
# next, and so would the bytes.
_READABLE = "\x20-\x7e\xa1-\xac\xae-\u052f"
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)
_LINE = re.compile(f"[{_READABLE}]*")
# Words that a reader of YAML 1.1 takes for yes or no, or for nothing.
_NO_KEYS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def write(recipe: Recipe) -> bytes:
    """`recipe` as canonical YAML: `read(write(recipe)) == recipe`.

    Every string is quoted, or stands as a block where it has lines. Raises ValidationError for
    text that is no Unicode.
    """
    return ("\n".join(_lines(recipe)) + "\n").encode("utf-8")


def as_builtins(module: Module) -> dict[str, Any]:
    """A module as plain values, with the keys of image.yml in order; no defaults."""
    parts: dict[str, Any] = {
        "type": module.type,
        "name": module.name,
        "id": module.id,
        "env": module.env,
        "if": module.when,
        "body": msgspec.to_builtins(module.body, str_keys=True),
        "output": module.output,
    }
    return {key: part for key, part in parts.items() if part or key == "body"}


def encode_module(module: Module) -> bytes:
    """A module as canonical JSON: what an action's blob holds.

    Raises ValidationError for text that is no Unicode.
    """
    try:
        return msgspec.json.encode(as_builtins(module), order="deterministic")
    except UnicodeEncodeError as error:
        raise ValidationError(
            f"a module of the type {module.type} has half a character: it is no text"
        ) from error


def decode_module(content: bytes) -> Module:
    """The module that `encode_module` gave. Raises msgspec.MsgspecError, KeyError."""
    parts = msgspec.json.decode(content, type=dict[str, Any])
    kind = parts["type"]
    return Module(
        kind,
        msgspec.convert(parts["body"], BODIES[kind]),
        parts.get("name", ""),
        parts.get("id", ""),
        parts.get("env", {}),
        parts.get("if", ""),
        parts.get("output", {}),
    )


def _lines(recipe: Recipe) -> Iterator[str]:
    if recipe.image:
        yield f"image: {quoted(recipe.image)}"
    if recipe.env:
        yield from _mapping("env", recipe.env, "")
    if not recipe.modules:
        yield "modules: []"
        return
    yield "modules:"
    for module in recipe.modules:
        yield from item(as_builtins(module), "  ")


def entry(key: str, value: Any, indent: str) -> list[str]:  # noqa: ANN401
    """The lines of an entry of a mapping whose keys stand after `indent`."""
    return list(_parts({key: value}, indent))


def item(value: Any, indent: str) -> list[str]:  # noqa: ANN401
    """The lines of an item of a list whose dashes stand after `indent`: a text, or a mapping."""
    if isinstance(value, str):
        return list(_text(f"{indent}-", value, indent))
    first, *others = _parts(value, f"{indent}  ")
    return [f"{indent}- {first.strip()}", *others]


def inline(value: Any) -> str:  # noqa: ANN401
    """A value on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)}: {inline(part)}" for key, part in value.items()) + "}"
    return "[" + ", ".join(map(inline, value)) + "]"


def _parts(parts: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in parts.items():
        if key == "type":
            yield f"{indent}type: {value}"
        else:
            yield from _value(_key(key), value, indent)


def _value(key: str, value: Any, indent: str) -> Iterator[str]:  # noqa: ANN401
    """`key: value`, on one line or on several."""
    if isinstance(value, bool):
        yield f"{indent}{key}: {'true' if value else 'false'}"
    elif isinstance(value, str):
        yield from _text(f"{indent}{key}:", value, indent)
    elif isinstance(value, dict):
        yield from _mapping(key, value, indent)
    else:
        yield f"{indent}{key}:"
        for one in value:
            yield from item(one, f"{indent}  ")


def _mapping(key: str, value: Mapping[str, Any], indent: str) -> Iterator[str]:
    if not value:
        yield f"{indent}{key}: {{}}"
        return
    yield f"{indent}{key}:"
    for name, item in value.items():
        yield from _value(_key(name), item, f"{indent}  ")


def _key(name: str) -> str:
    return name if _PLAIN_KEY.fullmatch(name) and name.lower() not in _NO_KEYS else quoted(name)


def _text(head: str, text: str, indent: str) -> Iterator[str]:
    """A text after `head`: quoted, or as a block of lines where it has several."""
    if "\n" not in text or not _is_block(text):
        yield f"{head} {quoted(text)}"
        return
    yield f"{head} {'|' if text.endswith(chr(10)) else '|-'}"
    yield from (f"{indent}  {line}" if line else "" for line in text.removesuffix("\n").split("\n"))


def _is_block(text: str) -> bool:
    """Whether the lines of `text` read as themselves where they are indented."""
    lines = text.removesuffix("\n").split("\n")
    return (
        bool(lines[0].strip())
        and bool(lines[-1].strip())
        and not lines[0].startswith(" ")
        and all(_LINE.fullmatch(line) and (not line or line.strip()) for line in lines)
    )


def quoted(text: str) -> str:
    """`text` as a double-quoted YAML scalar on one line.

    Letters of the Latin, Greek and Cyrillic blocks stay readable, the rest is escaped.
    """
    return '"' + "".join(map(_character, text)) + '"'


def _character(character: str) -> str:
    code = ord(character)
    if character in '"\\':
        return "\\" + character
    if 0x20 <= code <= 0x7E or (0xA1 <= code <= 0x52F and code != 0xAD):  # noqa: PLR2004
        return character
    if 0xD800 <= code <= 0xDFFF:  # noqa: PLR2004
        raise ValidationError(f"{shown(character)} is half a character: no text")
    if code <= 0xFF:  # noqa: PLR2004
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004
