"""The tree of an image, read from its layers as they lie on disk: nothing is mounted, nothing run.

Each name is looked up in the topmost layer first, as an overlay does: a whiteout hides what lies
below, and so does an opaque folder. Links are followed as the image's own root would have them,
so none leads out of the image; nobody changes a layer that an image is made of.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from atomicstate.errors import ValidationError, from_os_error
from atomicstate.host.ports import TreeEntry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MAX_BYTES = 16 << 20
"""The most bytes that are read at a time."""

MAX_ENTRIES = 2_000
"""The most files, links and folders that are read at a time."""

_MAX_LINKS = 40
_OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")


class _Found(NamedTuple):
    """A path and its state, in the layer that has it first, and in those below that may add."""

    state: os.stat_result
    paths: tuple[Path, ...]


class LayeredTree:
    """The tree of the layers `names` (topmost first) below `folder`."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._top = tuple(folder / name for name in names)
        self._left = MAX_BYTES
        self._entries = 0

    def has(self, path: str) -> bool:
        """Whether there is anything at `path`, links followed. Raises HostError."""
        try:
            return self._resolved(path) is not None
        except OSError as error:
            raise from_os_error(error, "read", f"{path} of the image") from error

    def read(self, path: str) -> tuple[TreeEntry, ...] | None:
        """The file or folder at `path`, with all that is in it; None where there is none.

        Raises ValidationError for what is too large, or no file, folder or link; HostError.
        """
        try:
            found = self._resolved(path)
            return None if found is None else tuple(self._entries_of(path, found, ""))
        except OSError as error:
            raise from_os_error(error, "read", f"{path} of the image") from error

    # -- looking up --------------------------------------------------------------------------

    def _resolved(self, path: str) -> _Found | None:
        """What `path` leads to, every link on the way and at its end followed."""
        todo, links = path.split("/")[::-1], 0
        # The folders from the root on; the last one is where the next name is looked up.
        way: list[tuple[Path, ...]] = [self._top]
        found: _Found | None = None
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                way, found = way[:-1] or way, None
                continue
            found = self._look(way[-1], part)
            if found is None:
                return None
            if stat.S_ISLNK(found.state.st_mode):
                links += 1
                if links > _MAX_LINKS:
                    return None
                target = str(found.paths[0].readlink())
                way = way[:1] if target.startswith("/") else way
                todo += target.split("/")[::-1]
            else:
                way.append(self._merged(found))
        return found

    def _look(self, folders: Sequence[Path], name: str) -> _Found | None:
        for place, folder in enumerate(folders):
            try:
                state = (folder / name).lstat()
            except (FileNotFoundError, NotADirectoryError):
                continue
            if stat.S_ISCHR(state.st_mode) and state.st_rdev == 0:
                return None
            return _Found(state, tuple(below / name for below in folders[place:]))
        return None

    def _merged(self, found: _Found) -> tuple[Path, ...]:
        """The folder, in each layer that adds to it; nothing of what is none."""
        merged = []
        for path in found.paths:
            try:
                if not stat.S_ISDIR(path.lstat().st_mode):
                    break
            except (FileNotFoundError, NotADirectoryError):
                continue
            merged.append(path)
            if _is_opaque(path):
                break
        return tuple(merged)

    # -- reading -----------------------------------------------------------------------------

    def _entries_of(self, top: str, found: _Found, path: str) -> Iterator[TreeEntry]:
        self._entries += 1
        if self._entries > MAX_ENTRIES:
            raise ValidationError(f"{top} of the image holds more than {MAX_ENTRIES} files")
        mode = found.state.st_mode
        if stat.S_ISDIR(mode):
            yield TreeEntry(path, stat.S_IMODE(mode))
            folders = self._merged(found)
            names = {part for folder in folders for part in os.listdir(folder)}  # noqa: PTH208
            for part in sorted(names):
                if inner := self._look(folders, part):
                    yield from self._entries_of(top, inner, f"{path}/{part}" if path else part)
        elif stat.S_ISLNK(mode):
            yield TreeEntry(path, 0o777, link=str(found.paths[0].readlink()))
        elif stat.S_ISREG(mode):
            yield TreeEntry(path, stat.S_IMODE(mode), self._content(top, found.paths[0]))
        else:
            raise ValidationError(f"{top}/{path} of the image is no file, folder or link")

    def _content(self, top: str, path: Path) -> bytes:
        with path.open("rb") as file:
            content = file.read(self._left + 1)
        self._left -= len(content)
        if self._left < 0:
            raise ValidationError(f"{top} of the image holds more than {MAX_BYTES} bytes")
        return content


def _is_opaque(folder: Path) -> bool:
    for name in _OPAQUE:
        try:
            if os.getxattr(folder, name) == b"y":
                return True
        except OSError:
            continue
    return False
