"""What the operators of expressions make of values: what they do in expr-lang.

Where that would give no number that can be meant (a division by zero, one too large) it is an
error here. What is wrong is a ValidationError without a place.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from atomicstate.recipe.expressions.values import (
    expect_fit,
    expect_number,
    expect_text,
    expect_truth,
    expect_whole,
    family,
    finite,
    kind,
    refuse,
    utf8,
    whole,
)
from atomicstate.recipe.names import shown

MAX_SUBJECT = 4_000
"""The most characters that `matches` looks at."""

MAX_PATTERN = 1_000
"""The most characters that a regular expression may have."""

_ORDERED = ("a number", "text")


def unary(sign: str, value: object) -> bool | int | float:
    """`not`, `-` or `+` of `value`."""
    if sign == "not":
        return not expect_truth(value)
    number = expect_number(value)
    return _bounded(-number) if sign == "-" else number


def binary(sign: str, left: object, right: object) -> Any:  # noqa: ANN401
    """`left` and `right`, brought together by the operator `sign`."""
    return _BINARY[sign](left, right)


def pattern(text: str) -> Any:  # noqa: ANN401
    """The regular expression `text`, in the language of RE2, which is Go's and so expr-lang's.

    Python's own would be another language, and one in which a search may never end: RE2 needs
    time in proportion to the text and the pattern, whatever they are.
    """
    import re2

    if len(text) > MAX_PATTERN:
        refuse(f"a regular expression may have {MAX_PATTERN} characters, not {len(text)}")
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    try:
        return re2.compile(utf8(text), options)
    except re2.error as error:
        why = error.args[0]
        told = why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why)
        refuse(f"{shown(text)} is no regular expression: {told}")


def _matches(left: object, right: object) -> bool:
    subject = expect_text(left)
    if len(subject) > MAX_SUBJECT:
        refuse(f"`matches` takes a text of {MAX_SUBJECT} characters, not of {len(subject)}")
    return pattern(expect_text(right)).search(utf8(subject)) is not None


def _equal(left: object, right: object) -> bool:
    if isinstance(left, Mapping) or isinstance(right, Mapping):
        refuse("a group of names can't be compared")
    if left is not None and right is not None and family(left) != family(right):
        refuse(f"{kind(left)} and {kind(right)} can't be compared")
    return _same(left, right)


def _same(left: object, right: object) -> bool:
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    # Python's own == takes true for 1.
    return family(left) == family(right) and left == right


def _contained(item: object, holder: object) -> bool:
    if isinstance(holder, Mapping):
        return expect_text(item) in holder
    if not isinstance(holder, list):
        hint = "`contains` looks into text" if isinstance(holder, str) else None
        refuse(f"`in` looks into a list or a group of names, not into {kind(holder)}", hint)
    families = {family(each) for each in holder}
    # As in expr-lang: a list of one kind can't be asked for another, which is sure to be a mistake.
    if len(families) == 1 and not families & {family(item), family(None)} and item is not None:
        refuse(f"{kind(item)} can't be in a list that holds nothing but {kind(holder[0])}")
    return any(_same(item, each) for each in holder)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[object, object], bool]:
    def ordered(left: object, right: object) -> bool:
        if family(left) != family(right) or family(left) not in _ORDERED:
            refuse(f"{kind(left)} and {kind(right)} have no order")
        return compare(left, right)

    return ordered


def _on_texts(judge: Callable[[str, str], bool]) -> Callable[[object, object], bool]:
    return lambda left, right: judge(expect_text(left), expect_text(right))


def _on_numbers(reckon: Callable[[Any, Any], int | float]) -> Callable[[object, object], Any]:
    return lambda left, right: _bounded(reckon(expect_number(left), expect_number(right)))


def _add(left: object, right: object) -> int | float | str:
    if isinstance(left, str) and isinstance(right, str):
        expect_fit(len(left) + len(right))
        return left + right
    if isinstance(left, str) or isinstance(right, str):
        refuse(
            f"`+` adds two numbers or two texts, not {kind(left)} and {kind(right)}",
            "string(...) makes text of a number, int(...) a number of text",
        )
    return _bounded(expect_number(left) + expect_number(right))


def _divide(left: object, right: object) -> float:
    dividend, divisor = expect_number(left), expect_number(right)
    if divisor == 0:
        refuse("a division by zero")
    return finite(float(dividend) / float(divisor))


def _remainder(left: object, right: object) -> int:
    dividend, divisor = expect_whole(left), expect_whole(right)
    if divisor == 0:
        refuse("a division by zero")
    # As in Go: the sign is the dividend's.
    rest = abs(dividend) % abs(divisor)
    return -rest if dividend < 0 else rest


def _power(left: object, right: object) -> float:
    base, exponent = expect_number(left), expect_number(right)
    try:
        return math.pow(base, exponent)
    except (OverflowError, ValueError):
        refuse("the power is no number, or too large a one")


def _bounded(value: int | float) -> int | float:
    return finite(value) if isinstance(value, float) else whole(value)


_BINARY: dict[str, Callable[[object, object], Any]] = {
    "==": _equal,
    "!=": lambda left, right: not _equal(left, right),
    "<": _ordered(operator.lt),
    "<=": _ordered(operator.le),
    ">": _ordered(operator.gt),
    ">=": _ordered(operator.ge),
    "in": _contained,
    "matches": _matches,
    "contains": _on_texts(operator.contains),
    "startsWith": _on_texts(str.startswith),
    "endsWith": _on_texts(str.endswith),
    "+": _add,
    "-": _on_numbers(operator.sub),
    "*": _on_numbers(operator.mul),
    "/": _divide,
    "%": _remainder,
    "**": _power,
}
