"""What stands in `if:` and in placeholders: expressions over the names that a recipe knows.

The language is the part of expr-lang that recipes use: literals, names and their parts, operators,
`?:`, `??`, `|` and the functions of functions.py. It differs from expr-lang where that
would let a mistake pass: an unknown name, a division by zero and a number that is too large are
errors. Nothing is run as code. Length, depth, results and the time of a search are bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from msgspec import Struct

from atomicstate.errors import ValidationError
from atomicstate.recipe.expressions.functions import call
from atomicstate.recipe.expressions.operators import binary, unary
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
    nearest,
    walk,
)
from atomicstate.recipe.expressions.values import expect_truth, kind, listed
from atomicstate.recipe.names import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_CHARACTERS = 4_000
"""The most characters that an expression may have."""

_SHOWN = 8
_MODULE = len(["Modules", "id"])


class Expression(Struct, frozen=True):
    """An expression that can be read, equal to itself alone. `root` is for `evaluate`."""

    text: str
    root: Node

    def reads(self) -> frozenset[tuple[str, ...]]:
        """The names that it reads, each with its parts as far as they are written out.

        As they are written: `Modules.a.key` and `Modules.a.Output.key` are two. A path that ends
        early (`Env` of `Env[Arch]`) stands for whatever lies below.
        """
        nodes = list(walk(self.root))
        inner = {id(node.base) for node in nodes if isinstance(node, Access)}
        return frozenset(path for node in nodes if id(node) not in inner for path in _paths(node))


def _paths(node: Node) -> Iterator[tuple[str, ...]]:
    if isinstance(node, Name):
        yield (node.name,)
    elif isinstance(node, Access) and isinstance(node.base, Name):
        path = [node.base.name]
        for step in node.steps:
            if not isinstance(step.key, str):
                break
            path.append(step.key)
        yield tuple(path)


def parse(text: str) -> Expression:
    """The expression that `text` is.

    Raises ExpressionError, a ValidationError, which says in what column what was expected.
    """
    if len(text) > MAX_CHARACTERS:
        raise ExpressionError(f"it has more than {MAX_CHARACTERS} characters", MAX_CHARACTERS)
    from atomicstate.recipe.expressions.grammar import read

    try:
        return Expression(text, read(text))
    except ExpressionError as error:
        raise error.within(text, 0) from error


def evaluate(
    expression: Expression, names: Mapping[str, Any]
) -> bool | int | float | str | list[Any] | None:
    """What `expression` is, where `names` hold what they hold.

    What is not reached (behind `false and`, in the other branch of `?:`) is not looked at, but
    for its names at the top. `Modules.id.key` is short for `Modules.id.Output.key`. Raises
    ExpressionError, a ValidationError, with the column: for a name that `names` do not have, a
    value of the wrong kind, a division by zero, a result that is too large.
    """
    try:
        return _evaluated(expression.root, names)  # type: ignore[no-any-return]
    except ExpressionError as error:
        raise error.within(expression.text, 0) from error


def _evaluated(root: Node, names: Mapping[str, Any]) -> Any:  # noqa: ANN401
    for node in walk(root):
        if isinstance(node, Name) and node.name not in names:
            _unknown([node.name], names, node.position)
    value = _Evaluation(names).value(root)
    if isinstance(value, Mapping):
        raise ExpressionError(
            "this is a group of names, no value", root.position, hint=_known(value)
        )
    return value


class _Evaluation:
    """The evaluation of one expression over `names`."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self._names = names

    def value(self, node: Node) -> Any:  # noqa: ANN401
        return _RULES[type(node)](self, node)

    def _literal(self, node: Literal) -> Any:  # noqa: ANN401
        return node.value

    def _name(self, node: Name) -> Any:  # noqa: ANN401
        return self._names[node.name]

    def _group(self, node: Group) -> Any:  # noqa: ANN401
        return self.value(node.inner)

    def _items(self, node: Items) -> Any:  # noqa: ANN401
        return _at(node, listed, [self.value(item) for item in node.items])

    def _access(self, node: Access) -> Any:  # noqa: ANN401
        value = self.value(node.base)
        path = [node.base.name] if isinstance(node.base, Name) else []
        for step in node.steps:
            if value is None and step.optional:
                return None
            key = step.key if isinstance(step.key, str) else self.value(step.key)
            if len(path) == _MODULE and path[0] == "Modules":
                value = _with_output(value)
            value = _part(value, key, step, path)
            path.append(str(key))
        return value

    def _call(self, node: Call) -> Any:  # noqa: ANN401
        return _at(node, call, node.function, [self.value(part) for part in node.arguments])

    def _unary(self, node: Unary) -> Any:  # noqa: ANN401
        return _at(node, unary, node.operator, self.value(node.operand))

    def _binary(self, node: Binary) -> Any:  # noqa: ANN401
        # A long row of operators is as deep on its left as it is long: no recursion there.
        row = [node]
        while isinstance(row[-1].left, Binary):
            row.append(row[-1].left)
        value = self.value(row[-1].left)
        for each in reversed(row):
            value = self._joined(each, value)
        return value

    def _joined(self, node: Binary, left: Any) -> Any:  # noqa: ANN401
        match node.operator:
            case "and":
                return _at(node, expect_truth, left) and _at(
                    node, expect_truth, self.value(node.right)
                )
            case "or":
                return _at(node, expect_truth, left) or _at(
                    node, expect_truth, self.value(node.right)
                )
            case "??":
                return self.value(node.right) if left is None else left
        return _at(node, binary, node.operator, left, self.value(node.right))

    def _comparison(self, node: Comparison) -> Any:  # noqa: ANN401
        left = self.value(node.first)
        for link in node.links:
            right = self.value(link.operand)
            if not _at(link, binary, link.operator, left, right):
                return False
            left = right
        return True

    def _conditional(self, node: Conditional) -> Any:  # noqa: ANN401
        chosen = _at(node, expect_truth, self.value(node.condition))
        return self.value(node.yes if chosen else node.no)


