"""What the schema's types can't say: forms of values, and what needs or excludes what.

A value with a `${{ }}` in it is looked at when that is filled in, and not before.
"""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from atomicstate.errors import ValidationError
from atomicstate.recipe import schema
from atomicstate.recipe.names import is_text, shown, valid_name
from atomicstate.recipe.placeholders import PLACEHOLDER, check_condition, check_text
from atomicstate.recipe.reference import valid_reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from atomicstate.recipe.document import Path
    from atomicstate.recipe.schema import Module, Recipe


class Wrong(NamedTuple):
    """What is wrong at `path` below a module or a recipe, and what was expected there."""

    path: Path
    message: str
    expected: str = ""


_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MODE = re.compile(r"[r-][w-][xsS-][r-][w-][xsS-][r-][w-][xtT-]")
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]{1,255}")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*")
_DATE = re.compile(r"\d{4}/\d{2}/\d{2}|\d{8}|latest", re.ASCII)
_TASK = re.compile(r"[0-9]{1,10}", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*", re.ASCII)
_OPTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9:/._-]*", re.ASCII)
_URL = re.compile(r"https?://[^\s]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
MAX_PATH = 4096

_A_MODE = "nine characters such as rwxr-xr-x"
_A_PATH = "an absolute path, as /etc/motd"


def valid_variable(name: str) -> str:
    """`name`, if a variable can have it. Raises ValidationError."""
    if not _VARIABLE.fullmatch(name):
        raise ValidationError(
            f"{shown(name)} is no name of a variable", hint="letters, digits and _, no digit first"
        )
    return name


def recipe_problems(recipe: Recipe) -> Iterator[Wrong]:
    """What is wrong in the document as a whole."""
    if recipe.image:
        yield from _said(("image",), lambda: valid_reference(recipe.image))
    yield from _variables(("env",), recipe.env)
    ids: dict[str, int] = {}
    for place, module in enumerate(recipe.modules):
        if module.id and module.id in ids:
            yield Wrong(
                ("modules", place, "id"),
                f"modules[{ids[module.id]}] has the id {shown(module.id)} already",
                "an id of its own",
            )
        ids.setdefault(module.id, place)


def module_problems(module: Module) -> Iterator[Wrong]:
    """What is wrong in one module."""
    body = msgspec.to_builtins(module.body, str_keys=True)
    parts = {"name": module.name, "if": module.when, "body": body, "output": module.output}
    for key, value in parts.items():
        yield from _halves((key,), value)
    if module.id and not _ID.fullmatch(module.id):
        yield Wrong(
            ("id",), f"{shown(module.id)} is no id", "letters, digits and _, a letter first"
        )
    yield from _variables(("env",), module.env)
    yield from _said(("if",), lambda: check_condition(module.when))
    for key, text in module.output.items():
        if not _ID.fullmatch(key):
            yield Wrong(("output", key), f"{shown(key)} is no name", "letters, digits and _")
        yield from _said(("output", key), lambda text=text: check_text(text))  # type: ignore[misc]
    for path, text in _texts(("body",), body):
        yield from _said(path, lambda text=text: check_text(text))  # type: ignore[misc]
    yield from body_problems(module)


def body_problems(module: Module) -> Iterator[Wrong]:
    """What is wrong in a module's body: what a `${{ }}` leaves open is left out."""
    check: Callable[[Any], Iterable[Wrong]] = _BODIES[module.type]
    for wrong in check(module.body):
        yield Wrong(("body", *wrong.path), wrong.message, wrong.expected)


def module_warnings(module: Module) -> Iterator[tuple[Path, str]]:
    """What can be used, and is not what was meant, perhaps."""
    if module.output and module.type != "shell":
        yield ("output",), f"a module of the type {module.type} has no output"
    if module.output and not module.id:
        yield ("output",), "nothing can read this: the module has no id"
    body = module.body
    if isinstance(body, schema.ReposBody) and body.name:
        yield ("body", "name"), "`name` has no meaning any more"
    if isinstance(body, schema.ReplaceBody) and not _is_open(body.pattern):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                re.compile(body.pattern)
        except re.error as error:
            yield ("body", "pattern"), f"this may be no regular expression: {error}"


# -- bodies -------------------------------------------------------------------------------------


def _packages(body: schema.PackagesBody) -> Iterator[Wrong]:
    for key in ("install", "remove"):
        yield from _names((key,), getattr(body, key))
    for name in sorted(set(body.install) & set(body.remove)):
        yield Wrong(("remove",), f"{shown(name)} is to be installed, too", "one of both")
    for option in body.options:
        if not _OPTION.fullmatch(option):
            yield Wrong(("options", option), f"{shown(option)} is no setting of apt")


def _repos(body: schema.ReposBody) -> Iterator[Wrong]:
    if body.date and not body.branch:
        yield Wrong(("date",), "a date says nothing without a branch", "branch: its name")
    if body.clean and body.clean_temporary:
        yield Wrong(("clean-temporary",), "`clean` takes these away, too", "one of both")
    yield from _formed(("branch",), body.branch, _WORD, "the name of a branch")
    yield from _formed(("date",), body.date, _DATE, "YYYYMMDD, YYYY/MM/DD or latest")
    for place, task in enumerate(body.tasks):
        yield from _formed(("tasks", place), task, _TASK, "the number of a task")
    for place, line in enumerate(body.custom):
        if not line.strip() or (_CONTROL.search(line) and not _is_open(line)):
            yield Wrong(("custom", place), "this is no line of sources.list")


def _kernel(body: schema.KernelBody) -> Iterator[Wrong]:
    yield from _formed(("kernel-info", "flavour"), body.kernel_info.flavour, _WORD, "a flavour")
    for place, name in enumerate(body.kernel_info.modules):
        yield from _formed(("kernel-info", "modules", place), name, _WORD, "a module's name")
    theme = body.initrd.plymouth_theme
    yield from _formed(("initrd", "plymouth-theme"), theme, _WORD, "a theme's name")


def _branding(body: schema.BrandingBody) -> Iterator[Wrong]:
    if body.subpackages and not body.name:
        yield Wrong(("subpackages",), "packages of which branding?", "name: the branding")
    yield from _formed(("name",), body.name, _WORD, "a branding's name")
    for place, name in enumerate(body.subpackages):
        yield from _formed(("subpackages", place), name, _WORD, "the end of a package's name")
    for key, text in body.release_overrides.items():
        yield from _formed(("release-overrides", key), key, _VARIABLE, "a name as VARIANT_ID")
        if _CONTROL.search(text) and not _is_open(text):
            yield Wrong(("release-overrides", key), "a field of os-release is one line")


def _git(body: schema.GitBody) -> Iterator[Wrong]:
    for key, text in (("url", body.url), ("rev", body.rev)):
        if not _is_open(text) and (text.startswith("-") or re.search(r"\s", text)):
            yield Wrong((key,), f"{shown(text)} is no {key} of git")
    yield from _without_null(("command",), body.command)
    for key, names in (("build-deps", body.build_deps), ("deps", body.deps)):
        yield from _names((key,), names)


def _shell(body: schema.ShellBody) -> Iterator[Wrong]:
    yield from _without_null(("command",), body.command)


def _systemd(body: schema.SystemdBody) -> Iterator[Wrong]:
    if body.enabled and body.masked:
        yield Wrong(("masked",), "what is masked can't be enabled", "one of both")
    for place, unit in enumerate(body.targets):
        yield from _formed(("targets", place), unit, _UNIT, "a unit, as sshd.service")
        if unit.startswith("-"):
            yield Wrong(("targets", place), f"{shown(unit)} is no unit")


def _copy(body: schema.CopyBody) -> Iterator[Wrong]:
    yield from _resource(("source",), body.source)
    yield from _path(("destination",), body.destination, top=True)


def _move(body: schema.MoveBody) -> Iterator[Wrong]:
    yield from _path(("source",), body.source)
    yield from _path(("destination",), body.destination)


def _link(body: schema.LinkBody) -> Iterator[Wrong]:
    yield from _path(("target",), body.target)
    if _CONTROL.search(body.to) and not _is_open(body.to):
        yield Wrong(("to",), f"{shown(body.to)} is no path", "a path")


def _merge(body: schema.MergeBody) -> Iterator[Wrong]:
    if body.source.startswith("/"):
        yield from _path(("source",), body.source)
    else:
        yield from _resource(("source",), body.source)
    yield from _path(("destination",), body.destination)
    yield from _formed(("create-file-perm",), body.create_file_perm, _MODE, _A_MODE)


def _mkdir(body: schema.MkdirBody) -> Iterator[Wrong]:
    for place, path in enumerate(body.targets):
        yield from _path(("targets", place), path)
    yield from _formed(("perm",), body.perm, _MODE, _A_MODE)


def _remove(body: schema.RemoveBody) -> Iterator[Wrong]:
    for place, path in enumerate(body.targets):
        yield from _path(("targets", place), path)


def _replace(body: schema.ReplaceBody) -> Iterator[Wrong]:
    yield from _path(("target",), body.target)
    for key in ("pattern", "repl"):
        yield from _without_null((key,), getattr(body, key))


def _network(body: schema.NetworkBody) -> Iterator[Wrong]:
    yield from _formed(("hostname",), body.hostname, _HOST_NAME, "a host's name")


def _include(body: schema.IncludeBody) -> Iterator[Wrong]:
    for place, target in enumerate(body.targets):
        path = ("targets", place)
        if _is_open(target) or _URL.fullmatch(target):
            continue
        if "://" in target:
            yield Wrong(path, f"{shown(target)} can't be fetched", "a path, or https://...")
        elif target.startswith("/"):
            yield from _path(path, target)
            if not target.startswith("/usr/"):
                yield Wrong(path, "only what lies in /usr is in the base image", "/usr/...")
        else:
            yield from _resource(path, target)


_BODIES: dict[str, Callable[[Any], Iterable[Wrong]]] = {
    "branding": _branding,
    "copy": _copy,
    "git": _git,
    "include": _include,
    "kernel": _kernel,
    "link": _link,
    "merge": _merge,
    "mkdir": _mkdir,
    "move": _move,
    "network": _network,
    "packages": _packages,
    "remove": _remove,
    "replace": _replace,
    "repos": _repos,
    "shell": _shell,
    "systemd": _systemd,
}


# -- values -------------------------------------------------------------------------------------


def _is_open(text: str) -> bool:
    """Whether its value is not known before a `${{ }}` in it is filled in."""
    return PLACEHOLDER.search(text) is not None


def _said(path: Path, check: Callable[[], object]) -> Iterator[Wrong]:
    """What `check` raises, as a problem at `path`."""
    try:
        check()
    except ValidationError as error:
        yield Wrong(path, error.message, error.hint)


def _formed(path: Path, text: str, form: re.Pattern[str], expected: str) -> Iterator[Wrong]:
    if text and not _is_open(text) and not form.fullmatch(text):
        yield Wrong(path, f"{shown(text)} can't stand here", expected)


def _names(path: Path, names: Iterable[str]) -> Iterator[Wrong]:
    for place, name in enumerate(names):
        if not _is_open(name):
            yield from _said((*path, place), lambda name=name: valid_name(name))  # type: ignore[misc]


def _variables(path: Path, env: dict[str, str]) -> Iterator[Wrong]:
    for name, text in env.items():
        if not _VARIABLE.fullmatch(name):
            yield Wrong((*path, name), f"{shown(name)} is no name of a variable")
        yield from _halves((*path, name), text)
        yield from _without_null((*path, name), text)
        yield from _said((*path, name), lambda text=text: check_text(text))  # type: ignore[misc]


def _without_null(path: Path, text: str) -> Iterator[Wrong]:
    if "\0" in text:
        yield Wrong(path, "a character that no command can be given (NUL)")


def _halves(path: Path, value: Any) -> Iterator[Wrong]:  # noqa: ANN401
    """What in `value` is no text."""
    for below, text in _texts(path, value):
        if not is_text(text):
            yield Wrong(below, f"{shown(text)} has half a character: it is no text")


def _path(path: Path, text: str, *, top: bool = False) -> Iterator[Wrong]:
    """A path in the image; `top`: it may be / itself."""
    if _is_open(text):
        return
    if not text.startswith("/") or _CONTROL.search(text) or len(text) > MAX_PATH:
        yield Wrong(path, f"{shown(text)} is no absolute path", _A_PATH)
    elif ".." in text.split("/"):
        yield Wrong(path, f"`..` is in {shown(text)}", "the path itself")
    elif not top and not text.strip("/."):
        yield Wrong(path, "this is the whole tree", _A_PATH)


def _resource(path: Path, text: str) -> Iterator[Wrong]:
    """A path in the resources."""
    if _is_open(text):
        return
    if text.startswith("/"):
        yield Wrong(path, f"{shown(text)} is not in the resources", "a relative path")
    elif ".." in text.split("/"):
        yield Wrong(path, f"{shown(text)} leads out of the resources", "a path without `..`")
    elif _CONTROL.search(text) or len(text) > MAX_PATH:
        yield Wrong(path, f"{shown(text)} is no path", "a relative path")


def _texts(path: Path, value: Any) -> Iterator[tuple[Path, str]]:  # noqa: ANN401
    """Every text in `value`, with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts((*path, key), item)
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            yield from _texts((*path, place), item)
