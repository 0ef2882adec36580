"""`apply` and `switch`: from what is recorded to a deployment."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from atomicstate.cli.remarks import add_remark, check_remark, remark
from atomicstate.cli.terminal import Look, can_ask, clean, look_of
from atomicstate.cli.verbs import Repeating, not_empty, verb
from atomicstate.errors import AtomicstateError, ValidationError

if TYPE_CHECKING:
    from atomicstate.cli.app import App
    from atomicstate.engine.results import ApplyProposal, ApplyResult
    from atomicstate.engine.selecting import Request
    from atomicstate.engine.session import Session


@verb("apply", waits=True, cls=Repeating)
@click.argument("selected", nargs=-1, metavar="[SEL...]")
@click.option("--except", "excepted", multiple=True, metavar="SEL...", help="Leave these out.")
@click.option("--with-dependencies", is_flag=True, help="Take along what SEL can't go without.")
@click.option(
    "--onto", callback=not_empty, metavar="TXN", help="Build on what this transaction made."
)
@click.option("--discard-staged", is_flag=True, help="Give up what is staged.")
@click.option(
    "--pin", is_flag=True, help="Install the versions that the packages were recorded with."
)
@click.option("--interactive", is_flag=True, help="Choose in the terminal what goes in.")
@click.option("--simulate", is_flag=True, help="Show what would be built, do nothing.")
@remark
def apply(
    app: App,
    *,
    selected: tuple[str, ...],
    excepted: tuple[str, ...],
    with_dependencies: bool,
    onto: str | None,
    discard_staged: bool,
    pin: bool,
    interactive: bool,
    simulate: bool,
    note: str | None,
) -> None:
    """Make an image of what is pending, and boot it next.

    Renders the recipe and the Containerfile, builds, and stages the deployment. Where a step
    fails all of it is taken back, and what was pending is pending again.

    SEL is an action's number (12), a range (12-15), a transaction's id or its start, a tag, HEAD or
    HEAD~2. Without SEL all that is pending goes in; what a rollback holds back goes in where it is
    named.
    """
    check_remark(note)
    if not simulate:
        app.must_ask()
    from atomicstate.engine import apply as engine
    from atomicstate.engine.selecting import Request

    request = Request(selected, excepted, with_dependencies, onto or "", discard_staged, pin)
    if interactive:
        _must_pick(request)
    with app.session() as session:
        if interactive:
            request = _picked(session, request)
        proposal = engine.propose(session, request)
        if simulate:
            app.answer(
                lambda: {**_proposal_data(proposal), "simulated": True},
                lambda look: _proposal_text(proposal, look) + "\n\nNothing was changed.",
            )
            return
        app.show(lambda look: _proposal_text(proposal, look))
        app.ask("Build this, and boot it next?")
        with app.reporting() as reporter:
            result = engine.carry_out(session, proposal, reporter)
        add_remark(session, result.transaction, note)
    _answer(app, result)


def _must_pick(request: Request) -> None:
    """Raises ValidationError where nobody can choose, or the choice is made already."""
    if request.selected or request.excepted:
        raise ValidationError("--interactive chooses itself: give no SEL and no --except")
    if not can_ask():
        raise ValidationError(
            "--interactive needs a terminal", hint="name what goes in: `atomicstate apply SEL...`"
        )


def _picked(session: Session, request: Request) -> Request:
    """The same request, with what a person chose."""
    from msgspec.structs import replace

    from atomicstate.cli.picker import pick
    from atomicstate.cli.render.diff import diff_lines
    from atomicstate.cli.render.status import pending_lines
    from atomicstate.engine import apply as engine

    actions = engine.preview(session, request).actions
    look = look_of(sys.stderr)

    def chosen(places: frozenset[int]) -> Request:
        words = tuple(str(actions[place].seq) for place in sorted(places))
        return replace(request, selected=words)

    def preview(places: frozenset[int]) -> list[str]:
        if not places:
            return ["Nothing is chosen."]
        try:
            proposal = engine.preview(session, chosen(places))
        except AtomicstateError as error:
            return [look.paint(clean(text), "red") for text in (error.message, error.hint) if text]
        return diff_lines(proposal.recipe_before, proposal.recipe, "image.yml", look)

    plain = Look(width=look.width, unicode=look.unicode)
    return chosen(pick([line.strip() for line in pending_lines(actions, plain)], preview))


@verb("switch", waits=True)
@click.argument("image")
@remark
def switch(app: App, image: str, *, note: str | None) -> None:
    """Change the base to IMAGE, and apply.

    Everything else that is pending goes along. IMAGE must be in local storage.
    """
    check_remark(note)
    app.must_ask()
    from atomicstate.engine import base as engine

    with app.session() as session:
        proposal = engine.propose_switch(session, image)
        reference = clean(proposal.reference)
        app.show(lambda _look: f"The base becomes {reference} ({proposal.image_id[:19]}).")
        app.ask("Build on it, and boot that next?")
        with app.reporting() as reporter:
            result = engine.switch(session, proposal, reporter)
        add_remark(session, result.transaction, note)
    _answer(app, result)


def _answer(app: App, result: ApplyResult) -> None:
    from atomicstate.events.asjson import fields_of

    app.answer(lambda: fields_of(result), lambda look: _result_text(app, result, look))


def _result_text(app: App, result: ApplyResult, look: Look) -> str:
    staged = look.paint(f"Staged {result.checksum[:12]}", "bold")
    return f"{staged} (transaction {result.transaction}): it boots next; {app.reboot_words()}."


def _proposal_data(proposal: ApplyProposal) -> dict[str, Any]:
    from atomicstate.events.asjson import fields_of

    # The documents are text: JSON knows no bytes.
    texts = {
        name: getattr(proposal, name).decode()
        for name in ("recipe", "recipe_before", "containerfile")
    }
    return {**fields_of(proposal), **texts}


def _left_lines(proposal: ApplyProposal, look: Look) -> list[str]:
    """What does not go in, what comes as it may, and what is given up."""
    lines = []
    for sentence, seqs in (
        ("left out, and pending still", proposal.left_out),
        ("held back since a rollback still; what is named comes in again", proposal.held),
    ):
        if seqs:
            lines.append(f"  {' '.join(f'#{seq}' for seq in seqs)}: {sentence}")
    if proposal.unpinned:
        names = ", ".join(clean(name) for name in proposal.unpinned)
        lines.append(f"  in whatever version there is, as none was recorded: {names}")
    if proposal.discards:
        lines.append(look.paint(f"  {proposal.discards[:12]}, which is staged, is lost", "yellow"))
    return lines


def _proposal_text(proposal: ApplyProposal, look: Look) -> str:
    from atomicstate.cli.render.diff import diff_lines
    from atomicstate.cli.render.status import pending_lines

    diff = diff_lines(proposal.recipe_before, proposal.recipe, "image.yml", look)
    return "\n".join(
        [
            look.paint("To apply", "heading"),
            *pending_lines(proposal.actions, look),
            *_left_lines(proposal, look),
            "",
            *(diff or ["The recipe stays as it is."]),
        ]
    )
