"""Package names as people give them: checked before they reach any tool."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from atomicstate.errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST = 200
"""Characters. Debian's longest names have some 110, and dpkg makes file names of them."""

_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9][a-z0-9-]*)?")
_SHOWN = 40


def quoted(text: str) -> str:
    """`text` in quotes, control characters escaped and long text shortened: safe to print."""
    if len(text) <= _SHOWN:
        return repr(text)
    return f"{text[:_SHOWN]!r}... ({len(text)} characters)"


def archive_name(name: str, version: str, architecture: str) -> str:
    """libapt's name for the archive: a colon would not do on every file system."""
    return f"{name}_{version.replace(':', '%3a')}_{architecture}.deb"


def validate_names(names: Iterable[str]) -> tuple[str, ...]:
    """`names` in their order, each once.

    Raises ValidationError for one that is no Debian package name (policy, section 5.6.7, with an
    optional `:architecture`): so an option, a line break or shell text goes no further.
    """
    once = tuple(dict.fromkeys(names))
    for name in once:
        if len(name) > LONGEST:
            raise ValidationError(
                f"{quoted(name)} is too long for a package name",
                hint=f"a package name has at most {LONGEST} characters",
            )
        if not _NAME.fullmatch(name):
            raise ValidationError(
                f"{quoted(name)} is not a package name",
                hint="a name has lower-case letters, digits and + - . and begins with a letter "
                "or digit, like libssl3 or g++; an architecture may follow, like libc6:i386",
            )
    return once
