"""Blobs, snapshots, locks and the reserve."""

from __future__ import annotations

import errno
import io
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from atomicstate.errors import (
    ConflictError,
    CorruptError,
    HostError,
    LockedError,
    NoSpaceError,
    NotFoundError,
    ValidationError,
)
from atomicstate.store.blobs import Blobs, digest_of
from atomicstate.store.log import Log
from atomicstate.store.state import RESERVE_SIZE, State
from tests.support.logs import fact, key, tamper, texts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def state(tmp_path: Path) -> State:
    state = State(tmp_path / "state")
    state.make()
    return state


@pytest.fixture
def log(state: State) -> Iterator[Log]:
    with state.create_log() as log:
        yield log


# -- blobs ------------------------------------------------------------------------------------


def test_a_blob_is_a_plain_private_file_named_by_its_content(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    digest = blobs.put(b"content")
    assert digest == digest_of(b"content") and len(digest) == 64
    path = tmp_path / "blobs" / digest[:2] / digest
    assert path.read_bytes() == b"content"
    assert path.stat().st_mode & 0o777 == 0o600
    assert (blobs.get(digest), blobs.has(digest), list(blobs.all())) == (b"content", True, [digest])


def test_a_damaged_blob_is_refused_and_put_writes_it_anew(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    digest = blobs.put(b"content")
    blobs.path(digest).write_bytes(b"damaged")
    with pytest.raises(CorruptError):
        blobs.get(digest)
    assert blobs.put(b"content") == digest
    assert blobs.get(digest) == b"content"


def test_what_is_no_blob(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    with pytest.raises(NotFoundError):
        blobs.get(digest_of(b"never kept"))
    for name in ("", "../../etc/passwd", "A" * 64, "a" * 63):
        with pytest.raises(ValidationError):
            blobs.path(name)


def test_a_redacted_blob_is_gone_says_so_and_can_come_back(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    digest = blobs.put(b"a secret")
    blobs.redact(digest)
    assert (blobs.is_redacted(digest), blobs.has(digest)) == (True, False)
    assert (list(blobs.all()), list(blobs.redacted())) == ([], [digest])
    with pytest.raises(NotFoundError, match="redacted"):
        blobs.get(digest)
    with pytest.raises(NotFoundError):
        blobs.redact(digest_of(b"another"))
    blobs.put(b"a secret")
    assert (blobs.is_redacted(digest), blobs.get(digest)) == (False, b"a secret")


def test_a_file_is_kept_as_its_content_would_be(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    content = b"x" * (3 << 20)
    digest = blobs.put_file(io.BytesIO(content))
    assert digest == digest_of(content)
    assert blobs.get(digest) == content
    assert stat.S_IMODE(blobs.path(digest).stat().st_mode) == 0o600
    assert list((tmp_path / "blobs").glob(".*")) == []


def test_what_a_file_brought_up_to_a_failure_is_taken_away(tmp_path: Path) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(errno.EIO, "input/output error")

    with pytest.raises(HostError):
        Blobs(tmp_path / "blobs").put_file(Broken())
    assert list((tmp_path / "blobs").rglob("*")) == []


def test_a_blob_is_written_out_as_it_is(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    written = io.BytesIO()
    blobs.write_to(blobs.put(b"content"), written)
    assert written.getvalue() == b"content"


def test_writing_out_a_blob_that_is_damaged_or_gone_fails(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    digest = blobs.put(b"content")
    blobs.path(digest).write_bytes(b"damaged")
    with pytest.raises(CorruptError):
        blobs.write_to(digest, io.BytesIO())
    with pytest.raises(NotFoundError):
        blobs.write_to(digest_of(b"never kept"), io.BytesIO())


# -- snapshots --------------------------------------------------------------------------------


def test_a_snapshot_comes_back_with_its_position(state: State, log: Log) -> None:
    log.append([fact(), fact()])
    head = log.head()
    assert state.snapshots.save("system", "3", head.seq, head.hash, b"payload", clock=7)
    log.append([fact()])
    assert state.snapshots.load("system", "3", log) == (2, b"payload", 7)


def test_a_time_is_looked_for_after_the_newest_snapshot_that_lies_before_it(
    state: State, log: Log
) -> None:
    snapshots = state.snapshots
    for name, clock in (("first", 10), ("second", 30), ("untold", 0)):
        log.append([fact()])
        head = log.head()
        snapshots.save(name, "1", head.seq, head.hash, b"payload", clock=clock)
    snapshots.save("foreign", "1", 3, bytes(32), b"payload", clock=1)
    snapshots.path("damaged").write_bytes(b"damaged")
    found = [snapshots.position_before(time, log) for time in (10, 11, 30, 31)]
    assert found == [0, 1, 1, 2]


def test_a_snapshot_that_does_not_fit_is_no_snapshot(state: State, log: Log) -> None:
    log.append([fact(), fact()])
    head = log.head()
    save, load = state.snapshots.save, state.snapshots.load
    assert load("system", "3", log) is None
    save("system", "3", head.seq, head.hash, b"payload")
    assert load("system", "4", log) is None
    assert load("other", "3", log) is None
    save("system", "3", head.seq + 1, head.hash, b"ahead of the log")
    assert load("system", "3", log) is None
    save("system", "3", head.seq, bytes(32), b"of another log")
    assert load("system", "3", log) is None
    state.snapshots.path("system").write_bytes(b"")
    assert load("system", "3", log) is None


def test_a_damaged_snapshot_is_no_snapshot_wherever_it_is_damaged(state: State, log: Log) -> None:
    log.append([fact(), fact()])
    head = log.head()
    state.snapshots.save("system", "3", head.seq, head.hash, b"payload")
    path = state.snapshots.path("system")
    whole = path.read_bytes()
    for at in range(len(whole)):
        flipped = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        for damaged in (flipped, whole[:at], whole[at + 1 :], bytes(len(whole))):
            path.write_bytes(damaged)
            assert state.snapshots.load("system", "3", log) is None, at
    path.write_bytes(whole)
    assert state.snapshots.load("system", "3", log) == (2, b"payload", 0)


def test_a_snapshot_of_a_log_that_lost_its_end_is_no_snapshot(state: State) -> None:
    with state.create_log() as log:
        log.append([fact(), fact()])
        head = log.head()
        state.snapshots.save("system", "3", head.seq, head.hash, b"payload")
    tamper(state.log_directory, lambda transaction: transaction.delete(key(2)))
    with state.open_log() as log:
        assert state.snapshots.load("system", "3", log) is None
        # Another event in its place is no better.
        log.append([fact("another")])
        assert state.snapshots.load("system", "3", log) is None


def test_a_snapshot_that_cant_be_saved_is_no_error_and_leaves_nothing(state: State) -> None:
    folder = state.snapshots.directory
    folder.rmdir()
    folder.write_bytes(b"a file in its place")
    assert not state.snapshots.save("system", "1", 0, bytes(32), b"payload")


# -- locks ------------------------------------------------------------------------------------

HOLD = """
import sys
from pathlib import Path
from atomicstate.store.state import State
with State(Path(sys.argv[1])).pipeline("apply"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(state: State) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, state.directory],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


def test_a_held_pipeline_names_its_holder(state: State, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(LockedError) as caught, state.pipeline("switch"):
        pass
    assert "`apply`" in caught.value.message
    assert str(holder.pid) in caught.value.message
    assert " since 20" in caught.value.message
    seen = state.pipeline_holder()
    assert seen is not None and (seen.pid, seen.command) == (holder.pid, "apply")


def test_a_killed_holders_lock_is_free(state: State, holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.wait(30)
    with state.pipeline("switch"):
        pass
    assert state.pipeline_holder() is None


def test_waiting_ends_when_the_holder_does(state: State, holder: subprocess.Popen[str]) -> None:
    threading.Timer(0.3, holder.terminate).start()
    with state.pipeline("switch", wait=30):
        pass
    holder.wait(30)


def test_recording_goes_on_beside_the_pipeline(state: State) -> None:
    with (
        state.pipeline("apply"),
        state.recording("package add", wait=0),
        pytest.raises(LockedError),
        state.recording("package remove", wait=0.1),
    ):
        pass


def test_a_child_that_inherits_the_lock_keeps_it(state: State) -> None:
    with state.pipeline("apply") as descriptor:
        child = subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()"],
            stdin=subprocess.PIPE,
            pass_fds=[descriptor],
        )
    try:
        with pytest.raises(LockedError), state.pipeline("switch"):
            pass
    finally:
        child.communicate(timeout=30)
    with state.pipeline("switch"):
        pass


# -- the state directory ----------------------------------------------------------------------


def test_making_it_twice_changes_nothing(state: State) -> None:
    state.make()
    assert not state.has_log
    assert sorted(path.name for path in state.directory.iterdir()) == [
        "blobs",
        "recipe",
        "reserve",
        "snapshots",
        "txn",
    ]


def test_a_second_log_is_refused(state: State, log: Log) -> None:
    with pytest.raises(ConflictError):
        state.create_log()
    assert state.has_log


def test_an_outcome_is_written_on_the_reserves_space(
    state: State, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve = state.directory / "reserve"
    assert reserve.stat().st_blocks * 512 >= RESERVE_SIZE
    append = Log.append

    def on_a_full_disk(self: Log, *arguments: object, **options: object) -> object:
        if reserve.exists():
            raise NoSpaceError("no space left on the device")
        return append(self, *arguments, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as full:
        full.setattr(Log, "append", on_a_full_disk)
        state.append_outcome(log, [fact("done")])
    assert not reserve.exists()
    state.append_outcome(log, [fact("done too")])
    assert reserve.stat().st_size == RESERVE_SIZE
    assert texts(log) == ["done", "done too"]


@pytest.mark.sandbox
def test_an_outcome_is_written_on_a_disk_that_is_really_full(tmp_path: Path) -> None:
    point = tmp_path / "small"
    point.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", point], check=True, timeout=30
    )
    try:
        state = State(point / "state")
        state.make()
        with state.create_log() as log:
            with pytest.raises(OSError, match="No space"), (point / "ballast").open("wb") as file:
                while True:
                    file.write(bytes(4096))
                    file.flush()
            with pytest.raises(NoSpaceError):
                log.append([fact("x" * 6000)])
            state.append_outcome(log, [fact("x" * 6000)])
            assert log.head().seq == 1
    finally:
        subprocess.run(["umount", "-l", point], check=True, timeout=30)
