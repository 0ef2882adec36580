"""`rollback`: an earlier deployment boots next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from atomicstate.cli.remarks import add_remark, check_remark, remark
from atomicstate.cli.terminal import Look, clean
from atomicstate.cli.verbs import not_empty, verb

if TYPE_CHECKING:
    from atomicstate.cli.app import App
    from atomicstate.engine.results import RollbackProposal, RollbackResult, TargetResult

_CHECKSUM = 12
_ETC = {
    "as-it-was": "/etc is that deployment's own, as it was then",
    "as-it-is": "/etc stays as it is now",
    "merged": "/etc is today's, merged",
}


@verb("rollback", waits=True)
@click.option(
    "--to",
    callback=not_empty,
    metavar="TXN|CHECKSUM",
    help="The transaction, or the deployment that `status` shows, to go back to.",
)
@click.option(
    "--discard-staged", is_flag=True, help="Drop a staged deployment that others made, too."
)
@remark
def rollback(app: App, *, to: str | None, discard_staged: bool, note: str | None) -> None:
    """Let an earlier deployment boot next.

    Drops what is staged; with nothing staged the deployment before the booted one boots next, with
    /etc as it was then. --to stages the image of a transaction again, with today's /etc merged; the
    start of an id, or of the checksum of what is booted or in the rollback slot, is enough.
    What it takes away stays recorded, and is held back until an apply names it.
    """
    check_remark(note)
    app.must_ask()
    from atomicstate.engine import rollback as engine
    from atomicstate.events.asjson import fields_of

    with app.session() as session:
        proposal = engine.propose(session, to or "", discard_staged=discard_staged)
        app.show(lambda look: _proposal_text(proposal, look))
        app.ask("Boot that next?")
        with app.reporting() as reporter:
            result = engine.carry_out(session, proposal, reporter, to=to or "")
        add_remark(session, result.transaction, note)
    app.answer(lambda: fields_of(result), lambda look: _result_text(app, result, look))


def _name(target: TargetResult, *, known: bool = True) -> str:
    checksum = target.checksum[:_CHECKSUM]
    if target.transaction:
        return f"{checksum} (transaction {target.transaction})" if checksum else target.transaction
    return f"{checksum} (as adopted)" if known else f"{checksum} (not made by atomicstate)"


def _proposal_text(proposal: RollbackProposal, look: Look) -> str:
    from atomicstate.cli.render.status import pending_lines

    name = clean(_name(proposal.target, known=proposal.known))
    lines = [look.paint(f"To boot next: {name}", "heading"), f"  {_ETC[proposal.etc]}"]
    if proposal.drops:
        lines.append(f"  what is staged ({proposal.drops[:_CHECKSUM]}) is dropped")
    if not proposal.known:
        lines.append("  what it holds is not known, so all that is wanted is held back")
    if not proposal.actions:
        return "\n".join([*lines, "", "Nothing that is wanted goes."])
    heading = look.paint("Taken away, and held back until an apply names it", "heading")
    gone = [line.replace("+", "-", 1) for line in pending_lines(proposal.actions, Look())]
    return "\n".join([*lines, "", heading, *gone])


def _result_text(app: App, result: RollbackResult, look: Look) -> str:
    first = look.paint(f"{result.target.checksum[:_CHECKSUM]} boots next", "bold")
    said = [first]
    if result.mode == "unstage":
        said.append("what was staged is gone")
    # "As it is": it runs already.
    if result.etc != "as-it-is":
        said.append(app.reboot_words())
    held = f" Held back: {', '.join(f'#{seq}' for seq in result.held)}." if result.held else ""
    return f"{'; '.join(said)}.{held}"
