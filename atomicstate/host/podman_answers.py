"""What podman answers in JSON."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec import Struct

from atomicstate.errors import ContainerError
from atomicstate.host.ports import Image

if TYPE_CHECKING:
    from atomicstate.process import Finished

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$")
_SHOWN = 200
_T = TypeVar("_T")


class Inspected(Struct, frozen=True, rename="pascal"):
    """An image, as `podman image inspect` describes it."""

    id: str
    names_history: list[str] | None = None
    repo_tags: list[str] | None = None
    digest: str = ""
    architecture: str = ""
    labels: dict[str, str] | None = None
    created: str = ""
    size: int = 0

    def image(self, reference: str) -> Image:
        """It, as the image that `reference` names."""
        names = self.names_history or self.repo_tags or []
        is_id = self.id.startswith(reference.removeprefix("sha256:"))
        return Image(
            id=f"sha256:{self.id}",
            reference=names[0] if is_id and names else reference,
            digest=self.digest,
            architecture=self.architecture,
            labels=self.labels or {},
            created=_nanoseconds(self.created),
            size=self.size,
        )


class Listed(Struct, frozen=True, rename="pascal"):
    """An image, as `podman images` lists it; `created` in seconds since 1970."""

    id: str
    created: int = 0
    labels: dict[str, str] | None = None
    names: list[str] | None = None


class Driver(Struct, frozen=True, rename="pascal"):
    """Where the overlay driver keeps an image's layers: paths, divided by colons."""

    upper_dir: str
    lower_dir: str = ""


def read(finished: Finished, kind: type[_T]) -> _T:
    """The answer of a podman that ended well, as a `kind`.

    Raises ContainerError for one that can't be read: no answer is never taken for a "no".
    """
    try:
        return msgspec.json.decode(finished.stdout, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        said = finished.text.strip()[:_SHOWN]
        raise ContainerError(
            f"podman's answer can't be read ({error}): {said}\nto run it again: {finished.command}"
        ) from error


def _nanoseconds(time: str) -> int:
    """RFC 3339, as podman writes it, in nanoseconds since 1970; 0 for what is no time."""
    match = _TIME.match(time)
    if match is None:
        return 0
    seconds = datetime.fromisoformat(f"{match[1]}{match[3].replace('Z', '+00:00')}").timestamp()
    return int(seconds) * 10**9 + int(f"{match[2] or '0':0<9}"[:9])
