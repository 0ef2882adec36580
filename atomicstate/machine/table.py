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
RESTORE = "restore"
APPLY = "apply"
DEPLOY = "deploy"
ROLLBACK = "rollback"
UNSTAGE = "unstage"
PRUNE = "prune"
WITHDRAW = "withdraw"
UNDO = "undo"

OF_THE_OVERLAY = frozenset({ENABLE, LIVE, RESTORE, WITHDRAW, UNDO})
"""The modes that work on the overlay or what it left, under the recording lock.

The others need the pipeline's.
"""

_MAKING = (
    ("config", RECORDED, CONFIGURED),
    ("containerfile", CONFIGURED, CONTAINERFILE),
    ("build", CONTAINERFILE, BUILT),
    ("unqueue", BUILT, BUILT),
    ("switch", BUILT, SWITCHED),
)

MOVES = (
    Move(ENABLE, "overlay", IDLE, OVERLAY),
    Move(LIVE, "overlay", IDLE, OVERLAY),
    Move(LIVE, "live", OVERLAY, RECORDED),
    Move(RESTORE, "overlay", IDLE, OVERLAY),
    Move(RESTORE, "live", OVERLAY, RECORDED),
    Move(UNDO, "overlay", IDLE, OVERLAY),
    Move(UNDO, "live", OVERLAY, RECORDED),
    *(Move(APPLY, *move) for move in _MAKING),
    Move(APPLY, "promote", SWITCHED, SWITCHED),
    *(Move(DEPLOY, *move) for move in _MAKING),
    Move(ROLLBACK, "rollback", IDLE, SWITCHED),
    Move(UNSTAGE, "unstage", SWITCHED, RECORDED),
    Move(PRUNE, "prune", IDLE, IDLE),
    Move(WITHDRAW, "withdraw", IDLE, IDLE),
)

OPTIONAL = frozenset({"unqueue"})
"""A step that a run has only where it is needed."""

START = {
    ENABLE: IDLE,
    LIVE: IDLE,
    RESTORE: IDLE,
    APPLY: RECORDED,
    DEPLOY: RECORDED,
    ROLLBACK: IDLE,
    UNSTAGE: SWITCHED,
    PRUNE: IDLE,
    WITHDRAW: IDLE,
    UNDO: IDLE,
}
"""Where a transaction of each mode begins, and where a rollback leads back to."""

PIVOTS = frozenset({"switch", "rollback", "unstage", "prune"})
"""Once such a step is done there is no way but forward."""

_NEXT = {(move.mode, move.step): move for move in MOVES}


def steps(mode: str) -> tuple[str, ...]:
    """The steps of a transaction of `mode`, in order."""
    return tuple(move.step for move in MOVES if move.mode == mode)


def move_of(mode: str, step: str) -> Move:
    """The move that `step` makes in a transaction of `mode`. KeyError where there is none."""
    return _NEXT[mode, step]


def past_pivot(mode: str, source: str) -> bool:
    """Whether a transaction of `mode` in the state `source` can only go forward."""
    targets = {move.target for move in MOVES if move.mode == mode and move.step in PIVOTS}
    # Of one that ends where it began the state does not tell; it has no step after its pivot.
    return source in targets - {START[mode]}
