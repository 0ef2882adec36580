"""The worker's place: inside the host's tree, with nothing of the outer machine but the network.

The worker is the first process of a PID namespace and has mounts of its own. So what it mounts
here is gone when it ends, however it ends, and so is every process that a package's script
left behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from atomicstate.catalog import dpkg
from atomicstate.catalog.libapt import apt_pkg
from atomicstate.errors import AptError, LockedError, NotPermittedError
from atomicstate.files import write_atomically
from atomicstate.mounting import MS_BIND, mount, unmount
from atomicstate.process import Finished, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from atomicstate.events.plan import Plan

ADMIN = Path("/var/lib/dpkg")
POLICY = Path("/usr/sbin/policy-rc.d")
SERVICES_STAY_DOWN = b"#!/bin/sh\nexit 101\n"
"""invoke-rc.d and deb-systemd-invoke ask the policy program; 101: not allowed."""

_DESK = Path("/tmp")  # noqa: S108 - every tree has it; a file system of our own is laid over it
_KEPT = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
_KEPT_NOTE = ADMIN / "atomicstate-kept-configuration"
_LOCKS = (ADMIN / "lock-frontend", ADMIN / "lock")
# struct flock of Linux: type, whence, start, length, pid.
_FLOCK = "hhqqi"


def uncover(root: Path) -> None:
    """Take what lies over /usr of `root` off, in this worker's namespace alone. Raises OSError."""
    unmount(root / "usr")


def enter(root: Path) -> None:
    """Go into `root` for good. Everything that is imported must be imported by now."""
    os.chroot(root)
    os.chdir("/")
    os.umask(0o022)
    if os.getpid() == 1:
        # The scripts see no process but theirs: their `pkill` reaches nothing outside.
        # Where the kernel does not let us, the tree's own /proc serves.
        with contextlib.suppress(OSError):
            mount("proc", Path("/proc"), "proc")
    _clean_environment()


def set_up_libapt() -> None:
    """Read apt's configuration of this tree."""
    apt = apt_pkg()
    apt.init_config()
    apt.init_system()
    for key, value in (
        ("Dpkg::Use-Pty", "false"),
        ("Dpkg::Options::", "--force-confdef"),
        ("Dpkg::Options::", "--force-confold"),
    ):
        apt.config.set(key, value)


def watch_over(child: int) -> int:
    """Wait for `child`, as process 1; its exit status.

    Who does the work can't be process 1 itself: libapt changes its user for a moment while it
    fetches, and the kernel then forgets that the process is to die with its parent.
    """

    def end(_signal: int, _frame: object) -> None:
        # Asked to end. The kernel ends all the rest with process 1.
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        _drop_policy()
        os._exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    while True:
        # What a script left behind becomes a child of process 1 too.
        ended, status = os.wait()
        if ended == child:
            if status != 0:
                _drop_policy()
            return os.waitstatus_to_exitcode(status)


def _clean_environment() -> None:
    """Nothing that steers apt, dpkg, debconf or a script may come from who called."""
    kept = {name: value for name, value in os.environ.items() if name.lower() in _KEPT}
    os.environ.clear()
    os.environ.update(
        kept,
        PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        HOME="/root",
        LC_ALL="C.UTF-8",
        TERM="dumb",
        DEBIAN_FRONTEND="noninteractive",
        DEBCONF_NONINTERACTIVE_SEEN="true",
        APT_LISTCHANGES_FRONTEND="none",
        NEEDRESTART_SUSPEND="1",
        UCF_FORCE_CONFFOLD="1",
    )


@contextlib.contextmanager
def no_services() -> Iterator[None]:
    """Packages start and stop no service meanwhile.

    The policy program is a mount: a kill takes it away. What can stay behind is its mount point,
    an empty file that is not executable and so means nothing; the next run removes it.
    """
    own = _place_policy()
    try:
        yield
    finally:
        if own:
            _drop_policy()
        else:
            _uncover_policy()


