"""`-m TEXT` of the commands that change something: why it was done, kept with the event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from atomicstate.engine.session import Session


def remark(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command `-m TEXT`; its function gets it as `note`, None where there is none."""
    return click.option("-m", "--message", "note", metavar="TEXT", help="Add a note: why.")(
        function
    )


def check_remark(note: str | None) -> None:
    """Raises ValidationError, before anything is done, for what can't be a note."""
    if note is not None:
        from atomicstate.engine.marks import checked_note

        checked_note(note)


def add_remark(session: Session, point: int | str, note: str | None) -> None:
    """Record the note, where there is one, about the event at `point`."""
    if note is not None:
        from atomicstate.engine.marks import note as record

        record(session, str(point), note)
