"""Texts of a module with their `${{ }}` filled in, and why some can't be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from msgspec import Struct
from msgspec.structs import fields

from atomicstate.errors import ValidationError
from atomicstate.recipe import placeholders

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from atomicstate.recipe.document import Path

    Reads = frozenset[tuple[str, ...]]

_T = TypeVar("_T")


class Failure(NamedTuple):
    """Why the text at `path` can't be filled in. `missing`: a value of Env may be given still."""

    path: Path
    message: str
    missing: bool
    expected: str


class Filling:
    """Fills texts in over `names`; `failures` are those that can't be, and stay as they are."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self._names = names
        self.failures: list[Failure] = []

    def holds(self, path: Path, condition: str) -> bool:
        """Whether a condition holds; true where that can't be told."""

        def decide(reads: Reads) -> bool:
            self._refuse_later_values(reads)
            return placeholders.holds(condition, self._names)

        return self._tried(path, lambda: placeholders.condition_reads(condition), decide, True)

    def text(self, path: Path, text: str) -> str:
        """`text`, filled in."""

        def fill(reads: Reads) -> str:
            self._refuse_later_values(reads)
            return placeholders.fill(text, self._names)

        return self._tried(path, lambda: placeholders.reads(text), fill, text)

    def value(self, path: Path, value: Any) -> Any:  # noqa: ANN401 - as it came
        """`value` with every text in it filled in."""
        if isinstance(value, str):
            return self.text(path, value)
        if isinstance(value, tuple):
            return tuple(self.value((*path, place), item) for place, item in enumerate(value))
        if isinstance(value, dict):
            return {key: self.value((*path, key), item) for key, item in value.items()}
        if isinstance(value, Struct):
            parts = {
                field.name: self.value((*path, field.encode_name), getattr(value, field.name))
                for field in fields(value)
            }
            return type(value)(**parts)
        return value

    def _tried(
        self, path: Path, read: Callable[[], Reads], fill: Callable[[Reads], _T], otherwise: _T
    ) -> _T:
        reads: Reads = frozenset()
        try:
            reads = read()
            return fill(reads)
        except ValidationError as error:
            self.failures.append(self._failure(path, error, reads))
            return otherwise

    def _failure(self, path: Path, error: ValidationError, reads: Reads) -> Failure:
        given = self._names["Env"]
        names = {rest[0] for first, *rest in reads if first == "Env" and rest}
        unset = sorted(names.difference(given))
        if not unset:
            return Failure(path, error.message, False, error.hint)
        said = ", ".join(f"Env.{name}" for name in unset) + (" is" if len(unset) == 1 else " are")
        options = " ".join(f"--env {name}=VALUE" for name in unset)
        return Failure(path, f"{said} not set", True, f"in env:, or {options}")

    def _refuse_later_values(self, reads: Reads) -> None:
        """Raises ValidationError where one of `reads` is what a shell will have come to."""
        known = self._names["Modules"]
        for first, *rest in reads:
            others = known.get(rest[0]) if first == "Modules" and rest else None
            if others and {*rest[1:]} & others["Output"].keys():
                raise ValidationError(
                    f"Modules.{'.'.join(rest)} is known only while the image is built,"
                    " and what is built must not depend on it",
                    hint="do both in one shell module",
                )
