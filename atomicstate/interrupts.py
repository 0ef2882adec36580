"""Ctrl-C, SIGTERM and SIGHUP: a run ends at the next safe point, a second request ends it at once.

Outside a `deferred` block the first request raises KeyboardInterrupt where it comes. Inside one
it waits for `check`, an `allowed` block or the block's end: what must stay together (a commit and
what is noted of it) stays together. The second request ends the process there and then: that is
a kill, and what a kill leaves behind `resume` and `abort` bring to an end.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_STATUS = 130
_AT_ONCE = "ended at once; `atomicstate status` shows what was cut short"


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP came."""


class _State:
    """What came, and whether it may be raised now."""

    deferred = False
    pending = False
    came: tuple[int, ...] = ()
    last_words: tuple[int, bytes] = (2, f"\n{_AT_ONCE}\n".encode())


_state = _State()


def install() -> None:
    """From now on the signals are handled here. One that is ignored (nohup) stays so."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _handle)


def answer_with(envelope: Callable[[str], bytes]) -> None:
    """What a second request has for an answer, on standard output: the `envelope` of its words."""
    _state.last_words = (1, envelope(_AT_ONCE))


def was_terminated() -> bool:
    """Whether SIGTERM or SIGHUP came, also where a library made a KeyboardInterrupt of it."""
    return any(number != signal.SIGINT for number in _state.came)


@contextmanager
def deferred() -> Iterator[None]:
    """Inside, a request waits. It is raised at the end of the outermost such block."""
    before, _state.deferred = _state.deferred, True
    try:
        yield
    finally:
        _state.deferred = before
    if not before:
        check()


@contextmanager
def allowed() -> Iterator[None]:
    """Inside, a request is raised where it comes, one that waits at once."""
    before, _state.deferred = _state.deferred, False
    try:
        check()
        yield
    finally:
        _state.deferred = before


def check() -> None:
    """A safe point: raises KeyboardInterrupt where a request waits."""
    if _state.pending:
        _state.pending = False
        raise Terminated if was_terminated() else KeyboardInterrupt


def put_off() -> None:
    """A request that was taken waits again, for the next safe point."""
    _state.pending = True


def ignore() -> None:
    """Nothing is left to be ended: what waits is dropped."""
    _state.pending = False


@contextmanager
def ctrl_c_left_alone() -> Iterator[None]:
    """Inside, Ctrl-C is for the program that has the terminal meanwhile, a pager say."""
    before = signal.signal(signal.SIGINT, _leave_alone)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _leave_alone(_number: int, _frame: FrameType | None) -> None:
    """Not ignored: what is started would ignore it too."""


def _handle(number: int, _frame: FrameType | None) -> None:
    if _state.came:
        os.write(*_state.last_words)
        os._exit(_STATUS)
    _state.came = (*_state.came, number)
    if _state.deferred:
        _state.pending = True
    elif number == signal.SIGINT:
        raise KeyboardInterrupt
    else:
        raise Terminated
