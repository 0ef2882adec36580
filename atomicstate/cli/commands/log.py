"""`log`: the newest page for people, every event for programs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from atomicstate.cli.app import App, say, stream_items, stream_lines
from atomicstate.cli.verbs import verb
from atomicstate.errors import CanceledError, NotFoundError, ValidationError
from atomicstate.interrupts import was_terminated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from atomicstate.cli.terminal import Look
    from atomicstate.store.log import Log
    from atomicstate.store.search import Found, Query

_PAGE = 50
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
def log(
    app: App,
    *,
    since: str | None,
    until: str | None,
    number: int | None,
    reverse: bool,
    follow: bool,
    **names: Any,  # noqa: ANN401 - of the query
) -> int:
    """Show what happened, oldest first.

    Text shows the newest page, JSON shows every event unless -n is given.
    """
    if follow and (reverse or app.format == "json"):
        what = "--reverse" if reverse else "-f json, which has an end: take -f jsonl"
        raise ValidationError(f"--follow does not go with {what}")
    with _open(app, scan=number is None and app.json) as opened:
        from atomicstate.cli.query import query_of
        from atomicstate.store.search import newest, search

        query = query_of(opened, app.state_dir / "blobs", **names)
        first, stop = _range(app, opened, since, until)
        if names["txn"] is not None:
            first = max(first, _first_of(app, opened, query, names["txn"], stop))
        start = first
        if number is not None or not app.json:
            start = newest(opened, query, first, stop, number or _page(app.look))
        found = search(opened, query, start, stop, reverse=reverse)
        _show(app, found, digits=len(str(stop)))
        if not app.json and number is None and start > first and query.is_all:
            app.note(f"{start - first} earlier events: -n or -f jsonl show more")
        return _follow(app, opened, query, stop) if follow else 0


def _open(app: App, *, scan: bool) -> Log:
    from atomicstate.store.log import Log

    return Log.open(app.state_dir / "log", write=False, scan=scan)


def _page(look: Look) -> int:
    return max(look.height - 3, 3) if look.height else _PAGE


def _range(app: App, log: Log, since: str | None, until: str | None) -> tuple[int, int]:
    """The numbers of the first event and the one after the last."""
    start, stop = 1, log.head().seq + 1
    begin = _first_at(app, log, since) if since is not None else start
    end = _first_at(app, log, until) if until is not None else stop
    start = min(begin, stop)
    return start, max(start, min(end, stop))


def _first_at(app: App, log: Log, text: str) -> int:
    """The number of the first event at the time that `text` says, or later."""
    from atomicstate.events.times import parse_time
    from atomicstate.store.search import first_at
    from atomicstate.store.state import State

    time = parse_time(text)
    before = State(app.state_dir).snapshots.position_before(time, log)
    return first_at(log, time, before + 1)


def _first_of(app: App, log: Log, query: Query, transaction: str, stop: int) -> int:
    """Where the events of a transaction begin at the earliest, by the start of its id."""
    from atomicstate.store.search import first_of, search
    from atomicstate.store.state import State

    first = first_of(log, State(app.state_dir).snapshots, transaction)
    # An id that tells another time than its making is looked for everywhere.
    return first if any(search(log, query, first, stop)) else 1


def _show(app: App, found: Iterable[Found], digits: int) -> None:
    if app.format == "json":
        stream_items("events", map(_data, found))
    elif app.format == "jsonl":
        stream_lines(map(_data, found))
    else:
        for line in _lines(app, found, max(digits, 4)):
            say(line)


def _data(found: Found) -> dict[str, Any]:
    from atomicstate.events.asjson import as_json

    return {**as_json(found.event, found.hash), "clock_went_back": found.went_back}


def _lines(app: App, found: Iterable[Found], digits: int) -> Iterator[str]:
    from atomicstate.cli.render.events import event_line, event_lines

    look = app.look
    for event, record_hash, went_back in found:
        if app.verbose:
            yield "\n".join(event_lines(event, record_hash, look, went_back=went_back)) + "\n"
        else:
            yield event_line(event, look, went_back=went_back, digits=digits)


def _follow(app: App, log: Log, query: Query, seen: int) -> int:
    """Show what is appended from event `seen` on, until this process is ended: 130, or 0."""
    from atomicstate.cli.follow import changes
    from atomicstate.store.search import search

    sys.stdout.flush()
    data = log.directory / "data.mdb"
    try:
        for _change in changes(data):
            if not data.exists():
                raise NotFoundError(f"the log {log.directory} is gone")
            stop = log.head().seq + 1
            if stop > seen:
                _show(app, search(log, query, seen, stop), digits=len(str(stop)))
                sys.stdout.flush()
                seen = stop
    except KeyboardInterrupt:
        # To be ended is how this command ends; for SIGTERM (a service's stop) it is success.
        return 0 if was_terminated() else CanceledError.exit_status
    return 0
