"""`config restore`: image.yml and its resources as they were put there; the edit is set aside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from atomicstate.engine.drift import edited
from atomicstate.engine.recipe_folder import RecipeFolder
from atomicstate.engine.unfinished import refuse_unfinished
from atomicstate.errors import NoOperationError

if TYPE_CHECKING:
    from atomicstate.engine.session import Session


class RestoredRecipe(Struct, frozen=True):
    """What was put back, by path in the folder of the recipe, and where the edits are now."""

    restored: tuple[str, ...]
    folder: str
    aside: str | None


def restore(session: Session) -> RestoredRecipe:
    """Put back what was edited by hand, and keep the edits in a folder of their own.

    Raises NoOperationError where nothing was edited, LockedError where an apply runs,
    InterruptedWorkError where one was cut short: it may be about to put its own there.
    """
    refuse_unfinished(session, session.observe())
    with session.pipeline(), session.recording():
        system = session.observe()
        names = edited(session, system)
        if not names:
            raise NoOperationError("nothing of the recipe was edited: nothing was changed")
        folder = RecipeFolder(session.state)
        aside = folder.set_aside(names)
        folder.place(system.placed, system.placed)
    return RestoredRecipe(names, str(folder.directory), str(aside) if aside else None)
