"""Edits of image.yml and its resources that the log does not know yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.engine.recipe_folder import Content, RecipeFolder, placed_by
from atomicstate.errors import AtomicstateError
from atomicstate.projectors.state import APPLY

if TYPE_CHECKING:
    from atomicstate.engine.results import Reporter
    from atomicstate.engine.session import Session
    from atomicstate.projectors.system import System

_FEW = 3
ADVICE = "`atomicstate config import` takes that in, `atomicstate config restore` takes it back"


def edited(session: Session, system: System) -> tuple[str, ...]:
    """What was edited, by path in `<state>/recipe`. What an apply is about to put there is none.

    No document is read: digests tell.
    """
    if not system.placed.document:
        return ()
    folder = RecipeFolder(session.state)
    under_way = [placed_by(item.begun) for item in system.open.values() if item.mode == APPLY]
    expected = [folder.content_of(placed) for placed in (system.placed, *under_way)]
    if under_way:
        # One that was cut short may have had a resource on its way to its place.
        expected.append(Content(system.placed.document, {}))
    return folder.edited(*expected)


def drift(session: Session, system: System) -> str | None:
    """The edits in a sentence; None where there are none."""
    try:
        names = edited(session, system)
    except AtomicstateError as error:
        return f"the recipe can't be looked at: {error.message}"
    if not names:
        return None
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    verb = "were" if len(names) > 1 else "was"
    return f"{', '.join(names[:_FEW])}{more} {verb} edited"


def remind(session: Session, system: System, reporter: Reporter) -> None:
    """Say that there are edits which nothing here heeds."""
    if sentence := drift(session, system):
        reporter.note(f"{sentence}, and this knows nothing of it: {ADVICE}")
