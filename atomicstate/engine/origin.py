"""What `init` found, by which all else is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.errors import NotFoundError

if TYPE_CHECKING:
    from atomicstate.events.bodies import SystemInitialized
    from atomicstate.projectors.system import System


def adopted(system: System) -> SystemInitialized:
    """What `init` found. Raises NotFoundError where it was never run."""
    if system.origin is None:
        raise NotFoundError("no host was adopted yet", hint="run `atomicstate init`")
    return system.origin
