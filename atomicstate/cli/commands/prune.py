"""`prune`: images and deployments that nothing refers to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from atomicstate.cli.terminal import Look, clean, size, table
from atomicstate.cli.verbs import verb

if TYPE_CHECKING:
    from atomicstate.cli.app import App
    from atomicstate.engine.results import PruneObject, PruneProposal, PruneResult

_KEEP = 2


@verb("prune", waits=True)
@click.option(
    "--keep",
    metavar="N",
    type=click.IntRange(0),
    default=_KEEP,
    show_default=True,
    help="Keep the images of so many of the newest transactions.",
)
def prune(app: App, *, keep: int) -> None:
    """Remove images and deployments that nothing refers to.

    Of those that this log made alone. What is booted, staged, in the rollback slot, pinned or
    tagged stays, so do bases, what unfinished work needs, and what a bisection under way built.
    """
    app.must_ask()
    from atomicstate.engine import prune as engine
    from atomicstate.events.asjson import fields_of

    with app.session() as session:
        proposal = engine.propose(session, keep)
        if proposal.objects or proposal.leftovers:
            app.show(lambda look: _proposal_text(proposal, look))
            app.ask("Remove this?")
        with app.reporting() as reporter:
            result = engine.carry_out(session, proposal, reporter)
    app.answer(lambda: fields_of(result), lambda _look: _result_text(result))


def _proposal_text(proposal: PruneProposal, look: Look) -> str:
    rows = [_row(item) for item in proposal.objects]
    lines = [look.paint("To remove", "heading"), *table(rows, right=(2,))]
    if proposal.leftovers:
        lines.append(f"  {len(proposal.leftovers)} folders of transactions that have ended")
    return "\n".join(lines)


def _row(item: PruneObject) -> tuple[str, ...]:
    about = f"transaction {item.transaction}" if item.transaction else ""
    short = item.id.removeprefix("sha256:")[:12]
    return f"{item.kind} {short}", clean(about), size(item.bytes) if item.bytes else ""


def _result_text(result: PruneResult) -> str:
    if not result.removed and not result.leftovers:
        return "Nothing to remove: something refers to every image and deployment."
    parts = []
    for kind in ("deployment", "image"):
        count = sum(item.kind == kind for item in result.removed)
        if count:
            parts.append(f"{count} {kind}{'s' if count > 1 else ''}")
    if result.leftovers:
        parts.append(f"{len(result.leftovers)} folders of ended transactions")
    return f"Removed {', '.join(parts)}: {size(result.bytes)} of images."
