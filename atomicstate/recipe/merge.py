"""Two changes of one recipe, made apart, as one: module by module, variable by variable."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING, NamedTuple

from atomicstate.errors import ConflictError
from atomicstate.recipe.names import shown
from atomicstate.recipe.schema import Module, Recipe
from atomicstate.recipe.writer import encode_module

if TYPE_CHECKING:
    from collections.abc import Sequence


def merge(base: Recipe, ours: Recipe, theirs: Recipe) -> Recipe:
    """`base` with the changes that `ours` made, and those that `theirs` made.

    Where both added modules in one place, ours come first. Raises ConflictError where both
    changed the same thing, each in another way.
    """
    image = _one("the image", base.image, ours.image, theirs.image) or ""
    names = dict.fromkeys((*ours.env, *theirs.env))
    env = {
        name: _one(
            f"the variable {name}", base.env.get(name), ours.env.get(name), theirs.env.get(name)
        )
        for name in names
    }
    return Recipe(
        image,
        _modules(base.modules, ours.modules, theirs.modules),
        {name: value for name, value in env.items() if value is not None},
    )


def _one(what: str, base: str | None, ours: str | None, theirs: str | None) -> str | None:
    if theirs in (base, ours):
        return ours
    if base == ours:
        return theirs
    raise _conflict(what)


def _conflict(what: str) -> ConflictError:
    return ConflictError(
        f"{what} was changed by an action and in the document, each in another way:"
        " nothing was changed",
        hint="undo the action first, or --replace takes the document alone",
    )


class _Hunk(NamedTuple):
    """The modules of the base from `start` up to `end` became `new`."""

    start: int
    end: int
    new: tuple[Module, ...]


def _modules(
    base: Sequence[Module], ours: Sequence[Module], theirs: Sequence[Module]
) -> tuple[Module, ...]:
    left, right = _hunks(base, ours), _hunks(base, theirs)
    merged: list[Module] = []
    at = 0
    for hunk in _in_turn(base, left, right):
        merged += [*base[at : hunk.start], *hunk.new]
        at = hunk.end
    return (*merged, *base[at:])


def _hunks(base: Sequence[Module], side: Sequence[Module]) -> list[_Hunk]:
    keys = [*map(encode_module, base)], [*map(encode_module, side)]
    matcher = SequenceMatcher(None, *keys, autojunk=False)
    return [
        _Hunk(start, end, tuple(side[first:last]))
        for what, start, end, first, last in matcher.get_opcodes()
        if what != "equal"
    ]


def _in_turn(base: Sequence[Module], ours: list[_Hunk], theirs: list[_Hunk]) -> list[_Hunk]:
    """The hunks of both, in the order of the base; what both did alike once."""
    found: list[_Hunk] = []
    left, right = list(ours), list(theirs)
    while left and right:
        mine, other = left[0], right[0]
        if mine == other:
            found.append(left.pop(0))
            right.pop(0)
        elif (mine.start, mine.end) == (other.start, other.end) and mine.start == mine.end:
            # Both only added something.
            found.append(left.pop(0))
        elif mine.end <= other.start:
            found.append(left.pop(0))
        elif other.end <= mine.start:
            found.append(right.pop(0))
        else:
            module = base[max(mine.start, other.start)]
            name = f" {shown(module.name or module.id)}" if module.name or module.id else ""
            raise _conflict(f"a {module.type} module{name}")
    return [*found, *left, *right]
