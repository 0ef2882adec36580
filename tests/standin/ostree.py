"""`ostree`: where a booted machine's sysroot is meant, that of the sandbox is taken.

The real one does all of it but what is staged: it stages on a booted sysroot alone, so there the
sandbox has a record, which is the first deployment here as it is on a machine.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests.standin import leave_path


def main(argv: list[str]) -> int:
    leave_path()
    named = any(word.startswith(("--repo", "--sysroot")) for word in argv)
    if named or "ATOMICSTATE_SANDBOX" not in os.environ:
        return _real(argv)
    from tests.standin.world import World

    world = World()
    if argv[0] == "show":
        return _real([f"--repo={world.repo}", *argv])
    if argv[:2] == ["admin", "status"]:
        _status(world)
        return 0
    if argv[:2] == ["admin", "undeploy"] and len(argv) == 3:
        with world.locked():
            return _undeploy(world, int(argv[2]))
    sys.stderr.write(f"error: the stand-in does not know {' '.join(argv)}\n")
    return 1


def _real(argv: list[str]) -> int:
    return subprocess.run(["ostree", *argv], check=False).returncode


def _status(world) -> None:
    found = world.deployments()
    for one in found.in_order:
        mark = "*" if one is found.booted else " "
        note = " (staged)" if one is found.staged else ""
        note = " (rollback)" if one is found.rollback else note
        print(f"{mark} debian {one.name}{note}")
        print(f"    origin: <unknown origin type>: {one.image}")


def _undeploy(world, index: int) -> int:
    found = world.deployments()
    if index >= len(found.in_order):
        sys.stderr.write(f"error: Out of range deployment index {index}\n")
        return 1
    chosen = found.in_order[index]
    if chosen is found.booted:
        sys.stderr.write("error: Cannot undeploy currently booted deployment\n")
        return 1
    if chosen is found.staged:
        world.drop_staged()
        return 0
    position = index - (found.staged is not None)
    return _real(["admin", "undeploy", f"--sysroot={world.sysroot}", str(position)])
