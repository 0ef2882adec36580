"""SIGTERM ends a run as Ctrl-C does: what is under way is taken back or left in order."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


_came: list[int] = []


def install() -> None:
    """From now on SIGTERM raises Terminated."""
    signal.signal(signal.SIGTERM, _terminate)


def was_terminated() -> bool:
    """Whether SIGTERM came, also where a library made a plain KeyboardInterrupt of it."""
    return bool(_came)


def _terminate(number: int, _frame: FrameType | None) -> None:
    _came.append(number)
    raise Terminated
