"""The grammar of expressions: from text to their parts.

It is the part of expr-lang that recipes use. What may stand next to what is the grammar's; which
of two operators holds its operands faster is a table, as in expr-lang's own definition, and one
pass over operands and operators applies it, without recursion: no text is too deep for it.

The import builds the parser: import it where there is an expression to be read.
"""

from __future__ import annotations

import math
import re
from typing import Any, NoReturn

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedToken
from msgspec import Struct

from atomicstate.errors import ValidationError
from atomicstate.recipe.expressions.functions import FUNCTIONS
from atomicstate.recipe.expressions.operators import pattern
from atomicstate.recipe.expressions.tree import (
    Access,
    Binary,
    Call,
    Comparison,
    Conditional,
    ExpressionError,
    Group,
    Items,
    Link,
    Literal,
    Name,
    Node,
    Step,
    Unary,
    deeper,
    nearest,
)
from atomicstate.recipe.names import shown

_GRAMMAR = r"""
?start: expression
?expression: chain
           | chain "?" expression ":" expression -> conditional

chain: (prefix* access) (binary prefix* access | pipe)*
!prefix: "not" | "!" | "-" | "+"
!binary: "or" | "||" | "and" | "&&"
       | "==" | "!=" | "<" | "<=" | ">" | ">="
       | "not"? ("in" | "matches" | "contains" | "startsWith" | "endsWith")
       | "+" | "-" | "*" | "/" | "%" | "**" | "^" | "??"
pipe: "|" NAME arguments

access: primary step*
step: (DOT | OPTIONAL) member
    | OPTIONAL? SQUARE expression "]" -> index
!member: NAME | "not" | "or" | "and" | "in" | "matches" | "contains" | "startsWith" | "endsWith"

?primary: NAME -> name
        | NAME arguments -> call
        | INTEGER -> integer
        | FLOAT -> decimal
        | QUOTED -> quoted
        | RAW -> raw
        | OPEN expression ")" -> group
        | SQUARE [_items] "]" -> items
arguments: OPEN [_items] ")"
_items: expression ("," expression)* ","?

DOT: "."
OPTIONAL: "?."
OPEN: "("
SQUARE: "["
NAME: /[^\W\d]\w*/
FLOAT.2: /([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)([eE][+-]?[0-9_]+)?(?![\w.])/
       | /[0-9][0-9_]*[eE][+-]?[0-9_]+(?!\w)/
INTEGER: /(0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|[0-9][0-9_]*)(?!\w)/
QUOTED: /"([^"\\\n]|\\.)*"|'([^'\\\n]|\\.)*'/
RAW: /`([^`]|``)*`/
%ignore /\s+/
"""

_SAME = {"||": "or", "&&": "and", "!": "not", "^": "**"}
_PREFIX = {"not": 50, "-": 90, "+": 90}
_BINARY = {
    "or": 10,
    "and": 15,
    **dict.fromkeys(
        ("==", "!=", "<", "<=", ">", ">=", "in", "matches", "contains", "startsWith", "endsWith"),
        20,
    ),
    "+": 30,
    "-": 30,
    **dict.fromkeys(("*", "/", "%"), 60),
    "**": 100,
    "??": 500,
}
_FROM_THE_RIGHT = 100
_ORDER = frozenset({"<", "<=", ">", ">="})
_WORDS = {"true": True, "false": False, "nil": None}
_CLOSING = {"RPAR": "`)`", "RSQB": "`]`", "COLON": "`:`", "COMMA": "`,`", "$END": "the end"}
_LARGEST = (1 << 63) - 1

_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\'\"])|([0-3][0-7]{2})"
    r"|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,6})\}|U([0-9a-fA-F]{8})|)"
)
_ESCAPED = dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True))


class _Operator(Struct, frozen=True):
    """An operator as it stands in the text. The larger `binds`, the faster it holds."""

    name: str
    position: int
    binds: int
    prefix: bool = False
    negated: bool = False


class _Pipe(Struct, frozen=True):
    """A call behind `|`, whose first argument stands before it."""

    function: Token
    arguments: list[Node]


