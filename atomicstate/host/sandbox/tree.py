"""The base tree: from what mmdebstrap leaves to what OSTree deploys and an image holds."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from atomicstate import process
from atomicstate.errors import HostError

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = 1
"""Counted up whenever this module or the call of mmdebstrap makes another tree."""

_LIMIT = 600.0
_STATE = "usr/lib/sysimage"
# Where OSTree puts what a machine's people write: below /var, which every deployment shares.
_MOVED = {"home": "var/home", "root": "var/roothome", "srv": "var/srv", "mnt": "var/mnt"}
_KERNEL = "0-sandbox"
_APT = """\
// Which packages came as dependencies alone belongs to the package set: it lies in /usr with
// the package database, and goes with a deployment or an overlay as that does.
Dir::State::extended_states "/usr/lib/sysimage/apt/extended_states";
"""
_POLICY = """\
#!/bin/sh
# No init system runs in a sandbox or in a build: packages must not start daemons there.
exit 101
"""


def prepare(root: Path, machine_conf: str, certificates: list[Path]) -> None:
    """Turn the Debian tree `root` into a base tree.

    `machine_conf` is the machine's own apt transport configuration, `certificates` its local
    certificate authorities. Raises HostError, OSError.
    """
    _package_database(root)
    _apt(root, machine_conf)
    _certificates(root, certificates)
    _kernel(root)
    _links(root)
    _identity(root)
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text(_POLICY)
    policy.chmod(0o755)


def _package_database(root: Path) -> None:
    database = root / "var/lib/dpkg"
    if not (database / "status").is_file():
        raise HostError("mmdebstrap left a tree without a package database")
    (root / _STATE).mkdir(mode=0o755)
    database.rename(root / _STATE / "dpkg")
    database.symlink_to(f"../../{_STATE}/dpkg")


def _apt(root: Path, machine_conf: str) -> None:
    state = root / _STATE / "apt"
    state.mkdir(mode=0o755)
    marks = root / "var/lib/apt/extended_states"
    if marks.is_file():
        marks.rename(state / "extended_states")
    else:
        (state / "extended_states").touch()
    folder = root / "etc/apt/apt.conf.d"
    (folder / "20sandbox-state").write_text(_APT)
    if machine_conf:
        (folder / "20sandbox-machine").write_text(machine_conf)


def _certificates(root: Path, certificates: list[Path]) -> None:
    """A mirror or a proxy may be known to a local certificate authority alone."""
    if not certificates:
        return
    folder = root / "usr/local/share/ca-certificates"
    folder.mkdir(parents=True, exist_ok=True)
    for path in certificates:
        (folder / path.name).with_suffix(".crt").write_bytes(path.read_bytes())
    process.run(["chroot", root, "update-ca-certificates"], timeout=_LIMIT)


def _kernel(root: Path) -> None:
    """libostree deploys nothing without a kernel; no kernel is ever started here."""
    folder = root / "usr/lib/modules" / _KERNEL
    folder.mkdir(parents=True)
    for name in ("vmlinuz", "initramfs.img"):
        (folder / name).write_text(
            f"placeholder: a sandbox has no {name}, it shares the machine's\n"
        )


def _links(root: Path) -> None:
    for name, target in _MOVED.items():
        folder, moved = root / name, root / target
        moved.parent.mkdir(parents=True, exist_ok=True)
        if folder.is_dir():
            shutil.move(folder, moved)
        else:
            moved.mkdir()
        folder.symlink_to(target)
    (root / "sysroot").mkdir(exist_ok=True)
    (root / "ostree").symlink_to("sysroot/ostree")


def _identity(root: Path) -> None:
    """What mmdebstrap copied from the machine that it ran on."""
    (root / "etc/hostname").write_text("sandbox\n")
    # The running system and a build lay the machine's own file over this one.
    resolv = root / "etc/resolv.conf"
    resolv.unlink(missing_ok=True)
    resolv.write_text("# the machine's name servers are mounted here\n")
    for lists in (root / "var/lib/apt/lists").glob("*_*"):
        lists.unlink()
