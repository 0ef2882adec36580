"""What killed runs left in the state directory, and nobody needs."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from atomicstate import failpoints
from atomicstate.files import remove_abandoned

if TYPE_CHECKING:
    from atomicstate.engine.session import Session


def clean(session: Session) -> None:
    """Remove the folders of ended transactions and abandoned temporary files; never raises OSError.

    What such a folder held is in the log and its blobs.
    """
    state = session.state
    try:
        # Listed before the log is read: the folder of what begins meanwhile is not among them.
        folders = list(state.transactions_directory.iterdir())
        blobs = list(state.blobs.directory.iterdir())
    except OSError:
        return
    running = session.system().open
    for folder in folders:
        if folder.name not in running:
            shutil.rmtree(folder, ignore_errors=True)
            failpoints.reach("transaction.cleaned")
    for folder in (state.recipe_directory, *folders, *blobs):
        remove_abandoned(folder)
