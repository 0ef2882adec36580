"""`base` and `adopt`: which image everything is built on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from atomicstate.cli.remarks import add_remark, check_remark, remark
from atomicstate.cli.terminal import clean
from atomicstate.cli.verbs import group, verb

if TYPE_CHECKING:
    from atomicstate.cli.app import App
    from atomicstate.cli.terminal import Look
    from atomicstate.engine.results import AdoptResult, BaseResult, LeaveProposal, LeaveResult

_ID = 19
"""The columns of an image's id that are shown: `sha256:` and twelve digits."""


@verb("set")
@click.argument("image")
@remark
def set_(app: App, image: str, *, note: str | None) -> None:
    """Take IMAGE as the base.

    It is recorded, and pending: the next `apply` builds on it (`switch` does both). IMAGE must be
    in local storage.
    """
    check_remark(note)
    app.must_ask()
    from atomicstate.engine import base as engine

    with app.session() as session:
        proposal = engine.propose(session, image)
        reference = clean(proposal.reference)
        app.show(lambda _look: f"The base becomes {reference} ({proposal.image_id[:_ID]}).")
        app.ask("Record this?")
        with app.reporting() as reporter:
            result = engine.record(session, proposal, reporter)
        add_remark(session, result.seq, note)
    _answer(app, result)


@verb("update")
@remark
def update(app: App, *, note: str | None) -> None:
    """Take the newest image of the base's tag.

    It is fetched from its registry, recorded, and pending: the next `apply` builds on it. A base
    of localhost has no registry: what its tag names here counts.
    """
    check_remark(note)
    app.must_ask()
    from atomicstate.engine import base as engine

    with app.session() as session:
        reference = clean(engine.current(session))
        app.ask(f"Fetch what {reference} names now, and take it as the base?")
        with app.reporting() as reporter:
            result = engine.update(session, reporter)
        add_remark(session, result.seq, note)
    _answer(app, result)


base = group(
    "base",
    "The image that everything is built on.",
    {"set": f"{__name__}:set_", "update": f"{__name__}:update"},
)


@verb("adopt")
@remark
def adopt(app: App, *, note: str | None) -> None:
    """Take what something else made to boot next as the base.

    Its image becomes the base, and what is wanted is pending on top of it. The host stays as it
    is; the image must be in local storage.
    """
    check_remark(note)
    from atomicstate.engine import adopt as engine
    from atomicstate.events.asjson import fields_of

    with app.session() as session, app.reporting() as reporter:
        result = engine.adopt(session, reporter)
        add_remark(session, result.seq, note)
    app.answer(lambda: fields_of(result), lambda _look: _adopted_text(result))


@verb("leave", waits=True)
@remark
def leave(app: App, *, note: str | None) -> None:
    """Go back to the plain base.

    Nothing of what was asked for is wanted any more, apart from the base itself; the image without
    all of it is built and boots next. The log keeps everything.
    """
    check_remark(note)
    app.must_ask()
    from atomicstate.engine import leave as engine
    from atomicstate.events.asjson import fields_of

    with app.session() as session:
        proposal = engine.propose(session)
        app.show(lambda look: _leave_text(proposal, look))
        app.ask("Go back to the plain base?")
        with app.reporting() as reporter:
            result = engine.carry_out(session, proposal, reporter)
        add_remark(session, result.seq or result.transaction or "HEAD", note)
    app.answer(lambda: fields_of(result), lambda look: _left_text(app, result, look))


def _leave_text(proposal: LeaveProposal, look: Look) -> str:
    from atomicstate.cli.render.status import pending_lines

    lines = [look.paint("Wanted no more", "heading"), *pending_lines(proposal.actions, look)]
    if not proposal.actions:
        lines = []
    lines.append(f"What is left is {clean(proposal.base)} ({proposal.base_id[:_ID]}).")
    if proposal.stays:
        lines.append(
            f"{proposal.stays} modules of the recipe that `init` found stay: they are no actions."
        )
    return "\n".join(lines)


def _left_text(app: App, result: LeaveResult, look: Look) -> str:
    lines = []
    if result.checksum:
        staged = look.paint(f"Staged {result.checksum[:12]}", "bold")
        lines.append(
            f"{staged} (transaction {result.transaction}): the plain base boots next;"
            f" {app.reboot_words()}."
        )
    else:
        lines.append("The plain base boots next, as it did before.")
    if result.seq:
        lines.append(
            f"`atomicstate undo {result.seq}` wants all of it again, and `apply` brings it back;"
            " `atomicstate rollback` goes back to the deployment of before, while that is kept."
        )
    return "\n".join(lines)


def _answer(app: App, result: BaseResult) -> None:
    from atomicstate.events.asjson import fields_of

    app.answer(
        lambda: fields_of(result),
        lambda look: (
            f"{look.paint(f'The base is to be {clean(result.reference)}', 'bold')}"
            f" ({result.image_id[:_ID]}, event {result.seq}): recorded, and pending:"
            " `atomicstate apply` makes it real."
        ),
    )


def _adopted_text(result: AdoptResult) -> str:
    first = (
        f"Adopted {result.checksum[:12]} (event {result.seq}): its image"
        f" {clean(result.reference)} is the base now."
    )
    if not result.pending:
        return f"{first} Nothing is pending."
    many = "1 action is" if result.pending == 1 else f"{result.pending} actions are"
    return f"{first} {many} pending on top of it: `atomicstate apply` brings them back."
