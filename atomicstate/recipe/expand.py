"""The recipe as the steps that a build makes: includes in their place, expressions filled in.

A pure function of the recipe, what was given for `Env`, the architecture, and the resources. What
a module's shell will have come to is known only while the image is built: no step depends on it.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import Struct

from atomicstate.errors import AtomicstateError, ValidationError
from atomicstate.recipe import checks
from atomicstate.recipe.document import Place, UnreadableError, path_text
from atomicstate.recipe.filling import Filling
from atomicstate.recipe.names import shown
from atomicstate.recipe.resources import Library, folder_of, is_document, is_outside, is_url, named
from atomicstate.recipe.schema import (
    CopyBody,
    IncludeBody,
    MergeBody,
    Module,
    Recipe,
    ShellBody,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from atomicstate.recipe.document import Document, Path
    from atomicstate.recipe.resources import Manifest

MAX_DEPTH = 16
"""The most documents that include one another."""

MAX_STEPS = 10_000
"""The most steps that a recipe may come to."""

MAX_DOCUMENTS = 1_000
"""The most documents that it may take in, each counted as often as it is included."""

LANGUAGE = (0, 6, 1)
"""The version of the recipe's language that expressions see as `Version`."""

# The first folder of a relative path, or a file that stands by itself after `./`.
_RELATIVE = re.compile(r"(?<![\w./$}~-])(?:(?:\./)?(\w[\w.+-]*)/|\./(\w[\w.+-]*)(?!/))", re.ASCII)

_ARCHITECTURES = {"amd64": "x86_64", "386": "i586", "arm": "armh", "arm64": "aarch64"}


class Step(Struct, frozen=True):
    """One module of the expanded recipe, with nothing left to fill in, and never an include.

    `event` is the action that it comes from (0: the recipe found at `init`), `where` says where
    it stands, `sources` maps what it names in the resources to the resource's name, `env` are all
    the variables that hold for it.
    """

    event: int
    where: str
    module: Module
    env: dict[str, str]
    sources: dict[str, str]


class Trouble(NamedTuple):
    """What is wrong at `path` of the document `name` (empty: the recipe itself), and where.

    `missing`: something is not to be had, which may be only so here. `warning`: the document can
    be used all the same. `line` and `column` are 0 where they are not known.
    """

    name: str
    path: str
    message: str
    missing: bool = False
    warning: bool = False
    expected: str = ""
    nearest: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        where = f"{self.name}: " if self.name else ""
        return f"{where}{self.path}: {self.message}" if self.path else f"{where}{self.message}"


class Expansion(NamedTuple):
    """The steps, and what is wrong; where anything is, the steps are not all.

    `uses` are the names of all resources that it looked up, `documents` those that it took in.
    `remarks` are warnings.
    """

    steps: tuple[Step, ...]
    troubles: tuple[Trouble, ...] = ()
    uses: tuple[str, ...] = ()
    documents: Mapping[str, Recipe] = MappingProxyType({})
    remarks: tuple[Trouble, ...] = ()

    def require(self) -> tuple[Step, ...]:
        """The steps. Raises ValidationError where anything is wrong."""
        if self.troubles:
            first, *others = self.troubles
            more = f" (and {len(others)} more)" if others else ""
            hint = first.expected or None
            if first.missing:
                hint = "bring it, and record it with `atomicstate config import`"
            raise ValidationError(f"the recipe, {first}{more}", hint=hint)
        return self.steps


def expand(
    recipe: Recipe,
    library: Library,
    *,
    owners: Sequence[int] = (),
    inputs: Mapping[str, str] | None = None,
    architecture: str = "amd64",
    document: Document | None = None,
) -> Expansion:
    """The steps of `recipe`, whose modules come from the events `owners` (none: 0).

    `inputs` are values of `Env` beside the recipe's own, which come before them. `document` is
    the one that the recipe was read from: troubles tell their places in it.
    """
    walk = _Walk(library, architecture, document)
    env = walk.top(recipe.env, dict(inputs or {}))
    walk.document(_Scope("", env, ()), recipe.modules, owners or (0,) * len(recipe.modules))
    # What reading and filling both find is one trouble.
    troubles = tuple(dict.fromkeys(walk.troubles))
    return Expansion(
        tuple(walk.steps),
        tuple(trouble for trouble in troubles if not trouble.warning),
        tuple(dict.fromkeys(walk.uses)),
        {name: read for name, read in walk.documents.items() if read is not None},
        tuple(trouble for trouble in troubles if trouble.warning),
    )


