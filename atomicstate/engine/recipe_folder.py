"""`<state>/recipe`: image.yml and the resources beside it, for people to read and to edit.

What should lie there is in the log (state.Placed); what differs is an edit, and nobody's to lose:
a file or folder is replaced only where it is what was put there, or is not there at all. Each
resource takes its place by a rename, image.yml comes last: where that is the new one, all is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from atomicstate import failpoints
from atomicstate.engine import context
from atomicstate.engine.disk import DiskLibrary
from atomicstate.errors import AtomicstateError, from_os_error
from atomicstate.events import codec
from atomicstate.files import fsync_directory, make_directory, write_atomically
from atomicstate.projectors.state import Placed
from atomicstate.recipe.resources import RESOURCES, beside, decode, encode
from atomicstate.store.blobs import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from atomicstate.events.bodies import TransactionBegun
    from atomicstate.recipe.resources import Manifest
    from atomicstate.store.state import State

RECIPE = "image.yml"
GONE = ""
_STAGING = ".new"
_AWAY = ".old"
_UNREADABLE = "?"


class Content(NamedTuple):
    """What the folder holds, or should: the digest of image.yml (GONE: there is none), and of the
    manifest of each file or folder of the resources, by its path."""

    document: str
    resources: Mapping[str, str]


class RecipeFolder:
    """The folder in the state directory `state`."""

    def __init__(self, state: State) -> None:
        self.directory = state.recipe_directory
        self._blobs = state.blobs
        self._path = self.directory / RECIPE
        self._resources = self.directory / RESOURCES

    def content_of(self, placed: Placed) -> Content:
        """What the folder holds where nobody edited it. Raises NotFoundError, CorruptError."""
        manifests = self._manifests(placed)
        digests = {name: digest_of(encode(entries)) for name, entries in manifests.items()}
        return Content(placed.document, digests)

    def found(self, names: Iterable[str]) -> Content:
        """What it does hold, of the resources those that `names` lists."""
        with DiskLibrary(self._resources) as library:
            return Content(
                file_digest(self._path), {name: self._look(library, name) for name in names}
            )

    def edited(self, *expected: Content) -> tuple[str, ...]:
        """What is as none of `expected` has it, by path in the folder."""
        names = dict.fromkeys(name for content in expected for name in content.resources)
        found = self.found(names)
        edited = [] if found.document in {content.document for content in expected} else [RECIPE]
        return (
            *edited,
            *(
                f"{RESOURCES}/{name}"
                for name in names
                if found.resources[name]
                not in {content.resources.get(name, GONE) for content in expected}
            ),
        )

    def is_placed(self, placed: Placed, before: Placed) -> bool:
        """Whether all is as `placed` says, and nothing is left that only `before` had there."""
        then, now = self.content_of(placed), self.content_of(before)
        found = self.found({**then.resources, **now.resources})
        old = {n: digest for n, digest in now.resources.items() if n not in then.resources}
        return (
            found.document == then.document
            and all(found.resources[name] == digest for name, digest in then.resources.items())
            and all(found.resources[name] != digest for name, digest in old.items())
        )

    def is_free(self, placed: Placed, before: Placed) -> bool:
        """Whether nobody edited it since it was as `before` says, perhaps on the way to `placed`.

        What is gone is in nobody's way.
        """
        then, now = self.content_of(placed), self.content_of(before)
        return not self.edited(then, now, Content(now.document, {}))

    def place(self, placed: Placed, before: Placed) -> None:
        """Put what `placed` says in its place, and take away what only `before` had there.

        What is neither as `before` says nor gone is left alone.
        """
        manifests = self._manifests(placed)
        then, now = self.content_of(placed).resources, self.content_of(before).resources
        found = self.found({**then, **now})
        there = found.resources
        new = [n for n in then if there[n] != then[n] and there[n] in (GONE, now.get(n, GONE))]
        old = [n for n in now if n not in then and there[n] == now[n]]
        try:
            make_directory(self.directory)
            self.clear()
            for number, name in enumerate(new):
                context.write_tree(self._staged(number), manifests[name], self._blobs)
            if new:
                os.sync()
                failpoints.reach("recipe.staged")
            for number, name in enumerate(new):
                self._put(self._staged(number), self._resources / name)
            for name in old:
                self._take_away(self._resources / name)
            self.clear()
            self._place_document(placed.document, before.document, found.document)
        except OSError as error:
            raise from_os_error(error, "write the recipe in", self.directory) from error

    def _place_document(self, wanted: str, before: str, found: str) -> None:
        if found == wanted or found not in (GONE, before):
            return
        if wanted == GONE:
            self._path.unlink(missing_ok=True)
            fsync_directory(self.directory)
        else:
            write_atomically(self._path, self._blobs.get(wanted))

    def set_aside(self, names: Iterable[str]) -> Path | None:
        """Move what was edited (paths in the folder) into a folder of its own; where that is.

        None where nothing of it is there.
        """
        there = [name for name in names if os.path.lexists(self.directory / name)]
        if not there:
            return None
        aside = self._free("edited")
        try:
            for name in there:
                target = aside / name
                make_directory(target.parent)
                (self.directory / name).rename(target)
                fsync_directory(target.parent)
            fsync_directory(self.directory)
        except OSError as error:
            raise from_os_error(error, "set aside what was edited in", self.directory) from error
        return aside

    # -- looking -----------------------------------------------------------------------------

    def _manifests(self, placed: Placed) -> dict[str, Manifest]:
        return beside(
            {name: decode(self._blobs.get(digest)) for name, digest in placed.resources.items()}
        )

    def _look(self, library: DiskLibrary, name: str) -> str:
        try:
            manifest = library.manifest(name)
        except AtomicstateError:
            return _UNREADABLE
        if manifest is not None:
            return digest_of(encode(manifest))
        above = [path for path in (self._resources / name).parents if os.path.lexists(path)]
        return GONE if above[0].is_dir() else _UNREADABLE

    # -- writing -----------------------------------------------------------------------------

    def _staged(self, number: int) -> Path:
        return self.directory / _STAGING / str(number)

    def _put(self, staged: Path, target: Path) -> None:
        make_directory(target.parent, 0o755)
        self._move_away(target)
        staged.rename(target)
        fsync_directory(target.parent)
        failpoints.reach("recipe.placed")

    def _move_away(self, target: Path) -> None:
        if not os.path.lexists(target):
            return
        away = self.directory / _AWAY
        away.mkdir(mode=0o700, exist_ok=True)
        target.rename(away / os.urandom(8).hex())
        fsync_directory(target.parent)
        failpoints.reach("recipe.moved-away")

    def _take_away(self, target: Path) -> None:
        self._move_away(target)
        # Folders that only it was in go with it.
        with contextlib.suppress(OSError):
            for parent in target.parents:
                if parent == self.directory:
                    break
                parent.rmdir()

    def clear(self) -> None:
        """Take away what a placing that was killed left on its way. Only one places at a time."""
        for name in (_STAGING, _AWAY):
            import shutil

            shutil.rmtree(self.directory / name, ignore_errors=True)

    def _free(self, name: str) -> Path:
        number = 1
        while os.path.lexists(self.directory / f"{name}-{number}"):
            number += 1
        return self.directory / f"{name}-{number}"


def placed_by(begun: TransactionBegun) -> Placed:
    """What the apply `begun` puts in place at its end."""
    return Placed(begun.promoted or begun.recipe, begun.beside)


_PART = 1 << 20
_NO_FILE = (errno.ELOOP, errno.ENOTDIR, errno.EISDIR)


def file_digest(path: Path) -> str:
    """The digest of the file's content; GONE where there is no such file.

    What is no file has none that fits anything, and is not waited for.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return _UNREADABLE
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            hashed = codec.hasher()
            while part := file.read(_PART):
                hashed.update(part)
            return hashed.hexdigest()
    except FileNotFoundError:
        return GONE
    except OSError as error:
        if error.errno in _NO_FILE:
            return _UNREADABLE
        raise from_os_error(error, "read", path) from error
