"""YAML as plain values, strict and bounded, with the place of every part.

The YAML parser's events are built into values here, without its composer and constructor: so no
tag makes an object, and depth and size are bounded while reading, aliases counted in full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from atomicstate.errors import ValidationError
from atomicstate.recipe.names import is_text, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES = 1 << 20
"""The most bytes that a document may have."""

MAX_DEPTH = 32
"""The deepest that its lists and mappings may lie in one another."""

MAX_NODES = 50_000
"""The most values that it may hold, each alias counted as all that it stands for."""

# What chr() raises for "\U00110000", say: a person's text is no reason for a traceback.
_FAILURES = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
_STR_TAGS = frozenset({"tag:yaml.org,2002:str", "!"})
_NULL = frozenset({"", "~", "null", "Null", "NULL"})

Path = tuple[str | int, ...]
"""Where a value stands: keys and places in lists, from the top."""


class Text(str):
    """A scalar. `plain`: it stands there without quotes, so it may be meant as yes or no."""

    __slots__ = ("plain",)
    plain: bool

    def __new__(cls, text: str, *, plain: bool) -> Text:
        """The scalar `text`."""
        made = super().__new__(cls, text)
        made.plain = plain
        return made


class Place:
    """A line and a column, both from 1."""

    __slots__ = ("column", "line")

    def __init__(self, line: int, column: int) -> None:
        self.line = line
        self.column = column


class UnreadableError(ValidationError):
    """What is no document at all: `reason`, and `line` and `column` where that shows.

    Both count from 1 and are 0 where they say nothing. `what` is told before them.
    """

    def __init__(self, reason: str, line: int = 0, column: int = 0, what: str = "") -> None:
        place = ", ".join(
            f"{name} {number}" for name, number in (("line", line), ("column", column)) if number
        )
        super().__init__(f"{what}{place}: {reason}" if place else f"{what}{reason}")
        self.reason, self.line, self.column = reason, line, column


class Document:
    """What one document holds: `value` of Text, None, lists and mappings, and where."""

    def __init__(self, value: Any, places: dict[Path, Place]) -> None:  # noqa: ANN401
        self.value = value
        self._places = places

    def place(self, path: Path) -> Place:
        """Where the value at `path` begins: of one in a mapping, its key. The nearest known."""
        while path and path not in self._places:
            path = path[:-1]
        return self._places.get(path) or Place(1, 1)

    def within(self, path: Path) -> Document:
        """The document in which all of this one stands at `path`."""
        value = self.value
        for part in reversed(path):
            value = {part: value} if isinstance(part, str) else [value]
        return Document(value, {(*path, *below): place for below, place in self._places.items()})


def parse(content: bytes) -> Document:
    """The one document in `content`.

    Raises UnreadableError, a ValidationError, for what is too large or too deep, for tags, for keys
    that are no text or are there twice, for a second document, and for no YAML at all.
    """
    if len(content) > MAX_BYTES:
        raise UnreadableError(f"it is larger than {MAX_BYTES} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnreadableError("this is no UTF-8 text", line) from error
    return _Builder().document(text)


def path_text(path: Path) -> str:
    """A path as people write it: modules[3].body.targets."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _sound(events: Iterator[Any]) -> Iterator[Any]:
    """The parser's events. What it fails at, and has no words for, is unreadable too."""
    last = None
    try:
        for last in events:
            yield last
    except _FAILURES as error:
        mark = last.end_mark if last else None
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise UnreadableError(f"no YAML: {error}", line, column) from error


