"""Export, import, backup: the same bytes elsewhere, or nothing."""

from __future__ import annotations

import io
import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from atomicstate.errors import (
    AtomicstateError,
    ConflictError,
    CorruptError,
    NoSpaceError,
    ValidationError,
)
from atomicstate.events.bodies import StepDone
from atomicstate.events.event import Draft
from atomicstate.store import transfer
from atomicstate.store.log import Log
from atomicstate.store.state import State
from atomicstate.store.verify import verify
from tests.support.logs import ACTOR, action, fact, run_writer

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def state(tmp_path: Path) -> State:
    state = State(tmp_path / "state")
    state.make()
    with state.create_log() as log:
        log.append([fact("one"), action("jq", "htop")])
        kept, dropped = state.blobs.put(b"kept"), state.blobs.put(b"dropped")
        log.append(
            [Draft(body=StepDone("build", {}, blob), actor=ACTOR) for blob in (kept, dropped)]
        )
        log.append([fact(f"number {n}") for n in range(2000)])
    state.blobs.redact(dropped)
    return state


def exported(state: State, *, blobs: bool = True) -> bytes:
    out = io.BytesIO()
    transfer.export(state, out, blobs=blobs)
    return out.getvalue()


def records_of(state: State) -> list[bytes]:
    with state.open_log(write=False) as log:
        return list(log.records())


def test_an_import_has_the_same_bytes_and_goes_on(state: State, tmp_path: Path) -> None:
    other = State(tmp_path / "other")
    head = transfer.import_stream(other, io.BytesIO(exported(state)))
    assert records_of(other) == records_of(state)
    assert list(other.blobs.all()) == list(state.blobs.all())
    assert list(other.blobs.redacted()) == list(state.blobs.redacted())
    with other.open_log() as log:
        assert (log.head(), log.head().seq) == (head, 2004)
        log.append([fact("after")])
        verify(log, other.blobs)
    assert sorted(path.name for path in other.log_directory.iterdir()) == [
        "clean",
        "data.mdb",
        "lock.mdb",
    ]


class Busy(State):
    """A state to whose log somebody appends as soon as it was opened."""

    def open_log(self, *, write: bool = True, scan: bool = False) -> Log:
        log = super().open_log(write=write, scan=scan)
        run_writer(self.log_directory, "log.append([Draft(body=StepStarted('live'), actor=ACTOR)])")
        return log


def test_an_export_while_others_append_can_be_imported(state: State, tmp_path: Path) -> None:
    head = transfer.import_stream(
        State(tmp_path / "other"), io.BytesIO(exported(Busy(state.directory)))
    )
    assert head.seq == 2005


def test_without_blobs_the_log_alone_is_carried(state: State, tmp_path: Path) -> None:
    other = State(tmp_path / "other")
    transfer.import_stream(other, io.BytesIO(exported(state, blobs=False)))
    assert records_of(other) == records_of(state)
    assert list(other.blobs.all()) == []


def test_an_export_shows_each_event_as_log_does(state: State) -> None:
    lines = [json.loads(line) for line in exported(state).splitlines()]
    assert lines[0]["head"]["seq"] == 2004
    second = next(line for line in lines if line.get("seq") == 2)
    assert (second["kind"], second["data"]["names"]) == ("package.added", ["jq", "htop"])


def test_a_file_is_written_whole_and_never_over_another(state: State, tmp_path: Path) -> None:
    path = tmp_path / "export.jsonl"
    transfer.export_file(state, path, blobs=True)
    assert path.read_bytes() == exported(state)
    with pytest.raises(ConflictError):
        transfer.export_file(state, path)
    assert path.read_bytes() == exported(state)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["export.jsonl", "state"]


def test_importing_over_a_log_is_refused(state: State) -> None:
    before = records_of(state)
    with pytest.raises(ConflictError):
        transfer.import_stream(state, io.BytesIO(exported(state)))
    assert records_of(state) == before


def cut_in_a_line(lines: list[bytes]) -> bytes:
    return b"".join(lines)[:-30]


def cut_at_a_line(lines: list[bytes]) -> bytes:
    return b"".join(lines[:-1])


def without_one(lines: list[bytes]) -> bytes:
    return b"".join(lines[:100] + lines[101:])


def swapped(lines: list[bytes]) -> bytes:
    lines[100], lines[101] = lines[101], lines[100]
    return b"".join(lines)


def said_otherwise(lines: list[bytes]) -> bytes:
    return b"".join(lines).replace(b'"jq"', b'"vi"')


def another_blob(lines: list[bytes]) -> bytes:
    return b"".join(lines).replace(b'"content":"', b'"content":"AAAA')


def not_json(lines: list[bytes]) -> bytes:
    lines[7] = b"{]\n"
    return b"".join(lines)


