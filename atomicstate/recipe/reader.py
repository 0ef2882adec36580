"""image.yml as a recipe: strict, and every problem with its place.

document.py builds the values and notes where they stand; here they are held against the schema,
field by field, so that one problem does not hide the next; checks.py looks at what they mean.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args, get_origin

from msgspec import NODEFAULT, Struct
from msgspec.structs import fields

from atomicstate.errors import ValidationError
from atomicstate.recipe import checks
from atomicstate.recipe.document import Document, Path, Text, UnreadableError, parse, path_text
from atomicstate.recipe.names import shown
from atomicstate.recipe.schema import BODIES, Module, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_TRUE = frozenset({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})
_FALSE = frozenset({"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"})
_RECIPE_KEYS = ("image", "env", "modules")
_MODULE_KEYS = ("type", "name", "id", "env", "if", "body", "output")


class Problem(Struct, frozen=True):
    """What is wrong in a document, and where; `expected` and `nearest` help to mend it.

    `warning`: the document can be used all the same.
    """

    line: int
    column: int
    path: str
    message: str
    expected: str = ""
    nearest: str = ""
    warning: bool = False

    def __str__(self) -> str:
        where = f" ({self.path})" if self.path else ""
        return f"line {self.line}, column {self.column}{where}: {self.message}"


class Reading(NamedTuple):
    """What a document holds: `recipe` is None where a problem is more than a warning.

    `rough` is the recipe as far as it can be read, with a module that does nothing in the place
    of one that can't be. `document` tells where each part of it stands.
    """

    recipe: Recipe | None
    problems: tuple[Problem, ...]
    rough: Recipe
    document: Document


def read(content: bytes) -> Recipe:
    """The recipe that `content` holds. Raises ValidationError, with line and column."""
    return _required(look(content))


def read_modules(content: bytes) -> tuple[Module, ...]:
    """The modules in `content`: one, a list of them, or a document that has modules alone.

    Raises ValidationError, with line and column.
    """
    document = _parsed(content)
    if isinstance(document.value, list):
        document = document.within(("modules",))
    elif isinstance(document.value, dict) and "modules" not in document.value:
        document = document.within(("modules", 0))
    return _required(_reading(document, included=True)).modules


def _required(reading: Reading) -> Recipe:
    if reading.recipe is None:
        first, *others = [problem for problem in reading.problems if not problem.warning]
        more = f" (and {len(others)} more)" if others else ""
        hint = " ".join(part for part in (_expected(first), _meant(first)) if part)
        raise ValidationError(f"the recipe, {first}{more}", hint=hint or None)
    return reading.recipe


def look(content: bytes, *, included: bool = False) -> Reading:
    """The recipe, or all that is wrong. An `included` document may hold modules alone.

    Raises UnreadableError, a ValidationError, for what is no YAML document, or too large: nothing
    else is looked at.
    """
    return _reading(_parsed(content), included=included)


def _parsed(content: bytes) -> Document:
    try:
        return parse(content)
    except UnreadableError as error:
        raise UnreadableError(error.reason, error.line, error.column, "the recipe, ") from error


def _reading(document: Document, *, included: bool) -> Reading:
    reader = _Reader(document)
    recipe = reader.recipe(included=included)
    problems = tuple(sorted(reader.problems, key=lambda item: (item.line, item.column)))
    bad = any(not problem.warning for problem in problems)
    return Reading(None if bad else recipe, problems, recipe, document)


def _expected(problem: Problem) -> str:
    return f"expected: {problem.expected}" if problem.expected else ""


def _meant(problem: Problem) -> str:
    return f"did you mean {problem.nearest}?" if problem.nearest else ""


class _Reader:
    """Holds one document against the schema."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.problems: list[Problem] = []

    def problem(
        self,
        path: Path,
        message: str,
        *,
        expected: str = "",
        nearest: str = "",
        warning: bool = False,
    ) -> None:
        place = self._document.place(path)
        self.problems.append(
            Problem(place.line, place.column, path_text(path), message, expected, nearest, warning)
        )

    # -- the document ------------------------------------------------------------------------

    def recipe(self, *, included: bool) -> Recipe:
        value = self._mapping((), self._document.value, _RECIPE_KEYS, "a recipe")
        image = self._text(("image",), value.get("image"))
        env = self._texts(("env",), value.get("env"))
        modules = self._modules(value.get("modules"))
        if included and value.get("modules") is None:
            self.problem((), "there are no modules here", expected="modules: a list")
        for key in ("image", "env") if included else ():
            if value.get(key) is not None:
                self.problem((key,), f"{key} has no meaning in what is included", warning=True)
        recipe = Recipe(image, modules, env)
        for path, message, expected in checks.recipe_problems(recipe):
            self.problem(path, message, expected=expected)
        return recipe

    def _modules(self, value: Any) -> tuple[Module, ...]:  # noqa: ANN401
        found = []
        for place, item in enumerate(self._list(("modules",), value, "a list of modules")):
            before = len(self.problems)
            module = self._module(("modules", place), item)
            if module is None:
                # It stands for the place: what comes after keeps its number, and may name it.
                named = item.get("id") if isinstance(item, dict) else None
                module = Module(
                    "packages",
                    BODIES["packages"](),
                    id=str(named) if isinstance(named, str) else "",
                )
            elif len(self.problems) == before:
                self._checked(("modules", place), module)
            found.append(module)
        return tuple(found)

    def _checked(self, path: Path, module: Module) -> None:
        for below, message, expected in checks.module_problems(module):
            self.problem((*path, *below), message, expected=expected)
        for below, message in checks.module_warnings(module):
            self.problem((*path, *below), message, warning=True)

    def _module(self, path: Path, item: Any) -> Module | None:  # noqa: ANN401
        value = self._mapping(path, item, _MODULE_KEYS, "a module")
        if value is not item:
            return None
        kind = self._kind(path, value)
        given = value.get("body")
        if given is None:
            self.problem(path, "the module has no body", expected="body: its settings")
            return None
        texts = {key: self._text((*path, key), value.get(key)) for key in ("name", "id", "if")}
        maps = {key: self._texts((*path, key), value.get(key)) for key in ("env", "output")}
        if kind is None:
            return None
        body = self._struct((*path, "body"), given, BODIES[kind], f"a module of the type {kind}")
        if body is None:
            return None
        return Module(
            kind, body, texts["name"], texts["id"], maps["env"], texts["if"], maps["output"]
        )

    def _kind(self, path: Path, value: Mapping[str, Any]) -> str | None:
        kind = value.get("type")
        if kind is None:
            expected = f"type: one of {', '.join(BODIES)}"
            self.problem(path, "the module has no type", expected=expected)
            return None
        if not isinstance(kind, str):
            self._wrong((*path, "type"), kind, "text")
            return None
        if kind not in BODIES:
            self.problem(
                (*path, "type"),
                f"{shown(kind)} is no type of module",
                expected=f"one of {', '.join(BODIES)}",
                nearest=_nearest(kind, BODIES),
            )
            return None
        return str(kind)

    # -- values ------------------------------------------------------------------------------

    def _struct(self, path: Path, value: Any, kind: type[Any], what: str) -> Any:  # noqa: ANN401
        """`value` as `kind`; None where that can't be."""
        known = {field.encode_name: field for field in fields(kind)}
        if not isinstance(value, dict):
            self._wrong(path, value, f"{what}, a mapping with the keys {', '.join(known)}")
            return None
        given = self._mapping(path, value, tuple(known), what)
        before = len(self.problems)
        converted: dict[str, Any] = {}
        for key, field in known.items():
            part = given.get(key)
            if part is None:
                if field.default is NODEFAULT and field.default_factory is NODEFAULT:
                    self.problem(path, f"{key} is missing in {what}", expected=f"{key}: a value")
                continue
            converted[field.name] = self._field((*path, key), part, field.type, what)
        return kind(**converted) if len(self.problems) == before else None

    def _field(self, path: Path, value: Any, annotated: Any, what: str) -> Any:  # noqa: ANN401
        """A field's value; what the schema says about its size is held against it."""
        kind, *metas = get_args(annotated) if hasattr(annotated, "__metadata__") else (annotated,)
        if hasattr(kind, "__metadata__"):  # an annotated alias within
            kind, *inner = get_args(kind)
            metas = [*inner, *metas]
        convert = self._converter(kind)
        if convert is None:
            return self._struct(path, value, kind, f"{path[-1]} of {what}")
        result = convert(path, value)
        if any(meta.min_length for meta in metas) and not result:
            self.problem(path, f"{path[-1]} is empty", expected="at least one")
        return result

    def _converter(self, kind: Any) -> Callable[[Path, Any], Any] | None:  # noqa: ANN401
        if kind is str:
            return self._text
        if kind is bool:
            return self._flag
        if get_origin(kind) is Literal:
            return lambda path, value: self._choice(path, value, get_args(kind))
        if get_origin(kind) is dict:
            return self._texts
        if get_origin(kind) is tuple:
            needed = get_args(kind)[0] is not str
            return lambda path, value: self._text_list(path, value, needed=needed)
        return None

    def _text(self, path: Path, value: Any) -> str:  # noqa: ANN401
        if value is None:
            return ""
        if not isinstance(value, str):
            self._wrong(path, value, "text")
            return ""
        return str(value)

    def _flag(self, path: Path, value: Any) -> bool:  # noqa: ANN401
        if isinstance(value, Text) and value.plain and value in _TRUE | _FALSE:
            return value in _TRUE
        self._wrong(path, value, "true or false")
        return False

    def _choice(self, path: Path, value: Any, choices: tuple[str, ...]) -> str:  # noqa: ANN401
        text = self._text(path, value)
        if text not in choices:
            named = [choice for choice in choices if choice]
            self.problem(
                path,
                f"{shown(text)} is no {path[-1]}",
                expected=f"one of {', '.join(named)}",
                nearest=_nearest(text, named),
            )
        return text

    def _text_list(self, path: Path, value: Any, *, needed: bool) -> tuple[str, ...]:  # noqa: ANN401
        found = []
        for place, item in enumerate(self._list(path, value, "a list of texts")):
            below = (*path, place)
            if item is None or (needed and item == ""):
                self.problem(below, "nothing stands here", expected="text")
            else:
                found.append(self._text(below, item))
        return tuple(found)

    def _texts(self, path: Path, value: Any) -> dict[str, str]:  # noqa: ANN401
        """A mapping of text to text."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._wrong(path, value, "a mapping of names to texts")
            return {}
        return {str(key): self._text((*path, key), item) for key, item in value.items()}

    def _list(self, path: Path, value: Any, expected: str) -> list[Any]:  # noqa: ANN401
        if value is None:
            return []
        if not isinstance(value, list):
            self._wrong(path, value, expected)
            return []
        return value

    def _mapping(
        self,
        path: Path,
        value: Any,  # noqa: ANN401
        keys: tuple[str, ...],
        what: str,
    ) -> dict[str, Any]:
        if not isinstance(value, dict):
            self._wrong(path, value, f"{what}, a mapping with the keys {', '.join(keys)}")
            return {}
        for key in value:
            if key not in keys:
                self.problem(
                    (*path, key),
                    f"{shown(key)} is no key of {what}",
                    expected=f"one of {', '.join(keys)}",
                    nearest=_nearest(key, keys),
                )
        return value

    def _wrong(self, path: Path, value: Any, expected: str) -> None:  # noqa: ANN401
        names = {dict: "a mapping", list: "a list", type(None): "nothing"}
        what = names.get(type(value)) or f"the text {shown(value)}"
        self.problem(path, f"{what} stands here", expected=expected)


def _nearest(word: str, words: Iterable[str]) -> str:
    return next(iter(get_close_matches(word, list(words), 1)), "")
