"""The state machine as a picture: Mermaid text, drawn from the table that runs."""

from __future__ import annotations

from atomicstate.machine import table


def mermaid() -> str:
    """A Mermaid state diagram of all kinds of transaction, joined at `recorded`."""
    lines = ["stateDiagram-v2", f"    [*] --> {table.IDLE}"]
    moves = {(move.source, move.target, move.step): None for move in table.MOVES}
    lines += [f"    {source} --> {target}: {step}" for source, target, step in moves]
    for mode, start in table.START.items():
        if mode == table.ENABLE:  # a part of the live way
            continue
        failing = {
            move.source: None
            for move in table.MOVES
            if move.mode == mode and not table.past_pivot(mode, move.source)
        }
        lines += [f"    {state} --> {table.ROLLING_BACK}: {mode} fails" for state in failing]
        lines.append(f"    {table.ROLLING_BACK} --> {start}: {mode} undone")
    return "\n".join(lines) + "\n"
