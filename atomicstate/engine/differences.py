"""From the recipe as it is wanted to another one: the fewest changes, each an action of its own."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from atomicstate.engine.edits import Edit, added, changed, removed
from atomicstate.events.bodies import EnvRemoved, EnvSet
from atomicstate.recipe.writer import encode_module

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from atomicstate.projectors.recipe import Composition
    from atomicstate.recipe.schema import Module, Recipe


def differences(before: Composition, after: Recipe) -> list[Edit]:
    """The edits that make the modules and variables of `before` those of `after`.

    The order of the variables says nothing, and is no difference.
    """
    return [*of_variables(before.recipe.env, after.env), *of_modules(before, after.modules)]


def of_variables(
    before: Mapping[str, str], after: Mapping[str, str], *, given: bool = False
) -> Iterator[Edit]:
    """The edits of variables; `given` as in `env.set`."""
    for name in before:
        if name not in after:
            yield Edit(EnvRemoved(name, given))
    for name, value in after.items():
        if before.get(name) != value:
            yield Edit(EnvSet(name, value, given))


def of_modules(before: Composition, after: Sequence[Module]) -> Iterator[Edit]:
    """The edits of modules: one that differs and is the same by type, id and name is changed."""
    old = list(zip(before.slots, before.recipe.modules, strict=True))
    here, there = [encode_module(module) for _slot, module in old], [*map(encode_module, after)]
    matcher = SequenceMatcher(None, here, there, autojunk=False)
    for what, first, last, new_first, new_last in matcher.get_opcodes():
        if what != "equal":
            following = old[last][0] if last < len(old) else 0
            yield from _of_part(old[first:last], after[new_first:new_last], following)


def _of_part(
    old: Sequence[tuple[int, Module]], new: Sequence[Module], following: int
) -> Iterator[Edit]:
    """The edits of a part in which nothing is as it was; `following` is the slot after it."""
    matcher = SequenceMatcher(
        None,
        [_same(module) for _slot, module in old],
        [_same(module) for module in new],
        autojunk=False,
    )
    for what, first, last, new_first, new_last in matcher.get_opcodes():
        if what == "equal":
            for (slot, _module), module in zip(
                old[first:last], new[new_first:new_last], strict=True
            ):
                yield changed(slot, module)
            continue
        for slot, module in old[first:last]:
            yield removed(slot, module)
        before = old[last][0] if last < len(old) else following
        for module in new[new_first:new_last]:
            yield added(module, before)


def _same(module: Module) -> tuple[str, str, str]:
    """By what a module is known to be the one that it was."""
    return (module.type, module.id, module.name)
