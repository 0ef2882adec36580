"""`bisect`: which action broke something, found by halving the history between two points.

The middle point's image is built, a command is run inside it, and its exit status decides. What
was found so far lies in a file of the state directory, so a kill loses one answer at most.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from atomicstate.engine import context, documents
from atomicstate.engine.points import Point, resolve
from atomicstate.errors import (
    ConflictError,
    NoOperationError,
    NotFoundError,
    ValidationError,
)
from atomicstate.events.asjson import fields_of, kind, rfc3339
from atomicstate.events.bodies import ACTIONS
from atomicstate.files import make_directory, write_atomically
from atomicstate.host.ports import LABEL_LOG

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from atomicstate.engine.results import Reporter
    from atomicstate.engine.session import Session
    from atomicstate.host.ports import Image

GOOD = "good"
BAD = "bad"
SKIP = "skip"
SKIP_STATUS = 125
"""The exit status by which the command says: this one can't be told (as git bisect has it)."""

LABEL_BISECT = "org.atomicstate.bisect"
IMAGE_NAME = "localhost/atomicstate-bisect"


class Bisection(Struct, frozen=True):
    """What is known: `candidates` are the numbers of the actions after `good` up to `bad`.

    After the last of them it is bad, before the first good. `verdicts` maps a number to good,
    bad or skip, for the state right after that event.
    """

    log_id: str
    good: int
    bad: int
    candidates: tuple[int, ...]
    verdicts: dict[int, str] = {}


class Finding(Struct, frozen=True):
    """Where a bisection stands: `event` is the culprit once `left` is 1 and nothing was skipped.

    `suspects` are the numbers that can't be told apart. Kind, data, user and time are of the last
    of them.
    """

    left: int
    suspects: tuple[int, ...]
    event: int | None
    kind: str
    user: str
    time: str
    verdicts: dict[int, str]
    data: dict[str, Any] = {}


def start(session: Session, bad: str, good: str) -> Finding:
    """Begin, between the points `bad` and `good`. Raises ValidationError, ConflictError."""
    path = _path(session)
    if path.exists():
        raise ConflictError(
            "a bisection is under way", hint="`atomicstate bisect reset` ends it, then start again"
        )
    worse, better = resolve(session, bad), resolve(session, good)
    candidates = tuple(_actions_between(session, better, worse))
    if not candidates:
        raise ValidationError(
            f"between {good!r} (event {better.seq}) and {bad!r} (event {worse.seq}) nothing was"
            " asked for",
            hint="give the bad point first: it must come after the good one",
        )
    state = Bisection(session.log.log_id.hex(), better.seq, worse.seq, candidates)
    make_directory(path.parent)
    _save(path, state)
    return _finding(session, state)


def status(session: Session) -> Finding:
    """Where it stands. Raises NotFoundError where none is under way."""
    return _finding(session, _load(session))


def is_under_way(session: Session) -> bool:
    """Whether one was started, and not ended."""
    return _path(session).exists()


def reset(session: Session) -> None:
    """End it, and drop the images that it built. Raises NotFoundError."""
    _load(session)
    with session.pipeline():
        builder = session.host.builder
        labels = {LABEL_LOG: session.log.log_id.hex()}
        for image in builder.images(labels):
            if LABEL_BISECT in image.labels:
                builder.remove_image(image.id)
        shutil.rmtree(_directory(session), ignore_errors=True)
        _path(session).unlink(missing_ok=True)


def run(session: Session, argv: Sequence[str], reporter: Reporter) -> Finding:
    """Go on until the culprit is found: build the middle, run `argv` inside it, halve again.

    Exit status 0 says good, 125 can't be told, 1 to 127 bad. Raises NotFoundError where none is
    under way, and what a build raises.
    """
    if not argv:
        raise ValidationError("a command is missing: what shall tell good from bad?")
    with session.pipeline():
        state = _load(session)
        # An image that a power cut may have damaged gives no verdict.
        session.host.builder.clean()
        while (middle := _middle(state)) is not None:
            left = len(_suspects(state))
            reporter.note(f"{left} actions can have done it: trying the state after event {middle}")
            verdict = _try(session, middle, argv, reporter)
            reporter.note(f"the state after event {middle} is {verdict}")
            state = msgspec.structs.replace(state, verdicts={**state.verdicts, middle: verdict})
            _save(_path(session), state)
    return _finding(session, state)


