"""A plan of libapt as a table, with totals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.cli.terminal import Look, clean, size, table

if TYPE_CHECKING:
    from atomicstate.engine.results import PackageProposal
    from atomicstate.events.plan import PackageChange, Plan

_WORDS = {
    "install": "install",
    "upgrade": "upgrade",
    "downgrade": "downgrade",
    "remove": "remove",
    "configure": "configure",
}
_STYLES = {
    "install": "green",
    "upgrade": "cyan",
    "downgrade": "yellow",
    "remove": "red",
    "configure": "yellow",
}


def proposal_text(proposal: PackageProposal, look: Look) -> str:
    """What a proposal will do."""
    lines = []
    if proposal.skipped:
        there = "there already" if proposal.verb == "add" else "not there"
        lines.append(f"{', '.join(map(clean, proposal.skipped))}: {there}, nothing to do")
    lines += plan_lines(proposal.plan, look)
    if not proposal.live:
        lines.append("It is recorded alone: the running system stays as it is until `apply`.")
    return "\n".join(lines)


def plan_lines(plan: Plan, look: Look) -> list[str]:
    """A line for each package, those asked for first, and a line of totals."""
    if not plan.changes:
        return ["No package comes or goes."]
    changes = sorted(plan.changes, key=lambda change: (change.automatic, change.name))
    rows = [("package", "version", "arch", "size", "what"), *map(_row, changes)]
    head, *lines = table(rows, right=(3,))
    painted = [
        look.paint(look.fit(line), _STYLES.get(change.kind, "") if look.colour else "")
        for change, line in zip(changes, lines, strict=True)
    ]
    return [look.paint(head, "bold"), *painted, "", _totals(plan)]


def _row(change: PackageChange) -> tuple[str, ...]:
    version = f"{change.was} -> {change.version}" if change.was != "" else change.version
    if change.kind == "remove":
        version = change.version or change.was
    what = _WORDS.get(change.kind, change.kind) + (" (dependency)" if change.automatic else "")
    if change.kind == "remove" and change.automatic:
        what = "remove (needs what goes)"
    return (
        clean(change.name),
        clean(version),
        clean(change.architecture),
        size(change.installed_size),
        what,
    )


def _totals(plan: Plan) -> str:
    counts = {
        "come": sum(change.kind == "install" for change in plan.changes),
        "change": sum(change.kind in ("upgrade", "downgrade") for change in plan.changes),
        "go": sum(change.kind == "remove" for change in plan.changes),
        "are configured": sum(change.kind == "configure" for change in plan.changes),
    }
    counted = ", ".join(f"{number} {word}" for word, number in counts.items() if number)
    grows = "more" if plan.installed_size >= 0 else "less"
    net = size(abs(plan.installed_size))
    return f"{counted}; {size(plan.download_size)} to download, {net} {grows} on disk"
