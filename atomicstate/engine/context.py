"""The folder that a build reads: the Containerfile, and what it takes from beside it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from atomicstate.errors import from_os_error
from atomicstate.files import make_directory, write_atomically
from atomicstate.recipe import resources as resource
from atomicstate.store.blobs import digest_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from atomicstate.recipe.resources import Entry, Manifest
    from atomicstate.store.blobs import Blobs

CONTAINERFILE = "Containerfile"
_PARTS = ("resources", "files")
_FOLDER = 0o755


def write(
    directory: Path,
    blobs: Blobs,
    containerfile: str,
    files: Mapping[str, str],
    resources: Mapping[str, str],
) -> None:
    """Write it all, of blobs: the Containerfile last, so that where it is, all is.

    Raises NotFoundError for a blob that is gone, NoSpaceError, NotPermittedError, HostError.
    """
    make_directory(directory)
    try:
        clear(directory)
        for path, digest in files.items():
            _write_file(directory / path, blobs, digest, 0o644)
        for manifest in set(resources.values()):
            top = directory / resource.context_path(manifest)
            write_tree(top, resource.decode(blobs.get(manifest)), blobs)
        _flush(directory)
    except OSError as error:
        raise from_os_error(error, "write what a build reads into", directory) from error
    write_atomically(directory / CONTAINERFILE, blobs.get(containerfile))


def write_tree(top: Path, entries: Manifest, blobs: Blobs) -> None:
    """Write a resource as the file or folder `top`. Raises OSError, NotFoundError, CorruptError."""
    # Folders first: their paths are shorter. Their modes last: one may forbid writing.
    for entry in entries:
        _write_entry(top / entry.path if entry.path else top, entry, blobs)
    for entry in reversed(entries):
        if entry.is_folder:
            (top / entry.path).chmod(entry.mode)


def is_whole(directory: Path, containerfile: str) -> bool:
    """Whether `write` came to its end there."""
    try:
        return digest_of((directory / CONTAINERFILE).read_bytes()) == containerfile
    except OSError:
        return False


def clear(directory: Path) -> None:
    """Take away what `write` wrote; none there is no error."""
    import shutil

    (directory / CONTAINERFILE).unlink(missing_ok=True)
    for part in _PARTS:
        shutil.rmtree(directory / part, ignore_errors=True)


def _write_entry(path: Path, entry: Entry, blobs: Blobs) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if entry.link:
        path.symlink_to(entry.link)
    elif entry.is_folder:
        path.mkdir(exist_ok=True)
    else:
        _write_file(path, blobs, entry.digest, entry.mode)


def _write_file(path: Path, blobs: Blobs, digest: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        blobs.write_to(digest, file)
        os.fchmod(file.fileno(), mode)


def _flush(directory: Path) -> None:
    """Make all that was written durable at once, where anything was."""
    if any((directory / part).exists() for part in _PARTS):
        os.sync()