class _Builder(Transformer[Token, Any]):
    """Makes the parts, innermost first, while the parser reads: there is no tree but theirs."""

    def conditional(self, children: list[Node]) -> Node:
        condition, yes, no = children
        position = condition.position
        return Conditional(position, deeper(position, *children), condition, yes, no)

    def chain(self, children: list[Any]) -> Node:
        operands: list[Node] = []
        waiting: list[_Operator] = []
        for child in children:
            if isinstance(child, Node):
                operands.append(child)
            elif isinstance(child, _Pipe):
                _apply(operands, waiting, 0)
                operands.append(_call(child.function, [operands.pop(), *child.arguments]))
            else:
                # What stands before its operand waits for that alone.
                if not child.prefix:
                    _apply(operands, waiting, child.binds + (child.binds == _FROM_THE_RIGHT))
                waiting.append(child)
        _apply(operands, waiting, 0)
        return operands.pop()

    def prefix(self, children: list[Token]) -> _Operator:
        name = _SAME.get(children[0], str(children[0]))
        return _Operator(name, _position(children[0]), _PREFIX[name], prefix=True)

    def binary(self, children: list[Token]) -> _Operator:
        name = _SAME.get(children[-1], str(children[-1]))
        negated = len(children) > 1
        return _Operator(name, _position(children[0]), _BINARY[name], negated=negated)

    def pipe(self, children: list[Any]) -> _Pipe:
        return _Pipe(children[0], children[1])

    def access(self, children: list[Any]) -> Node:
        base, *steps = children
        if not steps:
            return base  # type: ignore[no-any-return]
        inner = [step.key for step in steps if isinstance(step.key, Node)]
        return Access(base.position, deeper(base.position, base, *inner), base, tuple(steps))

    def step(self, children: list[Token]) -> Step:
        mark, name = children
        return Step(_position(name), str(name), mark == "?.")

    def member(self, children: list[Token]) -> Token:
        return children[0]

    def index(self, children: list[Any]) -> Step:
        mark, key = children[0], children[-1]
        literal = isinstance(key, Literal) and isinstance(key.value, str)
        return Step(_position(mark), key.value if literal else key, mark == "?.")

    def name(self, children: list[Token]) -> Node:
        position, name = _position(children[0]), str(children[0])
        return Literal(position, 0, _WORDS[name]) if name in _WORDS else Name(position, 0, name)

    def call(self, children: list[Any]) -> Node:
        return _call(children[0], children[1])

    def arguments(self, children: list[Any]) -> list[Node]:
        return children[1:]

    def group(self, children: list[Any]) -> Node:
        position = _position(children[0])
        return Group(position, deeper(position, children[1]), children[1])

    def items(self, children: list[Any]) -> Node:
        position = _position(children[0])
        return Items(position, deeper(position, *children[1:]), tuple(children[1:]))

    def integer(self, children: list[Token]) -> Node:
        return Literal(_position(children[0]), 0, _integer(children[0]))

    def decimal(self, children: list[Token]) -> Node:
        return Literal(_position(children[0]), 0, _decimal(children[0]))

    def quoted(self, children: list[Token]) -> Node:
        return Literal(_position(children[0]), 0, _unescaped(children[0]))

    def raw(self, children: list[Token]) -> Node:
        return Literal(_position(children[0]), 0, children[0][1:-1].replace("``", "`"))


_PARSER = Lark(
    _GRAMMAR, parser="lalr", lexer="basic", transformer=_Builder(), maybe_placeholders=False
)


def read(text: str) -> Node:
    """The expression that `text` is. Raises ExpressionError."""
    try:
        return _PARSER.parse(text)  # type: ignore[return-value]
    except UnexpectedCharacters as error:
        _unread(text, error.pos_in_stream or 0)
    except UnexpectedToken as error:
        _unexpected(text, error)


def _apply(operands: list[Node], waiting: list[_Operator], floor: int) -> None:
    """Apply the operators that wait, as far as they hold as fast as `floor`."""
    while waiting and waiting[-1].binds >= floor:
        sign = waiting.pop()
        right = operands.pop()
        if sign.prefix:
            depth = deeper(sign.position, right)
            operands.append(Unary(sign.position, depth, sign.name, right))
        else:
            operands.append(_joined(sign, operands.pop(), right))


