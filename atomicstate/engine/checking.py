"""A document held against all that can be known of it: every problem, each with its place."""

from __future__ import annotations

import posixpath
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from atomicstate.errors import ValidationError, from_os_error
from atomicstate.events.asjson import fields_of
from atomicstate.recipe.document import MAX_BYTES, UnreadableError
from atomicstate.recipe.expand import Expansion, expand
from atomicstate.recipe.reader import look
from atomicstate.recipe.resources import RESOURCES, is_outside

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from atomicstate.recipe.resources import Library
    from atomicstate.recipe.schema import Recipe

STANDARD_INPUT = "-"


class ProblemResult(Struct, frozen=True):
    """What is wrong at a place of `file`; `warning`: it can be used all the same.

    `line` and `column` count from 1, `path` is the way to the value (`modules[3].body.targets`).
    """

    file: str
    line: int
    column: int
    path: str
    message: str
    expected: str = ""
    nearest: str = ""
    warning: bool = False

    def __str__(self) -> str:
        helps = [f"expected {self.expected}"] if self.expected else []
        helps += [f"did you mean {self.nearest}?"] if self.nearest else []
        path = f"{self.path}: " if self.path else ""
        said = f"{self.message} ({'; '.join(helps)})" if helps else self.message
        kind = "warning: " if self.warning else ""
        return f"{self.file}:{self.line}:{self.column}: {kind}{path}{said}"


class CheckResult(Struct, frozen=True):
    """What a check found. `ok`: nothing but warnings."""

    file: str
    ok: bool
    problems: tuple[ProblemResult, ...]


class Checked(NamedTuple):
    """A document that was looked at, `recipe` as far as it can be read."""

    result: CheckResult
    recipe: Recipe | None = None
    expansion: Expansion | None = None

    def require(self) -> tuple[Recipe, Expansion]:
        """What it holds. Raises ValidationError, with every problem, where there is one."""
        if not self.result.ok or self.recipe is None or self.expansion is None:
            raise refusal(self.result, listed=True)
        return self.recipe, self.expansion


def check(
    content: bytes,
    file: str,
    library: Library,
    *,
    resources: str = RESOURCES,
    given: Mapping[str, str] | None = None,
    architecture: str = "amd64",
    strict: bool = False,
) -> Checked:
    """Every problem of the document `content`, called `file`, whose resources lie in `resources`.

    What is not to be had here may be where it is built: that is a warning, an error if `strict`.
    `given` are values of Env beside the document's own.
    """
    try:
        reading = look(content)
    except UnreadableError as error:
        line, column = max(error.line, 1), max(error.column, 1)
        problem = ProblemResult(file, line, column, "", error.reason)
        return Checked(CheckResult(file, False, (problem,)))
    found = [
        ProblemResult(
            file,
            item.line,
            item.column,
            item.path,
            item.message,
            item.expected,
            item.nearest,
            item.warning,
        )
        for item in reading.problems
    ]
    expansion = expand(
        reading.rough,
        library,
        inputs=given,
        architecture=architecture,
        document=reading.document,
    )
    found += [
        ProblemResult(
            _file_of(item.name, file, resources),
            max(item.line, 1),
            max(item.column, 1),
            item.path,
            item.message,
            item.expected,
            item.nearest,
            item.warning or (item.missing and not strict),
        )
        for item in (*expansion.troubles, *expansion.remarks)
    ]
    # The document's own problems first; what is found twice, alone and in its place, is one.
    problems = sorted(
        dict.fromkeys(found),
        key=lambda item: (item.file != file, item.file, item.line, item.column),
    )
    ok = all(problem.warning for problem in problems)
    return Checked(CheckResult(file, ok, tuple(problems)), reading.rough, expansion)


def refusal(result: CheckResult, *, listed: bool) -> ValidationError:
    """The error for a document with problems; `listed`: told with each, to who wants it done."""
    errors = [problem for problem in result.problems if not problem.warning]
    count = "a problem" if len(errors) == 1 else f"{len(errors)} problems"
    name = "standard input" if result.file == STANDARD_INPUT else result.file
    message = f"{name} has {count}"
    if listed:
        message = "\n".join([f"{message}: nothing was changed", *map(str, errors)])
    error = ValidationError(message)
    error.details = {"problems": [fields_of(problem) for problem in result.problems]}
    return error


def read_document(file: str, name: str = "") -> bytes:
    """The content of `file`, as much of it as may be a document; `-` is standard input.

    A person knows it as `name`. Raises NotFoundError, NotPermittedError, HostError, and
    ValidationError for a folder, and for a pipe that lies in one: who waits there waits for ever.
    """
    try:
        if file == STANDARD_INPUT:
            return sys.stdin.buffer.read(MAX_BYTES + 1)
        if not file:
            raise ValidationError("the name of a document is missing")
        # A shell's <(...) is a pipe of this process.
        if Path(file).is_fifo() and not Path(file).resolve().is_relative_to("/proc"):
            raise ValidationError(f"{name or file} is a pipe, and no document")
        if Path(file).is_dir():
            raise ValidationError(f"{name or file} is a folder", hint="name the document in it")
        with Path(file).open("rb") as opened:
            return opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise from_os_error(error, "read", name or file) from error


def resources_beside(file: str) -> Path:
    """Where the resources of the document `file` lie, if nothing else is said."""
    return Path() / RESOURCES if file == STANDARD_INPUT else Path(file).parent / RESOURCES


def given_values(words: Sequence[str]) -> dict[str, str]:
    """The values of Env in `words` (NAME=VALUE). Raises ValidationError."""
    from atomicstate.recipe.checks import valid_variable

    given = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or "\0" in value:
            raise ValidationError(f"--env takes NAME=VALUE, and {word!r} is none")
        given[valid_variable(name)] = value
    return given


def _file_of(name: str, file: str, resources: str) -> str:
    if not name:
        return file
    return name if is_outside(name) else posixpath.join(resources, name)
