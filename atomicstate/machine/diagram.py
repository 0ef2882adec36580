"""The state machine as a picture: Mermaid text, drawn from the table that runs."""

from __future__ import annotations

from atomicstate.machine import table


def mermaid() -> str:
    """A Mermaid state diagram of both kinds of transaction, joined at `recorded`."""
    lines = ["stateDiagram-v2", f"    [*] --> {table.IDLE}"]
    lines += [f"    {move.source} --> {move.target}: {move.step}" for move in table.MOVES]
    for mode, start in table.START.items():
        failing = {
            move.source: None
            for move in table.MOVES
            if move.mode == mode and move.source != table.SWITCHED
        }
        lines += [f"    {state} --> {table.ROLLING_BACK}: {mode} fails" for state in failing]
        lines.append(f"    {table.ROLLING_BACK} --> {start}: {mode} undone")
    return "\n".join(lines) + "\n"
