"""Names and remarks on the history: `tag` and `note`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from atomicstate.engine.points import DEPLOYMENTS, resolve
from atomicstate.engine.results import SILENT
from atomicstate.engine.unfinished import warn_interrupted
from atomicstate.errors import NoOperationError, NotFoundError, ValidationError
from atomicstate.events.bodies import NoteAdded, TagSet

if TYPE_CHECKING:
    from atomicstate.engine.results import Reporter
    from atomicstate.engine.session import Session

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._/-]{0,63}", re.ASCII)
# What a point may be besides a tag: a tag must not be taken for it.
_TAKEN = re.compile(r"HEAD|[0-9a-f-]{4,36}|now|today|yesterday", re.ASCII | re.IGNORECASE)
LONGEST_NOTE = 2000
"""Characters of a remark."""


def tag(session: Session, name: str, point: str, reporter: Reporter = SILENT) -> tuple[TagSet, int]:
    """Give the event at `point` the name `name`. Returns the fact and its number.

    Raises ValidationError for a name that could be another point, NoOperationError where it bears
    that name already, and what resolving the point raises.
    """
    if not _NAME.fullmatch(name) or _TAKEN.fullmatch(name) or name in DEPLOYMENTS:
        raise ValidationError(
            f"{name!r} can't be a tag",
            hint="letters, digits and . _ / - after a letter, and not what means another point",
        )
    with session.recording():
        warn_interrupted(session, session.system(), reporter)
        seq = resolve(session, point).seq
        if seq == 0:
            raise NotFoundError("there is no event before the first that could bear a name")
        if session.system().tags.get(name) == seq:
            raise NoOperationError(f"event {seq} bears the name {name} already")
        body = TagSet(name, seq)
        [event] = session.append([body])
    return body, event.seq


def untag(session: Session, name: str, reporter: Reporter = SILENT) -> tuple[TagSet, int]:
    """Take the name `name` away. Raises NotFoundError."""
    with session.recording():
        warn_interrupted(session, session.system(), reporter)
        if name not in session.system().tags:
            raise NotFoundError(f"there is no tag {name!r}", hint="`atomicstate log --tags`")
        body = TagSet(name, 0)
        [event] = session.append([body])
    return body, event.seq


def note(
    session: Session, point: str, text: str, reporter: Reporter = SILENT
) -> tuple[NoteAdded, int]:
    """Add a remark to the event at `point`. Raises ValidationError and what resolving raises."""
    text = checked_note(text)
    with session.recording():
        warn_interrupted(session, session.system(), reporter)
        seq = resolve(session, point).seq
        if seq == 0:
            raise NotFoundError("there is no event before the first to make a note of")
        body = NoteAdded(seq, text)
        [event] = session.append([body])
    return body, event.seq


def checked_note(text: str) -> str:
    """`text` as a note keeps it. Raises ValidationError."""
    text = text.strip()
    if not text or len(text) > LONGEST_NOTE:
        raise ValidationError(f"a note has 1 to {LONGEST_NOTE} characters")
    if not text.isprintable() and not all(c.isprintable() or c == "\n" for c in text):
        raise ValidationError("a note is text: no control characters but line ends")
    return text
