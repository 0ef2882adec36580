"""Which references of images are taken."""

from __future__ import annotations

import re

from atomicstate.errors import ValidationError
from atomicstate.recipe.names import shown

MAX_REFERENCE = 512
"""The most characters that a reference may have."""

_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?/"
_PATH = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?:{_HOST})?{_PATH}(?:/{_PATH})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?"
    r"(?:@sha256:[0-9a-f]{64})?",
    re.ASCII,
)
_ID = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.ASCII)


def valid_reference(text: str) -> str:
    """`text`, if it names an image as registries do: `[host[:port]/]path[:tag][@sha256:digest]`.

    Raises ValidationError: an option's form, a space, a newline or `$` can't get through.
    """
    if len(text) > MAX_REFERENCE or not _REFERENCE.fullmatch(text):
        raise ValidationError(
            f"{shown(text)} is no reference of an image",
            hint="it looks like localhost/name:tag or registry/name@sha256:...",
        )
    return text


def valid_image_id(text: str) -> str:
    """The 64 hexadecimal digits of an image's id, which may bear `sha256:` before them.

    Raises ValidationError.
    """
    match = _ID.fullmatch(text)
    if match is None:
        raise ValidationError(f"{shown(text)} is no image id")
    return match[1]
