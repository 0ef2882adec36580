"""image.yml as a recipe: strict, bounded, and with the place of what is wrong.

The YAML parser's events are built into plain values here, without its composer and constructor:
so no tag makes an object, and depth and size are bounded while reading, aliases counted in full.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from atomicstate.errors import ValidationError
from atomicstate.recipe.names import shown, valid_package
from atomicstate.recipe.reference import valid_reference
from atomicstate.recipe.schema import BODIES, LATER, Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES = 1 << 20
"""The most bytes that a document may have."""

MAX_DEPTH = 32
"""The deepest that its lists and mappings may lie in one another."""

MAX_NODES = 50_000
"""The most values that it may hold, each alias counted as all that it stands for."""

_NUMBER = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_STR_TAGS = frozenset({"tag:yaml.org,2002:str", "!"})
_PATH = re.compile(r"(?P<what>.*?)(?: - at `(?P<path>.*)`)?", re.DOTALL)
_FIELD = re.compile(r"unknown field `(.*?)`")


def read(text: bytes) -> Recipe:
    """The recipe that `text` holds. Raises ValidationError, with line and column."""
    if len(text) > MAX_BYTES:
        raise ValidationError(f"the recipe is larger than {MAX_BYTES} bytes")
    try:
        document = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise ValidationError(f"the recipe, line {line}: this is no UTF-8 text") from error
    builder = _Builder()
    value = builder.document(document)
    _known_types(value, builder)
    try:
        recipe = msgspec.convert(value, Recipe)
    except msgspec.ValidationError as error:
        builder.explain(str(error))
    _values(recipe, builder)
    return recipe


def _known_types(value: Any, builder: _Builder) -> None:  # noqa: ANN401
    """Say in a sentence that a type of module comes later, before the schema calls it wrong."""
    modules = value.get("modules") if isinstance(value, dict) else None
    for index, module in enumerate(modules if isinstance(modules, list) else ()):
        kind = module.get("type") if isinstance(module, dict) else None
        if not isinstance(kind, str) or kind in BODIES:
            continue
        path = f"$.modules[{index}].type"
        taken = ", ".join(BODIES)
        if kind in LATER:
            builder.fail(
                path,
                f"modules of the type {kind} are not taken yet",
                hint=f"this version takes: {taken}; these come later: {', '.join(LATER)}",
            )
        builder.fail(
            path, f"{shown(kind)} is no type of module", hint=f"this version takes: {taken}"
        )


def _values(recipe: Recipe, builder: _Builder) -> None:
    """What the schema alone can't say: names and references that are none."""
    for path, check, text in _checks(recipe):
        try:
            check(text)
        except ValidationError as error:
            builder.fail(path, error.message, hint=error.hint)


def _checks(recipe: Recipe) -> Iterator[tuple[str, Any, str]]:
    yield "$.image", valid_reference, recipe.image
    for index, module in enumerate(recipe.modules):
        for key in module.body.__struct_fields__:
            for place, name in enumerate(getattr(module.body, key)):
                yield f"$.modules[{index}].body.{key}[{place}]", valid_package, name


class _Builder:
    """Builds one document's value, and notes where each part of it stands."""

    def __init__(self) -> None:
        self._places: dict[str, tuple[int, int]] = {}
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._events: Iterator[Any] = iter(())
        self._nodes = 0

    def document(self, text: str) -> Any:  # noqa: ANN401
        """The value of the one document in `text`."""
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        self._events = YAML(typ="safe", pure=True).parse(text)
        value = None
        try:
            event = self._after_start()
            if event is not None:
                value = self._value(event, "$", 0)
                next(self._events)  # the document's end
                extra = next(self._events)
                if type(extra).__name__ != "StreamEndEvent":
                    self._stop(extra, "a second document begins here: a recipe is one")
        except YAMLError as error:
            self._broken(error)
        return value

    def explain(self, message: str) -> NoReturn:
        """Raise the schema's `message` as an error with its place."""
        match = _PATH.fullmatch(message)
        what, path = (match["what"], match["path"]) if match else (message, None)
        field = _FIELD.search(what)
        if field:
            path = f"{path or '$'}.{field[1]}"
        self.fail(path or "$", f"{what[:1].lower()}{what[1:]}")

    def fail(self, path: str, message: str, hint: str | None = None) -> NoReturn:
        """Raise a ValidationError about the value at `path`."""
        # msgspec names the part of a mapping whose key it can't show as [...]: the nearest
        # place that is known serves.
        while path not in self._places and len(path) > 1:
            path = path[: max(path.rfind("."), path.rfind("["), 1)]
        line, column = self._places.get(path, (1, 1))
        raise ValidationError(_at(line, column, path, message), hint=hint)

    def _after_start(self) -> Any:  # noqa: ANN401
        """The first event of the first document, or None where the stream is empty."""
        for event in self._events:
            name = type(event).__name__
            if name == "StreamEndEvent":
                return None
            if name not in ("StreamStartEvent", "DocumentStartEvent"):
                return event
        return None

    def _value(self, event: Any, path: str, depth: int) -> Any:  # noqa: ANN401
        mark = event.start_mark
        self._places[path] = (mark.line + 1, mark.column + 1)
        self._count(event, 1)
        if depth > MAX_DEPTH:
            self._stop(event, f"more than {MAX_DEPTH} lists and mappings in one another")
        name = type(event).__name__
        if name == "AliasEvent":
            return self._alias(event)
        before = self._nodes
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

    def _list(self, path: str, depth: int) -> list[Any]:
        values: list[Any] = []
        while type(event := next(self._events)).__name__ != "SequenceEndEvent":
            values.append(self._value(event, f"{path}[{len(values)}]", depth + 1))
        return values

    def _mapping(self, path: str, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while type(event := next(self._events)).__name__ != "MappingEndEvent":
            key = self._key(event)
            if key in values:
                self._stop(event, f"the key {shown(key)} is here twice")
            inner = f"{path}.{key}"
            values[key] = self._value(next(self._events), inner, depth + 1)
            self._places[inner] = (event.start_mark.line + 1, event.start_mark.column + 1)
        return values

    def _key(self, event: Any) -> str:  # noqa: ANN401
        value = self._scalar(event) if type(event).__name__ == "ScalarEvent" else None
        if event.anchor is not None or not isinstance(value, str):
            self._stop(event, "a key that is no plain text")
        if value == "<<":
            self._stop(event, "merge keys (`<<`) are not taken")
        return value

    def _scalar(self, event: Any) -> Any:  # noqa: ANN401
        if event.tag is not None and event.tag not in _STR_TAGS:
            self._stop(event, "a tag: a recipe holds text, lists and mappings alone")
        text: str = event.value
        if event.tag is not None or not event.implicit[0]:
            return text
        if text in _NULL:
            return None
        if text in _BOOL:
            return _BOOL[text]
        # What it would be as a number does not matter: no field takes one.
        return 0.0 if _NUMBER.fullmatch(text) else text

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
        mark = event.start_mark
        raise ValidationError(_at(mark.line + 1, mark.column + 1, "$", message))

    def _broken(self, error: Exception) -> NoReturn:
        """Raise the parser's own complaint, with its place where it has one."""
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        what = getattr(error, "problem", None) or getattr(error, "reason", None) or "no YAML"
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise ValidationError(_at(line, column, "$", str(what))) from error


def _at(line: int, column: int, path: str, message: str) -> str:
    where = "" if path == "$" else f" ({path[2:]})"
    return f"the recipe, line {line}, column {column}{where}: {message}"
