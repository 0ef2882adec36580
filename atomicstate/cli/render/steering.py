"""An undo, a redo and a replay as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.cli.render.diff import diff_lines
from atomicstate.cli.render.history import difference_text
from atomicstate.cli.render.plan import plan_lines
from atomicstate.cli.render.status import pending_lines
from atomicstate.cli.terminal import clean, counted

if TYPE_CHECKING:
    from pathlib import Path

    from atomicstate.cli.terminal import Look
    from atomicstate.engine.elsewhere import Built
    from atomicstate.engine.points import Point
    from atomicstate.engine.replay import Replayed, Restored
    from atomicstate.engine.results import DocumentResult
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


def replayed_text(found: Replayed, look: Look) -> str:
    """The documents of a point, and what is wanted differently now."""
    sections = (("image.yml", found.recipe), ("Containerfile", found.containerfile))
    lines = [f"{counted(found.events, 'event')}, up to #{found.point.seq}"]
    for name, document in sections:
        lines += ["", look.paint(name, "heading"), look.paint(document.digest, "dim")]
        lines += [clean(line) for line in document.content.decode().splitlines()]
    return "\n".join([*lines, "", look.paint("Since then", "heading"), _since(found, look)])


def restoring_text(found: Replayed, look: Look) -> str:
    """How the recipe changes when a point is wanted again."""
    differs = found.differs
    diff = diff_lines(differs.recipe_after, differs.recipe_before, "image.yml", look)
    return "\n".join(diff or ["The recipe stays as it is."])


def building_text(point: Point, recipe: DocumentResult, directory: Path, look: Look) -> str:
    """What is to be built, and where."""
    make = "" if directory.exists() else ", which is made for it"
    heading = f"The state after event {point.seq}, to build in {clean(str(directory))}{make}"
    lines = recipe.content.decode().splitlines()
    return "\n".join([look.paint(heading, "heading"), *map(clean, lines)])


def built_text(built: Built, look: Look) -> str:
    """What was staged in the other sandbox, and how it is started."""
    where = clean(built.directory)
    staged = look.paint(f"Staged {built.checksum[:12]}", "bold")
    lines = [
        f"{staged} in {where}: the state after event {built.point} boots there next;"
        f" `atomicstate sandbox reboot {where}` starts it."
    ]
    if not built.same_base:
        lines.append(
            look.paint(
                f"It is built on what {clean(built.base)} is there ({built.base_id[:19]}), not on"
                " the image of then: its packages may be others.",
                "yellow",
            )
        )
    return "\n".join(lines)


def restored_text(result: Restored, look: Look) -> str:
    """What was recorded, and what boots next."""
    lines = []
    if result.seq is not None:
        counts = (
            f"{counted(len(result.void), 'action')} not wanted any more, {len(result.revive)} again"
        )
        lines.append(f"{look.paint('Restored', 'bold')} (event {result.seq}): {counts}.")
    if result.applied is None:
        lines.append("What differs is pending: `atomicstate apply` makes it real.")
    else:
        staged = f"Staged {result.applied.checksum[:12]}"
        lines.append(f"{staged} (transaction {result.applied.transaction}): it boots next.")
    return "\n".join(lines)


def _since(found: Replayed, look: Look) -> str:
    return difference_text(found.differs, look, stat=False)