class _Builder:
    """Builds one document's value, and notes where each part of it stands."""

    def __init__(self) -> None:
        self._places: dict[Path, Place] = {}
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._events: Iterator[Any] = iter(())
        self._nodes = 0

    def document(self, text: str) -> Document:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        value = None
        try:
            # A character that YAML forbids is found before the first event.
            self._events = _sound(YAML(typ="safe", pure=True).parse(text))
            event = self._after_start()
            if event is not None:
                value = self._value(event, (), 0)
                next(self._events)  # the document's end
                extra = next(self._events)
                if type(extra).__name__ != "StreamEndEvent":
                    self._stop(extra, "a second document begins here: a recipe is one")
        except YAMLError as error:
            self._broken(error)
        return Document(value, self._places)

    def _after_start(self) -> Any:  # noqa: ANN401
        """The first event of the first document, or None where the stream is empty."""
        for event in self._events:
            name = type(event).__name__
            if name == "StreamEndEvent":
                return None
            if name not in ("StreamStartEvent", "DocumentStartEvent"):
                return event
        return None

    def _value(self, event: Any, path: Path, depth: int) -> Any:  # noqa: ANN401
        self._places[path] = Place(event.start_mark.line + 1, event.start_mark.column + 1)
        self._count(event, 1)
        if depth > MAX_DEPTH:
            self._stop(event, f"more than {MAX_DEPTH} lists and mappings in one another")
        name = type(event).__name__
        if name == "AliasEvent":
            return self._alias(event)
        before = self._nodes
        value: Any
        if name == "ScalarEvent":
            value = self._scalar(event)
        else:
            if event.tag is not None:
                self._stop(event, "a tag: a recipe holds text, lists and mappings alone")
            value = (self._list if name == "SequenceStartEvent" else self._mapping)(path, depth)
        if event.anchor is not None:
            # Only now: an alias inside of what it stands for finds no anchor.
            self._anchors[event.anchor] = (value, self._nodes - before + 1)
        return value

    def _list(self, path: Path, depth: int) -> list[Any]:
        values: list[Any] = []
        while type(event := next(self._events)).__name__ != "SequenceEndEvent":
            values.append(self._value(event, (*path, len(values)), depth + 1))
        return values

    def _mapping(self, path: Path, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        while type(event := next(self._events)).__name__ != "MappingEndEvent":
            key = self._key(event)
            if key in values:
                self._stop(event, f"the key {shown(key)} is here twice")
            value = self._value(next(self._events), (*path, key), depth + 1)
            self._places[*path, key] = Place(event.start_mark.line + 1, event.start_mark.column + 1)
            if key == "<<":
                merged = self._merged(event, value)
            else:
                values[key] = value
        return {**merged, **values}

    def _merged(self, event: Any, value: Any) -> dict[str, Any]:  # noqa: ANN401
        """What `<<` brings: of several mappings the first one counts."""
        parts = value if isinstance(value, list) else [value]
        if not all(isinstance(part, dict) for part in parts):
            self._stop(event, "`<<` takes a mapping, or a list of them")
        merged: dict[str, Any] = {}
        for part in reversed(parts):
            merged.update(part)
        return merged

    def _key(self, event: Any) -> str:  # noqa: ANN401
        is_scalar = type(event).__name__ == "ScalarEvent" and event.anchor is None
        value = self._scalar(event) if is_scalar else None
        if value is None or not is_text(value):
            self._stop(event, "a key that is no plain text")
        return str(value)

    def _scalar(self, event: Any) -> Text | None:  # noqa: ANN401
        if event.tag is not None and event.tag not in _STR_TAGS:
            self._stop(event, "a tag: a recipe holds text, lists and mappings alone")
        plain = event.tag is None and event.implicit[0]
        return None if plain and event.value in _NULL else Text(event.value, plain=plain)

    def _alias(self, event: Any) -> Any:  # noqa: ANN401
        if event.anchor not in self._anchors:
            self._stop(event, f"the alias {shown(event.anchor)} stands for nothing before it")
        value, nodes = self._anchors[event.anchor]
        self._count(event, nodes)
        return value

    def _count(self, event: Any, nodes: int) -> None:  # noqa: ANN401
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            self._stop(event, f"more than {MAX_NODES} values, aliases counted")

    def _stop(self, event: Any, message: str) -> NoReturn:  # noqa: ANN401
        raise UnreadableError(message, event.start_mark.line + 1, event.start_mark.column + 1)

    def _broken(self, error: Exception) -> NoReturn:
        """Raise the parser's own complaint, with its place where it has one."""
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        what = getattr(error, "problem", None) or getattr(error, "reason", None) or "no YAML"
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise UnreadableError(what, line, column) from error
