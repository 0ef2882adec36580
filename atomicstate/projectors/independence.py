"""Which pending actions can be applied without which: the rule, and nothing else.

Two actions are independent if neither writes a key that the other reads or writes. A selection
may leave an earlier action out if each one inside is independent of it: then what the part means,
and what the rest means on top of it, is what both would have meant in the log's order.

A key is a package's name, or something that no package is called: it begins with `/`. A path in
the image (`//etc/motd`) stands for all below it, EVERY_PACKAGE for all packages, and EVERYTHING
for every key there is.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from atomicstate.projectors import state
from atomicstate.recipe import placeholders, schema
from atomicstate.recipe.names import unit_name
from atomicstate.recipe.placeholders import PLACEHOLDER

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from atomicstate.events.plan import Plan
    from atomicstate.projectors.state import Action
    from atomicstate.recipe.schema import Module

BASE = "/base"
"""The key of the base image."""

REPOSITORIES = "/repositories"
EVERY_PACKAGE = "/packages"
EVERYTHING = "/everything"
_HOST_NAME = "/hostname"
_PATH = "//"
_IN_USR = frozenset({"bin", "lib", "lib32", "lib64", "libx32", "sbin"})
"""Links to what /usr has under the same name."""


class Keys(Struct, frozen=True):
    """What an action writes and what it reads."""

    writes: frozenset[str]
    reads: frozenset[str] = frozenset()

    def independent_of(self, other: Keys) -> bool:
        """Whether neither writes what the other reads or writes."""
        return not (
            _meet(self.writes, other.writes | other.reads) or _meet(other.writes, self.reads)
        )

    def disturbed_by(self, other: Keys) -> bool:
        """Whether `other` writes what this one writes or reads."""
        return _meet(other.writes, self.writes | self.reads)


def keys_of(
    action: Action, plan: Plan, module: Module | None = None, before: Iterable[Module] = ()
) -> Keys:
    """The keys of an action; `plan` is what libapt resolved for it, empty for one of another kind.

    `module` is the one that it puts into the recipe, None where it puts none; `before` are those
    that may lie in its slot: what they did is done no more, so it is written, too. What comes
    along is read, not written: so a common dependency does not tie two additions.
    """
    if action.reference:
        return Keys(frozenset({BASE}))
    if action.kind in (state.ENV_SET, state.ENV_REMOVED):
        return Keys(frozenset({f"/env/{action.key}"}))
    if action.kind in (state.RESOURCE_SET, state.RESOURCE_REMOVED):
        return Keys(frozenset({f"/resource/{action.key}"}))
    if action.kind in (state.MODULE_ADDED, state.MODULE_CHANGED, state.MODULE_REMOVED):
        return _module_keys(action, module, before)
    goes = {change.name for change in plan.goes}
    comes = {change.name for change in plan.comes}
    writes = {*action.names, *goes, f"/slot/{action.seq}"}
    return Keys(frozenset(writes), frozenset({*comes, REPOSITORIES}))


def keys_of_module(module: Module) -> Keys:
    """What a module writes and reads where it is done: its place in the recipe is another thing."""
    writes, reads = _BODIES[module.type](module.body)
    named = {f"/module/{module.id}"} if module.id else set()
    return Keys(frozenset({*writes, *named}), frozenset({*reads, *_named(module)}))


def missing(selected: Collection[int], keys: Mapping[int, Keys]) -> dict[int, list[int]]:
    """For each action of `selected` that is tied to earlier ones outside it: these, in order.

    `keys` has every action that is to be thought of, by number.
    """
    outside = sorted(keys.keys() - set(selected))
    found = {}
    for seq in sorted(selected):
        before = [other for other in outside if other < seq]
        tied = [other for other in before if not keys[seq].independent_of(keys[other])]
        if tied:
            found[seq] = tied
    return found


def standing_on(gone: Collection[int], keys: Mapping[int, Keys]) -> dict[int, list[int]]:
    """For each action that does not go, and is tied to earlier ones of `gone`: these, in order.

    `keys` has every action that is to be thought of, by number.
    """
    found = {}
    for seq in sorted(keys.keys() - set(gone)):
        before = sorted(other for other in gone if other < seq)
        tied = [other for other in before if not keys[seq].independent_of(keys[other])]
        if tied:
            found[seq] = tied
    return found


def closure(selected: Collection[int], keys: Mapping[int, Keys]) -> frozenset[int]:
    """`selected`, with every earlier action that one of them can't be applied without."""
    whole = set(selected)
    while tied := missing(whole, keys):
        whole.update(*tied.values())
    return frozenset(whole)


