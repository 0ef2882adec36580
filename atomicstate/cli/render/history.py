"""`show`, `diff` and blame as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.cli.render.diff import diff_lines
from atomicstate.cli.render.events import event_lines, plan_lines
from atomicstate.cli.render.moments import short_time_of
from atomicstate.cli.render.status import pending_lines
from atomicstate.cli.terminal import Look, clean, counted
from atomicstate.projectors.transactions import DONE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atomicstate.engine.blame import BlamedLine
    from atomicstate.engine.history import Difference, PackageDifference, Shown
    from atomicstate.projectors.transactions import Step, Transaction

_SECOND = 1_000_000_000
_STATUS = {"done": "green", "failed": "red", "undone": "yellow", "undoing": "yellow"}


def blame_text(lines: Sequence[BlamedLine], look: Look) -> str:
    """Before each line its event, who asked for it, and when."""
    digits = max((len(str(line.seq)) for line in lines), default=1)
    user = max((len(clean(line.user)) for line in lines), default=1)
    before, shown = 0, []
    for line in lines:
        about = f"{line.seq:>{digits}} {clean(line.user):<{user}} {short_time_of(line.time)}"
        # A run of lines of one event says so once.
        start = about if line.seq != before else " " * len(about)
        before = line.seq
        shown.append(f"{look.paint(start, 'cyan')}  {clean(line.text)}".rstrip())
    return "\n".join(shown)


def difference_text(found: Difference, look: Look, *, stat: bool) -> str:
    """What changes, or only how much of it."""
    comes = [item for item in found.packages if item.version]
    goes = [item for item in found.packages if not item.version]
    lines = []
    if found.base_before != found.base_after:
        lines.append(f"base {clean(found.base_before)} -> {clean(found.base_after)}")
    if not stat:
        sides = (f"at {found.before}", f"at {found.after}")
        lines += diff_lines(found.recipe_before, found.recipe_after, "image.yml", look, sides)
        lines += _packages("comes", comes, "green", look) + _packages("goes", goes, "red", look)
    lines.append(
        f"{counted(len(comes), 'package')} that come or change, {len(goes)} that go;"
        f" {counted(len(found.added), 'action')} more, {len(found.removed)} fewer"
    )
    return "\n".join(lines)


def _packages(heading: str, items: list[PackageDifference], style: str, look: Look) -> list[str]:
    if not items:
        return []
    width = max(len(item.name) for item in items)
    lines = ["", look.paint(heading, "heading")]
    for item in items:
        versions = " -> ".join(filter(None, (item.was, item.version)))
        name = look.paint(f"{clean(item.name):<{width}}", style)
        lines.append(f"  {name}  {clean(versions)}  {look.paint(f'#{item.event}', 'dim')}")
    return [*lines, ""] if heading == "goes" else lines


def shown_text(found: Shown, look: Look) -> str:
    """Everything about one event and its transaction."""
    event = event_lines(found.event, bytes.fromhex(found.hash), look, went_back=False)[:-1]
    if getattr(found.event.body, "plan_blob", ""):
        event += plan_lines(found.changes, look)
    notes = [look.paint("  note        ", "dim") + clean(text) for text in found.notes]
    story = _transaction(found.transaction, look) if found.transaction else []
    # What was asked for comes first.
    lines = [*story, *event, *notes, ""] if found.whole else [*event, *notes, "", *story]
    if found.actions:
        lines += [look.paint("What it was about", "heading"), *pending_lines(found.actions, look)]
        lines.append("")
    diff = diff_lines(
        found.recipe_before, found.recipe_after, "image.yml", look, ("before", "after")
    )
    if diff:
        done = found.transaction is None or found.transaction.outcome == DONE
        changed = "changed" if done else "was to change"
        lines += [look.paint(f"What it {changed} in the recipe", "heading"), *diff]
    return "\n".join(lines)


def _transaction(story: Transaction, look: Look) -> list[str]:
    lines = [
        look.paint(f"transaction {story.id}", "heading"),
        f"  {story.mode}, {story.outcome}: events {story.first} to {story.last}",
        *(_step(step, look) for step in story.steps),
    ]
    if story.reason:
        lines.append(f"  {look.paint(story.code, 'red')} {clean(story.reason)}")
    if story.image_id:
        lines.append(f"  image {story.image_id[:19]}, deployment {story.checksum[:12]}")
    if any(step.name == "build" and step.output for step in story.steps):
        lines.append(f"  `atomicstate show {story.last} --build-log` tells what the build printed")
    return [*lines, ""]


def _step(step: Step, look: Look) -> str:
    took = f"  {step.duration / _SECOND:.2f} s" if step.duration is not None else ""
    status = look.paint(f"{step.status:<8}", _STATUS.get(step.status, "dim"))
    return f"  {step.name:<14} {status}{took}"
