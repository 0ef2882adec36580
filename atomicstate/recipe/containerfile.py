"""The Containerfile: what a builder makes the image from.

A pure function of its arguments and of RENDERER. One layer, one RUN, in order: what is added to
the end leaves the layers before it to the builder's cache.

Safe by three fences: each value is checked before it is written (no character that the
Containerfile's parser or the shell reads gets through the check), names are quoted for the shell
besides, and a value from outside stands nowhere but in FROM, in a comment or behind `--`.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from msgspec import Struct

from atomicstate.errors import ValidationError
from atomicstate.recipe.names import shown, valid_package
from atomicstate.recipe.reference import valid_image_id, valid_reference

if TYPE_CHECKING:
    from collections.abc import Sequence

RENDERER = 1
"""The version of what is rendered: a change of even one byte of the output is a new one."""

DIALECTS: tuple[str, ...] = ("deb",)
"""The kinds of base image that can be rendered for."""


class Layer(Struct, frozen=True):
    """What one action (`event`, its number; 0: the recipe found at `init`) does to the image."""

    event: int
    install: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


# update: a list that can't be fetched is an error, not a warning about an old one.
# Pattern-Only: a name that is unknown is an error, never a regular expression.
# The lists and archives go in the RUN that fetched them: what a later layer removes still counts.
# Without policy-rc.d a package's script may start a daemon, which outlives the build.
_BEGIN = """\
RUN set -eu; export DEBIAN_FRONTEND=noninteractive; mine=; \\
    policy=/usr/sbin/policy-rc.d; \\
    if [ ! -e "$policy" ]; then \\
      mine=1; printf '#!/bin/sh\\nexit 101\\n' >"$policy"; chmod 755 "$policy"; \\
    fi; \\
    apt-get update -o APT::Update::Error-Mode=any -o Acquire::Retries=3; \\
"""
_OPTIONS = "-y -o APT::Cmd::Pattern-Only=true"
_REMOVE = f"    apt-get remove {_OPTIONS} -- {{names}}; \\\n"
_INSTALL = (
    f"    apt-get install {_OPTIONS} -o Acquire::Retries=3 \\\n"
    "      -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold -- {names}; \\\n"
)
_END = """\
    apt-get clean; rm -rf /var/lib/apt/lists/*; \\
    if [ -n "$mine" ]; then rm -f "$policy"; fi
"""


def render(layers: Sequence[Layer], base_id: str, base: str, dialect: str) -> bytes:
    """The Containerfile of `layers` over the image `base_id`, which `base` named.

    Raises ValidationError for a dialect that can't be rendered, and for a name, id or reference
    that is none.
    """
    if dialect not in DIALECTS:
        raise ValidationError(
            f"a base image of the kind {shown(dialect)} can't be rendered for yet",
            hint=f"this version takes: {', '.join(DIALECTS)}",
        )
    parts = [
        f"# Written by atomicstate (renderer {RENDERER}): a change made here is lost.\n"
        f"# base {valid_reference(base)}\n"
        f"FROM {valid_image_id(base_id)}\n"
    ]
    parts += [_deb(layer) for layer in layers if layer.install or layer.remove]
    return "\n".join(parts).encode("ascii")


def _deb(layer: Layer) -> str:
    """One layer on a Debian base: what goes first, so that what comes may conflict with it."""
    origin = f"# event {int(layer.event)}\n" if layer.event else "# recipe\n"
    lines = [origin, _BEGIN]
    if layer.remove:
        lines.append(_REMOVE.format(names=_names(layer.remove)))
    if layer.install:
        lines.append(_INSTALL.format(names=_names(layer.install)))
    return "".join([*lines, _END])


def _names(names: Sequence[str]) -> str:
    return " ".join(shlex.quote(valid_package(name)) for name in names)
