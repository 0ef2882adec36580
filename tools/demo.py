"""The main job as a story, in a sandbox: `python -m tools.demo [--dir DIR]`.

Each command is shown as one would type it, with what it prints. The sandbox is kept, so that a
second run begins at once; what the last run added is removed then.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

PROGRAM = Path(sys.executable).with_name("atomicstate")
DIRECTORY = Path("/var/cache/atomicstate/demo")
PACKAGE = "jq"
LIMIT = 1800
"""Seconds; a command that takes longer hangs."""


def main() -> None:
    """Tell the story; exit with a sentence where it can't go on."""
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__)
    parser.add_argument("--dir", type=Path, default=DIRECTORY, help="where the sandbox is kept")
    directory = parser.parse_args().dir.absolute()
    if os.geteuid() != 0:
        _fail("run it as root: it mounts file systems")
    began = time.monotonic()
    Story(directory).tell()
    _say(
        f"That took {time.monotonic() - began:.0f} seconds. The sandbox is kept: look around in it"
    )
    _say("with the commands above, take it away with")
    _say(f"  atomicstate sandbox destroy {directory}")


class Story:
    """The main job on the host in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith("ATOMICSTATE_")
        }

    def tell(self) -> None:
        """All of it."""
        self._host()
        self._unfinished()
        probe = self._change()
        self._title("Make an image of it, and boot that")
        self._run("apply", "-y")
        self._run("status")
        self._run("sandbox", "reboot", str(self._directory))
        self._run("sandbox", "exec", str(self._directory), "--", *probe)
        self._title("Where it stands, and how it came to this")
        self._run("status")
        self._run("log")

    def _host(self) -> None:
        self._title("A host to try it on: a real OSTree system with a Debian base")
        if self._ask("sandbox", "exec", str(self._directory), "--", "true") is None:
            self._run("sandbox", "create", str(self._directory))
        else:
            _say(f"The sandbox {self._directory} is there from an earlier run.")
        self._environment["ATOMICSTATE_SANDBOX"] = str(self._directory)
        _say(f"$ export ATOMICSTATE_SANDBOX={self._directory}\n")
        self._run("init")

    def _unfinished(self) -> None:
        """What an earlier run left when it was cut short."""
        status = self._status()
        if any(not item["running"] for item in status["unfinished"]):
            self._title("An earlier run was cut short: go on with it")
            self._run("resume", "-y")

    def _change(self) -> list[str]:
        """Add the package, or remove it where it is there. Returns the command that shows it."""
        present = ["sh", "-c", f"command -v {PACKAGE} || echo no {PACKAGE} here"]
        pending = self._status()["pending"]
        if pending:
            self._title("Changes are pending from an earlier run")
            self._run("status")
            return present
        name = ("sandbox", "exec", str(self._directory), "--")
        there = self._ask(*name, "sh", "-c", f"command -v {PACKAGE}") is not None
        verb = "remove" if there else "add"
        done = {"add": "Add", "remove": "An earlier run added it: remove"}[verb]
        self._title(f"{done} a package: at once, and recorded")
        self._run("package", verb, PACKAGE, "-y")
        self._run(*name, *present)
        self._run("status")
        return present

    # -- running -------------------------------------------------------------------------------

    def _run(self, *words: str) -> None:
        """Show a command as typed, and what it prints."""
        typed = " ".join(f"'{word}'" if " " in word else word for word in words)
        _say(f"$ atomicstate {typed}")
        status = self._start(words, None).returncode
        if status != 0:
            _fail(f"`atomicstate {typed}` ended with the exit status {status}; the story ends here")
        _say("")

    def _status(self) -> Any:  # noqa: ANN401 - JSON
        answer = self._ask("status", "-f", "json")
        if answer is None:
            _fail("`atomicstate status` does not answer; the story ends here")
        return json.loads(answer)["data"]

    def _ask(self, *words: str) -> str | None:
        """What a command prints, without showing it; None where it fails."""
        done = self._start(words, subprocess.PIPE)
        return done.stdout if done.returncode == 0 else None

    def _start(
        self, words: tuple[str, ...], output: int | None
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [PROGRAM, *words],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                text=True,
                timeout=LIMIT,
                check=False,
            )
        except FileNotFoundError:
            _fail("the virtual environment is not complete: run ./dev setup")
        except subprocess.TimeoutExpired:
            _fail(f"`atomicstate {words[0]}` took longer than {LIMIT} seconds and was ended")

    def _title(self, text: str) -> None:
        mark = "\x1b[1m", "\x1b[0m"
        bold = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        _say(f"{mark[0]}# {text}{mark[1]}\n" if bold else f"# {text}\n")


def _say(text: str) -> None:
    print(text, flush=True)


def _fail(sentence: str) -> NoReturn:
    sys.exit(f"demo: {sentence}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("demo: stopped; run it again to go on")
