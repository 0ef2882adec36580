"""What killed runs left in the state directory, and nobody needs."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from atomicstate import failpoints
from atomicstate.errors import AtomicstateError
from atomicstate.files import remove_abandoned

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from atomicstate.engine.session import Session


def clean(session: Session) -> None:
    """Remove the folders of ended transactions and abandoned temporary files; never raises.

    What such a folder held is in the log and its blobs. Where the log can't be read they stay: it
    is asked for after a run that failed, whose own error is the one to be told.
    """
    with contextlib.suppress(AtomicstateError):
        remove(ended(session))
    state = session.state
    folders = (*_listed(state.transactions_directory), *_listed(state.blobs.directory))
    for folder in (state.recipe_directory, state.blobs.directory, *folders):
        remove_abandoned(folder)


def ended(session: Session) -> list[Path]:
    """The folders of transactions that have ended, by name; none where they can't be listed."""
    # Listed before the log is read: the folder of what begins meanwhile is not among them.
    folders = _listed(session.state.transactions_directory)
    if not folders:
        return []
    running = session.system().open
    return [folder for folder in folders if folder.is_dir() and folder.name not in running]


def remove(folders: Iterable[Path]) -> None:
    """Remove `folders` with all that is in them; what can't be removed stays, for the next time."""
    import shutil

    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        failpoints.reach("transaction.cleaned")


def _listed(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []
