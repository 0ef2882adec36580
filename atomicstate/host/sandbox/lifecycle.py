"""Making, using, rebooting and destroying a sandbox."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
from typing import TYPE_CHECKING

import msgspec

from atomicstate import process
from atomicstate.errors import (
    AtomicstateError,
    ConflictError,
    HostError,
    NoOperationError,
    NotFoundError,
    ValidationError,
    from_os_error,
)
from atomicstate.files import make_directory
from atomicstate.host import mounts
from atomicstate.host.ostree import STATEROOT, Staged, deploy, init_sysroot
from atomicstate.host.sandbox import sources
from atomicstate.host.sandbox.base import CACHE, base_tar
from atomicstate.host.sandbox.host import SandboxHost
from atomicstate.host.sandbox.layout import (
    DRIVERS,
    MARKER,
    Sandbox,
    find,
    locked,
    need_root,
    new_marker,
    open_sandbox,
)
from atomicstate.host.sandbox.running import Running, end_processes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from atomicstate.host.ports import Image
    from atomicstate.host.sandbox.layout import Marker

_LIMIT = 600.0
_LOCK_LIMIT = 60.0
_DIVIDERS = ":,\\"
_GET_FLAGS, _SET_FLAGS, _IMMUTABLE = 0x80086601, 0x40086602, 0x10


def create(
    directory: Path,
    suite: str = "bookworm",
    progress: Callable[[str], None] = lambda _line: None,
    cache: Path = CACHE,
    driver: str = DRIVERS[0],
) -> Sandbox:
    """Make a sandbox of the Debian `suite` in `directory`, which is empty or not there.

    `driver` is what drives it, ostree or bootc: the latter finds its `bootc` on PATH, and tells
    it of the sandbox by ATOMICSTATE_SANDBOX.

    One that was not finished is cleaned away first. What fails leaves nothing. Raises
    NoOperationError where there is a sandbox already, ConflictError for a directory that holds
    something else, ValidationError for a path that can't be, NotPermittedError, NotFoundError,
    HostError, NoSpaceError.
    """
    need_root()
    sources.check_suite(suite)
    if driver not in DRIVERS:
        raise ValidationError(f"there is no driver {driver!r}: one of {', '.join(DRIVERS)}")
    _check_path(directory.resolve())
    sandbox = _claim(directory, new_marker(suite, driver), progress)
    try:
        with locked(sandbox.lock_file, "create a sandbox"):
            _fill(sandbox, suite, progress, cache)
    except BaseException:
        with contextlib.suppress(AtomicstateError, OSError):
            _remove(sandbox)
        raise
    return sandbox


def _check_path(directory: Path) -> None:
    """Raise ValidationError for a path that podman and overlays can't be told of."""
    bad = [letter for letter in str(directory) if letter in _DIVIDERS or not letter.isprintable()]
    if bad:
        raise ValidationError(
            f"a sandbox can't be in {str(directory)!r}: its path holds {bad[0]!r}, which divides "
            "the options of a mount"
        )


def _claim(directory: Path, marker: Marker, progress: Callable[[str], None]) -> Sandbox:
    """The directory with a marker in it: from here on it is ours to clean."""
    earlier = find(directory)
    if earlier is not None:
        if earlier.marker.complete:
            raise NoOperationError(
                f"there is a sandbox in {directory} already",
                hint=f"`atomicstate sandbox destroy {directory}` takes it away",
            )
        progress("clearing away a sandbox that was not finished")
        with locked(earlier.lock_file, "create a sandbox there"):
            _empty(earlier)
    try:
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise ConflictError(
                f"{directory} is not an empty directory: nothing was put there",
                hint="name a directory that is not there yet",
            )
    except OSError as error:
        raise from_os_error(error, "read", directory) from error
    make_directory(directory.absolute(), 0o755)
    sandbox = Sandbox(directory.resolve(), marker)
    sandbox.write_marker(sandbox.marker)
    return sandbox


def _fill(sandbox: Sandbox, suite: str, progress: Callable[[str], None], cache: Path) -> None:
    for folder in (sandbox.state, sandbox.storage, sandbox.run):
        make_directory(folder)
    make_directory(sandbox.sysroot, 0o755)
    sandbox.write_marker(msgspec.structs.replace(sandbox.marker, storage_driver=_driver(sandbox)))
    tar, recipe = base_tar(suite, progress, cache)
    progress("importing the base image")
    host = SandboxHost(sandbox)
    # The key: two sandboxes from one tar have the same base, and `status` can say so.
    labels = {"org.atomicstate.suite": suite, "org.atomicstate.base-recipe": recipe.key}
    image = host.builder.import_tar(tar, f"localhost/atomicstate-base:{suite}", labels)
    progress("deploying the base image")
    _deploy_base(host, image)
    with contextlib.suppress(FileNotFoundError):
        sandbox.boot_record.unlink()
    host.running.power_on()
    progress("fetching the package lists")
    _fetch_lists(host, progress)
    sandbox.write_marker(msgspec.structs.replace(sandbox.marker, complete=True))


