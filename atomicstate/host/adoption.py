"""What keeps a host from being adopted, found before anything is recorded."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec

from atomicstate.errors import HostError, from_os_error

if TYPE_CHECKING:
    from pathlib import Path

    from atomicstate.host.bootc_status import Status

_ACCEPT = "insecureAcceptAnything"
_STORAGE = "containers-storage"


def check_deployment(status: Status) -> None:
    """Raise HostError for a booted deployment that bootc can't replace by an image of ours."""
    booted = status.booted
    if booted.incompatible:
        raise HostError(
            "bootc calls the booted deployment incompatible: it can't change it, because packages "
            "were layered on it or its origin was edited; nothing was adopted",
            hint="undo that (`rpm-ostree reset`, say), reboot, and try again",
        )
    if not booted.image:
        raise HostError(
            "the booted deployment was not made from a container image: nothing was adopted",
            hint="`bootc switch IMAGE` and a reboot bring it onto one",
        )
    if status.read_only:
        raise HostError("this system runs from a read-only medium: nothing was adopted")


def check_package_database(var: Path) -> None:
    """Raise HostError unless dpkg's database lies in /usr. `var` is the host's /var.

    Anywhere else it would outlive the overlay, and stay behind when another deployment boots.
    """
    database = var / "lib/dpkg"
    if database.is_symlink():
        target = os.path.normpath(os.path.join("/var/lib", database.readlink()))  # noqa: PTH118
        if target.startswith("/usr/"):
            return
        raise HostError(
            f"the package database is in {target}, outside of /usr: nothing was adopted",
            hint="move it to /usr/lib/sysimage/dpkg in the base image, with a link in its place",
        )
    if not database.exists():
        raise HostError("there is no dpkg database on this host: nothing was adopted")
    raise HostError(
        "the package database is in /var/lib/dpkg, which does not follow /usr into an overlay or "
        "another deployment: nothing was adopted",
        hint="move it to /usr/lib/sysimage/dpkg in the base image, with a link in its place",
    )


def check_image_policy(path: Path) -> None:
    """Raise HostError where the policy in `path` rejects images that are built on the machine.

    No file there: container tools have their own default. See containers-policy.json(5).
    """
    try:
        policy = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        return
    except OSError as error:
        raise from_os_error(error, "read", path) from error
    except msgspec.MsgspecError as error:
        raise HostError(f"the image policy {path} can't be read: {error}") from error
    requirements = _requirements(policy)
    refusing = [kind for one in requirements if (kind := _kind(one)) != _ACCEPT]
    if refusing:
        raise HostError(
            f"the image policy {path} rejects images that are built on this machine "
            f"({refusing[0]}): nothing was adopted",
            hint=f'let its "transports" say {{"{_STORAGE}": {{"": [{{"type": "{_ACCEPT}"}}]}}}}',
        )


def _requirements(policy: Any) -> list[Any]:  # noqa: ANN401 - any JSON value
    """What is asked of an image in the machine's own storage."""
    if not isinstance(policy, dict):
        return []
    transports = policy.get("transports")
    scopes = transports.get(_STORAGE) if isinstance(transports, dict) else None
    found = scopes.get("") if isinstance(scopes, dict) else None
    if found is None:
        found = policy.get("default")
    return found if isinstance(found, list) else []


def _kind(requirement: Any) -> str:  # noqa: ANN401 - any JSON value
    return str(requirement.get("type")) if isinstance(requirement, dict) else "unknown"
