"""The pipeline as a table: states, steps, and which step leads from which state to which.

The live run goes through the `transitions` machine that pipeline.py makes of it; replay looks
the states up here (a look-up costs a hundredth of a trigger); the diagram is drawn from it.
"""

from __future__ import annotations

from typing import NamedTuple

IDLE = "idle"
OVERLAY = "overlay"
RECORDED = "recorded"
CONFIGURED = "configured"
CONTAINERFILE = "containerfile"
BUILT = "built"
SWITCHED = "switched"
ROLLING_BACK = "rolling_back"

STATES = (IDLE, OVERLAY, RECORDED, CONFIGURED, CONTAINERFILE, BUILT, SWITCHED, ROLLING_BACK)


class Move(NamedTuple):
    """In a transaction of `mode`, `step` done leads from `source` to `target`."""

    mode: str
    step: str
    source: str
    target: str


ENABLE = "overlay"
LIVE = "live"
APPLY = "apply"

MOVES = (
    Move(ENABLE, "overlay", IDLE, OVERLAY),
    Move(LIVE, "overlay", IDLE, OVERLAY),
    Move(LIVE, "live", OVERLAY, RECORDED),
    Move(APPLY, "config", RECORDED, CONFIGURED),
    Move(APPLY, "containerfile", CONFIGURED, CONTAINERFILE),
    Move(APPLY, "build", CONTAINERFILE, BUILT),
    Move(APPLY, "switch", BUILT, SWITCHED),
    Move(APPLY, "promote", SWITCHED, SWITCHED),
)

START = {ENABLE: IDLE, LIVE: IDLE, APPLY: RECORDED}
"""Where a transaction of each mode begins, and where a rollback leads back to."""

PIVOT = "switch"
"""Once this step is done there is no way but forward."""

_NEXT = {(move.mode, move.step): move for move in MOVES}


def steps(mode: str) -> tuple[str, ...]:
    """The steps of a transaction of `mode`, in order."""
    return tuple(move.step for move in MOVES if move.mode == mode)


def move_of(mode: str, step: str) -> Move:
    """The move that `step` makes in a transaction of `mode`. KeyError where there is none."""
    return _NEXT[mode, step]
