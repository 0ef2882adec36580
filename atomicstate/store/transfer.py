"""Carry a log elsewhere: export and import as lines of JSON, and a copy of the files.

An export's first line names the log and its head; then a line for each blob, where they were
asked for, and one for each event: as `log` shows it, with the stored record in base64.
"""

from __future__ import annotations

import base64
import binascii
import os
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import msgspec

from atomicstate.errors import (
    ConflictError,
    CorruptError,
    TooNewError,
    ValidationError,
    from_os_error,
)
from atomicstate.events.asjson import as_json
from atomicstate.events.codec import FORMAT, HASH_SIZE, decode, wire_kind
from atomicstate.files import (
    PRIVATE_DIRECTORY,
    PRIVATE_FILE,
    fsync_directory,
    make_directory,
)
from atomicstate.store import header as headers
from atomicstate.store.aside import built_aside
from atomicstate.store.blobs import REDACTED, Blobs, copy_file
from atomicstate.store.log import Head, Log, write_whole
from atomicstate.store.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from atomicstate.store.state import State

EXPORT = "atomicstate-export"
EXPORT_FORMAT = 1
_LINE_LIMIT = 1 << 30
_ALWAYS = frozenset({"seq", "kind", "data", "hash"})
"""Members that the line of an event has in every version."""

_json = msgspec.json.Encoder().encode


class Opening(NamedTuple):
    """The first line of an export: which log, up to which event."""

    header: headers.Header
    head: Head


# -- export ------------------------------------------------------------------------------------


def export(state: State, out: IO[bytes], *, blobs: bool = False) -> Head:
    """Write the log as it is now to `out`, a line at a time; the head that it ends with.

    In constant memory, while others append. Raises what reading the log raises, and OSError
    (BrokenPipeError too) where `out` takes no more.
    """
    with state.open_log(write=False, scan=True) as log:
        head = log.head()
        for line in _lines(log, head, state.blobs if blobs else None):
            out.write(line + b"\n")
    return head


def export_file(state: State, path: Path, *, blobs: bool = False) -> Head:
    """Write the log to the file `path`, which is there when it is whole, and durable.

    Raises ConflictError if there is something at `path`.
    """
    if os.path.lexists(path):
        raise ConflictError(f"{path} is there already; it was left as it is")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
        with os.fdopen(descriptor, "wb", buffering=1 << 20) as file:
            head = export(state, file, blobs=blobs)
            file.flush()
            os.fsync(file.fileno())
        _name(temporary, path)
        fsync_directory(path.parent)
    except OSError as error:
        raise from_os_error(error, "write", path) from error
    finally:
        temporary.unlink(missing_ok=True)
    return head


def _name(temporary: Path, path: Path) -> None:
    """Give the file its name. A link fails where another came in between: a rename replaces it."""
    try:
        os.link(temporary, path)
    except PermissionError:
        # A file system without hard links, such as that of a USB stick.
        temporary.rename(path)


def _lines(log: Log, head: Head, blobs: Blobs | None) -> Iterator[bytes]:
    yield _json(
        {
            "export": EXPORT,
            "version": EXPORT_FORMAT,
            "format": log.header.format,
            "log_id": log.log_id.hex(),
            "created": log.header.created,
            "kinds": log.header.kinds,
            "head": {"seq": head.seq, "hash": head.hash.hex()},
            "blobs": blobs is not None,
        }
    )
    if blobs is not None:
        for digest in blobs.redacted():
            yield _json({"redacted": digest})
        for digest in blobs.all():
            yield _json({"blob": digest, "content": blobs.get(digest)})
    for seq, record in enumerate(log.records(1, head.seq + 1), 1):
        event = log.decoded(seq, record)
        yield _json({**as_json(event, record[-HASH_SIZE:]), "record": record})


# -- import ------------------------------------------------------------------------------------


def import_file(state: State, path: Path) -> Head:
    """Import the export `path` (import_stream)."""
    try:
        with path.open("rb") as file:
            return import_stream(state, file)
    except OSError as error:
        raise from_os_error(error, "read", path) from error


