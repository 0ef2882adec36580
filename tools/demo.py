"""What the product does, as a story in a sandbox: `python -m tools.demo [--crash] [--dir DIR]`.

The main job; or with --crash, an apply that is killed at three moments. The sandbox is kept, so
that a second run begins at once; what the last run added is removed then.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from tools.crash_story import CrashStory
from tools.story import Story, fail, say

DIRECTORY = Path("/var/cache/atomicstate/demo")
PACKAGE = "jq"


def main() -> None:
    """Tell the story; exit with a sentence where it can't go on."""
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__)
    parser.add_argument("--crash", action="store_true", help="kill an apply at three moments")
    parser.add_argument("--dir", type=Path, default=DIRECTORY, help="where the sandbox is kept")
    parser.add_argument("--package", default=PACKAGE, help="what is added and removed")
    chosen = parser.parse_args()
    directory = chosen.dir.absolute()
    if os.geteuid() != 0:
        fail("run it as root: it mounts file systems")
    began = time.monotonic()
    story = CrashStory if chosen.crash else MainJob
    story(directory, chosen.package).tell()
    say(f"That took {time.monotonic() - began:.0f} seconds. The sandbox is kept: look around in it")
    say("with the commands above, take it away with")
    say(f"  atomicstate sandbox destroy {directory}")


class MainJob(Story):
    """A package goes into the running system, into an image, and is there after the boot."""

    def __init__(self, directory: Path, package: str) -> None:
        super().__init__(directory)
        self._package = package

    def tell(self) -> None:
        """All of it."""
        self._host()
        self._unfinished()
        probe = self._change()
        self._title("Make an image of it, and boot that")
        self._run("apply", "-y")
        self._run("status")
        self._run("sandbox", "reboot", str(self._directory))
        self._run(*self._exec, *probe)
        self._title("Where it stands, and how it came to this")
        self._run("status")
        self._run("log")

    def _change(self) -> list[str]:
        """Add the package, or remove it where it is there. Returns the command that shows it."""
        name = self._package
        present = ["sh", "-c", f"command -v {name} || echo no {name} here"]
        pending = self._status()["pending"]
        if pending:
            self._title("Changes are pending from an earlier run")
            self._run("status")
            return present
        there = self._ask(*self._exec, "sh", "-c", f"command -v {name}") is not None
        verb = "remove" if there else "add"
        done = {"add": "Add", "remove": "An earlier run added it: remove"}[verb]
        self._title(f"{done} a package: at once, and recorded")
        self._run("package", verb, name, "-y")
        self._run(*self._exec, *present)
        self._run("status")
        return present


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("demo: stopped; run it again to go on")
