"""What `bootc status --format json --format-version 1` says, in the driver's words.

An absent key means the same as null, and a key that is not known here means nothing: both come
with other versions of bootc. But no answer is never taken for "nothing is there": this driver is
for a machine that booted a deployment, so a status that names none is no status.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from atomicstate.errors import HostError

ARGV = ("bootc", "status", "--format", "json", "--format-version", "1")
STORAGE = "containers-storage"
"""The transport of an image in the machine's own container storage."""


class Entry(Struct, frozen=True):
    """One deployment. `image` is empty for one that was not made from a container image.

    `manifest` is the digest of the image's manifest: podman's image id is another digest.
    """

    checksum: str
    serial: int
    image: str = ""
    transport: str = ""
    manifest: str = ""
    pinned: bool = False
    locked: bool = False
    incompatible: bool = False


class UsrOverlay(Struct, frozen=True):
    """The overlay on /usr. `persistent`: it outlives a reboot (a hotfix)."""

    writable: bool
    persistent: bool


class Status(Struct, frozen=True):
    """The deployments, and the overlay where bootc tells of one."""

    booted: Entry
    staged: Entry | None = None
    rollback: Entry | None = None
    rollback_queued: bool = False
    others: tuple[Entry, ...] = ()
    overlay: UsrOverlay | None = None
    read_only: bool = False


def parse(content: bytes) -> Status:
    """The status in `content`. Raises HostError for what is not one, or names nothing booted."""
    try:
        found = msgspec.json.decode(content, type=_Host).status
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise HostError(
            f"`bootc status` gave an answer that can't be read: {error}",
            hint="`bootc status` shows what it says; its version may be too new or too old",
        ) from error
    booted = _entry(found.booted) if found is not None else None
    if found is None or booted is None:
        raise HostError(
            "`bootc status` names no booted deployment, so what is deployed here can't be told",
            hint="`bootc status` says how this machine was started, and whether bootc can drive it",
        )
    return Status(
        booted=booted,
        staged=_entry(found.staged),
        rollback=_entry(found.rollback),
        rollback_queued=bool(found.rollback_queued),
        others=tuple(entry for entry in map(_entry, found.other_deployments or ()) if entry),
        overlay=_overlay(found.usr_overlay),
        read_only=bool(found.read_only),
    )


def _entry(found: _Entry | None) -> Entry | None:
    if found is None:
        return None
    if found.ostree is None:
        raise HostError(
            "a deployment of this host is not kept by OSTree: bootc's composefs backend can't be "
            "driven yet",
        )
    status = found.image or _ImageStatus()
    reference = status.image or _Reference()
    return Entry(
        checksum=found.ostree.checksum,
        serial=found.ostree.deploy_serial or 0,
        image=reference.image or "",
        transport=reference.transport or "",
        manifest=status.image_digest or "",
        pinned=bool(found.pinned),
        locked=bool(found.download_only),
        incompatible=bool(found.incompatible),
    )


def _overlay(found: _Overlay | None) -> UsrOverlay | None:
    if found is None:
        return None
    return UsrOverlay(
        writable=found.access_mode == "readWrite", persistent=found.persistence == "persistent"
    )


# -- the JSON, as bootc writes it: every key may be missing or null --------------------------------


class _Reference(Struct, frozen=True):
    image: str | None = None
    transport: str | None = None


class _ImageStatus(Struct, frozen=True, rename="camel"):
    image: _Reference | None = None
    image_digest: str | None = None


class _Ostree(Struct, frozen=True, rename="camel"):
    checksum: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    deploy_serial: int | None = None


class _Entry(Struct, frozen=True, rename="camel"):
    image: _ImageStatus | None = None
    incompatible: bool | None = None
    pinned: bool | None = None
    download_only: bool | None = None
    ostree: _Ostree | None = None


class _Overlay(Struct, frozen=True, rename="camel"):
    access_mode: str | None = None
    persistence: str | None = None


class _Status(Struct, frozen=True, rename="camel"):
    staged: _Entry | None = None
    booted: _Entry | None = None
    rollback: _Entry | None = None
    rollback_queued: bool | None = None
    other_deployments: list[_Entry] | None = None
    usr_overlay: _Overlay | None = None
    read_only: bool | None = None


class _Host(Struct, frozen=True):
    status: _Status | None = None
