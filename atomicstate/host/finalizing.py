"""What OSTree said when it could not make what was staged a deployment, at the last shutdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_STAMP = "ostree/finalize-failure.stamp"
"""Below /boot. libostree writes it in ostree-finalize-staged.service, and `ostree admin
boot-complete` takes it away again, some time in the next boot."""
_MOST = 500


def finalize_failure(boot: Path) -> str:
    """Its words, on one line; empty where there are none. `boot` is the host's /boot."""
    try:
        with (boot / _STAMP).open("rb") as stamp:
            said = stamp.read(_MOST)
    except OSError:
        return ""
    return " ".join(said.decode("utf-8", "replace").split())
