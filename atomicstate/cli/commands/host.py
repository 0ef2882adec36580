"""`init`, `status`, `overlay`, `machine`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from atomicstate.cli.terminal import Look, clean
from atomicstate.cli.verbs import group, verb
from atomicstate.recipe.dialects import DIALECTS

if TYPE_CHECKING:
    from atomicstate.cli.app import App
    from atomicstate.engine.results import InitResult, OverlayResult, RestoreResult, StatusResult


@verb("init")
@click.option(
    "--dialect",
    type=click.Choice(DIALECTS),
    help="The kind of base image, where it does not tell itself.",
)
def init(app: App, *, dialect: str | None) -> None:
    """Adopt this host: write the first event.

    Records the base image, the booted deployment and the recipe found, with its resources. It
    changes nothing on the host. A second call says that it is done already.
    """
    from atomicstate.engine.initialize import initialize
    from atomicstate.events.asjson import plain

    with app.session() as session:
        result = initialize(session, dialect or "")
    app.answer(lambda: plain(result), lambda look: _init_text(result, look))


@verb("status")
@click.option("--at", metavar="POINT", help="As it was after this event, tag, time, ...")
def status(app: App, *, at: str | None) -> None:
    """Show the pipeline, the deployments and what is pending.

    With --at, as the log tells it: what nobody observed then is not in it.
    """
    from atomicstate.engine import status as engine

    with app.session() as session:
        if at is None:
            result, moment = engine.status(session), None
        else:
            from atomicstate.engine.points import resolve

            result = engine.status_at(session, resolve(session, at))
            moment = session.log.get(result.head.seq)[0].time

    def text(look: Look) -> str:
        from atomicstate.cli.render.status import status_text

        return status_text(result, look, moment)

    app.answer(lambda: _status_data(result), text)


@verb("withdraw")
def withdraw(app: App) -> None:
    """Before a shutdown: let the next image's own files into /etc.

    Takes away what live installs added to /etc, nobody changed since, and the next image has
    itself; where that image is gone nothing. A unit runs it; `sandbox reboot` does so, too.
    """
    from atomicstate.engine import withdraw as engine

    with app.session() as session, app.reporting() as reporter:
        paths = engine.withdraw(session, reporter)
    app.answer(
        lambda: {"withdrawn": list(paths)},
        lambda _look: (
            "\n".join(f"withdrawn {clean(path)}" for path in paths)
            or "There is nothing to withdraw."
        ),
    )


@verb("machine")
@click.option("--failpoints", is_flag=True, help="List the crash points for tests instead.")
def machine(app: App, *, failpoints: bool) -> None:
    """Draw the state machine, as Mermaid text.

    With --failpoints: where ATOMICSTATE_FAILPOINT=NAME makes a run kill itself. NAME:3 is the
    third time that NAME is reached, '*:3' the third point of any name.
    """
    if failpoints:
        _list_failpoints(app)
        return
    from atomicstate.machine.diagram import mermaid

    diagram = mermaid()
    app.answer(lambda: {"mermaid": diagram}, lambda _look: diagram)


def _list_failpoints(app: App) -> None:
    from atomicstate import failpoints
    from atomicstate.machine.table import MOVES

    steps = dict.fromkeys(move.step for move in MOVES)
    points = failpoints.POINTS | {
        f"{step}.{when}": meaning
        for step in steps
        for when, meaning in failpoints.OF_A_STEP.items()
    }
    width = max(map(len, points))
    app.answer(
        lambda: {
            "variable": failpoints.VARIABLE,
            "failpoints": [{"name": name, "meaning": points[name]} for name in sorted(points)],
        },
        lambda _look: "\n".join(f"{name:<{width}}  {points[name]}" for name in sorted(points)),
    )


@verb("enable")
def enable(app: App) -> None:
    """Lay a writable overlay on /usr, until the next boot."""
    from atomicstate.engine import overlay as engine

    with app.session() as session, app.reporting() as reporter:
        result = engine.enable(session, reporter)
    _answer_overlay(app, result)


@verb("restore")
def restore(app: App) -> None:
    """Put back into /usr what live commands put there before the last boot.

    In the versions of then, where they are offered still.
    """
    from atomicstate.engine.restore import restore as run
    from atomicstate.events.asjson import fields_of

    with app.session() as session, app.reporting() as reporter:
        result = run(session, reporter)
    app.answer(lambda: fields_of(result), lambda _look: _restored_text(result))


@verb("status")
def overlay_status(app: App) -> None:
    """Show whether an overlay lies on /usr, and whether it takes changes."""
    from atomicstate.engine import overlay as engine

    with app.session() as session:
        result = engine.status(session)
    _answer_overlay(app, result)


overlay = group(
    "overlay",
    "The writable, transient overlay on /usr.",
    {
        "enable": f"{__name__}:enable",
        "restore": f"{__name__}:restore",
        "status": f"{__name__}:overlay_status",
    },
)


def _answer_overlay(app: App, result: OverlayResult) -> None:
    from atomicstate.cli.render.status import overlay_text
    from atomicstate.events.asjson import plain

    app.answer(lambda: plain(result), lambda _look: f"The overlay is {overlay_text(result)}.")


def _restored_text(result: RestoreResult) -> str:
    if result.transaction is None and not result.notes:
        return "No boot took anything away: nothing to do."
    lines = [f"put back {name}" for name in result.installed]
    lines += [f"taken out again {name}" for name in result.removed]
    return "\n".join(map(clean, [*lines, *result.notes]))


def _init_text(result: InitResult, look: Look) -> str:
    if result.already:
        first = "This host was adopted already; nothing was changed."
    else:
        first = "Adopted this host: the log begins."
    fields = {
        "host": result.driver,
        "base": f"{result.base} ({result.architecture}, {result.dialect})",
        "booted": result.booted[:12],
        "log": result.log_id,
        "head": f"{result.head.seq} {result.head.hash}",
    }
    lines = [look.paint(f"  {name:<8}", "dim") + clean(value) for name, value in fields.items()]
    lines += [look.paint(clean(warning), "yellow") for warning in result.warnings]
    return "\n".join([first, *lines])


def _status_data(result: StatusResult) -> dict[str, Any]:
    from atomicstate.events.asjson import fields_of

    data = fields_of(result)
    del data["overlay"]["changed"]
    return data
