"""Lines that are found last one first, and shown first one first, in constant memory."""

from __future__ import annotations

from itertools import chain, islice
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

AT_ONCE = 2048
"""So many lines are turned round in memory."""


def backwards(lines: Iterable[str]) -> Iterator[str]:
    """`lines`, the last one first. All of them are taken before this returns.

    What is more than AT_ONCE lines waits in a file without a name. Raises OSError.
    """
    rest = iter(lines)
    chunk = list(islice(rest, AT_ONCE))
    file: IO[bytes] | None = None
    sizes: list[int] = []
    while following := list(islice(rest, AT_ONCE)):
        file = file or _temporary_file()
        text = "\n".join(reversed(chunk)).encode("utf-8", "surrogateescape")
        sizes.append(file.write(text))
        chunk = following
    earlier = () if file is None else _read_back(file, sizes)
    return chain(reversed(chunk), earlier)


def _temporary_file() -> IO[bytes]:
    # Imported where it is used: most pages are short.
    from tempfile import TemporaryFile

    return TemporaryFile()


def _read_back(file: IO[bytes], sizes: list[int]) -> Iterator[str]:
    with file:
        for size in reversed(sizes):
            file.seek(-size, 1)
            yield from file.read(size).decode("utf-8", "surrogateescape").split("\n")
            file.seek(-size, 1)
