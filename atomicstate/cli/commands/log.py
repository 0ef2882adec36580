"""`log`: the newest page for people, every event for programs."""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import partial
from itertools import chain, islice
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
    if tags:
        _refuse_filters(app)
        return _tags(app, style)
    if follow:
        _refuse_an_end(app, until=until, reverse=reverse)
    with _open(app, scan=number is None and app.json) as opened:
        from atomicstate.cli.query import query_of

        query = query_of(opened, app.state_dir / "blobs", **names)
        first, stop = _range(app, opened, since, until)
        if names["txn"] is not None:
            first = max(first, _first_of(app, opened, names["txn"], stop))
        wish = _Wish(opened, query, range(first, stop), number, reverse)
        if app.json:
            show: Callable[[Iterable[Found]], None] = partial(_stream, app)
            show(wish.found(number))
        else:
            form = _form(app, style, stop)
            show = partial(_say, app, form)
            if follow:
                show(wish.found(wish.number or _page(app.look)))
            else:
                _text(app, wish, form)
        if not follow:
            return 0
        # Of what comes, none is shown from before the time that was asked for.
        later = _time(since) if first == stop else None
        return _follow(opened, query, stop, later, show)


class _Wish(NamedTuple):
    """What is asked for: of `events`, what `query` matches, the newest `number` of it."""

    log: Log
    query: Query
    events: range
    number: int | None
    reverse: bool

    def found(self, number: int | None) -> Iterator[Found]:
        """The newest `number` that match, all of them without."""
        from atomicstate.store.search import newest, search

        start, stop = self.events.start, self.events.stop
        if number is not None:
            start = newest(self.log, self.query, start, stop, number)
        return search(self.log, self.query, start, stop, reverse=self.reverse)


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


def _form(app: App, style: str, stop: int) -> Form:
    """How lines are set."""
    from atomicstate.cli.render.events import Form
    from atomicstate.cli.render.moments import times

    return Form(max(len(str(stop)), _DIGITS), times(style, app.look.width))


def _page(look: Look) -> int:
    return max(look.height - 3, 3) if look.height else _PAGE


def _range(app: App, log: Log, since: str | None, until: str | None) -> tuple[int, int]:
    """The numbers of the first event and the one after the last."""
    start, stop = 1, log.head().seq + 1
    begin = _first_at(app, log, since) if since is not None else start
    end = _first_at(app, log, until) if until is not None else stop
    start = min(begin, stop)
    return start, max(start, min(end, stop))


def _time(text: str | None) -> int | None:
    """The time in nanoseconds since 1970; None where none was given."""
    if text is None:
        return None
    from atomicstate.events.times import parse_time

    return parse_time(text)


def _first_at(app: App, log: Log, text: str) -> int:
    """The number of the first event at the time that `text` says, or later."""
    from atomicstate.events.times import parse_time
    from atomicstate.store.search import first_at
    from atomicstate.store.state import State

    time = parse_time(text)
    before = State(app.state_dir).snapshots.position_before(time, log)
    return first_at(log, time, before + 1)


def _first_of(app: App, log: Log, transaction: str, stop: int) -> int:
    """Where the events of a transaction begin at the earliest, by the start of its id."""
    from atomicstate.store.search import Query, first_of, holds, search
    from atomicstate.store.state import State

    wanted = transaction.lower()
    first = first_of(log, State(app.state_dir).snapshots, wanted)
    begun = Query(
        (holds(b"transaction.begun"), holds(wanted.encode())),
        (lambda event: event.transaction.startswith(wanted),),
    )
    # An id that tells another time than its making is looked for everywhere.
    return first if any(search(log, begun, first, stop)) else 1


def _stream(app: App, found: Iterable[Found]) -> None:
    if app.format == "json":
        stream_items("events", map(_data, found))
    else:
        stream_lines(map(_data, found))


def _say(app: App, form: Form, found: Iterable[Found]) -> None:
    for line in _lines(app, form, found):
        say(line)


def _text(app: App, wish: _Wish, form: Form) -> None:
    """The newest page, or as many as are asked for: folded where nothing is filtered out."""
    number = wish.number or _page(app.look)
    if wish.query.is_all and not app.verbose:
        # Where the log is damaged, what can be read is shown event by event.
        with suppress(CorruptError):
            lines, oldest = _folded(app, wish, number, form)
            _write(app, lines)
            _note_earlier(app, wish, oldest)
            return
    shown = _lines(app, form, wish.found(number))
    first = next(shown, None)
    if first is None:
        app.note("no event is like that")
        return
    _write(app, chain((first,), shown))
    if wish.query.is_all:
        _note_earlier(app, wish, wish.events.stop - number)


def _write(app: App, lines: Iterable[str]) -> None:
    if app.look.height:
        app.page("\n".join(lines))
    else:
        for line in lines:
            say(line)


def _note_earlier(app: App, wish: _Wish, oldest: int) -> None:
    if wish.number is None and oldest > wish.events.start:
        earlier = oldest - wish.events.start
        app.note(f"{counted(earlier, 'earlier event')}: -n or -f jsonl show more")


def _folded(app: App, wish: _Wish, number: int, form: Form) -> tuple[Iterator[str], int]:
    """The newest entries as lines, and the number of the first event in them.

    All of them are read before: a damage comes to light before a line is shown.
    """
    from atomicstate.cli.backwards import backwards
    from atomicstate.cli.folding import newest_first
    from atomicstate.cli.render.folded import entry_line

    oldest = wish.events.stop

    def newest() -> Iterator[str]:
        nonlocal oldest
        entries = newest_first(wish.log, wish.events.start, wish.events.stop)
        for entry in islice(entries, number):
            oldest = entry.events[0].event.seq
            yield entry_line(entry, app.look, form)

    lines = backwards(newest())
    return backwards(lines) if wish.reverse else lines, oldest


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


def _refuse_filters(app: App) -> None:
    others = sorted(set(app.options) - {"--tags", "--time", "--format", "--yes", "--verbose"})
    if others:
        raise ValidationError(f"--tags lists every name: it does not go with {others[0]}")


def _tags(app: App, style: str) -> int:
    """Each tag, with the event or transaction that it names, in the order of the log."""
    from atomicstate.cli.folding import newest_first

    with app.session() as session:
        log = session.log
        tags = sorted(session.system().tags.items(), key=lambda item: (item[1], item[0]))
        found = [(name, next(newest_first(log, seq, seq + 1))) for name, seq in tags]
        form = _form(app, style, log.head().seq)

    def data() -> dict[str, Any]:
        return {
            "tags": [
                {"name": name, "point": entry.last.event.seq, "event": _data(entry.last)}
                for name, entry in found
            ]
        }

    def text(look: Look) -> str:
        from atomicstate.cli.render.folded import tag_lines

        return "\n".join(tag_lines(found, look, form)) or "No point has a name."

    app.answer(data, text)
    return 0


def _follow(
    log: Log,
    query: Query,
    seen: int,
    since: int | None,
    show: Callable[[Iterable[Found]], None],
) -> int:
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
                show(search(log, query, seen, stop))
                sys.stdout.flush()
                seen = stop
    except KeyboardInterrupt:
        # To be ended is how this command ends; for SIGTERM (a service's stop) it is success.
        return 0 if was_terminated() else CanceledError.exit_status
    return 0
