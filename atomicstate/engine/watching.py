"""What a watch does with an edit of the recipe: recorded as its owner's, built where that is asked.

What is an edit, and what of it is still to be built, the log and the folder tell: a watch that was
killed goes on where it was. Between two looks it holds only what was said last.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from typing import TYPE_CHECKING, Literal, NamedTuple

from atomicstate.engine import apply, documents, importing
from atomicstate.engine.actor import owner_as_actor
from atomicstate.engine.drift import edited
from atomicstate.engine.library import RecordedLibrary
from atomicstate.engine.recipe_folder import RECIPE
from atomicstate.errors import (
    AtomicstateError,
    ConflictError,
    InterruptedWorkError,
    LockedError,
    NoOperationError,
    NotFoundError,
    ValidationError,
)
from atomicstate.projectors.pending import pending
from atomicstate.recipe.document import MAX_BYTES
from atomicstate.recipe.resources import RESOURCES, is_outside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from atomicstate.engine.importing import ImportResult
    from atomicstate.engine.results import Reporter
    from atomicstate.engine.session import Session
    from atomicstate.events.event import Actor

VERB = "watch"
_SHOWN = 3

_LONGEST = 60.0
"""The most seconds before what could not be done is tried again."""

_ASKS_FOR_AN_EDIT = (ValidationError, NotFoundError)
_PASSES = (LockedError, ConflictError, InterruptedWorkError)


class Seen(NamedTuple):
    """What a look came to: whether there is something to build, and in how many seconds to look
    again also if nothing changes."""

    build: bool = False
    again: float | None = None


class Outcome(NamedTuple):
    """What came of an edit of `user`, in a sentence.

    It was recorded as the events `events`, or built of these by `transaction`; an `error` is why
    it was refused, or failed to be built; settled is what was refused before, and is so no more.
    """

    kind: Literal["recorded", "built", "refused", "failed", "settled"]
    message: str
    user: str = ""
    events: tuple[int, ...] = ()
    transaction: str = ""
    error: AtomicstateError | None = None


class RecipeKeeper:
    """Looks at the recipe in the state directory, each time with a session of its own.

    `tell` is told what came of an edit, the same thing once. `builds`: the image is made of what
    was recorded by a watch, and of all else that is pending.
    """

    def __init__(
        self,
        open_session: Callable[[], Session],
        reporting: Callable[[], AbstractContextManager[Reporter]],
        tell: Callable[[Outcome], None],
        *,
        builds: bool,
    ) -> None:
        self._open = open_session
        self._reporting = reporting
        self._tell = tell
        self._builds = builds
        self._said = ""
        self._refusing = False
        self._failures = 0
        self._not_before = 0.0
        self._hopeless: frozenset[int] = frozenset()

    def look(self) -> Seen:
        """Record what was edited. What can't be taken is told.

        Raises what is wrong with the log itself.
        """
        with self._open() as session:
            session.system()
            again = self._record(session)
            if not self._builds or again is not None:
                return Seen(again=again)
            try:
                todo = _to_build(session)
            except AtomicstateError as error:
                return Seen(again=self._refused("failed", error))
        if not todo or todo == self._hopeless:
            return Seen()
        wait = self._not_before - time.monotonic()
        return Seen(again=wait) if wait > 0 else Seen(build=True)

    def build(self) -> None:
        """Make the image of what is pending, and let it boot next. What fails is told."""
        with self._open() as session, self._reporting() as reporter:
            todo = _to_build(session)
            try:
                result = apply.carry_out(session, apply.propose(session), reporter)
            except NoOperationError:
                return
            except _PASSES as error:
                self._not_before = time.monotonic() + (self._refused("failed", error) or 0.0)
                return
            except AtomicstateError as error:
                # The same again would fail again: it waits for another edit.
                self._hopeless = todo
                self._refused("failed", error)
                return
        self._succeeded(
            Outcome(
                "built",
                f"staged {result.checksum[:12]} of {_many(len(result.actions), 'action')}",
                events=tuple(result.actions),
                transaction=result.transaction,
            )
        )

    # -- recording ---------------------------------------------------------------------------

    def _record(self, session: Session) -> float | None:
        """Record an edit, if there is one; in how many seconds to try again where it has to be."""
        user = ""
        try:
            paths = _edited(session)
            owner = owner_as_actor(_owner_of(session, paths), VERB, session.actor.options)
            user = owner.user
            if not paths:
                self._settled()
                return None
            result = self._taken(session, owner)
        except NoOperationError:
            self._settled()
            return None
        except AtomicstateError as error:
            again = self._refused("refused", error, user)
            return None if isinstance(error, _ASKS_FOR_AN_EDIT) else again
        what = [event.what for event in result.events]
        more = f" and {len(what) - _SHOWN} more" if len(what) > _SHOWN else ""
        message = f"recorded of {user}: {', '.join(what[:_SHOWN])}{more}"
        numbers = tuple(event.seq for event in result.events)
        self._succeeded(Outcome("recorded", message, user, numbers))
        return None

    def _taken(self, session: Session, owner: Actor) -> ImportResult:
        source = importing.source_of(session, None, None)
        proposal = importing.propose(session, source, importing.Options())
        # What the host shows is this process's own observation, whoever edited.
        session.record_news()
        session.actor = owner
        with self._reporting() as reporter:
            return importing.carry_out(session, proposal, reporter)

    # -- telling -----------------------------------------------------------------------------

    def _succeeded(self, outcome: Outcome) -> None:
        self._said, self._refusing, self._failures = "", False, 0
        self._tell(outcome)

    def _settled(self) -> None:
        """Nothing is in the way of an edit any more."""
        if self._refusing:
            self._succeeded(Outcome("settled", "nothing differs from what is recorded"))

    def _refused(
        self, kind: Literal["refused", "failed"], error: AtomicstateError, user: str = ""
    ) -> float:
        """Tell `error`, unless that was said last; in how many seconds to try again."""
        said = f"{error.message} {error.hint}"
        if said != self._said:
            self._failures = 0
            self._said, self._refusing = said, kind == "refused"
            self._tell(Outcome(kind, error.message, user, error=error))
        self._failures += 1
        return min(2.0**self._failures, _LONGEST)


def _edited(session: Session) -> tuple[str, ...]:
    """What was edited in the folder of the recipe, and what has come that it lacked."""
    folder = session.state.recipe_directory
    _refuse_what_is_no_document(folder / RECIPE)
    missing = [f"{RESOURCES}/{name}" for name in _missing(session)]
    return (
        *edited(session, session.system()),
        *(path for path in missing if (folder / path).exists()),
    )


def _refuse_what_is_no_document(path: Path) -> None:
    """Raises ValidationError for what would be waited for, or read, without end."""
    try:
        found = path.stat()
    except OSError:
        return  # what is in the way is told by who reads it
    if not stat.S_ISREG(found.st_mode):
        raise ValidationError(f"{path} is no file; nothing was changed")
    if found.st_size > MAX_BYTES:
        raise ValidationError(f"{path} is larger than {MAX_BYTES} bytes; nothing was changed")


def _missing(session: Session) -> Iterator[str]:
    """The resources that the recipe names, and that were not to be had when it was recorded."""
    system, seqs = documents.view(session, None)
    composed = documents.composition(session, system, seqs)
    library = RecordedLibrary(session.blobs, composed.resources)
    for name in documents.expansion(session, system, composed).uses:
        if not is_outside(name) and library.manifest(name) is None:
            yield name


def _owner_of(session: Session, paths: tuple[str, ...]) -> int:
    """The uid of who owns the first of `paths` that is there, else of who owns their folder."""
    folder = session.state.recipe_directory
    for path in (*(folder / name for name in paths), folder):
        with contextlib.suppress(OSError):
            return path.lstat().st_uid
    return os.getuid()


def _to_build(session: Session) -> frozenset[int]:
    """What is pending, if an edit that a watch recorded is among it."""
    todo = pending(session.observe())
    by_watch = any(session.event(item.seq).actor.verb == VERB for item in todo)
    return frozenset(item.seq for item in todo) if by_watch else frozenset()


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
