"""Which of the actions that could be applied are meant: by number, range or transaction."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from atomicstate.engine import transactions
from atomicstate.engine.blobbed import plan_of
from atomicstate.errors import ConflictError, NoOperationError, NotFoundError, ValidationError
from atomicstate.events.asjson import kind
from atomicstate.events.bodies import ACTIONS, PackageAdded, PackageRemoved
from atomicstate.events.plan import Plan
from atomicstate.projectors import independence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from atomicstate.engine.session import Session
    from atomicstate.projectors.independence import Keys
    from atomicstate.projectors.pending import Pending
    from atomicstate.projectors.system import System

# A number has no leading zero; the id of a transaction begins with one for some thousand years.
_NUMBERS = re.compile(r"#?([1-9][0-9]{0,17})(?:-#?([1-9][0-9]{0,17}))?", re.ASCII)


class Request(Struct, frozen=True):
    """What an `apply` is asked to take, and to build it on.

    `selected` and `excepted` are words for actions; without `selected` all that is pending is
    meant. `onto` names the transaction to build on. With `discard_staged` what is staged is given
    up.
    """

    selected: tuple[str, ...] = ()
    excepted: tuple[str, ...] = ()
    with_dependencies: bool = False
    onto: str = ""
    discard_staged: bool = False


EVERYTHING = Request()


def select(
    session: Session,
    system: System,
    request: Request,
    pending: Sequence[Pending],
    held: Sequence[Pending],
) -> frozenset[int]:
    """The numbers of the actions that `request` means, of those `pending` and those `held` back.

    Raises ValidationError, NotFoundError and NoOperationError for a word that means none of them,
    ConflictError where an action can't be applied without an earlier one that is left out.
    """
    waiting = {item.seq: item for item in (*pending, *held)}
    chosen = {item.seq for item in pending}
    if request.selected:
        chosen = _meant(session, system, request.selected, waiting)
    excepted = _meant(session, system, request.excepted, waiting)
    chosen -= excepted
    named = {item.seq for item in held} & chosen
    # What is held back was no part of what later actions were resolved against: it ties only
    # what was held back with it.
    thought_of = [*pending, *(held if named else ())]
    keys = {item.seq: _keys(session, item) for item in thought_of}
    if request.with_dependencies:
        chosen |= independence.closure(chosen, keys) - excepted
    _refuse_ties(independence.missing(chosen, keys), waiting)
    return frozenset(chosen)


def _meant(
    session: Session, system: System, words: Sequence[str], waiting: Mapping[int, Pending]
) -> set[int]:
    found: set[int] = set()
    for word in words:
        found |= _of_word(session, system, word, waiting)
    return found


def _of_word(
    session: Session, system: System, word: str, waiting: Mapping[int, Pending]
) -> set[int]:
    match = _NUMBERS.fullmatch(word)
    if match is None:
        return _of_transaction(session, word, waiting)
    first, last = int(match[1]), int(match[2] or match[1])
    if first > last:
        raise ValidationError(f"{word}: a range begins with the smaller number")
    found = {seq for seq in waiting if first <= seq <= last}
    if not found and not match[2]:
        raise _why_not(session, system, first)
    if not found:
        raise NoOperationError(f"none of {word} is pending; nothing was changed")
    return found


def _of_transaction(session: Session, word: str, waiting: Mapping[int, Pending]) -> set[int]:
    if not re.fullmatch(r"[0-9a-fA-F-]{4,36}", word, re.ASCII):
        raise ValidationError(
            f"{word[:60]!r} names no action",
            hint="name one by its number (12), several by a range (12-15) or a transaction's id",
        )
    named = transactions.find(session, word)
    own = {seq for seq, item in waiting.items() if item.action.transaction == named.id}
    found = own | ({*named.begun.add, *named.begun.drop} & set(waiting))
    if not found:
        raise NoOperationError(
            f"the transaction {named.id} has no action that is pending; nothing was changed"
        )
    return found


def _why_not(session: Session, system: System, seq: int) -> NotFoundError | NoOperationError:
    """The error for an action, or what is none, that can't be applied."""
    head = session.log.head().seq
    if seq > head:
        return NotFoundError(f"there is no event #{seq}: the log ends at #{head}")
    what = kind(session.log.get(seq)[0])
    if what not in ACTIONS or what == "wanted.changed":
        return NotFoundError(
            f"#{seq} is no action that can be applied, but {what}",
            hint="`atomicstate status` lists what is pending",
        )
    if seq in system.actions and seq not in system.wanted:
        return NoOperationError(f"#{seq} is not wanted any more; nothing was changed")
    return NoOperationError(f"#{seq} is in what it would be built on already; nothing was changed")


def _keys(session: Session, item: Pending) -> Keys:
    body = session.event(item.seq).body
    plan = Plan()
    if isinstance(body, PackageAdded | PackageRemoved):
        plan = plan_of(session.blobs, body.plan, body.plan_blob)
    return independence.keys_of(item.action, plan)


def _refuse_ties(missing: Mapping[int, list[int]], waiting: Mapping[int, Pending]) -> None:
    if not missing:
        return
    ties = [
        f"{_shown(waiting[seq])} builds on {', '.join(_shown(waiting[other]) for other in others)}"
        for seq, others in missing.items()
    ]
    along = sorted({other for others in missing.values() for other in others})
    raise ConflictError(
        f"{'; '.join(ties)}: without it this would mean something else; nothing was changed",
        hint=f"take {', '.join(f'#{seq}' for seq in along)} along, or all that is needed with"
        " --with-dependencies",
    )


def _shown(item: Pending) -> str:
    words = " ".join(item.names) or item.action.reference
    return f"#{item.seq} ({item.kind} {words})"
