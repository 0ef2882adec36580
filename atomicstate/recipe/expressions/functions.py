"""The functions that expressions may call: what they do in expr-lang.

What is wrong with an argument is a ValidationError without a place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from atomicstate.recipe.expressions.values import (
    expect_fit,
    expect_list,
    expect_number,
    expect_text,
    expect_whole,
    finite,
    kind,
    listed,
    refuse,
    text_of,
    utf8,
    whole,
)

# What Go takes for space: str.strip() alone takes more.
_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_MOST_DIGITS = 100


class Function(Struct, frozen=True):
    """A function: what checks each argument, how many it needs, and what it does with them."""

    checks: tuple[Callable[[object], Any], ...]
    needed: int
    apply: Callable[..., Any]


def call(name: str, arguments: list[Any]) -> Any:  # noqa: ANN401
    """What the function `name` gives for `arguments`, as many as it takes."""
    function = FUNCTIONS[name]
    checks = zip(function.checks, arguments, strict=False)
    return function.apply(*(check(argument) for check, argument in checks))


def _any(value: object) -> object:
    return value


def _len(value: object) -> int:
    if not isinstance(value, str | list | Mapping):
        refuse(f"{kind(value)} has no length")
    return len(value)


def _mapped(change: Callable[[str], str]) -> Callable[[str], str]:
    """A change of letters one by one, as in Go: `ß` has no capital, whatever follows it."""

    def mapped(text: str) -> str:
        if text.isascii():
            return change(text)
        return text.translate(
            {ord(letter): change(letter) for letter in set(text) if len(change(letter)) == 1}
        )

    return mapped


def _split(text: str, by: str, most: int = -1) -> list[str]:
    if most == 0:
        return []
    if by:
        return listed(text.split(by, most - 1 if most > 0 else -1))
    if most < 0 or most >= len(text):
        return listed(list(text))
    return listed([*text[: most - 1], text[most - 1 :]])


def _join(items: list[Any], glue: str = "") -> str:
    texts = [expect_text(item) for item in items]
    expect_fit(sum(map(len, texts)) + len(glue) * max(len(texts) - 1, 0))
    return glue.join(texts)


def _replace(text: str, old: str, new: str, most: int = -1) -> str:
    found = text.count(old)
    times = found if most < 0 else min(found, most)
    expect_fit(len(text) + times * (len(new) - len(old)))
    return text.replace(old, new, times)


def _repeat(text: str, times: int) -> str:
    if times < 0:
        refuse(f"a text can't be repeated {times} times")
    expect_fit(len(text) * times)
    return text * times


def _int(value: object) -> int:
    if not isinstance(value, str):
        return whole(int(expect_number(value)))
    if not _WHOLE.fullmatch(value) or len(value) > _MOST_DIGITS:
        refuse("this text is no whole number")
    return whole(int(value))


def _float(value: object) -> float:
    if not isinstance(value, str):
        return float(expect_number(value))
    if not _NUMBER.fullmatch(value) or len(value) > _MOST_DIGITS:
        refuse("this text is no number")
    return finite(float(value))


FUNCTIONS: dict[str, Function] = {
    "len": Function((_any,), 1, _len),
    "upper": Function((expect_text,), 1, _mapped(str.upper)),
    "lower": Function((expect_text,), 1, _mapped(str.lower)),
    "trim": Function((expect_text,) * 2, 1, lambda text, of=_SPACE: text.strip(of)),
    "trimPrefix": Function((expect_text,) * 2, 1, lambda text, of=" ": text.removeprefix(of)),
    "trimSuffix": Function((expect_text,) * 2, 1, lambda text, of=" ": text.removesuffix(of)),
    "split": Function((expect_text, expect_text, expect_whole), 2, _split),
    "join": Function((expect_list, expect_text), 1, _join),
    "replace": Function((expect_text, expect_text, expect_text, expect_whole), 3, _replace),
    "hasPrefix": Function((expect_text,) * 2, 2, str.startswith),
    "hasSuffix": Function((expect_text,) * 2, 2, str.endswith),
    # In bytes, as expr-lang counts here, while `len` counts characters.
    "indexOf": Function((expect_text,) * 2, 2, lambda text, of: utf8(text).find(utf8(of))),
    "repeat": Function((expect_text, expect_whole), 2, _repeat),
    "string": Function((_any,), 1, text_of),
    "int": Function((_any,), 1, _int),
    "float": Function((_any,), 1, _float),
}
"""The functions, by their names."""