def no_header(lines: list[bytes]) -> bytes:
    return b"".join(lines[1:])


def made_after_all_time(lines: list[bytes]) -> bytes:
    return re.sub(rb'"created":\d+', b'"created":1' + b"0" * 30, lines[0]) + b"".join(lines[1:])


def of_no_format(lines: list[bytes]) -> bytes:
    return b"".join(lines).replace(b'"format":1', b'"format":-1', 1)


def another_record(lines: list[bytes]) -> bytes:
    return b"".join(lines).replace(b'"record":"', b'"record":"AAAA')


def nothing(_lines: list[bytes]) -> bytes:
    return b""


@pytest.mark.parametrize(
    "damage",
    [
        cut_in_a_line,
        cut_at_a_line,
        without_one,
        swapped,
        said_otherwise,
        another_blob,
        not_json,
        no_header,
        made_after_all_time,
        of_no_format,
        another_record,
        nothing,
    ],
)
def test_a_bad_export_leaves_nothing_behind(state: State, tmp_path: Path, damage) -> None:
    bad = damage(exported(state).splitlines(keepends=True))
    other = State(tmp_path / "other")
    with pytest.raises((CorruptError, ValidationError)) as caught:
        transfer.import_stream(other, io.BytesIO(bad))
    assert caught.value.message
    assert not other.directory.exists()


def test_a_bad_record_is_named_by_its_line(state: State, tmp_path: Path) -> None:
    bad = another_record(exported(state, blobs=False).splitlines(keepends=True))
    with pytest.raises(CorruptError) as caught:
        transfer.import_stream(State(tmp_path / "other"), io.BytesIO(bad))
    assert "line 2 " in caught.value.message
    assert "nothing was imported" in caught.value.message


def test_a_newer_export_is_refused(state: State, tmp_path: Path) -> None:
    newer = exported(state).replace(b'"version":1', b'"version":2', 1)
    with pytest.raises(AtomicstateError) as caught:
        transfer.import_stream(State(tmp_path / "other"), io.BytesIO(newer))
    assert caught.value.code == "TOO_NEW"


@pytest.mark.parametrize("compact", [True, False])
def test_a_backup_is_a_state_directory_of_its_own(
    state: State, tmp_path: Path, *, compact: bool
) -> None:
    copy = State(tmp_path / "deep" / "copy")
    head = transfer.backup(state, copy.directory, compact=compact)
    assert records_of(copy) == records_of(state)
    with copy.open_log() as log:
        assert log.head() == head
        log.append([fact("in the copy alone")])
        verify(log, copy.blobs)
    assert len(records_of(state)) == head.seq


def test_a_backup_and_an_import_open_without_a_second_look(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each command that reads one would read all its pages first."""
    transfer.backup(state, tmp_path / "copy")
    transfer.export_file(state, tmp_path / "log.jsonl")
    transfer.import_file(State(tmp_path / "imported"), tmp_path / "log.jsonl")

    def looked(*_arguments: object, **_options: object) -> None:
        raise AssertionError("a child was started")

    monkeypatch.setattr("atomicstate.store.datafile.check_pages", looked)
    for directory in (tmp_path / "copy", tmp_path / "imported"):
        with State(directory).open_log(write=False) as log:
            assert log.head().seq > 0


def test_a_backup_never_goes_over_something(state: State, tmp_path: Path) -> None:
    target = tmp_path / "there"
    target.mkdir()
    (target / "file").write_text("mine")
    with pytest.raises(ConflictError):
        transfer.backup(state, target)
    assert [path.name for path in target.iterdir()] == ["file"]


def test_a_backup_into_what_it_is_a_backup_of_is_refused(state: State) -> None:
    with pytest.raises(ValidationError):
        transfer.backup(state, state.log_directory / "copy")
    assert not (state.log_directory / "copy").exists()


@pytest.mark.sandbox
def test_a_backup_to_a_full_disk_is_no_space_there_and_leaves_nothing(
    state: State, tmp_path: Path
) -> None:
    point = tmp_path / "small"
    point.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", point], check=True, timeout=30
    )
    try:
        with pytest.raises(NoSpaceError) as caught:
            transfer.backup(state, point / "copy")
        assert str(point) in caught.value.message
        assert list(point.iterdir()) == []
    finally:
        subprocess.run(["umount", "-l", point], check=True, timeout=30)


def test_all_files_of_a_backup_are_its_owners_alone(state: State, tmp_path: Path) -> None:
    transfer.backup(state, tmp_path / "copy")
    files = [path for path in (tmp_path / "copy").rglob("*") if path.is_file()]
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in files} == {
        path.name: "0o600" for path in files
    }
