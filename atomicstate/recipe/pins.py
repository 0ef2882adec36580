"""The versions that packages shall have in an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Pin(NamedTuple):
    """The version that a package shall have; `automatic` where it comes as a dependency alone."""

    version: str
    automatic: bool


Pins = Mapping[str, Mapping[str, Pin]]
"""By the name of a package that is installed: the versions of what comes with it, itself too."""

NO_PINS: Pins = {}
"""Every package comes in whatever version there is."""
