"""`undo` and `redo`: what is wanted, steered along the history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from atomicstate.cli.remarks import add_remark, check_remark, remark
from atomicstate.cli.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Callable

    from atomicstate.cli.app import App
    from atomicstate.engine.undo import Undone


def _parameters(function: Callable[..., None]) -> Callable[..., None]:
    for decorate in (
        remark,
        click.option("--no-live", is_flag=True, help="Leave the running system as it is."),
        click.option("--cascade", is_flag=True, help="Take along what stands on it."),
        click.argument("words", nargs=-1, required=True, metavar="SEL..."),
    ):
        function = decorate(function)
    return function


@verb("undo")
@_parameters
def undo(
    app: App, words: tuple[str, ...], *, cascade: bool, no_live: bool, note: str | None
) -> None:
    """Take back what was asked for: it is not wanted any more.

    What is pending is withdrawn, and taken out of the overlay again; what is in an image already
    is pending, to be dropped by the next `apply`. The log keeps it all: an undo is an event too,
    and can be undone.

    SEL is an action's number (12), a range (12-15), a transaction's id or its start, a tag, HEAD
    or HEAD~2. An apply stands for all that it brought and dropped.
    """
    _steer(app, "undo", words, cascade=cascade, live=not no_live, note=note)


@verb("redo")
@_parameters
def redo(
    app: App, words: tuple[str, ...], *, cascade: bool, no_live: bool, note: str | None
) -> None:
    """Want again what an undo took back.

    SEL names what was undone, or the undo, as for `undo`. It is pending then: the running system
    stays as it is until `apply`.
    """
    _steer(app, "redo", words, cascade=cascade, live=not no_live, note=note)


def _steer(
    app: App,
    what: str,
    words: tuple[str, ...],
    *,
    cascade: bool,
    live: bool,
    note: str | None,
) -> None:
    check_remark(note)
    app.must_ask()
    from atomicstate.cli.render import steering as render
    from atomicstate.engine import undo as engine

    with app.session() as session:
        proposal = engine.propose(session, what, words, cascade=cascade, live=live)
        app.show(lambda look: render.proposal_text(proposal, look))
        app.ask(f"{what.capitalize()} this?")
        with app.reporting() as reporter:
            result = engine.carry_out(session, proposal, reporter)
        add_remark(session, result.seq, note)
    app.answer(lambda: _data(result), lambda look: render.result_text(proposal, result, look))


def _data(result: Undone) -> dict[str, Any]:
    from atomicstate.events.asjson import fields_of

    return fields_of(result)
