"""What runs inside a sandbox's mount namespace to set it up; started by `running`.

`python -m atomicstate.host.sandbox.inside boot|overlay REQUEST`, with a request in JSON. It
prints nothing where it worked, and one sentence where it did not.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from atomicstate.host import mounts

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_QUIET = mounts.MS_NOSUID | mounts.MS_NODEV


def boot(request: dict[str, str]) -> None:
    """Mount the running tree, as an OSTree host shows it: all but /etc and /var read-only."""
    root, deployment = Path(request["tree"]), Path(request["deployment"])
    mounts.bind(deployment, root, read_only=True)
    mounts.bind(deployment / "etc", root / "etc")
    mounts.bind(Path(request["var"]), root / "var")
    mounts.bind(Path(request["sysroot"]), root / "sysroot", read_only=True)
    mounts.mount("proc", root / "proc", "proc", _QUIET | mounts.MS_NOEXEC)
    mounts.bind(Path("/sys"), root / "sys", read_only=True)
    mounts.mount("tmpfs", root / "run", "tmpfs", _QUIET, "mode=0755")
    mounts.mount("tmpfs", root / "tmp", "tmpfs", _QUIET, "mode=1777")
    (root / "run/lock").mkdir(mode=0o1777)
    (root / "run/ostree-booted").touch()
    _devices(root / "dev")
    _names(root / "etc")


def _devices(dev: Path) -> None:
    """A /dev without disks: a package's script must not reach those of the machine."""
    mounts.mount("tmpfs", dev, "tmpfs", mounts.MS_NOSUID | mounts.MS_NOEXEC, "mode=0755,size=4m")
    for name in _DEVICES:
        (dev / name).touch()
        mounts.bind(Path("/dev") / name, dev / name)
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        (dev / name).symlink_to(f"/proc/self/fd{target}")
    for name in ("pts", "shm"):
        (dev / name).mkdir()
    options = "newinstance,ptmxmode=0666,mode=0620,gid=5"
    mounts.mount("devpts", dev / "pts", "devpts", mounts.MS_NOSUID | mounts.MS_NOEXEC, options)
    (dev / "ptmx").symlink_to("pts/ptmx")
    mounts.mount("tmpfs", dev / "shm", "tmpfs", _QUIET, "mode=1777")


def _names(etc: Path) -> None:
    """The machine's name servers, laid over the tree's file and not written into it."""
    machine, own = Path("/etc/resolv.conf"), etc / "resolv.conf"
    if not machine.exists() or own.is_symlink():
        return
    own.touch()
    # resolved: it is a link into /run on many machines.
    mounts.bind(machine.resolve(), own)


def overlay(request: dict[str, str]) -> None:
    """Lay an overlay on the running tree's /usr; what is written stays in memory."""
    upper, tree = Path(request["upper"]), Path(request["tree"])
    if not any(one.point == upper for one in mounts.mounts_below(upper)):
        mounts.mount("tmpfs", upper, "tmpfs", options="mode=0755")
    for name in ("data", "work"):
        (upper / name).mkdir(exist_ok=True)
    # Relative names: a path may hold what divides the options of an overlay.
    os.chdir(upper.parent)
    options = f"lowerdir={tree.name}/usr,upperdir={upper.name}/data,workdir={upper.name}/work"
    mounts.mount("overlay", tree / "usr", "overlay", options=options)


def main(argv: list[str]) -> int:
    """Run one verb."""
    verb, request = argv[0], json.loads(argv[1])
    try:
        {"boot": boot, "overlay": overlay}[verb](request)
    except OSError as error:
        sys.stderr.write(f"{error.filename}: {error.strerror}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