class _Scope(NamedTuple):
    """A document: its name, the variables that hold in it, and those that include one another."""

    name: str
    env: dict[str, str]
    through: tuple[str, ...]


class _Walk:
    """One pass over a recipe and all that it includes."""

    def __init__(
        self, library: Library, architecture: str, document: Document | None = None
    ) -> None:
        self._library = library
        self._architecture = architecture
        self._read_from = {"": document} if document else {}
        self._entered = 0
        self.documents: dict[str, Recipe | None] = {}
        self.steps: list[Step] = []
        self.troubles: list[Trouble] = []
        self.uses: list[str] = []

    def top(self, env: Mapping[str, str], given: dict[str, str]) -> dict[str, str]:
        """The variables of the whole recipe: its own are filled in from those that were given."""
        filling = Filling(self._names(given, {}))
        filled = {name: filling.text(("env", name), text) for name, text in env.items()}
        self._unfilled("", filling)
        return {**given, **filled}

    def document(self, at: _Scope, modules: Sequence[Module], owners: Sequence[int]) -> None:
        """Take in the modules of one document."""
        known: dict[str, Any] = {}
        for place, (module, owner) in enumerate(zip(modules, owners, strict=True)):
            path: Path = ("modules", place)
            if len(self.steps) > MAX_STEPS:
                self._trouble(at.name, path, f"the recipe comes to more than {MAX_STEPS} steps")
                return
            done = self._module(at, path, module, owner, known)
            if module.id:
                known[module.id] = {
                    "Name": module.name,
                    "Type": module.type,
                    "Id": module.id,
                    "If": done,
                    "Output": dict.fromkeys(module.output),
                }

    def _module(
        self, at: _Scope, path: Path, module: Module, owner: int, known: Mapping[str, Any]
    ) -> bool:
        """Take in one module; whether its condition holds, or can't be told."""
        filling = Filling(self._names(at.env, known))
        if not filling.holds((*path, "if"), module.when):
            return False
        own = {key: filling.text((*path, "env", key), text) for key, text in module.env.items()}
        env = {**at.env, **own}
        inner = Filling(self._names(env, known))
        body = inner.value((*path, "body"), module.body)
        outer_failed = self._unfilled(at.name, filling)
        if self._unfilled(at.name, inner) or outer_failed:
            return True
        filled = msgspec.structs.replace(module, body=body)
        wrongs = list(checks.body_problems(filled))
        for wrong in wrongs:
            self._trouble(at.name, (*path, *wrong.path), wrong.message, expected=wrong.expected)
        if wrongs:
            return True
        if isinstance(body, IncludeBody):
            scope = at._replace(env=env)
            for place, target in enumerate(body.targets):
                self._include(scope, (*path, "body", "targets", place), target, owner)
        else:
            sources = self._sources(at.name, path, body)
            where = path_text(path) if not at.name else f"{at.name}: {path_text(path)}"
            self.steps.append(Step(owner, where, filled, env, sources))
        return True

    # -- resources ---------------------------------------------------------------------------

    def _sources(self, name: str, path: Path, body: Any) -> dict[str, str]:  # noqa: ANN401
        """What `body` takes from the resources."""
        if isinstance(body, ShellBody):
            return self._of_command(name, (*path, "body", "command"), body.command)
        if not isinstance(body, CopyBody | MergeBody) or body.source.startswith("/"):
            return {}
        resource = named(folder_of(name), body.source)
        self._manifest(name, (*path, "body", "source"), resource)
        return {body.source: resource}

    def _of_command(self, name: str, path: Path, command: str) -> dict[str, str]:
        """The resources that a command names by relative paths, as `scripts/boot.sh`.

        What no resource has that name is none, and no mistake: most words are something else.
        """
        found = {}
        for match in _RELATIVE.finditer(command):
            word = match[1] or match[2]
            resource = named(folder_of(name), word)
            try:
                there = word not in found and self._library.manifest(resource) is not None
            except AtomicstateError as error:
                # It is there, and can't be taken: the command would not find it.
                self._trouble(name, path, error.message, expected=error.hint)
                continue
            if there:
                found[word] = resource
                self.uses.append(resource)
        return found

    def _include(self, at: _Scope, path: Path, target: str, owner: int) -> None:
        resource = named(folder_of(at.name), target)
        manifest = self._manifest(at.name, path, resource)
        if manifest is None:
            return
        if len(manifest) == 1 and manifest[0].digest and not manifest[0].path:
            files = [(resource, manifest[0].digest)]
        else:
            files = [
                (f"{resource}/{entry.path}", entry.digest)
                for entry in manifest
                if entry.digest and "/" not in entry.path and is_document(entry.path)
            ]
        for document, digest in files:
            self._enter(at, path, document, digest, owner)

    def _manifest(self, name: str, path: Path, resource: str) -> Manifest | None:
        """What the resource holds; where it is not to be had, that is said."""
        self.uses.append(resource)
        try:
            manifest = self._library.manifest(resource)
        except AtomicstateError as error:
            self._trouble(name, path, error.message, expected=error.hint)
            return None
        if manifest is None:
            where = "in the resources"
            if is_outside(resource):
                where = "to be had" if is_url(resource) else "to be had of the base image"
            self._trouble(name, path, f"there is no {shown(resource)} {where}", missing=True)
        return manifest

    def _enter(self, at: _Scope, path: Path, document: str, digest: str, owner: int) -> None:
        if document in at.through:
            around = " includes ".join([*at.through, document])
            self._trouble(at.name, path, f"a circle: {around}")
            return
        if len(at.through) >= MAX_DEPTH:
            self._trouble(at.name, path, f"more than {MAX_DEPTH} documents include one another")
            return
        self._entered += 1
        if self._entered > MAX_DOCUMENTS:
            if self._entered == MAX_DOCUMENTS + 1:
                self._trouble(at.name, path, f"more than {MAX_DOCUMENTS} documents are included")
            return
        recipe = self._read(at.name, path, document, digest)
        if recipe is not None:
            inner = _Scope(document, at.env, (*at.through, document))
            self.document(inner, recipe.modules, (owner,) * len(recipe.modules))

    def _read(self, name: str, path: Path, document: str, digest: str) -> Recipe | None:
        """The document, as far as it can be read, once; what is wrong with it is said once."""
        from atomicstate.recipe import reader

        if document in self.documents:
            return self.documents[document]
        self.documents[document] = None
        try:
            reading = reader.look(self._library.content(digest), included=True)
        except UnreadableError as error:
            self.troubles.append(
                Trouble(document, "", error.reason, line=error.line, column=error.column)
            )
            return None
        except AtomicstateError as error:
            self._trouble(name, path, f"{document}: {error.message}")
            return None
        self._read_from[document] = reading.document
        self.troubles += [
            Trouble(
                document,
                problem.path,
                problem.message,
                warning=problem.warning,
                expected=problem.expected,
                nearest=problem.nearest,
                line=problem.line,
                column=problem.column,
            )
            for problem in reading.problems
        ]
        self.documents[document] = reading.rough
        return reading.rough

    # -- names -------------------------------------------------------------------------------

    def _names(self, env: Mapping[str, str], modules: Mapping[str, Any]) -> dict[str, Any]:
        major, minor, patch = LANGUAGE
        version = {"Major": major, "Minor": minor, "Patch": patch, "Commits": 0}
        return {
            "Env": env,
            "Modules": modules,
            "Version": {**version, "Value": ".".join(map(str, LANGUAGE))},
            "Arch": _ARCHITECTURES.get(self._architecture, self._architecture),
            "GoArch": self._architecture,
        }

    def _unfilled(self, name: str, filling: Filling) -> bool:
        """Say what could not be filled in; whether there was any."""
        for path, message, missing, expected in filling.failures:
            self._trouble(name, path, message, missing=missing, expected=expected)
        return bool(filling.failures)

    def _trouble(
        self, name: str, path: Path, message: str, *, missing: bool = False, expected: str = ""
    ) -> None:
        document = self._read_from.get(name)
        place = document.place(path) if document else Place(0, 0)
        self.troubles.append(
            Trouble(
                name,
                path_text(path),
                message,
                missing,
                expected=expected,
                line=place.line,
                column=place.column,
            )
        )