# -- meeting ------------------------------------------------------------------------------------


def _meet(some: frozenset[str], others: frozenset[str]) -> bool:
    """Whether a key of one stands for a key of the other."""
    if not some or not others:
        return False
    if EVERYTHING in some or EVERYTHING in others or not some.isdisjoint(others):
        return True
    if _every_package(some, others) or _every_package(others, some):
        return True
    paths = [key for key in others if key.startswith(_PATH)]
    return any(
        _below(key, path) or _below(path, key)
        for key in some
        if key.startswith(_PATH)
        for path in paths
    )


def _every_package(some: frozenset[str], others: frozenset[str]) -> bool:
    return EVERY_PACKAGE in some and any(not key.startswith("/") for key in others)


def _below(path: str, top: str) -> bool:
    return path.startswith(top if top.endswith("/") else f"{top}/")


# -- modules ------------------------------------------------------------------------------------


def _module_keys(action: Action, module: Module | None, before: Iterable[Module]) -> Keys:
    """Of an action about a module: its slot, what the module does, and what others did there."""
    # Who changes a slot, or stands before it, means the module that an earlier action put there.
    writes, reads = {f"/slot/{action.seq}"}, set()
    if action.kind != state.MODULE_ADDED:
        writes = {f"/slot/{action.slot}"}
    elif action.slot:
        reads = {f"/slot/{action.slot}"}
    if module is not None:
        own = keys_of_module(module)
        writes.update(own.writes)
        reads.update(own.reads)
    for other in before:
        writes.update(keys_of_module(other).writes)
    return Keys(frozenset(writes), frozenset(reads))


def _named(module: Module) -> Iterator[str]:
    """The variables and modules that the expressions of a module read."""
    reads = set(placeholders.condition_reads(module.when))
    for text in texts((module.env, module.output, msgspec.to_builtins(module.body, str_keys=True))):
        reads |= placeholders.reads(text)
    for first, *rest in reads:
        if rest and first in ("Env", "Modules"):
            yield f"/{'env' if first == 'Env' else 'module'}/{rest[0]}"


def texts(value: Any) -> Iterator[str]:  # noqa: ANN401
    """Every text in plain values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from texts(tuple(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts(item)


_Sides = tuple["Iterable[str]", "Iterable[str]"]


def _path_key(path: str) -> str:
    if PLACEHOLDER.search(path):
        # What it will be is not known: it may be any.
        return _PATH
    bare = posixpath.normpath(path).lstrip("/")
    return _PATH + ("usr/" + bare if bare.split("/")[0] in _IN_USR else bare)


def _of_packages(body: schema.PackagesBody) -> _Sides:
    if body.upgrade or body.depends:
        return (EVERYTHING,), ()
    names = (*body.install, *body.remove)
    if any(map(PLACEHOLDER.search, names)):
        # What is filled in may be any.
        return (*names, EVERY_PACKAGE), (REPOSITORIES,)
    return names, (REPOSITORIES,)


def _of_copy(body: schema.CopyBody | schema.MergeBody) -> _Sides:
    if body.source.startswith("/"):
        return (_path_key(body.destination),), (_path_key(body.source),)
    top = body.source.split("/", 1)[0]
    return (_path_key(body.destination),), (f"/resource/{body.source}", f"/resource/{top}")


def _of_move(body: schema.MoveBody) -> _Sides:
    return (_path_key(body.source), _path_key(body.destination)), ()


def _of_systemd(body: schema.SystemdBody) -> _Sides:
    if any(map(PLACEHOLDER.search, body.targets)):
        return (EVERYTHING,), ()
    return (f"/unit/{unit_name(unit)}" for unit in body.targets), (EVERY_PACKAGE,)


def _of_targets(body: schema.MkdirBody | schema.RemoveBody) -> _Sides:
    return map(_path_key, body.targets), ()


def _of_everything(_body: object) -> _Sides:
    return (EVERYTHING,), ()


_BODIES: dict[str, Callable[[Any], _Sides]] = {
    "branding": _of_everything,
    "copy": _of_copy,
    "git": _of_everything,
    "include": _of_everything,
    "kernel": _of_everything,
    "link": lambda body: ((_path_key(body.target),), ()),
    "merge": _of_copy,
    "mkdir": _of_targets,
    "move": _of_move,
    "network": lambda _body: ((_HOST_NAME,), (EVERY_PACKAGE,)),
    "packages": _of_packages,
    "remove": _of_targets,
    "replace": lambda body: ((_path_key(body.target),), ()),
    "repos": lambda _body: ((REPOSITORIES,), ()),
    "shell": _of_everything,
    "systemd": _of_systemd,
}
