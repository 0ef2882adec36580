"""An undo, a redo and a replay as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.cli.render.plan import plan_lines
from atomicstate.cli.render.status import pending_lines
from atomicstate.cli.terminal import clean

if TYPE_CHECKING:
    from atomicstate.cli.terminal import Look
    from atomicstate.engine.undo import Proposal, Undone


def proposal_text(proposal: Proposal, look: Look) -> str:
    """What is not wanted any more, what is again, and what happens in the overlay."""
    void = [item for item in proposal.actions if item.change == "drop"]
    again = [item for item in proposal.actions if item.change == "add"]
    lines = []
    for heading, items in (("Not wanted any more", void), ("Wanted again", again)):
        if items:
            lines += [look.paint(heading, "heading"), *pending_lines(items, look)]
    if proposal.back.plan.changes:
        lines += ["", *plan_lines(proposal.back.shown, look)]
    if proposal.back.stays:
        names = ", ".join(map(clean, proposal.back.stays))
        lines.append(f"{names}: stays in the running system, where something else needs it.")
    return "\n".join(lines)


def result_text(proposal: Proposal, result: Undone, look: Look) -> str:
    """What was recorded, and where it has an effect."""
    did = {"undo": "Undone", "redo": "Redone"}[proposal.verb]
    numbers = " ".join(f"#{seq}" for seq in sorted((*result.void, *result.revive)))
    where = "recorded; `atomicstate status` shows what is pending"
    if result.plan.changes:
        where = "the running system is as without it, and it is recorded"
    return f"{look.paint(f'{did} {numbers}', 'bold')} (event {result.seq}): {where}."