def _driver(sandbox: Sandbox) -> str:
    """Podman's storage driver: overlay, unless the directory's file system can't carry one."""
    names = [sandbox.storage / name for name in ("lower", "upper", "work", "merged")]
    for name in names:
        name.mkdir()
    argv = ["unshare", "--mount", "--propagation=slave", "--", "mount", "-t", "overlay", "probe"]
    argv += ["-o", "lowerdir=lower,upperdir=upper,workdir=work", "merged"]
    try:
        finished = process.run(argv, cwd=sandbox.storage, timeout=_LIMIT, check=False)
    finally:
        for name in names:
            shutil.rmtree(name, ignore_errors=True)
    return "overlay" if finished.status == 0 else "vfs"


def _deploy_base(host: SandboxHost, image: Image) -> None:
    sysroot = host.sandbox.sysroot
    init_sysroot(sysroot)
    var = sysroot / "ostree/deploy" / STATEROOT / "var"
    checksum = host.ostree.commit(image, var)
    deploy(
        sysroot,
        Staged(
            checksum=checksum,
            image=image.reference,
            image_id=image.id,
            labels=image.labels,
            merge="",
            boot_id="",
        ),
    )


def _fetch_lists(host: SandboxHost, progress: Callable[[str], None]) -> None:
    """The lists of packages, once: `package update` refreshes them."""
    argv = host.running.command(["apt-get", "-q", "update"])
    finished = process.run(argv, timeout=_LIMIT, check=False)
    if finished.status != 0:
        # Without a network the rest of the sandbox is as good: say so and go on.
        progress(f"the package lists could not be fetched: {finished.last_words[-300:]}")
        progress("`atomicstate package update` tries again")


def reboot(directory: Path, power_cut: bool = False) -> None:
    """Do what a reboot does: processes and overlay gone, what is staged deployed and booted.

    With `power_cut` what was only staged is lost. Raises HostError where the staged deployment
    can't be made: then the system was not rebooted, and it is staged still.
    """
    sandbox = open_sandbox(directory)
    running = Running(sandbox)
    with locked(sandbox.lock_file, "reboot", wait=_LOCK_LIMIT):
        if power_cut:
            running.power_on()
            return
        # A system that a power cut had ended already comes up first, with nothing staged.
        if running.record() is None:
            running.power_on()
            return
        staged = running.staged()
        end_processes(sandbox.pin)
        if staged is not None and not staged.locked:
            # A kill right after this leaves it deployed and staged: deploying it again is harmless.
            deploy(sandbox.sysroot, staged)
        running.power_on()


def execute(directory: Path, argv: Sequence[str]) -> int:
    """Run `argv` in the running tree, on this process's own standard streams.

    Returns its exit status; 128 and the signal's number where one ended it.
    """
    running = Running(open_sandbox(directory))
    return process.foreground(running.command(argv))


def destroy(directory: Path) -> None:
    """Take a sandbox away: processes, mounts, images, files, and nothing else.

    A file of somebody else in `directory` stays, and the directory then too. Raises
    NotFoundError for a directory that is not a sandbox, LockedError, HostError.
    """
    need_root()
    sandbox = find(directory)
    if sandbox is None:
        raise NotFoundError(
            f"{directory} is not a sandbox: nothing was removed",
            hint=f"a sandbox has a file {MARKER}",
        )
    with locked(sandbox.lock_file, "destroy it", wait=_LOCK_LIMIT):
        _remove(sandbox)


def _remove(sandbox: Sandbox) -> None:
    _empty(sandbox)
    with contextlib.suppress(OSError):
        # Not empty: somebody's own files. Busy: a mount point. Either way it stays.
        sandbox.directory.rmdir()


def _empty(sandbox: Sandbox) -> None:
    """Everything that belongs to the sandbox, the marker last: a kill leaves a sandbox."""
    Running(sandbox).power_off()
    try:
        # By unmounting first nothing below a mount is ever deleted.
        mounts.unmount_below(sandbox.directory)
        mounts.unmount_below(sandbox.runtime)
        if any(one.point != sandbox.directory for one in mounts.mounts_below(sandbox.directory)):
            raise HostError(
                f"something is still mounted in {sandbox.directory}: nothing was removed"
            )
        _remove_tree(sandbox.runtime)
        with contextlib.suppress(OSError):
            sandbox.runtime.parent.rmdir()
        _make_mutable(sandbox.sysroot)
        for name in sandbox.own_names:
            path = sandbox.directory / name
            if path.is_dir() and not path.is_symlink():
                _remove_tree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise from_os_error(error, "remove", error.filename or sandbox.directory) from error


def _remove_tree(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


def _make_mutable(sysroot: Path) -> None:
    """libostree makes the root of each deployment immutable: take that back, to delete it."""
    for folder in sysroot.glob("ostree/deploy/*/deploy/*"):
        if not folder.is_dir() or folder.is_symlink():
            continue
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            # A file system without such flags has none to take back.
            with contextlib.suppress(OSError):
                flags = struct.unpack("i", fcntl.ioctl(descriptor, _GET_FLAGS, bytes(4)))[0]
                fcntl.ioctl(descriptor, _SET_FLAGS, struct.pack("i", flags & ~_IMMUTABLE))
        finally:
            os.close(descriptor)
