"""`package add`, `remove` and `update`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from atomicstate.cli.remarks import add_remark, check_remark, remark
from atomicstate.cli.terminal import Look, clean
from atomicstate.cli.verbs import group, verb

if TYPE_CHECKING:
    from collections.abc import Callable

    from atomicstate.cli.app import App
    from atomicstate.engine.results import PackageProposal, PackageResult


def _parameters(function: Callable[..., None]) -> Callable[..., None]:
    function = click.option("--simulate", is_flag=True, help="Show the plan, do nothing.")(function)
    function = click.option(
        "--no-live", is_flag=True, help="Record it alone; `apply` makes it real."
    )(function)
    function = remark(function)
    return click.argument("names", nargs=-1, required=True, metavar="NAME...")(function)


@verb("add")
@_parameters
def add(
    app: App, names: tuple[str, ...], *, simulate: bool, no_live: bool, note: str | None
) -> None:
    """Install packages at once, in the overlay, and record it.

    The plan is shown and confirmed first. The next `apply` puts them into the image.
    """
    _change(app, "add", names, simulate=simulate, live=not no_live, note=note)


@verb("remove")
@_parameters
def remove(
    app: App, names: tuple[str, ...], *, simulate: bool, no_live: bool, note: str | None
) -> None:
    """Remove packages at once, in the overlay, and record it.

    The plan is shown and confirmed first. The next `apply` takes them out of the image.
    """
    _change(app, "remove", names, simulate=simulate, live=not no_live, note=note)


@verb("update")
def update(app: App) -> None:
    """Fetch the package lists."""
    from atomicstate.engine import packages as engine

    with app.session() as session, app.reporting() as reporter:
        engine.update(session, reporter)
    app.answer(lambda: {"updated": True}, lambda _look: "The package lists are up to date.")


package = group(
    "package",
    "The packages of the host.",
    {name: f"{__name__}:{name}" for name in ("add", "remove", "update")},
)


def _change(
    app: App,
    what: str,
    names: tuple[str, ...],
    *,
    simulate: bool,
    live: bool,
    note: str | None,
) -> None:
    check_remark(note)
    if not simulate:
        app.must_ask()
    from atomicstate.engine import packages as engine

    with app.session() as session:
        proposal = engine.propose(session, what, names, live=live)
        if simulate:
            app.answer(
                lambda: {**_proposal_data(proposal), "simulated": True},
                lambda look: _plan(proposal, look) + "\nNothing was changed.",
            )
            return
        app.show(lambda look: _plan(proposal, look))
        app.ask("Do this?")
        with app.reporting() as reporter:
            result = engine.carry_out(session, proposal, reporter)
        add_remark(session, result.seq, note)
    app.answer(lambda: _result_data(result), lambda look: _result_text(result, look))


def _plan(proposal: PackageProposal, look: Look) -> str:
    from atomicstate.cli.render.plan import proposal_text

    return proposal_text(proposal, look)


def _proposal_data(proposal: PackageProposal) -> dict[str, Any]:
    from atomicstate.events.asjson import fields_of

    return fields_of(proposal)


def _result_data(result: PackageResult) -> dict[str, Any]:
    from atomicstate.events.asjson import fields_of

    return {**fields_of(result), "simulated": False}


def _result_text(result: PackageResult, look: Look) -> str:
    did = {"package.added": "Added", "package.removed": "Removed"}[result.kind]
    names = clean(", ".join(result.names))
    many = len(result.names) > 1
    they_are, them = ("they are", "them") if many else ("it is", "it")
    if not result.live:
        did = {"Added": "To add", "Removed": "To remove"}[did]
        rest = "recorded, and pending: `atomicstate apply` makes it real"
    elif not result.plan.changes:
        rest = "recorded; the running system needs no change"
    elif did == "Added":
        rest = f"{they_are} there now, and pending: `atomicstate apply` puts {them} into the image"
    else:
        rest = (
            f"{they_are} gone now, and pending: `atomicstate apply` takes {them} out of the image"
        )
    return f"{look.paint(f'{did} {names}', 'bold')} (event {result.seq}): {rest}."
