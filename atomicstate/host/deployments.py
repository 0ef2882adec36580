"""The deployments of a sysroot, read from boot loader entries and origin files.

Without libostree: `status` is to be quick, and importing libostree alone costs more than all
that is read here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from atomicstate.errors import CorruptError, from_os_error
from atomicstate.host.ports import Deployment

if TYPE_CHECKING:
    from pathlib import Path

ORIGIN_GROUP = "atomicstate"
_ENTRY = r"ostree-(\d+)(-.*)?\.conf"
# How ostree-containers names where an image comes from, before the reference itself.
_TRANSPORT = (
    r"(?:ostree-(?:image-signed|unverified-image|unverified-registry"
    r"|remote-image:[^:]*|remote-registry:[^:]*):)?"
    r"(?:docker://|registry:|containers-storage:(?:\[[^]]*\])?)?"
)
_DEPLOYMENT = r"deploy/([^/]+)/deploy/([0-9a-f]{64})\.(\d+)$"


class Located(Struct, frozen=True):
    """A deployment and where it lies: `path` is its tree, `stateroot` the name of its /var."""

    deployment: Deployment
    path: Path
    stateroot: str


def parse_entry(text: str) -> dict[str, str]:
    """The keys of one boot loader entry; the last value of a key that is repeated."""
    found = {}
    for line in text.splitlines():
        key, _, value = line.strip().partition(" ")
        if key and not key.startswith("#"):
            found[key] = value.strip()
    return found


def kernel_argument(entry: dict[str, str], name: str) -> str | None:
    """The value of `name=` in an entry's options."""
    for word in entry.get("options", "").split():
        key, found, value = word.partition("=")
        if key == name and found:
            return value
    return None


def parse_origin(text: str) -> dict[str, dict[str, str]]:
    """The groups of an origin file (a key file), each with its keys."""
    groups: dict[str, dict[str, str]] = {}
    group: dict[str, str] = {}
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("[") and line.endswith("]"):
            group = groups.setdefault(line[1:-1], {})
        elif "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            group[key.strip()] = value.strip()
    return groups


def render_origin(image: str, image_digest: str, labels: dict[str, str]) -> str:
    """The origin file of a deployment of `image`."""
    import json

    # Sorted and in ASCII: a key file ends a value at the end of the line, JSON has none in it.
    rendered = json.dumps(labels, sort_keys=True, separators=(",", ":"))
    return (
        f"[origin]\ncontainer-image-reference=ostree-unverified-image:containers-storage:{image}\n"
        f"[{ORIGIN_GROUP}]\nimage={image}\nimage-id={image_digest}\nlabels={rendered}\n"
    )


def read_deployments(sysroot: Path) -> list[Located]:
    """All deployments, the one that boots by default first.

    Raises CorruptError where an entry points to nothing, NotPermittedError where it can't be read.
    """
    entries = sysroot / "boot" / "loader" / "entries"
    try:
        names = [path for path in entries.iterdir() if re.fullmatch(_ENTRY, path.name)]
        parsed = [parse_entry(path.read_text("utf-8", "replace")) for path in names]
        # Boot loaders show the highest version first: that is libostree's first deployment.
        parsed.sort(key=_version, reverse=True)
        return [_locate(sysroot, entry) for entry in parsed if kernel_argument(entry, "ostree")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise from_os_error(error, "read", entries) from error


def _version(entry: dict[str, str]) -> int:
    value = entry.get("version", "")
    return int(value) if value.isdecimal() else 0


def _locate(sysroot: Path, entry: dict[str, str]) -> Located:
    argument = kernel_argument(entry, "ostree") or ""
    link = sysroot / argument.lstrip("/")
    path = link.resolve()
    match = re.search(_DEPLOYMENT, str(path))
    if match is None or not path.is_dir():
        raise CorruptError(
            f"a boot loader entry of {sysroot} points to {argument}, which is no deployment",
            hint="`ostree admin status` shows what OSTree makes of it",
        )
    stateroot, checksum, serial = match.groups()
    origin = path.with_name(f"{path.name}.origin")
    text = origin.read_text("utf-8", "replace") if origin.is_file() else ""
    return Located(_deployment(checksum, int(serial), parse_origin(text)), path, stateroot)


def _deployment(checksum: str, serial: int, origin: dict[str, dict[str, str]]) -> Deployment:
    ours = origin.get(ORIGIN_GROUP, {})
    general = origin.get("origin", {})
    image = ours.get("image") or re.sub(
        _TRANSPORT, "", general.get("container-image-reference", ""), count=1
    )
    return Deployment(
        checksum=checksum,
        serial=serial,
        image=image or general.get("refspec", ""),
        image_digest=ours.get("image-id", ""),
        labels=_labels(ours.get("labels", "")),
        pinned=origin.get("libostree-transient", {}).get("pinned") == "true",
    )


def _labels(text: str) -> dict[str, str]:
    """The labels in an origin file: none where they can't be read, which makes it foreign."""
    try:
        found = msgspec.json.decode(text) if text else {}
    except msgspec.DecodeError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(key): str(value) for key, value in found.items()}
