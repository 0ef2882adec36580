"""Large or free content beside the log: one file each, named by what it holds.

A file is `<directory>/<ab>/<digest>`: the BLAKE2b-256 of the content in lower-case hex, and its
first two characters. A redacted blob is an empty file `<digest>.redacted` in its place.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING, BinaryIO

from atomicstate import failpoints
from atomicstate.errors import CorruptError, NotFoundError, ValidationError, from_os_error
from atomicstate.events import codec
from atomicstate.files import PRIVATE_FILE, fsync_directory, make_directory, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DIGEST = r"[0-9a-f]{64}"
REDACTED = ".redacted"
_CHUNK = 1 << 20


def digest_of(content: bytes) -> str:
    """The name of the blob with this content."""
    return codec.digest(content).hex()


class Blobs:
    """The blobs in `directory`, which is made with the first."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, digest: str) -> Path:
        """Where the blob lies, or would. Raises ValidationError for what is no digest."""
        if not re.fullmatch(_DIGEST, digest):
            raise ValidationError(f"{digest!r} is not the name of a blob")
        return self.directory / digest[:2] / digest

    def put(self, content: bytes) -> str:
        """Keep `content`; its digest. When this returns it is durable, and so is its name.

        Raises NoSpaceError, NotPermittedError, HostError.
        """
        digest = digest_of(content)
        path = self.path(digest)
        whole = self._is_whole(path, content)
        if not whole:
            make_directory(path.parent)
            write_atomically(path, content)
        try:
            # Whoever made the file or its folder may not have reached the flush of its name yet.
            if whole:
                fsync_directory(path.parent)
            fsync_directory(self.directory)
        except OSError as error:
            raise from_os_error(error, "write the blob", path) from error
        failpoints.reach("blob.kept")
        return digest

    def put_file(self, source: BinaryIO) -> str:
        """As `put`, of what `source` holds from here on, a piece at a time."""
        make_directory(self.directory)
        temporary = self.directory / f".incoming.{os.getpid()}.{os.urandom(6).hex()}.tmp"
        try:
            with _created(temporary) as file:
                digest = _copied(source, file)
                file.flush()
                os.fsync(file.fileno())
            failpoints.reach("file.written")
            path = self.path(digest)
            make_directory(path.parent)
            temporary.replace(path)
            failpoints.reach("file.replaced")
            fsync_directory(path.parent)
            fsync_directory(self.directory)
        except OSError as error:
            raise from_os_error(error, "write the blob", temporary) from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        failpoints.reach("blob.kept")
        return digest

    def write_to(self, digest: str, target: BinaryIO) -> None:
        """Write the content to `target`, a piece at a time. Raises what `get` does, OSError."""
        try:
            source = self.path(digest).open("rb")
        except OSError:
            target.write(self.get(digest))  # which says what is wrong
            return
        with source:
            if _copied(source, target) != digest:
                raise _damaged(digest)

    @staticmethod
    def _is_whole(path: Path, content: bytes) -> bool:
        try:
            return path.read_bytes() == content
        except OSError:
            return False

    def get(self, digest: str) -> bytes:
        """The content, checked. Raises NotFoundError, CorruptError."""
        path = self.path(digest)
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            if self.is_redacted(digest):
                raise NotFoundError(f"the blob {digest} was redacted") from error
            raise NotFoundError(f"there is no blob {digest}") from error
        except OSError as error:
            raise from_os_error(error, "read the blob", path) from error
        if digest_of(content) != digest:
            raise _damaged(digest)
        return content

    def has(self, digest: str) -> bool:
        """Whether there is a file of that name. Its content is not read."""
        return self.path(digest).is_file()

    def is_redacted(self, digest: str) -> bool:
        """Whether its content was dropped on purpose."""
        path = self.path(digest)
        return path.with_name(digest + REDACTED).exists() and not path.exists()

    def redact(self, digest: str) -> None:
        """Drop the content for good and leave a note that this was meant. NotFoundError if none."""
        path = self.path(digest)
        if not path.exists():
            self.get(digest)
        # The note first: killed in between, the content is there and nothing is lost.
        write_atomically(path.with_name(digest + REDACTED), b"")
        try:
            path.unlink(missing_ok=True)
            fsync_directory(path.parent)
        except OSError as error:
            raise from_os_error(error, "redact", path) from error

    def all(self) -> Iterator[str]:
        """The names of all that are there, sorted."""
        return (path.name for path in self._files() if re.fullmatch(_DIGEST, path.name))

    def redacted(self) -> Iterator[str]:
        """The names of those that were redacted, sorted."""
        for path in self._files():
            digest = path.name.removesuffix(REDACTED)
            if digest != path.name and self.is_redacted(digest):
                yield digest

    def _files(self) -> Iterator[Path]:
        try:
            folders = sorted(self.directory.iterdir())
        except FileNotFoundError:
            return
        for folder in folders:
            if folder.is_dir():
                yield from sorted(folder.iterdir())


def _copied(source: BinaryIO, target: BinaryIO) -> str:
    """Copy the rest of `source`; the digest of what that was."""
    from hashlib import blake2b

    hashed = blake2b(digest_size=32)
    while chunk := source.read(_CHUNK):
        hashed.update(chunk)
        target.write(chunk)
    return hashed.hexdigest()


def _created(path: Path) -> BinaryIO:
    """A file that is new, and nobody else's to read."""
    return open(path, "xb", opener=lambda name, flags: os.open(name, flags, PRIVATE_FILE))


def _damaged(digest: str) -> CorruptError:
    return CorruptError(
        f"the blob {digest} does not hold what it is named for", hint="bring it back from a backup"
    )


def copy_file(source: Path, target: Path) -> None:
    """A durable copy of a file that nobody changes. Its directory is the caller's to flush."""
    temporary = target.with_name(f".{target.name}.{os.urandom(4).hex()}.tmp")
    try:
        with source.open("rb") as reader, _created(temporary) as writer:
            _copied(reader, writer)
            writer.flush()
            os.fsync(writer.fileno())
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise from_os_error(error, "write", target) from error
