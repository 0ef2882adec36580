"""Container storage, and the tools that work on it: podman and buildah.

Every call names its storage, so that nothing of the machine's own images is seen or touched.
"""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct

from atomicstate import process
from atomicstate.errors import ContainerError, NoSpaceError, ValidationError

LIMIT = 600.0
"""Seconds after which a tool that does not build is taken for hanging."""

_TAIL_LINES = 20
_CAUSE_LINES = 200
_COUNTING = re.compile(r"\(Reading database \.\.\.( +\d+%)?$")
_LONGEST = 512
_MACHINES = Path("/var/lib/containers")
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*")
_NO_SPACE = re.compile(
    r"no space left on device|disk quota exceeded|have enough free space", re.IGNORECASE
)
_AT_STEP = 'Error: building at STEP "'
_ENDED = re.compile(r"subprocess exited with status \d+$")


class Storage(Struct, frozen=True):
    """Container storage: where images lie (`root`), what runs now (`runtime`), and the driver.

    With nothing given it is the machine's own, which other programs use too.
    `runtime` must be short: podman takes no run root of more than 50 characters.
    """

    root: Path | None = None
    runtime: Path | None = None
    driver: str = ""

    @property
    def scratch(self) -> Path:
        """Where a build keeps what it needs meanwhile: there while one runs, or was cut short.

        Beside the images: what is committed passes through it, and may be large.
        """
        return (self.root or _MACHINES) / "atomicstate-build"

    @property
    def cache(self) -> Path:
        """What builds keep for the next one, and can do without: archives and package lists."""
        return (self.root or _MACHINES) / "atomicstate-cache"

    def argv(self, *words: str) -> list[str]:
        """`podman WORDS` on this storage."""
        own = [f"--tmpdir={self.runtime}/libpod"] if self.root else []
        return ["podman", *self._options(), *own, *words]

    def buildah(self, *words: str) -> list[str]:
        """`buildah WORDS` on this storage: it alone can list what a killed build left."""
        return ["buildah", *self._options(), *words]

    def named(self, tag: str) -> str:
        """The image `tag` of this storage, for a call that works on another one."""
        where = (
            "" if self.root is None else f"[{self.driver}@{self.root}+{self.runtime}/containers]"
        )
        return f"containers-storage:{where}{check_reference(tag)}"

    def _options(self) -> list[str]:
        if self.root is None:
            return []
        return [
            f"--root={self.root}",
            f"--runroot={self.runtime}/containers",
            f"--storage-driver={self.driver}",
        ]


def tool(argv: list[str]) -> process.Finished:
    """Run a tool that does not build, to its end, however it ends."""
    return process.run(argv, timeout=process.time_limit(LIMIT), check=False)


def check_reference(reference: str) -> str:
    """`reference`, if it has the form of an image's name or id. Raises ValidationError."""
    if len(reference) > _LONGEST or not _REFERENCE.fullmatch(reference):
        raise ValidationError(
            f"{reference[:80]!r} is not an image reference",
            hint="a reference looks like registry.example.org/name:tag or sha256:<digest>",
        )
    return reference


def failure(
    finished: process.Finished, doing: str, *, hint: str | None = None
) -> ContainerError | NoSpaceError:
    """The error for a container tool that ended badly while `doing` something.

    It names the tool, how it ended, its last words, and the command to run it again.
    """
    output = (finished.stderr.strip() or finished.stdout).decode("utf-8", "replace")
    # A carriage return draws over the line before it: dpkg counts up to 100 % that way.
    lines = [line for line in re.split(r"[\r\n]+", output) if line and not _COUNTING.match(line)]
    # What it failed at podman tells by the whole of the instruction: what came before says why.
    told = next((place for place, line in enumerate(lines) if line.startswith(_AT_STEP)), None)
    if told:
        lines = [line for line in lines[:told] if not _ENDED.match(line)] or lines
    last = "\n".join(lines[-_TAIL_LINES:])[-process.TAIL :]
    words = f"{finished.argv[0]} {finished.outcome}{f': {last}' if last else ''}"
    again = f"to run it again: {finished.command}"
    if any(_NO_SPACE.search(line) for line in lines[-_CAUSE_LINES:]):
        return NoSpaceError(f"no space left on the device while {doing}: {words}\n{again}")
    if finished.limit is not None:
        hint = process.LIMIT_HINT
    return ContainerError(f"{doing} failed: {words}\n{again}", hint=hint)
