"""`resume` and `abort`: what to do with work that was cut short."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.cli.terminal import Look, clean
from atomicstate.cli.verbs import verb
from atomicstate.errors import LockedError

if TYPE_CHECKING:
    from atomicstate.cli.app import App
    from atomicstate.engine.results import RecoveryResult, UnfinishedResult


@verb("resume", waits=True)
def resume(app: App) -> None:
    """Go on with work that was cut short.

    From the step where it stopped; what was being taken back is taken back to its end.
    """
    _recover(app, forward=True)


@verb("abort", waits=True)
def abort(app: App) -> None:
    """Take back work that was cut short.

    What it had staged is dropped; what was booted meanwhile is finished instead.
    """
    _recover(app, forward=False)


def _recover(app: App, *, forward: bool) -> None:
    from atomicstate.engine import leftovers
    from atomicstate.engine import unfinished as engine
    from atomicstate.events.asjson import fields_of

    with app.session() as session:
        leftovers.clean(session)
        found = engine.found(session)
        if not found:
            app.answer(lambda: {"done": []}, lambda _look: "Nothing was cut short: nothing to do.")
            return
        _refuse_running(found)
        app.show(lambda look: _found_text(found, look))
        app.ask("Go on with it?" if forward else "Take it back?")
        with app.reporting() as reporter:
            run = engine.resume if forward else engine.abort
            result = run(session, reporter)
    app.answer(lambda: fields_of(result), lambda _look: _result_text(result))


def _refuse_running(found: list[UnfinishedResult]) -> None:
    running = [item for item in found if item.running]
    if len(running) == len(found):
        raise LockedError(
            f"`{running[0].verb}` of {running[0].user} is still running; nothing was changed"
        )


def _found_text(found: list[UnfinishedResult], look: Look) -> str:
    from atomicstate.cli.render.moments import short_time_of

    lines = [
        f"  {clean(item.verb or item.mode)} of {clean(item.user)}, {short_time_of(item.since)},"
        f" stopped at {item.step or 'its begin'}"
        for item in found
    ]
    return "\n".join([look.paint("Cut short", "heading"), *lines])


def _result_text(result: RecoveryResult) -> str:
    words = {"finished": "went through", "rolled_back": "was taken back"}
    lines = [
        f"{item.mode} {item.transaction} {words[item.outcome]} (event {item.seq})."
        for item in result.done
    ]
    return "\n".join(lines or ["It ended by itself meanwhile: nothing to do."])
