"""Resources: the files and folders that modules name, as values.

A resource is known by the name that a module gives it: a path relative to the recipe (`root`,
`packages.yml`), a path in /usr of the base image, or a URL. What it holds is a manifest, one entry
for each file, link and folder, whose contents are blobs.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec import Struct

from atomicstate.errors import CorruptError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RESOURCES = "resources"
"""The folder beside a document that its resources lie in."""

MODES = 0o7777
_URL = re.compile(r"https?://")


class Entry(Struct, frozen=True, array_like=True):
    """One file, link or folder: `path` below the resource, empty for the resource itself.

    `mode` are its permission bits. A file has the `digest` of its content, a link what it leads
    to; a folder has neither.
    """

    path: str
    mode: int
    digest: str = ""
    link: str = ""

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return not self.digest and not self.link


Manifest = tuple[Entry, ...]
"""All of a resource, in the order of the paths."""

_FOLDER = Entry("", 0o755)

_decode = msgspec.json.Decoder(Manifest).decode


def encode(manifest: Sequence[Entry]) -> bytes:
    """A manifest as bytes: the same ones for the same entries, in whatever order they come."""
    return msgspec.json.encode(sorted(manifest, key=lambda entry: entry.path))


def decode(content: bytes) -> Manifest:
    """The manifest in `content`. Raises CorruptError."""
    try:
        return _decode(content)
    except msgspec.DecodeError as error:
        raise CorruptError(f"a manifest of resources that can't be read: {error}") from error


class Library(Protocol):
    """Where a recipe's resources are had from."""

    def manifest(self, name: str) -> Manifest | None:
        """What the resource `name` holds; None where it is not to be had."""

    def content(self, digest: str) -> bytes:
        """The content of a file of a manifest. Raises NotFoundError, CorruptError."""


class NoLibrary:
    """A library that holds nothing."""

    def manifest(self, name: str) -> Manifest | None:
        """None, whatever the name."""
        return None

    def content(self, digest: str) -> bytes:
        """Raises KeyError: no manifest names anything."""
        raise KeyError(digest)


def named(folder: str, text: str) -> str:
    """The name of the resource that a document in `folder` calls `text`."""
    if is_outside(text):
        return text
    if is_url(folder):
        return f"{folder}/{text}"
    return posixpath.normpath(posixpath.join(folder, text))


def folder_of(name: str) -> str:
    """The folder of the document with this name, for what it names in turn."""
    if is_url(name):
        return name.rsplit("/", 1)[0]
    return posixpath.dirname(name)


def is_url(name: str) -> bool:
    """Whether it is fetched."""
    return _URL.match(name) is not None


def is_outside(name: str) -> bool:
    """Whether it lies in no folder of the recipe's: a URL, or a path of the base image."""
    return name.startswith("/") or is_url(name)


def is_document(path: str) -> bool:
    """Whether a file of a folder that is included is a recipe, by its name."""
    return path.lower().endswith((".yml", ".yaml", ".json"))


def beside(manifests: Mapping[str, Manifest]) -> dict[str, Manifest]:
    """What the resources come to in one folder: by path, none of which lies in another.

    A resource that lies in another one's folder is a part of that; what lies elsewhere is left
    out.
    """
    tops: dict[str, dict[str, Entry]] = {}
    for name in sorted(manifests, key=lambda name: (name != ".", name.count("/"), name)):
        if is_outside(name):
            continue
        top = next((top for top in tops if top == "." or name.startswith(f"{top}/")), None)
        if top is None:
            tops[name] = {entry.path: entry for entry in manifests[name]}
        else:
            below = name if top == "." else name.removeprefix(f"{top}/")
            _merge(tops[top], below, manifests[name])
    return {
        name: tuple(entries[path] for path in sorted(entries)) for name, entries in tops.items()
    }


def _merge(entries: dict[str, Entry], below: str, manifest: Manifest) -> None:
    """Put a resource in its place in a folder; where that is none it has no place."""
    parents = [below[:end] for end in range(len(below)) if below[end] == "/"]
    if not all(entries.get(path, _FOLDER).is_folder for path in ("", *parents)):
        return
    for path in [path for path in entries if path == below or path.startswith(f"{below}/")]:
        del entries[path]
    for path in parents:
        entries.setdefault(path, Entry(path, _FOLDER.mode))
    for entry in manifest:
        path = f"{below}/{entry.path}" if entry.path else below
        entries[path] = Entry(path, entry.mode, entry.digest, entry.link)


def context_path(manifest: str) -> str:
    """Where a build finds the resource whose manifest has this digest: below its context.

    Named by what it holds: no name that a person chose stands in a Containerfile, and a changed
    file is another path, so that no layer of the build cache is taken for one it is not.
    """
    return f"resources/{manifest[:32]}"
