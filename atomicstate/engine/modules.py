"""`module add`, `module remove`, `module list`: the recipe's modules as such."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from atomicstate.engine import edits
from atomicstate.engine.checking import STANDARD_INPUT, read_document
from atomicstate.errors import ValidationError
from atomicstate.recipe import reader, writer
from atomicstate.recipe.summary import summary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atomicstate.engine.edits import Edit, Standing
    from atomicstate.engine.results import ChangeResult, Reporter
    from atomicstate.engine.session import Session
    from atomicstate.recipe.schema import Module

FOUND = 1
"""The event that holds what `init` found."""


class ModuleResult(Struct, frozen=True):
    """A module of the recipe, and the word that means it: its `id`, else the number of the event
    that made it, or found-N.

    `event` is the one that last wrote it. `of_packages`: `package add` or `remove` did.
    """

    id: str
    type: str
    name: str
    what: str
    event: int
    of_packages: bool
    module: dict[str, Any]


def read_modules(file: str) -> tuple[Module, ...]:
    """The modules in `file` (`-`: standard input): one, a list of them, or a document's `modules`.

    Raises ValidationError, with the place, for what they can't be, NotFoundError, HostError.
    """
    modules = reader.read_modules(read_document(file))
    if not modules:
        name = "standard input" if file == STANDARD_INPUT else file
        raise ValidationError(f"there is no module in {name}; nothing was changed")
    return modules


def add(
    session: Session,
    modules: Sequence[Module],
    reporter: Reporter,
    *,
    before: str = "",
    allow_secret: bool = False,
) -> ChangeResult:
    """Put `modules` into the recipe, before the one that `before` means, or at its end.

    Raises NotFoundError for an unknown one, and what `edits.record` does.
    """

    def plan(here: Standing) -> list[Edit]:
        slot = here.find(before)[0] if before else 0
        return [edits.added(module, slot) for module in modules]

    return edits.record(session, plan, reporter, allow_secret=allow_secret)


def remove(session: Session, words: Sequence[str], reporter: Reporter) -> ChangeResult:
    """Take the modules that `words` mean out of the recipe.

    Raises NotFoundError, and ValidationError for one that belongs to `package add` or `remove`:
    the package would be wanted still, and come from nowhere.
    """

    def plan(here: Standing) -> list[Edit]:
        found = dict(here.find(word) for word in words)
        for slot in found:
            if here.is_of_packages(slot):
                raise ValidationError(
                    f"#{slot} is an action about packages, which no module stands for alone;"
                    " nothing was changed",
                    hint=f"`atomicstate undo {slot}` takes it back, `atomicstate package` asks for"
                    " something else",
                )
        return [edits.removed(slot, module) for slot, module in found.items()]

    return edits.record(session, plan, reporter)


def modules(session: Session) -> list[ModuleResult]:
    """The recipe's modules, in order."""
    here = edits.standing(session, session.system())
    return [
        ModuleResult(
            id=module.id or here.label(slot),
            type=module.type,
            name=module.name,
            what=summary(module),
            event=owner or FOUND,
            of_packages=here.is_of_packages(slot),
            module=writer.as_builtins(module),
        )
        for (slot, module), owner in zip(here.modules(), here.composed.owners, strict=True)
    ]
