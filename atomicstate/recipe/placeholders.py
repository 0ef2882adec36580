"""`${{ ... }}` in the texts of a recipe, and the conditions of `if:`.

A text without a placeholder costs a search for `${{`, no more.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn

from atomicstate.errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from atomicstate.recipe.expressions import Expression

_OPENS = "${{"
_CLOSES = "}}"

# Each character can be read in one way alone, so a search that fails ends soon. Possessive
# quantifiers would say the same, but Python 3.11 before 3.11.5 gets them wrong.
_QUOTED = r""""[^"\\]*(?:\\.[^"\\]*)*"|'[^'\\]*(?:\\.[^'\\]*)*'|`[^`]*`"""
_PLAIN = r"""[^"'`}$]*"""

PLACEHOLDER = re.compile(
    rf"\$\{{\{{({_PLAIN}(?:(?:{_QUOTED}|\}}(?!\}})){_PLAIN})*)\}}\}}", re.DOTALL
)
"""A placeholder; its group 1 is the expression. A `}}` within quotes does not end it."""


def check_text(text: str) -> None:
    """Raise ValidationError where a placeholder in `text` has no end or holds no expression."""
    for _ in _placeholders(text):
        pass


def check_condition(text: str) -> None:
    """Raise ValidationError where `text` is neither empty nor an expression."""
    if text:
        _condition(text)


def reads(text: str) -> frozenset[tuple[str, ...]]:
    """What the placeholders in `text` read, as `Expression.reads` has it.

    Raises ValidationError as `check_text` does.
    """
    paths = (expression.reads() for _, expression in _placeholders(text))
    return frozenset().union(*paths)


def condition_reads(text: str) -> frozenset[tuple[str, ...]]:
    """What the condition `text` reads, as Expression.reads; nothing of an empty one.

    Raises ValidationError as `check_condition` does.
    """
    return _condition(text).reads() if text else frozenset()


def fill(text: str, names: Mapping[str, Any]) -> str:
    """`text` with the value of each placeholder in its place, written as Go writes it.

    What is filled in is not looked through for placeholders. Raises ValidationError as
    `check_text` and `evaluate` do, for nil, which can't be written, and where the values come to
    more than MAX_TEXT characters.
    """
    if _OPENS not in text:
        return text
    from atomicstate.recipe.expressions import evaluate
    from atomicstate.recipe.expressions.tree import ExpressionError
    from atomicstate.recipe.expressions.values import MAX_TEXT, text_of

    parts, end, room = [], 0, MAX_TEXT
    for match, expression in _placeholders(text):
        try:
            value = text_of(evaluate(expression, names))
        except ExpressionError as error:
            raise error.within(text, match.start(1), "the text") from error
        except ValidationError as error:
            raise _wrong(error.message, text, match.start()) from error
        room -= len(value)
        if room < 0:
            raise _wrong(f"the text grows by more than {MAX_TEXT} characters", text, match.start())
        parts += [text[end : match.start()], value]
        end = match.end()
    return "".join([*parts, text[end:]])


def holds(condition: str, names: Mapping[str, Any]) -> bool:
    """Whether `condition` is true over `names`; an empty one is.

    Raises ValidationError as `check_condition` and `evaluate` do, and where it is neither true
    nor false.
    """
    if not condition:
        return True
    from atomicstate.recipe.expressions import evaluate
    from atomicstate.recipe.expressions.values import kind

    value = evaluate(_condition(condition), names)
    if not isinstance(value, bool):
        raise ValidationError(
            f"a condition is true or false, and this one is {kind(value)}",
            hint='compare it with something, as in `Env.VARIANT == "server"`',
        )
    return value


def _condition(text: str) -> Expression:
    from atomicstate.recipe.expressions import parse

    if text.lstrip().startswith(_OPENS):
        raise ValidationError(
            "a condition is an expression by itself",
            hint=f"write it without `{_OPENS}` and `{_CLOSES}`",
        )
    return parse(text)


def _placeholders(text: str) -> Iterator[tuple[re.Match[str], Expression]]:
    """Each placeholder in `text` and its expression. Raises ValidationError with its place."""
    start = text.find(_OPENS)
    while start >= 0:
        # Not finditer: it would look for an end anew from each `${{` that has none.
        match = PLACEHOLDER.match(text, start)
        if match is None:
            _unclosed(text, start)
        yield match, _parsed(text, match.start(1), match.end(1))
        start = text.find(_OPENS, match.end())


def _parsed(text: str, start: int, end: int) -> Expression:
    from atomicstate.recipe.expressions import parse
    from atomicstate.recipe.expressions.tree import ExpressionError

    try:
        return parse(text[start:end])
    except ExpressionError as error:
        raise error.within(text, start, "the text") from error


def _unclosed(text: str, start: int) -> NoReturn:
    """Raise why the placeholder at `start` is none."""
    end = text.find(_CLOSES, start)
    if end >= 0:
        # A quote that is open, or a character that no expression has: its own error says it best.
        _parsed(text, start + len(_OPENS), end)
    raise _wrong(f"the placeholder has no end: `{_CLOSES}` is missing", text, start)


def _wrong(what: str, text: str, position: int) -> ValidationError:
    from atomicstate.recipe.expressions.tree import ExpressionError

    return ExpressionError(what, position, text=text, subject="the text")
