"""An apply that is killed at three moments: what `status` says, and what `resume` makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.story import Story, fail, say

if TYPE_CHECKING:
    from pathlib import Path

MOMENTS = (
    ("image.built", "The image is there, and the log does not know it yet"),
    ("staged.recorded", "What boots next is changed, and the log does not know it yet"),
    ("promote.containerfile", "Of two files that belong together one is replaced"),
)
"""Crash points of an apply, and what is so when it is killed there."""


class CrashStory(Story):
    """`package` comes and goes by way of applies that are killed."""

    def __init__(self, directory: Path, package: str) -> None:
        super().__init__(directory)
        self._package = package

    def tell(self) -> None:
        """All of it."""
        self._host()
        self._unfinished()
        for point, so in MOMENTS:
            self._title(f"Killed: {so[0].lower()}{so[1:]}")
            self._something_to_apply()
            self._killed(point, "apply", "-y")
            self._run("status")
            self._run("resume", "-y")
            self._whole()
        self._title("What was staged boots, and the log tells all of it")
        self._run("sandbox", "reboot", str(self._directory))
        known = f"dpkg-query -W {self._package} 2>/dev/null || echo no {self._package} here"
        self._run(*self._exec, "sh", "-c", known)
        self._run("status")
        self._run("log")

    def _something_to_apply(self) -> None:
        if self._status()["pending"]:
            say("Something is pending from an earlier run.\n")
            return
        recipe = self._ask("config", "show") or ""
        verb = "remove" if f'"{self._package}"' in recipe else "add"
        self._run("package", verb, self._package, "--no-live", "-y")

    def _whole(self) -> None:
        """Show that nothing is lost, nothing is left over, and nothing was done twice."""
        self._run("verify")
        self._run("status")
        status = self._status()
        staged = status["host"]["staged"] or {}
        if status["unfinished"] or status["pending"] or not staged.get("transaction"):
            fail("the machine is not whole; the story ends here")
        say("Whole: the log is intact, nothing is unfinished or pending, and what it made boots.\n")
