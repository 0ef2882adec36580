"""`config import`: a document becomes events, one for each difference to what is wanted.

The person's own image.yml is not taken for all that is wanted: what it says is an edit of what was
put there, and what was asked for since by other commands stays.
"""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from atomicstate.engine.checking import (
    CheckResult,
    read_document,
    resources_beside,
)
from atomicstate.engine.import_plan import Options, Source, planned
from atomicstate.engine.recipe_folder import RECIPE
from atomicstate.engine.unfinished import warn_interrupted
from atomicstate.errors import ConflictError
from atomicstate.events.asjson import fields_of
from atomicstate.events.asked import in_words
from atomicstate.events.bodies import RecipeTaken, kind_of
from atomicstate.events.ids import new_id
from atomicstate.recipe import writer
from atomicstate.recipe.resources import RESOURCES

if TYPE_CHECKING:
    from atomicstate.engine.repository import Checkout
    from atomicstate.engine.results import Reporter
    from atomicstate.engine.session import Session
    from atomicstate.events.bodies import AnyBody

__all__ = [
    "Change",
    "ImportResult",
    "Options",
    "Proposal",
    "RecordedEvent",
    "Source",
    "carry_out",
    "propose",
    "source_of",
    "source_of_edit",
    "source_of_repository",
]


class Change(Struct, frozen=True):
    """One difference: the kind of its event, and what it does in a line."""

    kind: str
    what: str


class Proposal(Struct, frozen=True):
    """What an import will record. `recipe` is what is wanted then; `checked` tells of warnings."""

    source: Source
    options: Options
    recipe_before: bytes
    recipe: bytes
    changes: list[Change]
    checked: CheckResult
    bodies: tuple[AnyBody, ...]


class RecordedEvent(Struct, frozen=True):
    """An event that an import recorded."""

    seq: int
    kind: str
    what: str


class ImportResult(Struct, frozen=True):
    """What an import recorded, under one request id. `commit` is of the repository, if any."""

    request: str
    events: list[RecordedEvent]
    commit: str | None = None


def source_of(session: Session, file: str | None, resources: str | None) -> Source:
    """The document in `file`, by default image.yml in the state directory; `-`: standard input.

    Raises what reading it does.
    """
    own = session.state.recipe_directory / RECIPE
    name = str(own) if file is None else file
    folder = Path(resources) if resources else resources_beside(name)
    is_own = resources is None and (file is None or _is_same(Path(file), own))
    return Source(read_document(name), name, folder, is_own)


def source_of_repository(checkout: Checkout, path: str, resources: str | None) -> Source:
    """The document at `path` of a repository (a folder: the image.yml in it), with what is beside.

    `resources` is a folder of the repository. Raises what finding and reading it does.
    """
    file = checkout.path(path)
    if file.is_dir():
        path = posixpath.join(path, RECIPE)
        file = checkout.path(path)
    beside = resources if resources is not None else str(resources_beside(path))
    content = read_document(str(file), path)
    return Source(
        content, path, checkout.path(beside), source=checkout.source, commit=checkout.commit
    )


def source_of_edit(session: Session, content: bytes) -> Source:
    """What a person made of the recipe as it is wanted (documents.wanted_text)."""
    folder = session.state.recipe_directory / RESOURCES
    return Source(content, RECIPE, folder, as_recorded=True)


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def propose(session: Session, source: Source, options: Options) -> Proposal:
    """What importing `source` changes; nothing is recorded.

    Raises ValidationError for a document with problems, and for what looks like a secret,
    ImageError where its base is not there, ConflictError where it contradicts what was asked for
    since, NoOperationError where nothing differs.
    """
    with planned(session, session.observe(), source, options) as plan:
        return Proposal(
            source,
            options,
            writer.write(plan.before),
            writer.write(plan.after),
            [Change(kind_of(body), _what(body)) for body in plan.bodies],
            plan.checked,
            plan.bodies,
        )


def carry_out(session: Session, proposal: Proposal, reporter: Reporter) -> ImportResult:
    """Record what `proposal` says, all of it or nothing.

    Raises ConflictError where it would be something else by now.
    """
    source = proposal.source
    with session.recording():
        system = session.observe()
        warn_interrupted(session, system, reporter)
        with planned(session, system, source, proposal.options) as plan:
            if plan.bodies != proposal.bodies:
                raise ConflictError(
                    "something else was recorded, or a file was changed, meanwhile;"
                    " nothing was changed",
                    hint="try again to see what it comes to now",
                )
            for name in plan.names:
                plan.gathering.keep(name, session.blobs)
            for edit in plan.edits:
                if edit.module is not None:
                    session.blobs.put(writer.encode_module(edit.module))
            session.blobs.put(source.content)
        request = new_id()
        events = session.append(plan.bodies, decided_at=session.system().position, request=request)
    recorded = [
        RecordedEvent(event.seq, kind_of(event.body), _what(event.body)) for event in events
    ]
    return ImportResult(request, recorded, source.commit or None)


def _what(body: AnyBody) -> str:
    if isinstance(body, RecipeTaken):
        return "the document's layout" + (f", of {body.commit[:12]}" if body.commit else "")
    return in_words(kind_of(body), fields_of(body))
