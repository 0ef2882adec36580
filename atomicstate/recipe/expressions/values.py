"""The values of expressions: their kinds, their limits, and how they are written.

What is wrong with a value is a ValidationError without a place: the evaluation knows that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NoReturn

from atomicstate.errors import ValidationError

MAX_TEXT = 1 << 20
"""The most characters that a text may have, or all the texts of a list."""

MAX_ITEMS = 10_000
"""The most items that a list may have, with those of the lists in it."""

_LARGEST_WHOLE = 1 << 63
_FIXED_POINT = range(-4, 6)
_MOST_DIGITS = 17


def refuse(what: str, hint: str | None = None) -> NoReturn:
    """Raise a ValidationError."""
    raise ValidationError(what, hint=hint)


def kind(value: object) -> str:  # noqa: PLR0911 - one word for each kind
    """The kind of a value, as a message names it: never the value, which may be a secret."""
    match value:
        case None:
            return "nil"
        case bool():
            return "a truth value"
        case int():
            return "a whole number"
        case float():
            return "a number"
        case str():
            return "text"
        case Mapping():
            return "a group of names"
    return "a list"


def family(value: object) -> str:
    """The kind of a value, as far as it matters to a comparison: a number is a number."""
    return "a number" if kind(value) == "a whole number" else kind(value)


def expect_truth(value: object) -> bool:
    """`value`, which is true or false."""
    if not isinstance(value, bool):
        refuse(f"true or false is expected here, not {kind(value)}")
    return value


def expect_text(value: object) -> str:
    """`value`, which is text."""
    if not isinstance(value, str):
        refuse(f"text is expected here, not {kind(value)}")
    return value


def expect_list(value: object) -> list[Any]:
    """`value`, which is a list."""
    if not isinstance(value, list):
        refuse(f"a list is expected here, not {kind(value)}")
    return value


def expect_number(value: object) -> int | float:
    """`value`, which is a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        refuse(f"a number is expected here, not {kind(value)}")
    return value


def expect_whole(value: object) -> int:
    """`value`, which is a whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        refuse(f"a whole number is expected here, not {kind(value)}")
    return value


def expect_fit(characters: int) -> None:
    """Refuse a text of more than MAX_TEXT `characters`, before it is made."""
    if characters > MAX_TEXT:
        refuse(f"the result would have more than {MAX_TEXT} characters")


def finite(value: float) -> float:
    """`value`, if it is a number that can be meant."""
    if not math.isfinite(value):
        refuse("the result is too large a number")
    return value


def whole(value: int) -> int:
    """`value`, if 64 bits hold it."""
    if not -_LARGEST_WHOLE <= value < _LARGEST_WHOLE:
        refuse("the result is too large a number")
    return value


def listed(items: list[Any]) -> list[Any]:
    """`items`, if they may be a list: no groups of names, and not too large."""
    if any(isinstance(item, Mapping) for item in items):
        refuse("a group of names can't be in a list")
    count, characters = _size(items)
    if count > MAX_ITEMS:
        refuse(f"the list would have more than {MAX_ITEMS} items")
    expect_fit(characters)
    return items


def _size(items: list[Any]) -> tuple[int, int]:
    count, characters = len(items), 0
    for item in items:
        if isinstance(item, str):
            characters += len(item)
        elif isinstance(item, list):
            inner = _size(item)
            count, characters = count + inner[0], characters + inner[1]
    return count, characters


def utf8(text: str) -> bytes:
    """`text` in UTF-8, whatever it holds: bytes of the environment need be no Unicode."""
    return text.encode("utf-8", "replace")


def text_of(value: object) -> str:
    """`value` as Go writes it with `%v`. Raises ValidationError for nil and for a group."""
    text = "".join(_written(value))
    expect_fit(len(text))
    return text


def _written(value: object) -> list[str]:
    match value:
        case bool():
            return ["true" if value else "false"]
        case int() | str():
            return [str(value)]
        case float():
            return [_float_text(value)]
        case list():
            parts = ["["]
            for item in value:
                parts += _written(item)
                parts.append(" ")
            return [*(parts[:-1] if value else parts), "]"]
    refuse(f"{kind(value)} can't be written as text")


def _float_text(value: float) -> str:
    """The fewest digits that give `value` again; with an exponent where that is not small."""
    for digits in range(_MOST_DIGITS):
        mantissa, _, exponent = f"{value:.{digits}e}".partition("e")
        if float(f"{mantissa}e{exponent}") == value:
            break
    if int(exponent) in _FIXED_POINT:
        return f"{value:.{max(digits - int(exponent), 0)}f}"
    return f"{mantissa}e{int(exponent):+03d}"