def _try(session: Session, seq: int, argv: Sequence[str], reporter: Reporter) -> str:
    image = _image(session, seq, reporter)
    status = session.host.builder.run(image, argv, reporter.line)
    if status == 0:
        return GOOD
    if status == SKIP_STATUS:
        return SKIP
    if status > 127:  # noqa: PLR2004 - a signal, or the shell's word for one
        raise ValidationError(
            f"{argv[0]} ended with {status}, which says neither good nor bad",
            hint="exit with 0 for good, 1 to 124 for bad, 125 for can't be told",
        )
    return BAD


def _image(session: Session, seq: int, reporter: Reporter) -> Image:
    """The image of the state after the event `seq`: found by what it is made of, else built."""
    builder = session.host.builder
    build = documents.build(session, *documents.view(session, Point(seq, str(seq))))
    digest = build.containerfile.digest
    labels = {LABEL_LOG: session.log.log_id.hex(), LABEL_BISECT: digest}
    if (found := builder.find(labels)) is not None:
        return found
    directory = _directory(session)
    files = documents.kept_files(session, build)
    context.write(directory, session.blobs, digest, files, build.resources)
    tag = f"{IMAGE_NAME}:{digest[:16]}"
    try:
        builder.build(directory, directory / context.CONTAINERFILE, labels, tag, reporter.line)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return builder.resolve(tag)


def _actions_between(session: Session, good: Point, bad: Point) -> list[int]:
    from atomicstate.store.search import Query, holds, search

    asked = Query(
        (holds(*(name.encode() for name in sorted(ACTIONS))),),
        (lambda event: kind(event) in ACTIONS,),
    )
    return [found.event.seq for found in search(session.log, asked, good.seq + 1, bad.seq + 1)]


def _suspects(state: Bisection) -> tuple[int, ...]:
    """The actions after the last good state, up to the first bad one."""
    good = [seq for seq, verdict in state.verdicts.items() if verdict == GOOD]
    bad = [seq for seq, verdict in state.verdicts.items() if verdict == BAD]
    first = min(bad, default=state.candidates[-1])
    last = max((seq for seq in good if seq < first), default=0)
    return tuple(seq for seq in state.candidates if last < seq <= first)


def _middle(state: Bisection) -> int | None:
    """The state to try next; None where no untried one can tell more."""
    suspects = _suspects(state)
    # The last suspect is bad: known, or told so by whoever began.
    untried = [seq for seq in suspects[:-1] if seq not in state.verdicts]
    if not untried:
        return None
    middle = suspects[(len(suspects) - 1) // 2]
    return min(untried, key=lambda seq: abs(suspects.index(seq) - suspects.index(middle)))


def _finding(session: Session, state: Bisection) -> Finding:
    suspects = _suspects(state)
    found = suspects[0] if len(suspects) == 1 else None
    event = session.event(suspects[-1])
    return Finding(
        left=len(suspects),
        suspects=suspects,
        event=found,
        kind=kind(event),
        user=event.actor.user,
        time=rfc3339(event.time),
        verdicts=state.verdicts,
        data=fields_of(event.body),
    )


def _directory(session: Session) -> Path:
    """Where a build reads. Not among those of transactions: it is none, and they are tidied."""
    return session.state.directory / "bisect"


def _path(session: Session) -> Path:
    return session.state.directory / "bisect.json"


def _save(path: Path, state: Bisection) -> None:
    write_atomically(path, msgspec.json.encode(state))


def _load(session: Session) -> Bisection:
    path = _path(session)
    try:
        state = msgspec.json.decode(path.read_bytes(), type=Bisection)
    except FileNotFoundError:
        raise NotFoundError(
            "no bisection is under way", hint="`atomicstate bisect start BAD GOOD` begins one"
        ) from None
    except msgspec.MsgspecError as error:
        raise NoOperationError(
            f"{path} can't be read: {error}", hint="delete it and start again"
        ) from error
    if state.log_id != session.log.log_id.hex():
        raise ConflictError("the bisection under way is of another log", hint=f"delete {path}")
    return state
