"""Which kind of base image it is: how packages are had there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.errors import ImageError
from atomicstate.recipe.dialects import DIALECTS

if TYPE_CHECKING:
    from atomicstate.host.ports import Builder, Image

_DEBIAN = ("/var/lib/dpkg/status", "/usr/lib/sysimage/dpkg/status")
_APT = ("/usr/bin/apt-get", "/usr/libexec/apt-get")
_RPM = "/usr/bin/rpm"
_APM = "/usr/bin/apm"


def dialect_of(builder: Builder, image: Image) -> str:
    """The dialect of a base image, told by what lies in it. Raises ImageError where none fits."""
    there = builder.has(image, (*_DEBIAN, *_APT, _RPM, _APM))
    if there.intersection(_DEBIAN) and _APM not in there:
        return "deb"
    if there.intersection(_APT) and _RPM in there:
        return "apm" if _APM in there else "rpm"
    raise ImageError(
        f"the base image {image.reference} has no package manager that is known here:"
        " nothing was adopted",
        hint=f"`atomicstate init --dialect {'|'.join(DIALECTS)}` says which it is",
    )
