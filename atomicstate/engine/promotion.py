"""The user's image.yml, and what lies beside it, become what an apply built: its last step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate import failpoints
from atomicstate.engine.context import CONTAINERFILE
from atomicstate.engine.recipe_folder import RecipeFolder, file_digest, placed_by
from atomicstate.engine.runner import Answer, Effect
from atomicstate.errors import CorruptError, NotFoundError
from atomicstate.files import make_directory, write_atomically
from atomicstate.machine import recovery
from atomicstate.projectors.state import Placed

if TYPE_CHECKING:
    from pathlib import Path

    from atomicstate.engine.session import Session
    from atomicstate.events.bodies import TransactionBegun


def promote(session: Session, begun: TransactionBegun) -> Effect:
    """The step of the apply `begun`."""
    folder = RecipeFolder(session.state)
    path = folder.directory / CONTAINERFILE
    then, before = placed_by(begun), placed_before(session, begun)

    def is_free() -> bool:
        # A folder in its place no file can replace.
        return not path.is_dir() and folder.is_free(then, before)

    def do() -> None:
        if not is_free():
            return
        make_directory(folder.directory)
        write_atomically(path, session.blobs.get(begun.containerfile))
        failpoints.reach("promote.containerfile")
        folder.place(then, before)

    def probe() -> Answer:
        if file_digest(path) == begun.containerfile and folder.is_placed(then, before):
            return Answer(recovery.DONE, {"digest": then.document})
        # A person's edit since the beginning is drift: it is left alone.
        return Answer(recovery.ABSENT if is_free() else recovery.OTHER)

    return Effect("promote", do, probe, skips=recovery.OTHER)


def placed_before(session: Session, begun: TransactionBegun) -> Placed:
    """What they were when it began. Its promote is not logged as done."""
    return Placed(begun.user_recipe, session.system().placed.resources)


def demote(session: Session, begun: TransactionBegun) -> None:
    """Take back what promote did for the apply `begun`: the recipe is again as it was then.

    What was edited since is left alone. Doing it twice does no harm.
    """
    folder, then = RecipeFolder(session.state), placed_by(begun)
    before = placed_before(session, begun)
    folder.clear()
    _put_back_containerfile(session, folder.directory / CONTAINERFILE, begun)
    if not folder.is_placed(before, then):
        failpoints.reach("promote.taking-back")
        folder.place(before, then)


def _put_back_containerfile(session: Session, path: Path, begun: TransactionBegun) -> None:
    """The one of `begun` makes way for the one that lay there before, if there was one."""
    if file_digest(path) != begun.containerfile:
        return
    before = session.system().containerfile
    try:
        content = session.blobs.get(before) if before else b""
    except (NotFoundError, CorruptError):
        content = b""  # redacted, say: `atomicstate containerfile` shows what can be shown
    if content:
        write_atomically(path, content)
    else:
        path.unlink()
