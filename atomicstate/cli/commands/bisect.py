"""`bisect start`, `run`, `status`, `reset`: which action broke something."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from atomicstate.cli.terminal import Look, clean, counted
from atomicstate.cli.verbs import Running, group, verb

if TYPE_CHECKING:
    from atomicstate.cli.app import App
    from atomicstate.engine.bisect import Finding


@verb("start")
@click.argument("bad", metavar="BAD")
@click.argument("good", metavar="GOOD")
def start(app: App, bad: str, good: str) -> None:
    """Begin: it is broken at the point BAD, and was whole at the earlier point GOOD."""
    from atomicstate.engine import bisect as engine

    with app.session() as session:
        found = engine.start(session, bad, good)
    _answer(app, found)


@verb("run", waits=True, cls=Running)
@click.argument("argv", nargs=-1, required=True, metavar="CMD...", type=click.UNPROCESSED)
def run(app: App, argv: tuple[str, ...]) -> None:
    """Find the action: build the state in the middle, run CMD inside it, halve again.

    CMD exits with 0 where it is whole, 125 where that can't be told, else 1 to 127; options of
    this command stand before it. What was found survives a kill: run it again.
    """
    from atomicstate.engine import bisect as engine

    with app.session() as session, app.reporting() as reporter:
        found = engine.run(session, argv, reporter)
    _answer(app, found)


@verb("status")
def status(app: App) -> None:
    """Show how far it is."""
    from atomicstate.engine import bisect as engine

    with app.session() as session:
        found = engine.status(session)
    _answer(app, found)


@verb("reset", waits=True)
def reset(app: App) -> None:
    """End it, and drop the images that it built."""
    from atomicstate.engine import bisect as engine

    with app.session() as session:
        engine.reset(session)
    app.answer(lambda: {"reset": True}, lambda _look: "The bisection is over.")


def _answer(app: App, found: Finding) -> None:
    from atomicstate.events.asjson import plain

    app.answer(lambda: plain(found), lambda look: _text(found, look))


def _text(found: Finding, look: Look) -> str:
    from atomicstate.cli.render.moments import short_time_of
    from atomicstate.cli.render.status import action_text

    lines = [
        f"  {seq:>6}  {look.paint(verdict, 'green' if verdict == 'good' else 'yellow')}"
        for seq, verdict in sorted(found.verdicts.items())
    ]
    if found.event is not None:
        what = look.paint(action_text(found.kind, found.data), "bold")
        about = f"{clean(found.user)}, {short_time_of(found.time)}"
        lines.append(f"Event {found.event} broke it: {what} ({about}).")
        lines.append(
            f"`atomicstate show {found.event}` tells all of it, `atomicstate undo {found.event}`"
            " takes it back."
        )
    elif len(found.verdicts) and all(seq in found.verdicts for seq in found.suspects[:-1]):
        which = ", ".join(map(str, found.suspects))
        lines.append(f"One of the events {which} broke it: what lies between can't be told.")
    else:
        left = counted(found.left, "action")
        lines.append(f"{left} can have done it: `atomicstate bisect run CMD` goes on.")
    return "\n".join(lines)


bisect = group(
    "bisect",
    "Find the action that broke something.",
    {name: f"{__name__}:{name}" for name in ("start", "run", "status", "reset")},
)
