"""The resources of a document, brought together from wherever they are to be had."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, BinaryIO, Self

from atomicstate.engine.disk import DiskLibrary
from atomicstate.engine.fetch import fetch
from atomicstate.engine.library import RecordedLibrary, keep
from atomicstate.errors import HostError
from atomicstate.recipe.resources import Entry, encode, is_outside, is_url
from atomicstate.store.blobs import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from atomicstate.host.ports import Builder, Image, TreeEntry
    from atomicstate.recipe.resources import Manifest
    from atomicstate.store.blobs import Blobs


class Gathering:
    """A library (resources.Library): what lies in a folder, in the base image, or is fetched.

    What is not to be had there is taken as it was `recorded`, and so is what is as it was
    `placed` in the folder (names, and digests of manifests): nobody edited it. With `as_recorded`
    only what was not recorded is looked for. For `with`.
    """

    def __init__(
        self,
        folder: Path,
        builder: Builder,
        base: Image | None,
        recorded: RecordedLibrary,
        placed: Mapping[str, str] = {},
        *,
        as_recorded: bool = False,
    ) -> None:
        self._disk = DiskLibrary(folder)
        self._builder = builder
        self._base = base
        self._recorded = recorded
        self._placed = placed
        self._as_recorded = as_recorded
        self._found: dict[str, Manifest] = {}
        self._looked_for: set[str] = set()
        self._contents: dict[str, bytes] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._disk.__exit__()

    def manifest(self, name: str) -> Manifest | None:
        """What the resource holds now, or as it was recorded; None where neither is so.

        Raises what looking for it does, but for a server that can't be reached.
        """
        if name not in self._looked_for:
            self._looked_for.add(name)
            found = None if self._stays(name) else self._look(name)
            if found is not None:
                self._found[name] = found
        return self._found.get(name) or self._recorded.manifest(name)

    def lies(self, name: str) -> str:
        """The digest of the manifest of what lies in the folder; empty where nothing does."""
        manifest = self._disk.manifest(name)
        return "" if manifest is None else digest_of(encode(manifest))

    def content(self, digest: str) -> bytes:
        """The content of a file. Raises NotFoundError, CorruptError."""
        if digest in self._contents:
            return self._contents[digest]
        if self._disk.holds(digest):
            return self._disk.content(digest)
        return self._recorded.content(digest)

    def found(self, name: str) -> str:
        """The digest of the manifest of what was found; empty where nothing was."""
        return digest_of(encode(self._found[name])) if name in self._found else ""

    def files(self, name: str) -> int:
        """How many files were found."""
        return sum(1 for entry in self._found[name] if entry.digest)

    def keep(self, name: str, blobs: Blobs) -> str:
        """Make what was found durable, its files first; the digest of the manifest's blob.

        Raises ConflictError where a file is another meanwhile.
        """
        return keep(blobs, self, self._found[name])

    @contextlib.contextmanager
    def open(self, digest: str) -> Iterator[BinaryIO]:
        """The file with this content, of what was found. Raises NotFoundError."""
        if digest in self._contents:
            yield io.BytesIO(self._contents[digest])
        else:
            with self._disk.open(digest) as file:
                yield file

    def _stays(self, name: str) -> bool:
        """Whether what was recorded counts, whatever lies in the folder."""
        if self._recorded.manifest(name) is None:
            return False
        placed = self._placed.get(name)
        return self._as_recorded or bool(placed and placed == self.lies(name))

    def _look(self, name: str) -> Manifest | None:
        return self._outside(name) if is_outside(name) else self._disk.manifest(name)

    def _outside(self, name: str) -> Manifest | None:
        if is_url(name):
            # Where there is no network what was recorded counts, and else it is missing.
            with contextlib.suppress(HostError):
                return (self._file("", 0o644, fetch(name)),)
            return None
        found = self._builder.read(self._base, name) if self._base else None
        return None if found is None else tuple(map(self._entry, found))

    def _entry(self, entry: TreeEntry) -> Entry:
        if entry.content is None:
            return Entry(entry.path, entry.mode, link=entry.link)
        return self._file(entry.path, entry.mode, entry.content)

    def _file(self, path: str, mode: int, content: bytes) -> Entry:
        digest = digest_of(content)
        self._contents[digest] = content
        return Entry(path, mode, digest)
