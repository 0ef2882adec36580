"""A story told in a sandbox: each command as one would type it, with what it prints."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

PROGRAM = Path(sys.executable).with_name("atomicstate")
LIMIT = 1800
"""Seconds; a command that takes longer hangs."""


class Story:
    """What happens on the host in `directory`, which is kept for the next time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith("ATOMICSTATE_")
        }

    @property
    def _exec(self) -> tuple[str, ...]:
        """The words before those of a command inside."""
        return ("sandbox", "exec", str(self._directory), "--")

    def _host(self) -> None:
        self._title("A host to try it on: a real OSTree system with a Debian base")
        if self._ask(*self._exec, "true") is None:
            self._run("sandbox", "create", str(self._directory))
        else:
            say(f"The sandbox {self._directory} is there from an earlier run.")
        self._environment["ATOMICSTATE_SANDBOX"] = str(self._directory)
        say(f"$ export ATOMICSTATE_SANDBOX={self._directory}\n")
        self._run("init")

    def _unfinished(self) -> None:
        """What an earlier run left when it was cut short."""
        status = self._status()
        if any(not item["running"] for item in status["unfinished"]):
            self._title("An earlier run was cut short: go on with it")
            self._run("resume", "-y")

    # -- running -------------------------------------------------------------------------------

    def _run(self, *words: str) -> None:
        """Show a command as typed, and what it prints."""
        typed = _typed(words)
        say(f"$ {typed}")
        status = self._start(words, None).returncode
        if status != 0:
            fail(f"`{typed}` ended with the exit status {status}; the story ends here")
        say("")

    def _killed(self, point: str, *words: str) -> None:
        """Show a command that is killed, with all that it started, at the crash point `point`."""
        say(f"$ ATOMICSTATE_FAILPOINT={point} {_typed(words)}")
        status = self._start(words, None, ATOMICSTATE_FAILPOINT=point).returncode
        if status != -signal.SIGKILL:
            fail(f"it ended with the exit status {status} and was not killed; the story ends here")
        say("Killed\n")

    def _status(self) -> Any:  # noqa: ANN401 - JSON
        answer = self._ask("status", "-f", "json")
        if answer is None:
            fail("`atomicstate status` does not answer; the story ends here")
        return json.loads(answer)["data"]

    def _ask(self, *words: str) -> str | None:
        """What a command prints, without showing it; None where it fails."""
        done = self._start(words, subprocess.PIPE)
        return done.stdout if done.returncode == 0 else None

    def _start(
        self, words: tuple[str, ...], output: int | None, **more: str
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [PROGRAM, *words],
                env={**self._environment, **more},
                # One that is to be killed is killed with its process group: not with this one.
                start_new_session=bool(more),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                text=True,
                timeout=LIMIT,
                check=False,
            )
        except FileNotFoundError:
            fail("the virtual environment is not complete: run ./dev setup")
        except subprocess.TimeoutExpired:
            fail(f"`atomicstate {words[0]}` took longer than {LIMIT} seconds and was ended")

    def _title(self, text: str) -> None:
        mark = "\x1b[1m", "\x1b[0m"
        bold = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        say(f"{mark[0]}# {text}{mark[1]}\n" if bold else f"# {text}\n")


def _typed(words: tuple[str, ...]) -> str:
    return " ".join(["atomicstate", *(f"'{word}'" if " " in word else word for word in words)])


def say(text: str) -> None:
    """A line of the story, at once."""
    print(text, flush=True)


def fail(sentence: str) -> NoReturn:
    """End the story with a sentence."""
    sys.exit(f"demo: {sentence}")
