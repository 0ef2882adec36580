"""Where a sandbox keeps what, and the marker that says that a directory is one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from atomicstate import files
from atomicstate.errors import (
    CorruptError,
    LockedError,
    NotFoundError,
    NotPermittedError,
    TooNewError,
    from_os_error,
)
from atomicstate.files import write_atomically

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

FORMAT = 1
MARKER = "atomicstate-sandbox.json"
DRIVERS = ("ostree", "bootc")
_RUNTIME = Path("/run/atomicstate")


class Marker(Struct, frozen=True):
    """What the marker file holds. `complete` is false until `create` has ended."""

    id: str
    suite: str
    storage_driver: str = "overlay"
    complete: bool = False
    driver: str = DRIVERS[0]
    format: int = FORMAT


class Sandbox:
    """The paths of one sandbox. DIR may lie anywhere, but can't be moved."""

    def __init__(self, directory: Path, marker: Marker) -> None:
        self.directory = directory
        self.marker = marker
        self.sysroot = directory / "sysroot"
        self.state = directory / "state"
        self.storage = directory / "storage"
        self.run = directory / "run"
        self.lock_file = directory / "lock"
        # The running system: its pinned mount namespace, its tree, what the overlay writes.
        self.pin = self.run / "ns"
        self.tree = self.run / "root"
        self.upper = self.run / "overlay"
        self.boot_record = self.run / "boot.json"
        self.staged_record = self.run / "staged.json"

    @property
    def runtime(self) -> Path:
        """Podman's run root: it takes no path of more than 50 characters, so it is not in DIR."""
        return _RUNTIME / self.marker.id[:12]

    @property
    def own_names(self) -> tuple[str, ...]:
        """What belongs to a sandbox in DIR, in the order in which `destroy` takes it away."""
        names = (self.run, self.storage, self.sysroot, self.state, self.lock_file)
        return (*(path.name for path in names), MARKER)

    def write_marker(self, marker: Marker) -> None:
        """Replace the marker, durably."""
        write_atomically(self.directory / MARKER, msgspec.json.encode(marker))
        self.marker = marker


def new_marker(suite: str, driver: str = DRIVERS[0]) -> Marker:
    """The marker of a sandbox that is being made."""
    import uuid

    return Marker(id=uuid.uuid4().hex, suite=suite, driver=driver)


def find(directory: Path) -> Sandbox | None:
    """The sandbox in `directory`, complete or not; None where it holds none.

    Raises CorruptError for a marker that can't be read, TooNewError, NotPermittedError.
    """
    directory = directory.absolute()
    path = directory / MARKER
    try:
        marker = msgspec.json.decode(path.read_bytes(), type=Marker)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise from_os_error(error, "read", path) from error
    except msgspec.MsgspecError as error:
        raise CorruptError(
            f"{path} can't be read: {error}", hint="it says what this sandbox is: restore it"
        ) from error
    if marker.format > FORMAT:
        raise TooNewError(f"the sandbox in {directory} was made by a newer atomicstate")
    return Sandbox(directory.resolve(), marker)


def open_sandbox(directory: Path) -> Sandbox:
    """The complete sandbox in `directory`.

    Raises NotFoundError where there is none, NotPermittedError unless run by root.
    """
    sandbox = find(directory)
    if sandbox is None:
        raise NotFoundError(
            f"there is no sandbox in {directory}", hint=f"`atomicstate sandbox create {directory}`"
        )
    if not sandbox.marker.complete:
        raise NotFoundError(
            f"the sandbox in {directory} was not finished",
            hint=f"`atomicstate sandbox create {directory}` makes it anew",
        )
    need_root()
    return sandbox


def need_root() -> None:
    """Raise NotPermittedError unless this process may mount file systems."""
    if os.geteuid() != 0:
        raise NotPermittedError("a sandbox mounts file systems, which needs root")


def locked(path: Path, doing: str, *, wait: float = 0.0) -> AbstractContextManager[int]:
    """Hold the lock `path`, for `with`, while `doing` something.

    Raises LockedError where another process has it and keeps it for `wait` seconds.
    """

    def busy(_descriptor: int) -> LockedError:
        return LockedError(f"another process works on {path.parent}: can't {doing}")

    return files.locked(path, wait, busy)