def import_stream(state: State, source: IO[bytes]) -> Head:
    """Make log and blobs of an export, in a state directory that has no log; the head.

    All or nothing: it is built aside, verified and renamed, the log last. Raises ConflictError
    if there is a log, ValidationError for what is no export, CorruptError for one that is cut
    off or does not verify, TooNewError for one of a newer version.
    """
    if state.has_log:
        raise ConflictError(
            f"there is a log in {state.directory} already; nothing was imported",
            hint="choose an empty --state-dir",
        )
    with _made(state.directory):
        lines = _numbered(source)
        opening = _opening(lines)
        with built_aside(state.log_directory) as aside:
            incoming = Blobs(aside / "blobs")
            write_whole(aside, opening.header, _records(lines, incoming))
            _verify(aside, opening, incoming)
            _move_blobs(incoming, state.blobs)
        state.make()
    return opening.head


@contextmanager
def _made(directory: Path) -> Iterator[None]:
    """The directory is there inside; one that was made for this goes again where this fails."""
    was_there = directory.is_dir()
    make_directory(directory)
    try:
        yield
    except BaseException:
        if not was_there:
            _remove_if_empty(directory)
        raise


def _remove_if_empty(directory: Path) -> None:
    try:
        directory.rmdir()
    except OSError:
        return


def _verify(aside: Path, opening: Opening, blobs: Blobs) -> None:
    has_blobs = blobs.directory.is_dir()
    try:
        with Log.open(aside, write=False, scan=True) as log:
            report = verify(log, blobs if has_blobs else None)
    except CorruptError as error:
        raise CorruptError(
            f"the export does not verify: {error.message}; nothing was imported",
            seq=error.seq,
            hint="export again",
        ) from error
    if report.head != opening.head:
        raise CorruptError(
            f"the export is cut off, or not of one piece: it ends with event {report.head.seq}, "
            f"and says that it holds {opening.head.seq}; nothing was imported",
            seq=report.head.seq,
            hint="export again",
        )


def _move_blobs(incoming: Blobs, blobs: Blobs) -> None:
    """Move what was imported to its place. Names say what they hold, so none is in the way."""
    if not incoming.directory.is_dir():
        return
    try:
        for folder in sorted(incoming.directory.iterdir()):
            target = blobs.directory / folder.name
            make_directory(target)
            for path in folder.iterdir():
                path.replace(target / path.name)
            fsync_directory(target)
            folder.rmdir()
        incoming.directory.rmdir()
    except OSError as error:
        raise from_os_error(error, "write", blobs.directory) from error


Line = tuple[int, dict[str, Any]]


def _numbered(source: IO[bytes]) -> Iterator[Line]:
    """The lines of an export as mappings, numbered from 1. Raises ValidationError."""
    number = 0
    while text := source.readline(_LINE_LIMIT):
        number += 1
        try:
            line = msgspec.json.decode(text)
        except (msgspec.DecodeError, ValueError) as error:
            raise _bad(number, str(error)) from error
        if not text.endswith(b"\n") or not isinstance(line, dict):
            raise _bad(number, "it is cut off, or no object")
        yield number, line


