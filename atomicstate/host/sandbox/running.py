"""The running system of a sandbox: one mount namespace, pinned by a file, and no process.

It is up if the pin is a namespace and the boot record names that very namespace. The record is
written last: a boot that was cut short is a pin without a record, and counts as a power cut.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from atomicstate import failpoints
from atomicstate.errors import CorruptError, HostError, NotFoundError, from_os_error
from atomicstate.events.event import BootInstance
from atomicstate.files import fsync_directory, write_atomically
from atomicstate.host import mounts
from atomicstate.host.deployments import Located, read_deployments
from atomicstate.host.ostree import Staged, read_staged
from atomicstate.host.ports import OverlayState
from atomicstate.host.sandbox.layout import locked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from atomicstate import process
    from atomicstate.host.sandbox.layout import Sandbox

_LIMIT = 60.0
_END = 10.0
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}
_PASSED_ON = ("TERM", "http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "DEBIAN_FRONTEND")


class BootRecord(Struct, frozen=True):
    """What runs: the deployment, since which boot, in which namespace (its inode number)."""

    boot_id: str
    checksum: str
    serial: int
    namespace: int


class Running:
    """A sandbox's running system. Asking for it starts it where a power cut ended it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    @property
    def sysroot(self) -> Path:
        """The sysroot (ostree.System)."""
        return self.sandbox.sysroot

    @property
    def scratch(self) -> Path:
        """An empty folder to mount something on, in a private namespace (ostree.System)."""
        folder = self.sandbox.runtime / "scratch"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def boot(self) -> BootInstance:
        """The boot instance (ostree.System). Starts the system where it was lost."""
        record = self.ensure()
        return BootInstance(record.boot_id, 0, record.checksum, record.serial)

    def staged(self) -> Staged | None:
        """What was staged in this boot (ostree.System). Raises CorruptError."""
        staged = read_staged(self.sandbox.staged_record)
        if staged is None or staged.boot_id != self.ensure().boot_id:
            return None
        return staged

    def set_staged(self, staged: Staged | None) -> None:
        """Put or take away the staged record (ostree.System)."""
        if staged is not None:
            write_atomically(self.sandbox.staged_record, msgspec.json.encode(staged))
            return
        try:
            self.sandbox.staged_record.unlink(missing_ok=True)
            fsync_directory(self.sandbox.run)
        except OSError as error:
            raise from_os_error(error, "remove", self.sandbox.staged_record) from error

    def ensure(self) -> BootRecord:
        """The running system's record. One that a power cut ended is started first."""
        record = self.record()
        if record is not None:
            return record
        with locked(self.sandbox.lock_file, "start its system", wait=_LIMIT):
            return self.record() or self.power_on()

    def record(self) -> BootRecord | None:
        """Probe: the record of the running system, or None where none runs."""
        try:
            record = msgspec.json.decode(self.sandbox.boot_record.read_bytes(), type=BootRecord)
            pin = self.sandbox.pin.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise from_os_error(error, "read", self.sandbox.boot_record) from error
        except msgspec.MsgspecError as error:
            raise CorruptError(
                f"{self.sandbox.boot_record} can't be read: {error}",
                hint=f"`atomicstate sandbox reboot --power-cut {self.sandbox.directory}`",
            ) from error
        here = _namespace_device()
        return record if (pin.st_dev, pin.st_ino) == (here, record.namespace) else None

    def power_on(self, target: Located | None = None) -> BootRecord:
        """Start `target` (the default deployment), dropping what an earlier system left.

        The caller holds the lock. Raises HostError where it can't be mounted.
        """
        import shutil
        import uuid

        self.power_off()
        located = target or self._default()
        self.set_staged(None)
        with contextlib.suppress(OSError):
            # What podman believes to be mounted is not, after a power cut.
            shutil.rmtree(self.sandbox.runtime, ignore_errors=True)
        self._mount(located)
        record = BootRecord(
            boot_id=str(uuid.uuid4()),
            checksum=located.deployment.checksum,
            serial=located.deployment.serial,
            namespace=self.sandbox.pin.stat().st_ino,
        )
        write_atomically(self.sandbox.boot_record, msgspec.json.encode(record))
        return record

    def power_off(self) -> None:
        """End the running system, its processes too; one that does not run is no error."""
        sandbox = self.sandbox
        sandbox.boot_record.unlink(missing_ok=True)
        end_processes(sandbox.pin)
        try:
            mounts.unmount_below(sandbox.run)
            sandbox.pin.unlink(missing_ok=True)
        except OSError as error:
            raise from_os_error(error, "unmount", error.filename or sandbox.run) from error

    def enter(self) -> list[str]:
        """The argument vector that runs what follows it in the system's mount namespace."""
        self.ensure()
        return ["nsenter", f"--mount={self.sandbox.pin}", "--"]

    def mountinfo(self) -> str:
        """What is mounted in the running system. Raises HostError."""
        self.ensure()
        try:
            return mounts.mountinfo_of(self.sandbox.pin)
        except OSError as error:
            raise from_os_error(error, "look into the namespace", self.sandbox.pin) from error

    def command(self, argv: Sequence[str]) -> list[str]:
        """The argument vector that runs `argv` in the running tree, in a clean environment."""
        passed = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        environment = [f"{key}={value}" for key, value in {**_ENVIRONMENT, **passed}.items()]
        chroot = ["chroot", str(self.sandbox.tree), "/usr/bin/env", "-i", *environment]
        return [*self.enter(), *chroot, *argv]

    def _default(self) -> Located:
        found = read_deployments(self.sysroot)
        if not found:
            raise NotFoundError(
                f"{self.sysroot} holds no deployment",
                hint=f"`atomicstate sandbox destroy {self.sandbox.directory}`, then create it anew",
            )
        return found[0]

    def _mount(self, located: Located) -> None:
        sandbox = self.sandbox
        for folder in (sandbox.tree, sandbox.upper):
            folder.mkdir(mode=0o755, exist_ok=True)
        # A namespace can be pinned in a private mount alone (unshare(1)).
        mounts.bind(sandbox.run, sandbox.run)
        mounts.mount("none", sandbox.run, "none", mounts.MS_PRIVATE)
        sandbox.pin.touch(mode=0o600)
        request = {
            "tree": str(sandbox.tree),
            "deployment": str(located.path),
            "var": str(located.path.parents[1] / "var"),
            "sysroot": str(sandbox.sysroot),
        }
        unshare = ["unshare", f"--mount={sandbox.pin}", "--propagation=slave", "--"]
        finished = _inside("boot", request, unshare)
        if finished.status != 0:
            self.power_off()
            raise HostError(
                f"the sandbox's system can't be started: {finished.last_words or finished.outcome}"
            )


