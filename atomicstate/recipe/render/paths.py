"""Paths and modes as modules have them."""

from __future__ import annotations

import posixpath

from atomicstate.errors import ValidationError
from atomicstate.recipe.names import shown

BUILDERS = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf")
"""In a RUN these are the builder's own, and what is written there is lost."""

# And these are the machine's own, in part to be written.
_MACHINES = ("/dev", "/proc", "/sys")


def image_path(key: str, path: str, *, builders: bool = False) -> str:
    """A path of the image, as short as it can be said. Raises ValidationError for one that is none.

    `builders`: it may be one of the files that a RUN can't write.
    """
    short = "/" + posixpath.normpath(path).lstrip("/")
    if any(short == top or short.startswith(f"{top}/") for top in _MACHINES):
        raise ValidationError(
            f"body.{key}: while an image is built, {shown(short)} is the machine's, not the image's"
        )
    if short in BUILDERS and not builders:
        raise ValidationError(
            f"body.{key}: while an image is built, {short} is the builder's, not the image's",
            hint="a `copy` to just this path can write it, and `network` the host's name; or let"
            " a file in /usr/lib/tmpfiles.d make it when the system starts",
        )
    return short


_BITS = (0o400, 0o200, 0o100, 0o040, 0o020, 0o010, 0o004, 0o002, 0o001)
_SPECIAL = {2: 0o4000, 5: 0o2000, 8: 0o1000}


def octal(text: str) -> str:
    """A mode as rwxr-xr-x in octal; s and t stand for x and more, S and T for that alone."""
    mode = 0
    for place, (letter, bit) in enumerate(zip(text, _BITS, strict=True)):
        if letter in "rwxst":
            mode |= bit
        if letter in "sStT":
            mode |= _SPECIAL[place]
    return f"{mode:04o}"
