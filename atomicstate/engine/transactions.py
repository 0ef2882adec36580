"""Transactions as people name them: by an id, or its start."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from atomicstate.errors import NotFoundError, ValidationError
from atomicstate.events.bodies import TransactionBegun
from atomicstate.events.event import Event
from atomicstate.machine import table
from atomicstate.store.search import Query, holds, search

if TYPE_CHECKING:
    from atomicstate.engine.session import Session

SHORTEST = 4
"""Characters that a start must have at least."""

_ID = re.compile(r"[0-9a-f][0-9a-f-]{3,35}", re.ASCII)
_NEAR = 3


class Named(NamedTuple):
    """A transaction's id, the number of its begin, and what it was to do."""

    id: str
    seq: int
    begun: TransactionBegun

    @property
    def made_by(self) -> str:
        """The transaction whose image it staged: of a deploy another one's, else its own."""
        return self.begun.target if self.begun.mode == table.DEPLOY else self.id


def can_be_id(text: str) -> bool:
    """Whether `text` has the form of an id, or of the start of one."""
    return _ID.fullmatch(text.lower()) is not None


def find(session: Session, text: str) -> Named:
    """The transaction whose id is, or begins with, `text`.

    Raises ValidationError for what is no id and for a start that several have, NotFoundError.
    """
    wanted = text.lower()
    if not can_be_id(text):
        raise ValidationError(
            f"{text[:60]!r} is not the id of a transaction",
            hint=f"give the id as `log -v` shows it, or at least its first {SHORTEST} digits",
        )
    known = _all(session)
    found = [item for item in known if item.id.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValidationError(
            f"{len(found)} transactions begin with {text}",
            hint=f"give more of it: the newest is {found[-1].id}",
        )
    making = [item for item in known if item.begun.mode == table.APPLY] or known
    near = ", ".join(item.id for item in reversed(making[-_NEAR:]))
    raise NotFoundError(
        f"there is no transaction {text}", hint=f"the newest are {near}" if near else ""
    )


def _all(session: Session) -> list[Named]:
    """Every transaction that has begun, oldest first."""
    query = Query((holds(b"transaction.begun"),))
    found = []
    for item in search(session.log, query, 1, session.log.head().seq + 1):
        event = item.event
        if isinstance(event, Event) and isinstance(event.body, TransactionBegun):
            found.append(Named(event.transaction, event.seq, event.body))
    return found
