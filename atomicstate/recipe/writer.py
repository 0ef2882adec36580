"""The recipe as image.yml: one way to write each, the same bytes on every machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.errors import ValidationError
from atomicstate.recipe.names import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atomicstate.recipe.schema import Module, Recipe


def write(recipe: Recipe) -> bytes:
    """`recipe` as canonical YAML: `read(write(recipe)) == recipe`.

    Every string is quoted, whatever it holds. Raises ValidationError for text that is no Unicode.
    """
    return ("\n".join(_lines(recipe)) + "\n").encode("utf-8")


def _lines(recipe: Recipe) -> Iterator[str]:
    yield f"image: {quoted(recipe.image)}"
    if not recipe.modules:
        yield "modules: []"
        return
    yield "modules:"
    for module in recipe.modules:
        yield from _module(module)


def _module(module: Module) -> Iterator[str]:
    yield f"  - type: {module.type}"
    if module.name:
        yield f"    name: {quoted(module.name)}"
    if module.id:
        yield f"    id: {quoted(module.id)}"
    lists = [(key, getattr(module.body, key)) for key in module.body.__struct_fields__]
    if not any(values for _, values in lists):
        yield "    body: {}"
        return
    yield "    body:"
    for key, values in lists:
        if values:
            yield f"      {key}:"
            yield from (f"        - {quoted(value)}" for value in values)


def quoted(text: str) -> str:
    """`text` as a double-quoted YAML scalar on one line.

    Letters of the Latin, Greek and Cyrillic blocks stay readable, the rest is escaped. The range
    is fixed: what counts as printable differs from one Python to the next, and so would the bytes.
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