def _place_policy() -> bool:
    """Mount the policy program. True where its mount point is ours, to be removed."""
    own = not POLICY.exists() or _is_mount_point_of_ours()
    try:
        if own:
            POLICY.touch(0o644)
        mount("tmpfs", _DESK, "tmpfs")
        try:
            program = _DESK / POLICY.name
            program.write_bytes(SERVICES_STAY_DOWN)
            program.chmod(0o755)
            mount(str(program), POLICY, "none", MS_BIND)
        finally:
            # The bind mount keeps the file.
            unmount(_DESK)
    except OSError as error:
        raise AptError(
            f"can't keep packages from starting services ({error.strerror}); nothing was changed"
        ) from error
    return own


def _is_mount_point_of_ours() -> bool:
    state = POLICY.lstat()
    return state.st_size == 0 and not state.st_mode & 0o111


def _uncover_policy() -> None:
    with contextlib.suppress(OSError):
        # It may be a link, as `alternatives` makes them: the mount lies on what that leads to.
        unmount(POLICY.resolve())


def _drop_policy() -> None:
    _uncover_policy()
    with contextlib.suppress(OSError):
        if _is_mount_point_of_ours():
            POLICY.unlink()


def database() -> dpkg.Database:
    """dpkg's database as it is now."""
    return dpkg.parse(run(dpkg.QUERY).text)


def require_writable() -> None:
    """Raises NotPermittedError where the package database can't be written."""
    if not os.access(ADMIN, os.W_OK):
        raise NotPermittedError(
            "the package database is read-only; nothing was changed",
            hint="`atomicstate overlay enable` makes /usr writable until the next boot",
        )


def require_unlocked() -> None:
    """Raises LockedError where another process works on the packages. Takes no lock."""
    for path in _LOCKS:
        try:
            with path.open("rb") as file:
                asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
                answer = fcntl.fcntl(file, fcntl.F_GETLK, asked)
        except FileNotFoundError:
            continue
        if struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK:
            raise LockedError(
                f"another program works on the packages (it holds {path}); nothing was changed"
            )


def merge_journal() -> None:
    """Let dpkg write what it did last before it was killed into its database. Runs no script."""
    journal = ADMIN / "updates"
    if journal.is_dir() and any(entry.name.isdigit() for entry in journal.iterdir()):
        require_unlocked()
        require_writable()
        run(["dpkg", "--set-selections"], stdin=b"")


def run_dpkg(arguments: Sequence[str]) -> Finished:
    """Run dpkg while this process holds libapt's lock; what it said goes to the output too."""
    apt = apt_pkg()
    held = apt.pkgsystem_is_locked()
    if held:
        apt.pkgsystem_unlock_inner()
    try:
        finished = run(
            ["dpkg", "--force-confdef", "--force-confold", *arguments],
            env={"DPKG_FRONTEND_LOCKED": "true"} if held else {},
            check=False,
        )
    finally:
        if held:
            apt.pkgsystem_lock_inner()
    for said in (finished.stdout, finished.stderr):
        os.write(1, said)
    return finished


def note_kept_configuration(plan: Plan, database: dpkg.Database) -> None:
    """Note which newcomers of `plan` find configuration of an earlier install.

    dpkg forgets that once they are there. The note lies beside dpkg's database, to live as long.
    """
    found = {
        (change.name, change.architecture)
        for change in plan.comes
        if (record := database.find(change.name, change.architecture)) and record.status == "c"
    }
    if found:
        lines = sorted(" ".join(key) for key in found | kept_configuration())
        write_atomically(_KEPT_NOTE, "".join(f"{line}\n" for line in lines).encode(), 0o644)


def kept_configuration() -> frozenset[tuple[str, str]]:
    """Name and architecture of the packages whose configuration a revert must not purge."""
    with contextlib.suppress(FileNotFoundError):
        lines = _KEPT_NOTE.read_text(encoding="utf-8").splitlines()
        return frozenset((name, arch) for name, _space, arch in (x.partition(" ") for x in lines))
    return frozenset()
