"""Which host this is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from atomicstate.errors import HostError

if TYPE_CHECKING:
    from atomicstate.host.ports import Host

_BOOTED = Path("/run/ostree-booted")


def open_host(sandbox: Path | None) -> Host:
    """The host: the sandbox in a directory, or this machine.

    Raises NotFoundError for a directory that is no sandbox, NotPermittedError unless run by
    root, HostError for a machine that there is no driver for.
    """
    if sandbox is not None:
        from atomicstate.host.sandbox.host import host_of
        from atomicstate.host.sandbox.layout import open_sandbox

        return host_of(open_sandbox(sandbox))
    if _BOOTED.exists():
        import shutil

        if shutil.which("bootc"):
            from atomicstate.host.bootc_host import BootcHost

            return BootcHost()
        raise HostError(
            "this is an OSTree host without bootc, and there is no driver for a booted one yet",
            hint="`atomicstate sandbox create DIR` makes a host in a directory to work on",
        )
    raise HostError(
        "this machine is not image-based: there is no deployment to change",
        hint="`atomicstate sandbox create DIR` makes a host in a directory, then --sandbox DIR",
    )
