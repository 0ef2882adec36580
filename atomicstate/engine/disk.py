"""Resources in a folder on disk: read without following a link out of it.

Every path is walked from the folder's own descriptor, a name at a time, and nothing is opened
through a link: what somebody swaps meanwhile makes an error, never a file from elsewhere.
"""

from __future__ import annotations

import os
import posixpath
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, NoReturn, Self

from atomicstate.errors import NotFoundError, ValidationError, from_os_error
from atomicstate.events import codec
from atomicstate.recipe.document import MAX_BYTES
from atomicstate.recipe.names import shown
from atomicstate.recipe.resources import Entry, Manifest, is_outside

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MAX_FILE = 100_000_000
"""The most bytes of a file among the resources."""

MAX_TOTAL = 1_000_000_000
"""The most bytes of all that a recipe takes from them."""

MAX_ENTRIES = 20_000
"""The most files, links and folders of all that it takes."""

MAX_DEPTH = 64
"""The most folders in one another."""

LINK_MODE = 0o777
_MAX_LINKS = 40
_CHUNK = 1 << 20
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_INSIDE = "only what lies in the resources can be taken: copy it there"


class DiskLibrary:
    """The resources (resources.Library) in `folder`, which need not be there. For `with`.

    Its methods raise ValidationError for what can't be a resource: a link that leads out, a
    device, what is over a limit; NotPermittedError, HostError for what can't be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._found: dict[str, Manifest | None] = {}
        self._places: dict[str, list[str]] = {}
        self._bytes = self._entries = 0
        self._top = -1
        try:
            self._top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise from_os_error(error, "read", folder) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._top >= 0:
            os.close(self._top)
            self._top = -1

    def manifest(self, name: str) -> Manifest | None:
        """What the file or folder `name` holds; None where there is none, or it is elsewhere."""
        if is_outside(name) or self._top < 0:
            return None
        if name not in self._found:
            try:
                self._found[name] = self._scan(name)
            except OSError as error:
                raise from_os_error(error, "read the resource", self.folder / name) from error
        return self._found[name]

    def holds(self, digest: str) -> bool:
        """Whether a manifest named a file with this content."""
        return digest in self._places

    def content(self, digest: str) -> bytes:
        """The content of a file that is a document. Raises as `open` does."""
        with self.open(digest) as file:
            # One byte more: whoever reads it says that it is too large.
            return file.read(MAX_BYTES + 1)

    @contextmanager
    def open(self, digest: str) -> Iterator[BinaryIO]:
        """The file that held this when a manifest named it. Raises NotFoundError where none did."""
        parts = self._places.get(digest)
        if parts is None:
            raise NotFoundError(f"no resource in {self.folder} holds {digest}")
        try:
            with _folder(self._top, parts[:-1]) as folder, _file(folder, parts[-1]) as file:
                yield file
        except OSError as error:
            path = self.folder.joinpath(*parts)
            raise from_os_error(error, "read the resource", path) from error

    # -- looking -----------------------------------------------------------------------------

    def _scan(self, name: str) -> Manifest | None:
        try:
            parts = self._resolved(name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if parts:
            with _folder(self._top, parts[:-1]) as folder:
                entries = list(self._take(name, folder, parts[:-1], parts[-1], ""))
        else:
            with _folder(self._top, ()) as folder:
                entries = list(self._take_folder(name, folder, [], ""))
        return tuple(sorted(entries, key=lambda entry: entry.path))

    def _resolved(self, name: str) -> list[str]:
        """The names that lead to `name`, none of them a link. Raises OSError, ValidationError."""
        todo, done, links = name.split("/")[::-1], list[str](), 0
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if not done:
                    _leads_out(name)
                done.pop()
                continue
            with _folder(self._top, done) as folder:
                found = os.lstat(part, dir_fd=folder)
                target = os.readlink(part, dir_fd=folder) if stat.S_ISLNK(found.st_mode) else ""
            if not target:
                done.append(part)
                continue
            links += 1
            if target.startswith("/"):
                _leads_out(name)
            if links > _MAX_LINKS:
                raise ValidationError(f"the resource {shown(name)}: its links go in a circle")
            todo += target.split("/")[::-1]
        return done

    def _take(
        self, name: str, folder: int, parents: Sequence[str], part: str, path: str
    ) -> Iterator[Entry]:
        """What `part` of `folder` is, `path` below the resource `name`, with all below it."""
        self._entries += 1
        if self._entries > MAX_ENTRIES:
            raise ValidationError(f"more than {MAX_ENTRIES} files, links and folders are taken")
        where = shown(f"{name}/{path}" if path else name)
        if not _is_text(part):
            raise ValidationError(f"the resource {where}: its name is no UTF-8 text")
        found = os.lstat(part, dir_fd=folder)
        if stat.S_ISLNK(found.st_mode):
            target = os.readlink(part, dir_fd=folder)
            _check_link(where, path, target)
            yield Entry(path, LINK_MODE, link=target)
        elif stat.S_ISDIR(found.st_mode):
            with _folder(folder, (part,)) as inner:
                yield from self._take_folder(name, inner, [*parents, part], path)
        elif stat.S_ISREG(found.st_mode):
            with _file(folder, part) as file:
                digest = self._digest(where, file)
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            self._places[digest] = [*parents, part]
            yield Entry(path, mode, digest)
        else:
            raise ValidationError(f"the resource {where} is no file, folder or link")

    def _take_folder(
        self, name: str, folder: int, parents: list[str], path: str
    ) -> Iterator[Entry]:
        if path.count("/") >= MAX_DEPTH:
            raise ValidationError(f"the resource {shown(name)}: its folders are too deep")
        yield Entry(path, stat.S_IMODE(os.fstat(folder).st_mode))
        for part in os.listdir(folder):
            yield from self._take(name, folder, parents, part, posixpath.join(path, part))

    def _digest(self, where: str, file: BinaryIO) -> str:
        hashed, size = codec.hasher(), 0
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            self._bytes += len(chunk)
            if size > MAX_FILE:
                raise ValidationError(f"the resource {where} has more than {MAX_FILE} bytes")
            if self._bytes > MAX_TOTAL:
                raise ValidationError(f"the resources come to more than {MAX_TOTAL} bytes")
            hashed.update(chunk)
        return hashed.hexdigest()


@contextmanager
def _folder(top: int, parts: Sequence[str]) -> Iterator[int]:
    """The folder that `parts` lead to from `top`, none of them through a link."""
    descriptor = os.dup(top)
    try:
        for part in parts:
            inner = os.open(part, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _file(folder: int, part: str) -> Iterator[BinaryIO]:
    """A file of `folder`, which must be one still."""
    with os.fdopen(os.open(part, _FILE, dir_fd=folder), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValidationError(f"the resource {shown(part)} is no file any more")
        yield file


def _check_link(where: str, path: str, target: str) -> None:
    """Raises ValidationError unless the link at `path` leads to something of the resource."""
    end = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    if not _is_text(target) or target.startswith("/") or end.split("/")[0] == ".." or not path:
        raise ValidationError(
            f"the resource {where} is a link to {shown(target)}, out of the resource",
            hint=_INSIDE,
        )


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _leads_out(name: str) -> NoReturn:
    raise ValidationError(
        f"the resource {shown(name)} is a link that leads out of the folder", hint=_INSIDE
    )
