"""What rendering a step knows of the whole, and what it leaves for the build's context."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from atomicstate.errors import ValidationError
from atomicstate.recipe.names import shown
from atomicstate.recipe.resources import context_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from atomicstate.recipe.expand import Step
    from atomicstate.recipe.pins import Pins

WORK = "/run/atomicstate-work"
"""Where a command works: it lies in memory, and is gone when the command ends."""

# A mount's target must not be a path that the image has: podman 4.3 takes the target out of the
# image when the RUN is over, with all that lay there.
_SOURCE = "/run/atomicstate-source"


class Context:
    """One Containerfile in the making.

    `dialect` and `base_id` are the base's, `manifests` the digests of the resources by name,
    `pins` the versions that packages shall have. `files` grows: what the build's context has to
    have.
    `place` is of the step within what is joined with it, from 1; 0 of one that stands alone.
    """

    def __init__(
        self, dialect: str, base_id: str, manifests: Mapping[str, str], pins: Pins
    ) -> None:
        self.dialect = dialect
        self.base_id = base_id
        self.pins = pins
        self.files: dict[str, bytes] = {}
        self.place = 0
        self._manifests = manifests

    def file(self, content: bytes) -> str:
        """The path of a file of this content in the build's context."""
        path = f"files/{hashlib.blake2b(content, digest_size=16).hexdigest()}"
        self.files[path] = content
        return path

    def resource(self, step: Step, source: str) -> str:
        """The path of what `step` calls `source` in the build's context.

        Raises ValidationError where there is no such resource.
        """
        name = step.sources.get(source, source)
        manifest = self._manifests.get(name)
        if manifest is None:
            raise ValidationError(
                f"there is no resource {shown(name)}",
                hint="bring it, and record it with `atomicstate config import`",
            )
        return context_path(manifest)

    def mounted(self, path: str, number: int = 0) -> tuple[str, str]:
        """The mount of a path of the build's context, and where it is seen: one for each `number`.

        Steps that are joined see theirs apart.
        """
        parts = [_SOURCE, *(f"{part}" for part in (self.place, number) if part or self.place)]
        target = "-".join(parts)
        return f"type=bind,source={path},target={target}", target


def unable(dialect: str, key: str, what: str, *choices: str) -> ValidationError:
    """The error for a step that this dialect has no way to do."""
    others = [*choices, "leave it out here with an `if`", "do it in a shell module"]
    return ValidationError(
        f"body.{key}: on a base of the dialect {dialect} {what}", hint=", or ".join(others)
    )
