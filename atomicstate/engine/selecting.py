"""Which of the actions that could be applied are meant: by number, range or transaction."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from atomicstate.engine import transactions
from atomicstate.engine.blobbed import recorded_plan
from atomicstate.engine.documents import found_recipe, module_of
from atomicstate.engine.points import HEAD, resolve
from atomicstate.errors import ConflictError, NoOperationError, NotFoundError, ValidationError
from atomicstate.events.asjson import fields_of, kind
from atomicstate.events.asked import in_words
from atomicstate.events.bodies import ACTIONS
from atomicstate.projectors import independence
from atomicstate.projectors.state import MODULE_ADDED, MODULE_CHANGED, MODULE_REMOVED
from atomicstate.recipe.schema import Module, PackagesBody

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from atomicstate.engine.session import Session
    from atomicstate.engine.transactions import Named
    from atomicstate.projectors.independence import Keys
    from atomicstate.projectors.pending import Pending
    from atomicstate.projectors.state import Action
    from atomicstate.projectors.system import System

# A number has no leading zero; the id of a transaction begins with one for some thousand years.
_NUMBERS = re.compile(r"#?([1-9][0-9]{0,17})(?:-#?([1-9][0-9]{0,17}))?", re.ASCII)

_SHOWN = 80


class Request(Struct, frozen=True):
    """What an `apply` is asked to take, and to build it on.

    `selected` and `excepted` are words for actions; without `selected` all that is pending is
    meant. `onto` names the transaction to build on. With `discard_staged` what is staged is given
    up. With `pinned` packages get the versions that they were recorded with.
    """

    selected: tuple[str, ...] = ()
    excepted: tuple[str, ...] = ()
    with_dependencies: bool = False
    onto: str = ""
    discard_staged: bool = False
    pinned: bool = False


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
    keys = keys_of(session, system, (item.seq for item in thought_of))
    if request.with_dependencies:
        chosen |= independence.closure(chosen, keys) - excepted
    _refuse_ties(session, independence.missing(chosen, keys), waiting)
    return frozenset(chosen)


def _meant(
    session: Session, system: System, words: Sequence[str], waiting: Mapping[int, Pending]
) -> set[int]:
    found: set[int] = set()
    for word, numbers in spans(session, words):
        found |= _of_word(session, system, word, numbers, waiting)
    return found


def _of_word(
    session: Session,
    system: System,
    word: str,
    numbers: range | None,
    waiting: Mapping[int, Pending],
) -> set[int]:
    if numbers is None:
        return _of_transaction(session, word, waiting)
    found = {seq for seq in waiting if seq in numbers}
    if not found and len(numbers) == 1:
        raise _why_not(session, system, numbers.start)
    if not found:
        raise NoOperationError(f"none of {word} is pending; nothing was changed")
    return found


def spans(session: Session, words: Sequence[str]) -> list[tuple[str, range | None]]:
    """Each word with the numbers of events that it means: 12, 12-15, a tag, HEAD~2; None for
    another word.

    Raises ValidationError, for two that overlap too, and NotFoundError for what comes before the
    first event.
    """
    found: list[tuple[str, range | None]] = []
    for word in words:
        numbers = _span(session, word)
        for other, taken in found:
            if numbers and taken and numbers.start < taken.stop and taken.start < numbers.stop:
                raise ValidationError(
                    f"{other} and {word} overlap: nothing was changed",
                    hint="name each action once",
                )
        found.append((word, numbers))
    return found


def _span(session: Session, word: str) -> range | None:
    match = _NUMBERS.fullmatch(word)
    if match is None:
        if not HEAD.fullmatch(word) and word not in session.system().tags:
            return None
        seq = resolve(session, word).seq
        return range(seq, seq + 1)
    first, last = int(match[1]), int(match[2] or match[1])
    if first > last:
        raise ValidationError(f"{word}: a range begins with the smaller number")
    return range(first, last + 1)


def transaction_named(session: Session, word: str) -> Named:
    """The transaction whose id begins with `word`. Raises ValidationError, NotFoundError."""
    if not transactions.can_be_id(word):
        raise ValidationError(
            f"{word[:60]!r} names no action",
            hint="name one by its number (12), HEAD~2 or a tag, several by a range (12-15) or a"
            " transaction's id",
        )
    return transactions.find(session, word)


def _of_transaction(session: Session, word: str, waiting: Mapping[int, Pending]) -> set[int]:
    named = transaction_named(session, word)
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


def keys_of(session: Session, system: System, seqs: Iterable[int]) -> dict[int, Keys]:
    """What each of the actions `seqs` writes and reads, by what libapt resolved for it."""
    lying: dict[int, list[tuple[int, Module]]] = {}
    keys = {}
    for seq in sorted(seqs):
        action = system.actions[seq]
        module, before = None, list[Module]()
        if action.kind in (MODULE_ADDED, MODULE_CHANGED):
            module = module_of(session, action.content)
        if action.kind in (MODULE_CHANGED, MODULE_REMOVED):
            lying = lying or _lying(session, system)
            before = [other for made, other in lying.get(action.slot, ()) if made < seq]
        keys[seq] = independence.keys_of(action, recorded_plan(session, seq), module, before)
    return keys


def _lying(session: Session, system: System) -> dict[int, list[tuple[int, Module]]]:
    """The modules that lay in each slot at some time, with the action that put them there (0:
    what `init` found)."""
    found = enumerate(found_recipe(session, system).modules, 1)
    lying = {-place: [(0, module)] for place, module in found}
    for seq, action in system.actions.items():
        if action.kind in (MODULE_ADDED, MODULE_CHANGED):
            slot = action.slot if action.kind == MODULE_CHANGED else seq
            lying.setdefault(slot, []).append((seq, module_of(session, action.content)))
        elif action.names:
            lying[seq] = [(seq, Module("packages", PackagesBody(action.names)))]
    return lying


def _refuse_ties(
    session: Session, missing: Mapping[int, list[int]], waiting: Mapping[int, Pending]
) -> None:
    if not missing:
        return

    def named(seqs: Iterable[int]) -> str:
        return ", ".join(shown(session, waiting[seq].action) for seq in seqs)

    ties = [f"{named([seq])} builds on {named(others)}" for seq, others in missing.items()]
    along = sorted({other for others in missing.values() for other in others})
    raise ConflictError(
        f"{'; '.join(ties)}: without it this would mean something else; nothing was changed",
        hint=f"take {', '.join(f'#{seq}' for seq in along)} along, or all that is needed with"
        " --with-dependencies",
    )


def shown(session: Session, action: Action) -> str:
    """An action in a sentence."""
    words = in_words(action.kind, fields_of(session.event(action.seq).body))
    return f"#{action.seq} ({' '.join(words.split())[:_SHOWN]})"
