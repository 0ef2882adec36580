"""`verify`, `export`, `import`, `backup`: the log as a thing to check, carry and keep."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import click

from atomicstate.cli.app import ItemStream, writing
from atomicstate.cli.terminal import Look, clean
from atomicstate.cli.verbs import verb
from atomicstate.errors import CorruptError, ValidationError

if TYPE_CHECKING:
    from atomicstate.cli.app import App
    from atomicstate.store.log import Head
    from atomicstate.store.state import State
    from atomicstate.store.verify import Report

_HASH_DIGITS = 64


@verb("verify")
@click.option("--from", "start", metavar="EVENT", help="From 12, HEAD~100 or a time on.")
@click.option("--anchor", metavar="HASH", help="The hash of a head that was noted elsewhere.")
def verify(app: App, *, start: str | None, anchor: str | None) -> None:
    """Check the whole chain of events, the blobs and the snapshots.

    What was changed, removed, inserted or moved is named by its number. Events cut off at the end
    are found with --anchor alone: every beginning of a log is a log.
    """
    from atomicstate.store.verify import verify as check

    wanted = _hash(anchor)
    state = _state(app)
    with state.open_log(write=False, scan=True) as log:
        first = 1
        if start is not None:
            from atomicstate.store.search import point

            first = point(log, start)
        try:
            report = check(log, state.blobs, state.snapshots, first, wanted)
        except CorruptError as error:
            if error.hint == CorruptError.hint:
                # There is no use in sending to `verify` whoever comes from there.
                error.hint = "bring it back from a backup or an export"
            raise
    app.answer(lambda: _report_data(report), lambda look: _report_text(report, look))


@verb("export", formats=("text", "json", "jsonl"), default="jsonl")
@click.argument("file", required=False)
@click.option("--blobs", is_flag=True, help="With the recipes, plans and build logs beside it.")
def export(app: App, *, file: str | None, blobs: bool) -> None:
    """Write every event to FILE, or to standard output.

    One line each; `import` makes the same log of it, with the same hashes. A FILE is in that form
    whatever -f says; without one, -f json gives the lines as a list.
    """
    from atomicstate.store import transfer

    state = _state(app)
    if file is not None and file != "-":
        path = _file(file)
        head = transfer.export_file(state, path, blobs=blobs)
        app.answer(
            lambda: {"file": str(path), "head": _head_data(head)},
            lambda _look: f"Exported {head.seq} events to {clean(str(path))}.",
        )
    elif app.format == "json":
        with writing(), ItemStream("lines") as stream:
            transfer.export(state, cast("IO[bytes]", _Lines(stream)), blobs=blobs)
    else:
        with writing() as out:
            transfer.export(state, out, blobs=blobs)
            out.flush()


class _Lines(io.RawIOBase):
    """What an export is written to, line by line, to become items."""

    def __init__(self, stream: ItemStream) -> None:
        self._stream = stream

    def write(self, line: Any) -> int:  # noqa: ANN401 - a buffer
        self._stream.write(bytes(line).rstrip(b"\n"))
        return len(line)


@verb("import")
@click.argument("file")
def import_(app: App, *, file: str) -> None:
    """Make the log anew from an export.

    In an empty state directory. All or nothing: what does not verify
    leaves nothing behind. `-` reads standard input.
    """
    from atomicstate.store import transfer

    state = _state(app)
    if file == "-":
        head = transfer.import_stream(state, sys.stdin.buffer)
    else:
        head = transfer.import_file(state, _file(file))
    app.answer(
        lambda: {"head": _head_data(head)},
        lambda _look: f"Imported {head.seq} events; the head is {head.hash.hex()}.",
    )


@verb("backup")
@click.argument("directory", metavar="DIR")
def backup(app: App, *, directory: str) -> None:
    """Copy the log and its blobs to DIR.

    A whole log, also while others write to this one.
    """
    from atomicstate.store import transfer

    target = _file(directory)
    head = transfer.backup(_state(app), target)
    app.answer(
        lambda: {"directory": str(target), "head": _head_data(head)},
        lambda _look: f"Copied {head.seq} events to {clean(str(target))}.",
    )


def _state(app: App) -> State:
    from atomicstate.store.state import State

    return State(app.state_dir)


def _file(name: str) -> Path:
    if not name:
        raise ValidationError("an empty name is no file")
    return Path(name).absolute()


def _head_data(head: Head) -> dict[str, Any]:
    return {"seq": head.seq, "hash": head.hash.hex()}


def _hash(anchor: str | None) -> bytes | None:
    if anchor is None:
        return None
    try:
        wanted = bytes.fromhex(anchor)
    except ValueError:
        wanted = b""
    if len(anchor) != _HASH_DIGITS or len(wanted) != _HASH_DIGITS // 2:
        raise ValidationError(
            "an anchor is the hash of an event: 64 hexadecimal digits",
            hint="`atomicstate status` shows the head's",
        )
    return wanted


def _report_data(report: Report) -> dict[str, Any]:
    return {
        "checked": report.checked,
        "first": report.first,
        "last": report.last,
        "head": _head_data(report.head),
        "blobs_checked": report.blobs_checked,
        "blobs_redacted": report.blobs_redacted,
        "snapshots_checked": report.snapshots_checked,
        "unknown": report.unknown,
        "anchor": report.anchor,
    }


def _report_text(report: Report, look: Look) -> str:
    events = f"{report.checked} events ({report.first} to {report.last})"
    whole = "The log is whole."
    if report.first > 1:
        whole = f"The log is whole from event {report.first} on; what comes before was not checked."
    lines = [
        look.paint(whole, "green"),
        f"  checked  {events}, {report.blobs_checked} blobs, {report.snapshots_checked} snapshots",
        f"  head     {report.head.seq} {report.head.hash.hex()}",
    ]
    if report.blobs_redacted:
        lines.append(f"  {report.blobs_redacted} blobs were redacted")
    if report.unknown:
        lines.append(f"  {report.unknown} events of kinds that a newer version wrote")
    if report.anchor is None:
        lines.append("  Events cut off at the end would show with --anchor alone.")
    else:
        lines.append(f"  anchor   found at event {report.anchor}")
    return "\n".join(lines)
