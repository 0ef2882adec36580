"""`log`: the newest page for people, every event for programs."""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from atomicstate.cli.app import App, say, stream_items, stream_lines
from atomicstate.cli.render.moments import STYLES
from atomicstate.cli.terminal import counted
from atomicstate.cli.verbs import verb
from atomicstate.errors import CanceledError, CorruptError, NotFoundError, ValidationError
from atomicstate.interrupts import was_terminated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from atomicstate.cli.render.events import Form
    from atomicstate.cli.terminal import Look
    from atomicstate.store.log import Log
    from atomicstate.store.search import Found, Query

_PAGE = 50
_DIGITS = 4
_MANY = 1_000_000_000_000


@verb("log", formats=("text", "json", "jsonl"))
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help="Of this kind, or kin.")
@click.option("--since", metavar="TIME", help="At this time or later: 14:30, `2 hours ago`, ...")
@click.option("--until", metavar="TIME", help="Before this time.")
@click.option("--txn", metavar="ID", help="Of this transaction; the start of its id will do.")
@click.option("--actor", metavar="NAME", help="By this user.")
@click.option("--package", metavar="NAME", help="Which this package came or went with.")
@click.option("--grep", metavar="RE", help="With a text that matches.")
@click.option("-n", "--number", type=click.IntRange(1, _MANY, clamp=False), help="The newest N.")
@click.option("--reverse", is_flag=True, help="The newest first.")
@click.option("--follow", is_flag=True, help="Then wait for more, until Ctrl-C.")
@click.option("--tags", is_flag=True, help="The points that have a name instead.")
@click.option(
    "--time", "style", type=click.Choice(STYLES), default="local", help="How lines show times."
)
def log(
    app: App,
    *,
    since: str | None,
    until: str | None,
    number: int | None,
    reverse: bool,
    follow: bool,
    tags: bool,
    style: str,
    **names: Any,  # noqa: ANN401 - of the query
) -> int:
    """Show what happened, oldest first.

    Text shows the newest page, JSON shows every event unless -n is given. In text a transaction is
    one line, named by what it was for or how it ended; -v shows each of its steps, and so does
    --txn. What a filter finds is shown event by event.
    """
    if follow:
        _refuse_an_end(app, until=until, reverse=reverse)
    with _open(app, scan=number is None and app.json) as opened:
        from atomicstate.cli.query import query_of

        query = query_of(opened, app.state_dir / "blobs", **names)
        first, stop = _range(opened, since, until)
        start = first
        if number is not None or not app.json:
            start = newest(opened, query, first, stop, number or _page(app.look))
        found = search(opened, query, start, stop, reverse=reverse)
        shown = _show(app, found, digits=len(str(stop)))
        if not (shown or app.json or follow):
            app.note("no event is like that")
        if not app.json and number is None and start > first and query.is_all:
            app.note(f"{start - first} earlier events: -n or -f jsonl show more")
        # Of what comes, none is shown from before the time that was asked for.
        later = _time(since) if first == stop else None
        return _follow(app, opened, query, stop, later) if follow else 0


def _open(app: App, *, scan: bool) -> Log:
    from atomicstate.store.log import Log

    return Log.open(app.state_dir / "log", write=False, scan=scan)


def _refuse_an_end(app: App, *, until: str | None, reverse: bool) -> None:
    """Raises ValidationError for what has an end, and goes with no --follow."""
    if until is not None:
        what = "--until"
    elif reverse:
        what = "--reverse"
    elif app.format == "json":
        what = "-f json, which has an end: take -f jsonl"
    else:
        return
    raise ValidationError(f"--follow does not go with {what}")


def _page(look: Look) -> int:
    return max(look.height - 3, 3) if look.height else _PAGE


def _range(app: App, log: Log, since: str | None, until: str | None) -> tuple[int, int]:
    """The numbers of the first event and the one after the last."""
    start, stop = 1, log.head().seq + 1
    if since is None and until is None:
        return start, stop
    begin, end = _time(since), _time(until)
    if begin is not None:
        start = min(first_at(log, begin), stop)
    if end is not None:
        stop = min(first_at(log, end, start), stop)
    return start, stop


def _time(text: str | None) -> int | None:
    """The time in nanoseconds since 1970; None where none was given."""
    if text is None:
        return None
    from atomicstate.events.times import parse_time

    return parse_time(text)


def _show(app: App, found: Iterable[Found], digits: int) -> int:
    """Show events, and return how many; of JSON 0."""
    count = 0
    if app.format == "json":
        stream_items("events", map(_data, found))
    else:
        for line in _lines(app, found, max(digits, 4)):
            say(line)
            count += 1
    return count


def _data(found: Found) -> dict[str, Any]:
    from atomicstate.events.asjson import as_json

    return {**as_json(found.event, found.hash), "clock_went_back": found.went_back}


def _lines(app: App, form: Form, found: Iterable[Found]) -> Iterator[str]:
    from atomicstate.cli.render.events import event_line, event_lines

    look = app.look
    for event, record_hash, went_back in found:
        if app.verbose:
            yield "\n".join(event_lines(event, record_hash, look, went_back=went_back)) + "\n"
        else:
            yield event_line(event, look, form, went_back=went_back)


def _follow(app: App, log: Log, query: Query, seen: int, since: int | None) -> int:
    """Show what is appended from event `seen` on, until this process is ended: 130, or 0.

    Before the first event at `since` (nanoseconds) or later, nothing is shown.
    """
    from atomicstate.cli.follow import changes
    from atomicstate.store.search import first_at, search

    sys.stdout.flush()
    data = log.directory / "data.mdb"
    try:
        for _change in changes(data):
            if not data.exists():
                raise NotFoundError(f"the log {log.directory} is gone")
            stop = log.head().seq + 1
            if since is not None:
                seen = first_at(log, since, seen)
            if stop > seen:
                since = None
                _show(app, search(log, query, seen, stop), digits=len(str(stop)))
                sys.stdout.flush()
                seen = stop
    except KeyboardInterrupt:
        # To be ended is how this command ends; for SIGTERM (a service's stop) it is success.
        return 0 if was_terminated() else CanceledError.exit_status
    return 0