class SandboxOverlay:
    """The overlay (ports.Overlay) on the running tree's /usr."""

    def __init__(self, running: Running) -> None:
        self._running = running

    def state(self) -> OverlayState:
        """What the namespace's own list of mounts says."""
        usr = self._running.sandbox.tree / "usr"
        listed = mounts.parse_mountinfo(self._running.mountinfo())
        found = [one for one in listed if one.point == usr and one.file_system == "overlay"]
        return OverlayState(
            active=bool(found), writable=bool(found) and "ro" not in found[-1].options
        )

    def enable(self) -> None:
        """Mount it; one that is there is left as it is. Raises HostError."""
        sandbox = self._running.sandbox
        with locked(sandbox.lock_file, "enable the overlay", wait=_LIMIT):
            if self.state().active:
                return
            request = {"tree": str(sandbox.tree), "upper": str(sandbox.upper)}
            failpoints.reach("overlay.mounting")
            finished = _inside("overlay", request, self._running.enter())
            failpoints.reach("overlay.mounted")
        if finished.status != 0:
            raise HostError(
                f"the overlay can't be mounted: {finished.last_words or finished.outcome}"
            )


def _inside(verb: str, request: dict[str, str], prefix: Sequence[str]) -> process.Finished:
    module = "atomicstate.host.sandbox.inside"
    argv = [*prefix, sys.executable, "-m", module, verb, msgspec.json.encode(request).decode()]
    # Not for a look at what runs: what starts processes takes a while to load.
    from atomicstate import process

    env = {"PYTHONPATH": process.python_path()}
    return process.run(argv, env=env, timeout=_LIMIT, check=False)


def _namespace_device() -> int:
    """The device of all namespace files: a pin that has another is a plain file."""
    return Path("/proc/self/ns/mnt").stat().st_dev


def end_processes(pin: Path) -> None:
    """Kill what runs in the namespace that `pin` holds, and wait for the end, some seconds.

    Only processes whose mount namespace is that one: what `sandbox exec` started.
    """
    with contextlib.suppress(FileNotFoundError):
        held = pin.stat()
        if held.st_dev != _namespace_device():
            return
        deadline = time.monotonic() + _END
        while True:
            found = list(_processes(held.st_ino))
            for number in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
            if not found or time.monotonic() > deadline:
                return
            time.sleep(0.05)


def _processes(namespace: int) -> Iterator[int]:
    own = Path("/proc/self/ns/mnt").stat().st_ino
    if namespace == own:
        return
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                if (entry / "ns/mnt").stat().st_ino == namespace:
                    yield int(entry.name)
