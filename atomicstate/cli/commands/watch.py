"""`watch`: edits of the recipe become events as they are made."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from atomicstate.cli.app import envelope, say, stream_lines
from atomicstate.cli.failures import Told, as_data, tell
from atomicstate.cli.terminal import clean
from atomicstate.cli.verbs import verb
from atomicstate.errors import CanceledError, ValidationError
from atomicstate.interrupts import was_terminated

if TYPE_CHECKING:
    from atomicstate.cli.app import App
    from atomicstate.engine.watching import Outcome

_MOST = 3600


@verb("watch", formats=("text", "json", "jsonl"))
@click.option(
    "--settle",
    type=click.FloatRange(0.1, _MOST),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="An edit is looked at when nothing was changed for so long.",
)
@click.option("--apply", "builds", is_flag=True, help="Make the image at once of what is edited.")
@click.option("--once", is_flag=True, help="Do what is to be done now, and end.")
def watch(app: App, *, settle: float, builds: bool, once: bool) -> int:
    """Record edits of image.yml and its resources as they are made.

    They are recorded as the edited file's owner's. An edit that can't be taken is told, and changes
    nothing. What was edited before is found at the start. It goes on until Ctrl-C or SIGTERM.
    """
    if app.format == "json" and not once:
        raise ValidationError("-f json has an end: take -f jsonl, or --once with it")
    from atomicstate.engine.recipe_folder import RECIPE
    from atomicstate.engine.watching import RecipeKeeper
    from atomicstate.notify import ServiceManager
    from atomicstate.recipe.resources import RESOURCES
    from atomicstate.store.state import State
    from atomicstate.watch import Watch

    manager = ServiceManager()
    outcomes: list[Outcome] = []

    def told(outcome: Outcome) -> None:
        manager.status(outcome.message)
        if once:
            outcomes.append(outcome)
        if app.format == "jsonl":
            stream_lines([_data(outcome)])
        elif app.format == "text" and not (once and outcome.error):
            _say(outcome)

    keeper = RecipeKeeper(app.session, app.reporting, told, builds=builds)
    folder = State(app.state_dir).recipe_directory
    watching = Watch(folder / RECIPE, folder / RESOURCES, keeper, manager, app.note, settle=settle)
    if once:
        watching.once()
        return _ended(app, outcomes)
    manager.status(f"watching {folder}")
    try:
        watching.run()
    except KeyboardInterrupt:
        # To be ended is how this command ends; for SIGTERM (a service's stop) it is success.
        return 0 if was_terminated() else CanceledError.exit_status


def _ended(app: App, outcomes: list[Outcome]) -> int:
    """The answer of `--once`. Raises the error that came last, if that is how it ended."""
    error = outcomes[-1].error if outcomes else None
    if app.format == "text" and error:
        raise error
    if app.format == "json":
        data = {"outcomes": [_data(outcome) for outcome in outcomes]}
        envelope(data, as_data(error) if error else None)
    if error:
        raise Told(error)
    return 0


def _data(outcome: Outcome) -> dict[str, Any]:
    error = as_data(outcome.error) if outcome.error else None
    return {**outcome._asdict(), "error": error}


def _say(outcome: Outcome) -> None:
    """A line of what was done; what was not, and what to do, goes to standard error."""
    if outcome.error:
        tell(outcome.error)
    else:
        say(clean(outcome.message))
    sys.stdout.flush()