def _opening(lines: Iterator[Line]) -> Opening:
    number, line = next(lines, (1, {}))
    if line.get("export") != EXPORT:
        raise ValidationError("this is no export of a log: nothing was imported")
    for name, known in (("version", EXPORT_FORMAT), ("format", FORMAT)):
        if isinstance(line.get(name), int) and line[name] > known:
            raise TooNewError(f"the export's {name} is {line[name]}, this program knows {known}")
    try:
        header = _header(line)
        head = Head(int(line["head"]["seq"]), bytes.fromhex(line["head"]["hash"]))
    except (KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
        raise _bad(number, f"{error}") from error
    return Opening(header, head)


def _header(line: dict[str, Any]) -> headers.Header:
    kinds = tuple(msgspec.convert(line["kinds"], list[str]))
    log_id = bytes.fromhex(line["log_id"])
    number, created = int(line["format"]), int(line["created"])
    if len(log_id) != headers.LOG_ID_SIZE:
        raise ValueError("the log's id has another length")
    if number < 1 or not 0 <= created < 1 << 63:
        raise ValueError("there is no such format or time")
    return headers.Header(headers.MAGIC, number, log_id, created, kinds)


def _records(lines: Iterator[Line], blobs: Blobs) -> Iterator[bytes]:
    """The records in the lines; blobs among them are kept in `blobs`. Raises ValidationError."""
    for number, line in lines:
        try:
            if "record" in line:
                yield _record(line)
            else:
                _keep_blob(line, blobs)
        except CorruptError as error:
            raise CorruptError(
                f"line {number} of the export is damaged: {error.message}; nothing was imported",
                seq=error.seq,
                hint="export again",
            ) from error
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise _bad(number, str(error)) from error


def _keep_blob(line: dict[str, Any], blobs: Blobs) -> None:
    if "redacted" in line:
        path = blobs.path(line["redacted"])
        make_directory(path.parent)
        path.with_name(path.name + REDACTED).touch(PRIVATE_FILE)
        return
    content = base64.b64decode(line["content"], validate=True)
    if blobs.put(content) != line["blob"]:
        raise CorruptError(f"the export's blob {line['blob']} is not what it was")


def _record(line: dict[str, Any]) -> bytes:
    """The record in a line, if it says what the line says for people. Raises ValueError."""
    record = base64.b64decode(line.pop("record"), validate=True)
    if len(record) <= HASH_SIZE:
        raise ValueError("a record that is too short")
    shown = msgspec.json.decode(_json(as_json(decode(record), record[-HASH_SIZE:])))
    if line.get("kind") == wire_kind(record) != shown["kind"]:
        # A kind that was replaced since: the line shows it as it was.
        shown = {**shown, "kind": line["kind"], "data": line.get("data")}
    # Of this version's own export the two are the same: told at once.
    if not line.keys() >= _ALWAYS or (line != shown and _contradicts(line, shown)):
        raise CorruptError(
            f"line and record of event {shown['seq']} differ: somebody changed the export",
            seq=shown["seq"],
        )
    return record


def _contradicts(line: Any, shown: Any) -> bool:  # noqa: ANN401 - JSON values
    """Whether they differ in more than members that one of them lacks: versions differ in these."""
    if isinstance(line, dict) and isinstance(shown, dict):
        return any(_contradicts(line[name], shown[name]) for name in line.keys() & shown.keys())
    if isinstance(line, list) and isinstance(shown, list):
        return len(line) != len(shown) or any(map(_contradicts, line, shown))
    return bool(line != shown)


def _bad(number: int, what: str) -> ValidationError:
    return ValidationError(
        f"line {number} of the export can't be read: {what}; nothing was imported"
    )


# -- backup ------------------------------------------------------------------------------------


def backup(state: State, target: Path, *, compact: bool = True) -> Head:
    """Copy log and blobs to `target`, a state directory of its own; the copy's head.

    Consistent while others write. All or nothing. Raises ConflictError if there is something at
    `target`, ValidationError if it lies in the state directory itself, and what reading the log
    raises.
    """
    if target.resolve().is_relative_to(state.directory.resolve()):
        raise ValidationError(
            f"{target} lies in the state directory, and would be lost with it; nothing was copied"
        )
    make_directory(target.parent)
    with state.open_log(write=False, scan=True) as log, built_aside(target) as aside:
        try:
            (aside / "log").mkdir(mode=PRIVATE_DIRECTORY)
            log.copy(aside / "log", compact=compact)
            # After the log: what its events name was there before it was copied.
            copy_blobs(state.blobs, Blobs(aside / "blobs"))
            for directory in (aside / "log", aside):
                fsync_directory(directory)
        except OSError as error:
            raise from_os_error(error, "write", target) from error
    with Log.open(target / "log", write=False) as copy:
        return copy.head()


def copy_blobs(source: Blobs, target: Blobs) -> None:
    """Copy each blob, and each note of a redacted one."""
    for digest in source.all():
        path = target.path(digest)
        make_directory(path.parent)
        copy_file(source.path(digest), path)
        fsync_directory(path.parent)
    for digest in source.redacted():
        path = target.path(digest)
        make_directory(path.parent)
        path.with_name(path.name + REDACTED).touch(PRIVATE_FILE)
        fsync_directory(path.parent)
