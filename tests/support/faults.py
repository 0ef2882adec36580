"""Faults at chosen moments of a command over a fake host: errors of an effect, kills, Ctrl-C.

A moment is before or after an effect of the host, before or after a commit of the log, or a
failpoint. After a kill nothing more happens: no effect, no commit, no tidying up.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

from atomicstate import failpoints
from atomicstate.errors import AptError, ContainerError, HostError, UnclearError
from atomicstate.store.log import Log
from tests.support.fakehost import Crash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.support.fakehost import FakeHost

KILL, FAIL, UNCLEAR, INTERRUPT = "kill", "fail", "unclear", "interrupt"
_ERRORS = {"carry_out": AptError, "finish": AptError, "revert": AptError, "build": ContainerError}


class Faults:
    """`kind` of fault, at each of the `moments`: those of the host alone count, except for a kill.

    `came` tells which of them came about, in order. `counts` says of a moment (when, name) whether
    it is one at all.
    """

    def __init__(
        self,
        kind: str = "",
        moments: Sequence[int] = (),
        counts: Callable[[str, str], bool] = lambda _when, _name: True,
    ) -> None:
        self.kind = kind
        self._counts = counts
        self.came: list[str] = []
        self._moments = set(moments)
        self._now = -1
        self._dead = False

    def __repr__(self) -> str:
        return f"Faults({self.kind!r}, {sorted(self._moments)})" if self.kind else "Faults()"

    @contextmanager
    def armed(self, host: FakeHost) -> Iterator[None]:
        append, rmtree = Log.append, shutil.rmtree

        def committing(log: Log, *args: object, **options: object) -> object:
            self._at("before", "commit")
            events = append(log, *args, **options)  # type: ignore[arg-type]
            self._at("after", "commit")
            return events

        def tidying(*args: object, **options: object) -> None:
            if not self._dead:
                rmtree(*args, **options)  # type: ignore[arg-type]

        with ExitStack() as stack:
            stack.enter_context(patch.object(Log, "append", committing))
            stack.enter_context(patch.object(shutil, "rmtree", tidying))
            stack.enter_context(
                patch.object(failpoints, "reach", lambda name: self._at("at", name))
            )
            stack.enter_context(patch.object(host, "on_effect", self._effect))
            yield

    def _effect(self, when: str, name: str) -> None:
        self._at(when, name, effect=True)

    def _at(self, when: str, name: str, *, effect: bool = False) -> None:
        if self._dead:
            raise Crash
        if not self.kind or (self.kind != KILL and not effect) or not self._counts(when, name):
            return
        self._now += 1
        if self._now not in self._moments:
            return
        self.came.append(f"{when} {name}")
        if self.kind == KILL:
            self._dead = True
            raise Crash
        if self.kind == UNCLEAR:
            raise UnclearError("nobody can tell")
        if self.kind == INTERRUPT:
            raise KeyboardInterrupt
        raise _ERRORS.get(name, HostError)(f"{when} {name}: no")
