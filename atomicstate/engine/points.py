"""Points of the history as people write them: one resolver for all commands.

A point is a number of an event (`12`, `#12`), `HEAD`, `HEAD~3`, the id of a transaction or its
start (its last event), a tag, a time (`2026-11-24 14:30`, `@{2 hours ago}`: the last event before
it), or a deployment: `booted`, `staged`, `rollback`, `applied` (what boots next).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from atomicstate.errors import ConflictError, NotFoundError, ValidationError
from atomicstate.events.asjson import kind, rfc3339

if TYPE_CHECKING:
    from atomicstate.engine.session import Session
    from atomicstate.projectors.system import System

DEPLOYMENTS = ("booted", "staged", "rollback", "applied")
HEAD = re.compile(r"(?:HEAD|@)(?:~(\d{0,18}))?", re.ASCII)
# A number has no leading zero; the id of a transaction begins with one.
_NUMBER = re.compile(r"#?(0|[1-9][0-9]{0,17})", re.ASCII)
_AT = re.compile(r"@\{(.+)\}")
_NEAR_IDS = 4
_HINT = "a point is 12, HEAD~3, a transaction, a tag, a time, booted, staged, rollback or applied"


class Point(Struct, frozen=True):
    """The event `seq` (0: before the first); of a deployment also its key in the view.

    With a key, the actions are those in that deployment, not all that were wanted then. Of a
    transaction it has the id, and `seq` is its last event.
    """

    seq: int
    text: str
    key: str | None = None
    transaction: str = ""


def resolve(session: Session, text: str) -> Point:
    """The point that `text` means.

    Raises NotFoundError, with what was near, for one that is not there or not unique;
    ValidationError for what can't be a point; ConflictError for a deployment that is foreign.
    """
    word = text.strip()
    if not word:
        raise ValidationError("an empty word is no point", hint=_HINT)
    if word in DEPLOYMENTS:
        return _deployment(session, word)
    if (seq := _counted(session, word)) is not None:
        return _numbered(session, seq, text)
    if match := _AT.fullmatch(word):
        return _at_time(session, match[1], text)
    tags = session.system().tags
    if word in tags:
        return Point(tags[word], text)
    if found := _transaction(session, word):
        return found
    return _at_time(session, word, text)


def _transaction(session: Session, start: str) -> Point | None:
    """The last event of the transaction whose id begins with `start`; None where there is none."""
    from atomicstate.engine.transactions import events_of, matching

    found = matching(session, start)
    if len(found) > 1:
        near = ", ".join(item.id for item in found[-_NEAR_IDS:])
        raise NotFoundError(
            f"{start!r} begins {len(found)} transactions", hint=f"give more of it: {near}"
        )
    if not found:
        return None
    *_before, last = events_of(session, found[0].id, found[0].seq)
    return Point(last.seq, start, transaction=last.transaction)


def _counted(session: Session, word: str) -> int | None:
    """The number that `12`, `#12` or `HEAD~3` says; None for another word."""
    if match := _NUMBER.fullmatch(word):
        return int(match[1])
    if match := HEAD.fullmatch(word):
        back = {None: 0, "": 1}.get(match[1])
        return session.log.head().seq - (int(match[1]) if back is None else back)
    return None


def _numbered(session: Session, seq: int, text: str) -> Point:
    head = session.log.head().seq
    if not 0 <= seq <= head:
        event, _hash = session.log.get(head)
        raise NotFoundError(
            f"there is no event {text!r}: the log has {head}",
            hint=f"the newest is #{head} ({kind(event)}, {rfc3339(event.time)[:19]}Z)",
        )
    return Point(seq, text)


def _deployment(session: Session, word: str) -> Point:
    system = session.observe()
    key = _key(system, word)
    made = system.selections[key]
    return Point(made.begun or 1, word, key)


def _key(system: System, word: str) -> str:
    host = system.host
    slots = {
        "booted": (host.booted, host.booted_txn),
        "staged": (host.staged, host.staged_txn),
        "rollback": (host.rollback, host.rollback_txn),
        "applied": host.boots_next,
    }
    checksum, transaction = slots[word]
    if not checksum:
        there = ", ".join(name for name, slot in slots.items() if slot[0])
        raise NotFoundError(f"no deployment is {word}", hint=f"there are: {there}")
    key = system.deployment(checksum, transaction)
    if key is None:
        raise ConflictError(
            f"what is {word} was not made by atomicstate: what it holds is not known",
            hint="`atomicstate adopt` takes a foreign deployment as the base",
        )
    return key


def _at_time(session: Session, words: str, text: str) -> Point:
    from atomicstate.events.times import parse_time
    from atomicstate.store.search import first_at

    try:
        time = parse_time(words)
    except ValidationError:
        raise NotFoundError(f"there is no point {text!r}", hint=_near(session, text)) from None
    start = session.state.snapshots.position_before(time, session.log) + 1
    return Point(first_at(session.log, time, start) - 1, text)


def _near(session: Session, text: str) -> str:
    from difflib import get_close_matches

    from atomicstate.engine.transactions import can_be_id, newest_ids

    if can_be_id(text):
        return f"the newest transactions are {newest_ids(session)}"
    names = [*session.system().tags, *DEPLOYMENTS, "HEAD"]
    near = get_close_matches(text, names, 3)
    return f"did you mean {' or '.join(near)}?" if near else _HINT
