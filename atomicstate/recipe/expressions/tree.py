"""What an expression is made of, and what is wrong in one, with its place.

The grammar makes these parts, the evaluation reads them. `position` counts characters from 0,
`depth` the parts that lie in one another: what walks down a tree goes no deeper than MAX_DEPTH.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from atomicstate.errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_DEPTH = 50
"""The deepest that the parts of an expression may lie in one another."""


class ExpressionError(ValidationError):
    """What is wrong in an expression, at `position` in it."""

    def __init__(
        self,
        what: str,
        position: int,
        *,
        text: str = "",
        subject: str = "the expression",
        hint: str | None = None,
    ) -> None:
        super().__init__(f"{subject}, {_place(text, position)}: {what}", hint=hint)
        self.what = what
        self.position = position

    def within(self, text: str, start: int, subject: str = "the expression") -> ExpressionError:
        """The same, as of `text`, in which the expression begins at `start`."""
        return ExpressionError(
            self.what, start + self.position, text=text, subject=subject, hint=self.hint
        )


def nearest(name: str, known: Iterable[str]) -> str | None:
    """A hint at the name in `known` that `name` was perhaps meant to be."""
    import difflib

    near = difflib.get_close_matches(name, known, 1)
    return f"the nearest that is known is {near[0]}" if near else None


def _place(text: str, position: int) -> str:
    before = text[:position]
    column = position - before.rfind("\n")
    return (
        f"line {before.count(chr(10)) + 1}, column {column}" if "\n" in text else f"column {column}"
    )


class Node(Struct, frozen=True, eq=False):
    """A part of an expression, equal to itself alone: a comparison would go all the way down."""

    position: int
    depth: int

    def _parts(self) -> Iterable[Node]:
        return ()


class Literal(Node, frozen=True):
    """A value that stands there itself."""

    value: bool | int | float | str | None


class Name(Node, frozen=True):
    """A name at the top, such as `Env`."""

    name: str


class Items(Node, frozen=True):
    """A list: `[1, 2]`."""

    items: tuple[Node, ...]

    def _parts(self) -> Iterable[Node]:
        return self.items


class Step(Struct, frozen=True):
    """One step into a value: `.key`, `["key"]`, `[0]`; with `?.` it may find nil before it."""

    position: int
    key: str | Node
    optional: bool


class Access(Node, frozen=True):
    """A value and the steps into it."""

    base: Node
    steps: tuple[Step, ...]

    def _parts(self) -> Iterable[Node]:
        return [self.base, *(step.key for step in self.steps if isinstance(step.key, Node))]


class Call(Node, frozen=True):
    """A function of its arguments, before brackets or behind `|`."""

    function: str
    arguments: tuple[Node, ...]

    def _parts(self) -> Iterable[Node]:
        return self.arguments


class Unary(Node, frozen=True):
    """`not`, `-` or `+` before its operand."""

    operator: str
    operand: Node

    def _parts(self) -> Iterable[Node]:
        return (self.operand,)


class Binary(Node, frozen=True):
    """An operator between two operands. What is on its left does not count as deeper."""

    operator: str
    left: Node
    right: Node

    def _parts(self) -> Iterable[Node]:
        return (self.left, self.right)


class Link(Struct, frozen=True):
    """`< value`, as it follows what is compared."""

    position: int
    operator: str
    operand: Node


class Comparison(Node, frozen=True):
    """`a < b <= c`: each two neighbours in this order."""

    first: Node
    links: tuple[Link, ...]

    def _parts(self) -> Iterable[Node]:
        return [self.first, *(link.operand for link in self.links)]


class Conditional(Node, frozen=True):
    """`condition ? yes : no`."""

    condition: Node
    yes: Node
    no: Node

    def _parts(self) -> Iterable[Node]:
        return (self.condition, self.yes, self.no)


class Group(Node, frozen=True):
    """What stands in parentheses."""

    inner: Node

    def _parts(self) -> Iterable[Node]:
        return (self.inner,)


def deeper(position: int, *parts: Node) -> int:
    """The depth of what holds `parts`. Raises ExpressionError where that is too deep."""
    depth = 1 + max((part.depth for part in parts), default=-1)
    if depth > MAX_DEPTH:
        raise ExpressionError(
            f"more than {MAX_DEPTH} parts lie in one another from here on", position
        )
    return depth


def walk(root: Node) -> Iterator[Node]:
    """Each part of the expression, `root` too."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(node._parts())
