"""`file add`, `file remove`: files of the caller's, and files of the image, one by one."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

from atomicstate.engine import edits
from atomicstate.engine.disk import DiskLibrary
from atomicstate.engine.edits import Edit
from atomicstate.engine.library import keep
from atomicstate.errors import NoOperationError, NotFoundError, from_os_error
from atomicstate.events.bodies import ResourceSet
from atomicstate.projectors.independence import keys_of_module
from atomicstate.recipe.schema import CopyBody, MergeBody, Module, RemoveBody

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atomicstate.engine.edits import Standing
    from atomicstate.engine.results import ChangeResult, Reporter
    from atomicstate.engine.session import Session

FOLDER = "files"
"""Where the resources lie that `file add` makes."""


def add(
    session: Session, source: str, destination: str, reporter: Reporter, *, replace: bool
) -> ChangeResult:
    """Put a file or folder of the caller's into the image, at `destination`.

    What it holds now is recorded as a resource. Where the recipe puts what an earlier `file add`
    recorded there, and nothing else has a say in that place since, the resource alone changes.
    Raises NoOperationError where it is the same, NotFoundError, ValidationError for what can't be
    a resource, and what `edits.record` does.
    """
    path = _resolved(source)
    if destination.endswith("/") and not path.is_dir():
        destination += Path(source).name
    # Before anything is kept of what can't be recorded.
    edits.check_module(Module("copy", CopyBody(FOLDER, destination, replace)))
    with DiskLibrary(path.parent) as library:
        manifest = library.manifest(path.name)
        if manifest is None:
            raise NotFoundError(f"there is no {source}; nothing was changed")
        digest = keep(session.blobs, library, manifest)
    files = sum(1 for entry in manifest if entry.digest)

    def plan(here: Standing) -> list[Edit]:
        before = _placed(here, destination, replace)
        if before is None:
            name = _free_name(here, posixpath.basename(destination.rstrip("/")) or path.name)
            body = CopyBody(name, destination, replace)
            return [Edit(ResourceSet(name, digest, files)), edits.added(Module("copy", body))]
        if here.composed.resources[before] == digest:
            raise NoOperationError(f"{destination} is so in the recipe already, nothing to do")
        return [Edit(ResourceSet(before, digest, files))]

    return edits.record(session, plan, reporter)


def remove(session: Session, paths: Sequence[str], reporter: Reporter) -> ChangeResult:
    """Take files and folders out of the image.

    Raises NoOperationError where the recipe removes them all, and what `edits.record` does.
    """
    names = tuple(dict.fromkeys(paths))
    skipped: list[str] = []

    def plan(here: Standing) -> list[Edit]:
        skipped[:] = [path for path in names if _is_gone(here, path)]
        left = tuple(path for path in names if path not in skipped)
        if not left:
            raise NoOperationError(f"{', '.join(names)}: removed already, nothing to do")
        return [edits.added(Module("remove", RemoveBody(left)))]

    return edits.skipping(edits.record(session, plan, reporter), skipped)


def _resolved(source: str) -> Path:
    """Where the caller's file is, links that lead to it followed."""
    try:
        return Path(source).resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, OSError):
            raise from_os_error(error, "read", source) from error
        raise NotFoundError(f"can't read {source!r}: {error}") from error


def _placed(here: Standing, destination: str, replace: bool) -> str | None:
    """The resource of ours that lies at `destination`, if its content alone may change."""
    users = [
        module.body.source
        for _slot, module in here.modules()
        if isinstance(module.body, CopyBody | MergeBody)
    ]
    wanted = keys_of_module(Module("copy", CopyBody(FOLDER, destination)))
    for _slot, module in reversed(here.modules()):
        body = module.body
        if (
            isinstance(body, CopyBody)
            and (body.destination, body.replace) == (destination, replace)
            and module == Module("copy", body)
            and body.source in here.composed.resources
            and body.source.startswith(f"{FOLDER}/")
            and users.count(body.source) == 1
        ):
            return body.source
        if wanted.disturbed_by(keys_of_module(module)):
            return None
    return None


def _is_gone(here: Standing, path: str) -> bool:
    """Whether the last module with a say in `path` removes it."""
    wanted = keys_of_module(Module("remove", RemoveBody((path,))))
    for _slot, module in reversed(here.modules()):
        if wanted.disturbed_by(keys_of_module(module)):
            body = module.body
            return (
                isinstance(body, RemoveBody)
                and not body.inside
                and not module.when
                and path in body.targets
            )
    return False


def _free_name(here: Standing, base: str) -> str:
    """A name for a resource that nothing in the recipe has or names."""
    taken = set(here.composed.resources)
    for _slot, module in here.modules():
        if isinstance(module.body, CopyBody | MergeBody):
            taken.add(module.body.source)
    name, count = f"{FOLDER}/{base}", 1
    while name in taken:
        count += 1
        name = f"{FOLDER}/{base}-{count}"
    return name
