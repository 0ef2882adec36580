"""Transactions as people name them: by an id, or its start."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from atomicstate.errors import NotFoundError, ValidationError
from atomicstate.events.bodies import TransactionBegun
from atomicstate.events.event import Event
from atomicstate.machine import table
from atomicstate.store.search import Query, first_of, holds, search

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from atomicstate.engine.session import Session
    from atomicstate.events.event import UnknownEvent
    from atomicstate.store.search import Found

SHORTEST = 4
"""Characters that a start must have at least."""

# What begins with a year and a dash is a date.
_ID = re.compile(r"(?!\d{4}-)[0-9a-f][0-9a-f-]{3,35}", re.ASCII)
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


def matching(session: Session, start: str) -> list[Named]:
    """The transactions whose id begins with `start`, oldest first; none for what is no id."""
    if not can_be_id(start):
        return []
    wanted = start.lower()
    query = Query(
        (holds(b"transaction.begun"), holds(wanted.encode())),
        (lambda event: event.transaction.startswith(wanted),),
    )
    log = session.log
    first, stop = first_of(log, session.state.snapshots, wanted), log.head().seq + 1
    # An id that tells another time than its making is looked for everywhere.
    found = _named(search(log, query, first, stop)) or _named(search(log, query, 1, first))
    return found


def find(session: Session, text: str) -> Named:
    """The transaction whose id is, or begins with, `text`.

    Raises ValidationError for what is no id and for a start that several have, NotFoundError.
    """
    if not can_be_id(text):
        raise ValidationError(
            f"{text[:60]!r} is not the id of a transaction",
            hint=f"give the id as `log -v` shows it, or at least its first {SHORTEST} digits",
        )
    found = matching(session, text)
    if len(found) == 1:
        return found[0]
    if found:
        raise ValidationError(
            f"{len(found)} transactions begin with {text}",
            hint=f"give more of it: the newest is {found[-1].id}",
        )
    near = newest_ids(session)
    raise NotFoundError(
        f"there is no transaction {text}", hint=f"the newest are {near}" if near else ""
    )


def events_of(session: Session, transaction: str, start: int) -> Iterator[Event | UnknownEvent]:
    """The events of the transaction from the number `start` on, oldest first."""
    ours = Query((holds(transaction.encode()),), (lambda event: event.transaction == transaction,))
    for item in search(session.log, ours, start, session.log.head().seq + 1):
        yield item.event


def newest_ids(session: Session) -> str:
    """The ids of the newest transactions, for a sentence: those that made an image, if any did."""
    query = Query((holds(b"transaction.begun"),))
    newest: list[Named] = []
    made: list[Named] = []
    for item in search(session.log, query, 1, session.log.head().seq + 1, reverse=True):
        for named in _named([item]):
            newest.append(named)
            made += [named] * (named.begun.mode == table.APPLY)
        if len(made) == _NEAR:
            break
    return ", ".join(item.id for item in (made or newest)[:_NEAR])


def _named(found: Iterable[Found]) -> list[Named]:
    return [
        Named(event.transaction, event.seq, event.body)
        for event, _hash, _went_back in found
        if isinstance(event, Event) and isinstance(event.body, TransactionBegun)
    ]
