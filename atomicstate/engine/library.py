"""Where a recipe's resources are had from: the log's blobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol

from atomicstate.errors import ConflictError
from atomicstate.recipe import resources

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from atomicstate.recipe.resources import Manifest
    from atomicstate.store.blobs import Blobs


class RecordedLibrary:
    """The resources that were recorded: `manifests` maps their names to blobs."""

    def __init__(self, blobs: Blobs, manifests: Mapping[str, str]) -> None:
        self._blobs = blobs
        self._manifests = manifests

    def manifest(self, name: str) -> Manifest | None:
        """What the resource holds; None for one that was not recorded."""
        if name in self._manifests:
            return resources.decode(self._blobs.get(self._manifests[name]))
        return None

    def content(self, digest: str) -> bytes:
        """The content of a file. Raises NotFoundError, CorruptError."""
        return self._blobs.get(digest)


class Files(Protocol):
    """Where the files of a manifest are read that are no blobs yet."""

    def open(self, digest: str) -> AbstractContextManager[BinaryIO]:
        """The file that had this digest when the manifest named it."""


def keep(blobs: Blobs, library: Files, manifest: Manifest) -> str:
    """Make a resource durable: its files, then the manifest, whose digest it returns.

    Raises ConflictError for a file that is another by now, and what reading and writing raise.
    """
    for entry in manifest:
        if entry.digest:
            with library.open(entry.digest) as file:
                if blobs.put_file(file) != entry.digest:
                    raise ConflictError(
                        f"the file {entry.path or 'that was to be taken'} changes while it is"
                        " read; nothing was changed",
                        hint="try again",
                    )
    return blobs.put(resources.encode(manifest))
