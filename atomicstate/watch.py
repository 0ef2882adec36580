"""Watching a recipe that people edit: its folder is seen by inotify, and looked at when it settles.

What a look does, and what an image's build, is somebody else's: here is only when. Whatever is
done to the folder (files that are replaced, removed, made unreadable; the folder itself) comes to
a look. Every look is made with a watch in place that sees what comes after it.
"""

from __future__ import annotations

import os
import time
from contextlib import closing
from typing import TYPE_CHECKING, NoReturn, Protocol

from atomicstate.errors import NotFoundError
from atomicstate.settling import Settling

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from atomicstate.engine.watching import Seen
    from atomicstate.notify import ServiceManager

MAX_FOLDERS = 20_000
"""The most folders that are watched; what is in further ones is seen at the next look."""

_STEP = 200
"""Milliseconds between two looks at what inotify has; a signal is seen as soon."""

_LONG = 600.0
"""The most seconds of one wait, while nothing is due."""

BLIND = 30.0
"""Seconds between two looks where inotify can't watch the folder."""

_TRIES = 5


class Keeper(Protocol):
    """Whoever knows what an edit means."""

    def look(self) -> Seen:
        """Look at the recipe, and record what differs. What can't be taken is told, not raised."""

    def build(self) -> None:
        """Make the image of what was recorded. What fails is told, not raised."""


class _Changes(Protocol):
    """What watchfiles gives: a watch of folders."""

    def watch(
        self, debounce_ms: int, step_ms: int, timeout_ms: int, stop_event: None
    ) -> set[tuple[int, str]] | str:
        """The paths that were changed, or why there are none."""

    def close(self) -> None:
        """Watch no more."""


class _Blind:
    """A watch that sees nothing."""

    def watch(self, _debounce: int, _step: int, timeout_ms: int, _stop: None) -> str:
        time.sleep(timeout_ms / 1000)
        return "timeout"

    def close(self) -> None:
        pass


class Watch:
    """Watches the document `recipe` and the folder `resources` beside it, for `keeper`.

    `settle` are the seconds that an edit takes to settle. `tell` is told, in a sentence, of what
    is in the way of watching.
    """

    def __init__(
        self,
        recipe: Path,
        resources: Path,
        keeper: Keeper,
        manager: ServiceManager,
        tell: Callable[[str], None],
        *,
        settle: float,
    ) -> None:
        self._recipe = recipe
        self._resources = resources
        self._keeper = keeper
        self._manager = manager
        self._tell = tell
        self._settling = Settling(settle)
        self._blind = False

    def once(self) -> None:
        """Do what is to be done now."""
        if self._look().build:
            self._build()

    def run(self) -> NoReturn:
        """Go on until KeyboardInterrupt. Raises NotFoundError if the state directory is gone."""
        ready = False
        try:
            while True:
                self._settling.looked()
                with closing(self._watching()) as watching:
                    seen = self._look()
                    if not ready:
                        self._manager.ready()
                        ready = True
                    if not seen.build:
                        self._wait(watching)
                        continue
                # Not while it builds: what is changed meanwhile is found by the next look.
                self._build()
        finally:
            self._manager.stopping()

    def _look(self) -> Seen:
        with self._manager.busy():
            seen = self._keeper.look()
        if seen.again is not None:
            self._settling.again(time.monotonic() + seen.again)
        return seen

    def _build(self) -> None:
        with self._manager.busy():
            self._keeper.build()

    # -- watching ----------------------------------------------------------------------------

    def _wait(self, watching: _Changes) -> None:
        """Wait until a look is due."""
        while True:
            now, due = time.monotonic(), self._settling.due
            if due is not None and now >= due:
                return
            self._manager.alive()
            until = now + (self._manager.interval or _LONG)
            until = until if due is None else min(until, due)
            changes = watching.watch(_STEP, _STEP, max(int((until - now) * 1000), 1), None)
            if changes == "signal":
                raise KeyboardInterrupt
            if not isinstance(changes, str) and any(self._concerns(path) for _, path in changes):
                self._settling.changed(time.monotonic())

    def _concerns(self, path: str) -> bool:
        top = str(self._resources)
        return path in (str(self._recipe), str(self._recipe.parent), top) or path.startswith(
            top + os.sep
        )

    def _watching(self) -> _Changes:
        """A watch of all folders that are there. Raises NotFoundError."""
        folders = self._folders()
        for _try in range(_TRIES):
            watching = self._opened(folders)
            # One that was made in between is in no watch; one made later is seen by its parent's.
            before, folders = folders, self._folders()
            if folders == before:
                return watching
            watching.close()
        # They come and go all the time: another look will see what this watch does not.
        self._settling.changed(time.monotonic())
        return self._opened(folders)

    def _opened(self, folders: list[str]) -> _Changes:
        from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

        try:
            watching = RustNotify(folders, False, False, 0, False, True)
        except (OSError, WatchfilesRustInternalError) as error:
            if not self._blind:
                self._tell(
                    f"the recipe's folder can't be watched ({error}): it is looked at every"
                    f" {BLIND:g} seconds"
                )
            self._blind = True
            self._settling.again(time.monotonic() + BLIND)
            return _Blind()
        self._blind = False
        return watching

    def _folders(self) -> list[str]:
        """The folders to watch: no link is followed out of the resources."""
        folder = self._recipe.parent
        if not folder.parent.is_dir():
            raise NotFoundError(
                f"there is no state directory {folder.parent}", hint="run `atomicstate init`"
            )
        # The folder above tells when the recipe's own is made, or another takes its place.
        found = [str(folder.parent)]
        if folder.is_dir():
            found.append(str(folder))
        for below, _folders, _files in os.walk(self._resources):
            found.append(below)
            if len(found) >= MAX_FOLDERS:
                break
        return found
