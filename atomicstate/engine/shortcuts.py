"""Verbs that are short for one module each, or for a variable: units, repositories, ...

What the recipe does already is not recorded again. Whether it does so is told by the last module
that has a say in it: after a command, say, nobody knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from atomicstate.engine import edits
from atomicstate.engine.edits import Edit
from atomicstate.errors import ConflictError, NoOperationError, ValidationError
from atomicstate.events.bodies import EnvRemoved, EnvSet
from atomicstate.projectors.independence import keys_of_module
from atomicstate.recipe.names import unit_name
from atomicstate.recipe.schema import (
    KernelBody,
    KernelInfo,
    Module,
    NetworkBody,
    ReposBody,
    ShellBody,
    SystemdBody,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from atomicstate.engine.edits import Standing
    from atomicstate.engine.results import ChangeResult, Reporter
    from atomicstate.engine.session import Session

ENABLE = "enable"
DISABLE = "disable"
MASK = "mask"
_DONE = {ENABLE: "enabled", DISABLE: "disabled", MASK: "masked"}
_ANYTHING = frozenset({"git", "include", "shell"})
"""The types of module that may do anything."""


# -- units --------------------------------------------------------------------------------------


def service(
    session: Session, verb: str, units: Sequence[str], reporter: Reporter, *, everyone: bool
) -> ChangeResult:
    """Enable, disable or mask (`verb`) units of the system, or with `everyone` of each user.

    Raises NoOperationError where all of them are so, ConflictError for one that is masked and
    shall be enabled, and what `edits.record` does.
    """
    names = tuple(dict.fromkeys(unit_name(unit) for unit in units))
    skipped: list[str] = []

    def plan(here: Standing) -> list[Edit]:
        skipped[:] = [unit for unit in names if _is_so(here, _units(verb, (unit,), everyone), unit)]
        left = tuple(unit for unit in names if unit not in skipped)
        if not left:
            raise NoOperationError(f"{_listed(names)}: {_DONE[verb]} already, nothing to do")
        if verb == ENABLE:
            for unit in left:
                _refuse_masked(here, unit, everyone)
        return [edits.added(_units(verb, left, everyone))]

    return edits.skipping(edits.record(session, plan, reporter), skipped)


def _units(verb: str, units: tuple[str, ...], everyone: bool) -> Module:
    body = SystemdBody(units, enabled=verb == ENABLE, masked=verb == MASK, global_=everyone)
    return Module("systemd", body)


def _is_so(here: Standing, wanted: Module, unit: str) -> bool:
    """Whether the last module with a say in `unit`, the one of `wanted`, does the same with it."""
    last = _last_say(here, wanted)
    if last is None or last.when or not isinstance(last.body, SystemdBody):
        return False
    return (
        unit in map(unit_name, last.body.targets)
        and replace(last.body, targets=(unit,)) == wanted.body
    )


def _refuse_masked(here: Standing, unit: str, everyone: bool) -> None:
    for slot, module in reversed(here.modules()):
        body = module.body
        if (
            isinstance(body, SystemdBody)
            and body.global_ == everyone
            and unit in map(unit_name, body.targets)
        ):
            if body.masked and not module.when:
                raise ConflictError(
                    f"{unit} is masked by the module {here.label(slot)}, and what is masked can't"
                    " be enabled; nothing was changed",
                    hint=f"`atomicstate module remove {here.label(slot)}` first",
                )
            return


# -- repositories -------------------------------------------------------------------------------


def set_branch(session: Session, branch: str, date: str, reporter: Reporter) -> ChangeResult:
    """Take packages from a branch of the distribution, as it was on the day `date` where given.

    Raises NoOperationError where it is so, and what `edits.record` does.
    """
    module = Module("repos", ReposBody(branch=branch, date=date))

    def plan(here: Standing) -> list[Edit]:
        last = _last_say(here, module)
        if last is not None and (last.body, last.when) == (module.body, ""):
            raise NoOperationError(f"packages come from {branch} already, nothing to do")
        return [edits.added(module)]

    return edits.record(session, plan, reporter)


def add_repository(
    session: Session, line: str, reporter: Reporter, *, allow_secret: bool = False
) -> ChangeResult:
    """Add a line of sources.list. Raises NoOperationError where it is there, and what
    `edits.record` does."""
    line = _one_space(line)
    module = Module("repos", ReposBody(custom=(line,)))

    def plan(here: Standing) -> list[Edit]:
        last = _last(here, lambda other: _has_say_on_line(other, line))
        if last is not None and last.type == "repos" and not last.when and _names(last, line):
            raise NoOperationError("this repository is in the recipe already, nothing to do")
        return [edits.added(module)]

    return edits.record(session, plan, reporter, allow_secret=allow_secret)


def remove_repository(session: Session, line: str, reporter: Reporter) -> ChangeResult:
    """Take a line of sources.list out of every module of the recipe that adds it.

    Raises NoOperationError where none does, and what `edits.record` does.
    """
    line = _one_space(line)

    def plan(here: Standing) -> list[Edit]:
        found = [(slot, module) for slot, module in here.modules() if _names(module, line)]
        if not found:
            raise NoOperationError(
                "no module of the recipe adds this repository, nothing to do",
                hint="`atomicstate module list` shows them; one of the base image is removed by a"
                " module of its own",
            )
        return [_without_line(slot, module, line) for slot, module in found]

    return edits.record(session, plan, reporter)


def _one_space(line: str) -> str:
    return " ".join(line.split())


def _names(module: Module, line: str) -> bool:
    return isinstance(module.body, ReposBody) and line in map(_one_space, module.body.custom)


def _has_say_on_line(module: Module, line: str) -> bool:
    """Whether it may add the line, or take it away."""
    if not isinstance(module.body, ReposBody):
        return module.type in _ANYTHING
    return bool(module.body.clean or module.body.branch) or _names(module, line)


def _without_line(slot: int, module: Module, line: str) -> Edit:
    body = module.body
    assert isinstance(body, ReposBody)  # noqa: S101 - it names the line
    left = replace(body, custom=tuple(item for item in body.custom if _one_space(item) != line))
    if left == ReposBody(name=body.name, no_update=body.no_update):
        return edits.removed(slot, module)
    return edits.changed(slot, replace(module, body=left))


# -- kernel, host name, command -----------------------------------------------------------------


def set_kernel(
    session: Session, flavour: str, modules: Sequence[str], reporter: Reporter, *, headers: bool
) -> ChangeResult:
    """Take the newest kernel of a flavour, with `modules` that are packages of their own.

    Raises NoOperationError where the recipe says so, and what `edits.record` does.
    """
    info = KernelInfo(flavour, tuple(dict.fromkeys(modules)), include_headers=headers)
    module = Module("kernel", KernelBody(info))

    def plan(here: Standing) -> list[Edit]:
        last = _last(here, lambda other: other.type in {"kernel", *_ANYTHING})
        if last is not None and (last.body, last.when) == (module.body, ""):
            raise NoOperationError(f"the kernel is {flavour} already, nothing to do")
        return [edits.added(module)]

    return edits.record(session, plan, reporter)


def set_host_name(session: Session, name: str, reporter: Reporter) -> ChangeResult:
    """Name the host. Raises NoOperationError where it is so, and what `edits.record` does."""
    module = Module("network", NetworkBody(name))

    def plan(here: Standing) -> list[Edit]:
        last = _last(here, lambda other: other.type in {"network", *_ANYTHING})
        if last is not None and (last.body, last.when) == (module.body, ""):
            raise NoOperationError(f"the host's name is {name} already, nothing to do")
        return [edits.added(module)]

    return edits.record(session, plan, reporter)


def run(
    session: Session, command: str, reporter: Reporter, *, allow_secret: bool = False
) -> ChangeResult:
    """Run a command by the shell while the image is built. Raises what `edits.record` does."""
    module = Module("shell", ShellBody(command))
    if not command.strip():
        raise ValidationError("there is no command to run; nothing was changed")
    return edits.record(
        session, lambda _here: [edits.added(module)], reporter, allow_secret=allow_secret
    )


# -- variables ----------------------------------------------------------------------------------


def set_env(
    session: Session, values: Mapping[str, str], reporter: Reporter, *, allow_secret: bool = False
) -> ChangeResult:
    """Set variables of the recipe. Raises NoOperationError where all have their value, and what
    `edits.record` does."""
    skipped: list[str] = []

    def plan(here: Standing) -> list[Edit]:
        env = here.composed.recipe.env
        skipped[:] = [name for name, value in values.items() if env.get(name) == value]
        left = [name for name in values if name not in skipped]
        if not left:
            raise NoOperationError(f"{_listed(values)}: so already, nothing to do")
        return [Edit(EnvSet(name, values[name])) for name in left]

    result = edits.record(session, plan, reporter, allow_secret=allow_secret)
    return edits.skipping(result, skipped)


def remove_env(session: Session, names: Sequence[str], reporter: Reporter) -> ChangeResult:
    """Take variables out of the recipe. Raises NoOperationError where none is there, and what
    `edits.record` does."""
    skipped: list[str] = []

    def plan(here: Standing) -> list[Edit]:
        env = here.composed.recipe.env
        left = [name for name in dict.fromkeys(names) if name in env]
        skipped[:] = [name for name in names if name not in env]
        if not left:
            raise NoOperationError(f"{_listed(names)}: not in the recipe, nothing to do")
        return [Edit(EnvRemoved(name)) for name in left]

    return edits.skipping(edits.record(session, plan, reporter), skipped)


# -- who had the last word ----------------------------------------------------------------------


def _last(here: Standing, has_say: Callable[[Module], bool]) -> Module | None:
    return next((module for _slot, module in reversed(here.modules()) if has_say(module)), None)


def _last_say(here: Standing, wanted: Module) -> Module | None:
    """The last module that writes what `wanted` writes or reads."""
    keys = keys_of_module(wanted)
    return _last(here, lambda other: keys.disturbed_by(keys_of_module(other)))


def _listed(names: Sequence[str] | Mapping[str, str]) -> str:
    return ", ".join(names)
