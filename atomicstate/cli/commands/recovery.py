"""`resume` and `abort`: what to do with work that was cut short."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from atomicstate.cli.terminal import Look, clean
from atomicstate.cli.verbs import verb
from atomicstate.errors import LockedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atomicstate.cli.app import App
    from atomicstate.engine.results import RecoveryResult, UnfinishedResult
    from atomicstate.engine.resume import Outlook
    from atomicstate.engine.session import Session


@verb("resume", waits=True)
@click.option(
    "--boot", is_flag=True, help="For the unit at boot: ask nothing, build only with a network."
)
def resume(app: App, *, boot: bool) -> None:
    """Go on with work that was cut short, bring back what a boot lost.

    From the step where it stopped; what was being taken back is taken back to its end. Then the
    packages of an overlay that is gone are put back, and a staged deployment that did not come up
    is staged again. Each is tried, whatever becomes of the others.

    With --boot, what has to be built first is left for another `resume` where there is no network
    yet; what the overlay can't have back is no failure yet.
    """
    from atomicstate.engine import leftovers
    from atomicstate.engine import resume as engine
    from atomicstate.events.asjson import fields_of

    with app.session() as session:
        if boot and not session.state.has_log:
            _nothing(app, [])
            return
        leftovers.clean(session)
        told = [] if boot else _agreed(app, session)
        if told is None:
            return
        with app.reporting() as reporter:
            result = engine.resume(session, reporter, boot=boot)
    if boot and not result.done:
        _nothing(app, result.notes)
        return
    app.answer(lambda: fields_of(result), lambda _look: _result_text(result, told))


def _agreed(app: App, session: Session) -> list[str] | None:
    """Show what there is to resume, and ask. Returns the notes that were shown; None: nothing."""
    from atomicstate.engine import resume as engine

    found = engine.outlook(session)
    if not found:
        _nothing(app, found.notes)
        return None
    _refuse_running(session, found.unfinished)
    app.show(lambda look: _outlook_text(found, look))
    app.ask("Go on with it?" if found.unfinished else "Bring it back?")
    return found.notes


@verb("abort", waits=True)
def abort(app: App) -> None:
    """Take back work that was cut short.

    What it had staged is dropped; what was booted, or finalized by a shutdown, meanwhile is
    finished instead.
    """
    from atomicstate.engine import leftovers
    from atomicstate.engine import unfinished as engine
    from atomicstate.events.asjson import fields_of

    with app.session() as session:
        leftovers.clean(session)
        found = engine.found(session)
        if not found:
            _nothing(app, [])
            return
        _refuse_running(session, found)
        app.show(lambda look: _found_text(found, look))
        app.ask("Take it back?")
        with app.reporting() as reporter:
            result = engine.abort(session, reporter)
    app.answer(lambda: fields_of(result), lambda _look: _result_text(result))


def _nothing(app: App, notes: list[str]) -> None:
    sentences = notes or ["Nothing was cut short: nothing to do."]
    app.answer(lambda: {"done": [], "notes": notes}, lambda _look: "\n".join(map(clean, sentences)))


def _refuse_running(session: Session, found: list[UnfinishedResult]) -> None:
    running = [item for item in found if item.running]
    if running and len(running) == len(found):
        # Who is at work need not be who began it: another `resume`, say.
        holder = session.state.pipeline_holder() or session.state.recording_holder()
        who = holder or f"`{running[0].verb}` of {running[0].user}"
        raise LockedError(f"{who} is still running; nothing was changed")


def _found_text(found: list[UnfinishedResult], look: Look) -> str:
    from atomicstate.cli.render.moments import short_time_of

    lines = [
        f"  {clean(item.verb or item.mode)} of {clean(item.user)}, {short_time_of(item.since)},"
        f" stopped at {item.step or 'its begin'}"
        for item in found
    ]
    return "\n".join([look.paint("Cut short", "heading"), *lines])


def _outlook_text(found: Outlook, look: Look) -> str:
    lines = [_found_text(found.unfinished, look)] if found.unfinished else []
    if found.names or found.stages:
        lines.append(look.paint("Lost at the last boot", "heading"))
    if found.names:
        lines.append(f"  of the overlay: {clean(', '.join(found.names))}")
    if found.stages:
        lines.append(f"  the staged deployment of {found.stages}")
    return "\n".join(lines + [clean(note) for note in found.notes])


def _result_text(result: RecoveryResult, told: Sequence[str] = ()) -> str:
    """What was done, and the notes that were not `told` before it."""
    words = {"finished": "went through", "rolled_back": "was taken back"}
    lines = [
        f"{item.mode} {item.transaction} {words[item.outcome]} (event {item.seq})."
        for item in result.done
    ]
    lines += [clean(note) for note in result.notes if note not in told]
    return "\n".join(lines or ["It ended by itself meanwhile: nothing to do."])
