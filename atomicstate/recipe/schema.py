"""The recipe's schema: one Struct for each part of image.yml, strict.

A type of module is one body Struct, listed in BODIES; a type in LATER is known but not taken yet.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class PackagesBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Packages that come and packages that go, by name."""

    install: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


class Module(Struct, frozen=True, forbid_unknown_fields=True):
    """One part of the recipe. `name` is for people, `id` for references to it."""

    type: Literal["packages"]
    body: PackagesBody
    name: str = ""
    id: str = ""


class Recipe(Struct, frozen=True, forbid_unknown_fields=True):
    """The document: the base `image`, and what is done to it, in order."""

    image: str
    modules: tuple[Module, ...] = ()


BODIES: dict[str, type[Struct]] = {"packages": PackagesBody}
"""The types of module that are taken, and their bodies."""

LATER: tuple[str, ...] = (
    "branding",
    "copy",
    "git",
    "include",
    "kernel",
    "link",
    "merge",
    "mkdir",
    "move",
    "network",
    "remove",
    "replace",
    "repos",
    "shell",
    "systemd",
)
"""The types that image.yml has and that this version does not take."""