def _joined(sign: _Operator, left: Node, right: Node) -> Node:
    if sign.name != "??" and isinstance(left, Binary) and left.operator == "??":
        raise ExpressionError(
            f"`{sign.name}` after `??`: parentheses must say which of them is first",
            sign.position,
        )
    if sign.name == "matches" and isinstance(right, Literal) and isinstance(right.value, str):
        _check_pattern(right.value, right.position)
    depth = max(left.depth, deeper(sign.position, right))
    if sign.name in _ORDER:
        link = Link(sign.position, sign.name, right)
        if isinstance(left, Comparison):
            return Comparison(left.position, depth, left.first, (*left.links, link))
        return Comparison(sign.position, depth, left, (link,))
    node = Binary(sign.position, depth, sign.name, left, right)
    if sign.negated:
        return Unary(sign.position, deeper(sign.position, node), "not", node)
    return node


def _check_pattern(text: str, position: int) -> None:
    try:
        pattern(text)
    except ValidationError as error:
        raise ExpressionError(error.message, position, hint=error.hint) from error


def _call(token: Token, arguments: list[Node]) -> Node:
    position, name = _position(token), str(token)
    function = FUNCTIONS.get(name)
    if function is None:
        raise ExpressionError(
            f"there is no function {shown(name)}", position, hint=nearest(name, FUNCTIONS)
        )
    if not function.needed <= len(arguments) <= len(function.checks):
        least, most = function.needed, len(function.checks)
        many = str(least) if least == most else f"{least} to {most}"
        raise ExpressionError(
            f"`{name}` takes {many} argument{'' if most == 1 else 's'}, not {len(arguments)}",
            position,
        )
    return Call(position, deeper(position, *arguments), name, tuple(arguments))


def _integer(token: Token) -> int:
    digits = token.replace("_", "").lower()
    base = {"0x": 16, "0o": 8, "0b": 2}.get(digits[:2], 10)
    try:
        value = int(digits if base == 10 else digits[2:], base)  # noqa: PLR2004
    except ValueError:
        _no_number(token)
    if value > _LARGEST:
        raise ExpressionError("this number is too large", _position(token))
    return value


def _decimal(token: Token) -> float:
    try:
        value = float(token.replace("_", ""))
    except ValueError:
        _no_number(token)
    if math.isinf(value):
        raise ExpressionError("this number is too large", _position(token))
    return value


def _no_number(token: Token) -> NoReturn:
    raise ExpressionError(f"{shown(str(token))} is no number", _position(token))


def _unescaped(token: Token) -> str:
    quote = token[0]

    def character(match: re.Match[str]) -> str:
        letter, octal, *hexadecimal = match.groups()
        if letter:
            if letter in "'\"" and letter != quote:
                wrong(match)
            return _ESCAPED.get(letter, letter)
        digits = next(filter(None, hexadecimal), None)
        if not (octal or digits):
            wrong(match)
        code = int(octal, 8) if octal else int(digits or "", 16)
        if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:  # noqa: PLR2004 - halves of characters
            wrong(match)
        return chr(code)

    def wrong(match: re.Match[str]) -> NoReturn:
        raise ExpressionError(
            "a `\\` in quotes begins an escape such as `\\n`, and this is none",
            _position(token) + 1 + match.start(),
            hint="between backticks a `\\` stands for itself",
        )

    return _ESCAPE.sub(character, token[1:-1])


def _unread(text: str, position: int) -> NoReturn:
    """Raise what is wrong with a character that begins nothing."""
    character, hint = text[position], None
    if character in "\"'`":
        what = f"the text that begins with this {character} has no end"
    elif character.isdigit():
        what = "this is no number"
    else:
        what = f"{shown(character)} means nothing in an expression"
        hint = "`==` compares" if character == "=" else None
    raise ExpressionError(what, position, hint=hint)


def _unexpected(text: str, error: UnexpectedToken) -> NoReturn:
    """Raise what stands in the wrong place, and what was expected there."""
    wanted = _wanted(error.accepts)
    if error.token.type == "$END":
        raise ExpressionError(f"the expression ends where {wanted} is expected", len(text))
    raise ExpressionError(
        f"{shown(str(error.token))} stands where {wanted} is expected", _position(error.token)
    )


def _wanted(expected: set[str]) -> str:
    """What the parser's terminals are to people."""
    if "INTEGER" in expected:
        return "a value"
    if "NAME" in expected:
        return "a name"
    wanted = [word for name, word in _CLOSING.items() if name in expected]
    if wanted:
        # Behind a whole value there may always come an operator too.
        return " or ".join(["an operator", *wanted])
    return (
        "`(`" if "OPEN" in expected else "`in`, `matches`, `contains`, `startsWith` or `endsWith`"
    )


def _position(token: Token) -> int:
    return token.start_pos or 0