_RULES: dict[type[Node], Callable[[_Evaluation, Any], Any]] = {
    Literal: _Evaluation._literal,
    Name: _Evaluation._name,
    Group: _Evaluation._group,
    Items: _Evaluation._items,
    Access: _Evaluation._access,
    Call: _Evaluation._call,
    Unary: _Evaluation._unary,
    Binary: _Evaluation._binary,
    Comparison: _Evaluation._comparison,
    Conditional: _Evaluation._conditional,
}


def _at(place: Node | Link, make: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401
    """What `make` makes of `arguments`; where it refuses, that is said of `place`."""
    try:
        return make(*arguments)
    except ValidationError as error:
        raise ExpressionError(error.message, place.position, hint=error.hint) from error


def _part(value: object, key: object, step: Step, path: list[str]) -> Any:  # noqa: ANN401
    if isinstance(value, Mapping):
        if not isinstance(key, str):
            raise ExpressionError(f"a name is expected here, not {kind(key)}", step.position)
        if key not in value:
            _unknown([*path, key], value, step.position)
        return value[key]
    if isinstance(value, list) and not isinstance(key, str):
        if isinstance(key, bool) or not isinstance(key, int):
            raise ExpressionError(
                f"the items of a list are numbered, {kind(key)} is no number of one", step.position
            )
        if not -len(value) <= key < len(value):
            raise ExpressionError(f"the list has {len(value)} items, none is {key}", step.position)
        return value[key]
    raise ExpressionError(f"{kind(value)} has no part {shown(str(key))}", step.position)


def _with_output(module: object) -> object:
    """A module with what it has put out among its own parts, which come first."""
    output = module.get("Output") if isinstance(module, Mapping) else None
    return {**output, **module} if isinstance(output, Mapping) else module  # type: ignore[dict-item]


def _unknown(path: list[str], known: Mapping[str, Any], position: int) -> NoReturn:
    hint = nearest(path[-1], known) or _known(known)
    raise ExpressionError(f"there is no {'.'.join(path)}", position, hint=hint)


def _known(names: Mapping[str, Any]) -> str | None:
    some = sorted(names)[:_SHOWN]
    return f"these are known: {', '.join(some)}{', ...' if len(names) > len(some) else ''}"
