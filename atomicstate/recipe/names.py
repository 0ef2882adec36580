"""Which names of packages the recipe takes."""

from __future__ import annotations

import re

from atomicstate.errors import ValidationError

MAX_NAME = 200
"""The most characters that a package's name may have."""

_SHOWN = 60

# A name that ends in "-" is one that apt-get reads as "remove the package without the dash".
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]*[a-z0-9+.](:[a-z0-9][a-z0-9-]*)?", re.ASCII)


# What any package manager calls a package: capitals and underscores are apt-rpm's.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_+.-]*[A-Za-z0-9_+.](:[a-z0-9][a-z0-9_-]*)?", re.ASCII)

_HALF = re.compile("[\ud800-\udfff]")
_UNIT_KIND = re.compile(
    r"\.(?:service|socket|device|mount|automount|swap|target|path|timer|slice|scope)$", re.ASCII
)


def shown(text: str) -> str:
    """`text` quoted and on one line, for a message, shortened where it is long."""
    return ascii(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def is_text(text: str) -> bool:
    """Whether it can be written: Python's strings may hold halves of characters."""
    return _HALF.search(text) is None


def valid_package(name: str) -> str:
    """`name`, if it is a package's name as Debian's policy has it, perhaps with `:architecture`.

    Raises ValidationError.
    """
    if len(name) > MAX_NAME or not _PACKAGE.fullmatch(name):
        raise ValidationError(
            f"{shown(name)} is no package name",
            hint="lower-case letters, digits, `+`, `-` and `.`, at least two, "
            "starting with a letter or digit",
        )
    return name


def valid_name(name: str) -> str:
    """`name`, if a package of any distribution can have it. Raises ValidationError."""
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        raise ValidationError(
            f"{shown(name)} is no package name",
            hint="letters, digits, `+`, `-`, `_` and `.`, at least two",
        )
    return name


def unit_name(text: str) -> str:
    """The unit that systemctl takes `text` for: a service, unless it says what else it is."""
    return text if not text or _UNIT_KIND.search(text) else f"{text}.service"
