"""Large or free content beside the log: plain files, named by their digest.

`<ab>/<digest>`: two hexadecimal digits, then all 64 of the BLAKE2b-256. A blob is durable, with
the names of its directories, before the event that names it: no event ever names what is not there.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING

from atomicstate.errors import CorruptError, NotFoundError, ValidationError, from_os_error
from atomicstate.files import make_directory, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DIGEST_SIZE = 32
_DIGEST = re.compile(r"[0-9a-f]{64}")


def digest_of(content: bytes) -> str:
    """The BLAKE2b-256 of `content`, hexadecimal."""
    return blake2b(content, digest_size=DIGEST_SIZE).hexdigest()


class Blobs:
    """The blobs in `directory`, which is made with the first."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, digest: str) -> Path:
        """Where the blob lies, if there is one. Raises ValidationError for what is no digest."""
        if not _DIGEST.fullmatch(digest):
            raise ValidationError(f"{digest[:80]!r} is no digest of a blob")
        return self.directory / digest[:2] / digest

    def put(self, content: bytes) -> str:
        """Keep `content`, durable when this returns; its digest.

        Raises NoSpaceError, NotPermittedError, HostError; then there is no such blob.
        """
        digest = digest_of(content)
        path = self.path(digest)
        if not self._holds(path, content):
            make_directory(path.parent)
            write_atomically(path, content)
        return digest

    def get(self, digest: str) -> bytes:
        """The content. Raises NotFoundError, and CorruptError where it is not what was kept."""
        path = self.path(digest)
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise NotFoundError(f"there is no blob {digest}") from error
        except OSError as error:
            raise from_os_error(error, "read", path) from error
        if digest_of(content) != digest:
            raise CorruptError(f"the blob {digest} is not what was written")
        return content

    def has(self, digest: str) -> bool:
        """Whether there is such a blob; its content is not looked at."""
        return self.path(digest).is_file()

    def all(self) -> Iterator[str]:
        """The digests of all blobs, in order."""
        for path in sorted(self.directory.glob("??/*")):
            if _DIGEST.fullmatch(path.name):
                yield path.name

    def _holds(self, path: Path, content: bytes) -> bool:
        """Whether the very content is there: a damaged blob is written anew."""
        try:
            return path.read_bytes() == content
        except OSError:
            return False
