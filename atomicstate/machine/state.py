"""The state of a transaction, and of the whole pipeline, looked up in the machine's table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.machine import table

if TYPE_CHECKING:
    from collections.abc import Mapping

_DONE = frozenset({"done", "skipped"})
_BACK = frozenset({"failed", "undoing", "undone"})


def transaction_state(mode: str, steps: Mapping[str, str]) -> str:
    """The state of an open transaction, of the statuses of its steps.

    A status is started, done, skipped, failed, undoing or undone.
    """
    if any(status in _BACK for status in steps.values()):
        return table.ROLLING_BACK
    state = table.START[mode]
    for step in table.steps(mode):
        if step in table.OPTIONAL and step not in steps:
            continue
        if steps.get(step) not in _DONE:
            break
        state = table.move_of(mode, step).target
    return state


def pipeline_state(
    open_transactions: list[tuple[str, Mapping[str, str]]],
    *,
    switched: bool,
    pending: bool,
    overlay: bool,
) -> str:
    """What `status` calls the state.

    That of the running or interrupted transaction (the overlay's last), else the
    first that holds: switched (something else boots next), recorded (something is pending),
    overlay, idle.
    """
    for mode, steps in sorted(open_transactions, key=lambda item: item[0] in table.OF_THE_OVERLAY):
        return transaction_state(mode, steps)
    if switched:
        return table.SWITCHED
    if pending:
        return table.RECORDED
    return table.OVERLAY if overlay else table.IDLE
