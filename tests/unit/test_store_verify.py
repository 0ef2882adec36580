"""verify names the first bad event, whatever was done to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from atomicstate.errors import CorruptError, NotFoundError
from atomicstate.events.bodies import StepDone
from atomicstate.events.codec import GENESIS, chain
from atomicstate.events.event import Draft
from atomicstate.store import header as headers
from atomicstate.store.log import Head, Log
from atomicstate.store.state import State
from atomicstate.store.verify import verify
from tests.support.logs import ACTOR, fact, filled, key, run_writer, tamper

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import lmdb


@pytest.fixture(autouse=True, params=["MANY", "BATCH", ""], ids=["halves", "batches", "whole"])
def _in_parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found in one go is found in parts too, wherever these meet."""
    if request.param:
        monkeypatch.setattr(f"atomicstate.store.verify.{request.param}", 2)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    filled(tmp_path / "log", 9).close()
    return tmp_path / "log"


def bad_seq(directory: Path, **options: object) -> int | None:
    with Log.open(directory, write=False) as log, pytest.raises(CorruptError) as caught:
        verify(log, **options)
    return caught.value.seq


def test_a_whole_log_says_what_was_checked(directory: Path) -> None:
    with Log.open(directory) as log:
        report = verify(log)
        assert (report.checked, report.first, report.last) == (9, 1, 9)
        assert report.head == log.head()


def test_an_empty_log_is_whole(tmp_path: Path) -> None:
    with Log.create(tmp_path / "log") as log:
        assert verify(log).head == Head(0, GENESIS)


def test_from_a_point_on_only_the_rest_is_checked(directory: Path) -> None:
    with Log.open(directory) as log:
        assert verify(log, start=4).checked == 6
        with pytest.raises(NotFoundError):
            verify(log, start=10)


def test_a_log_that_was_just_written_to_is_whole(tmp_path: Path) -> None:
    with Log.create(tmp_path / "log") as log:
        log.append([fact()])
        assert verify(log).checked == 1


def test_an_event_of_a_new_kind_that_comes_while_the_log_is_open_is_no_damage(
    directory: Path,
) -> None:
    with Log.open(directory, write=False) as log:
        run_writer(directory, "log.append([action('jq')])")
        assert verify(log).checked == 10


def removed(transaction: lmdb.Transaction) -> None:
    transaction.delete(key(5))


def changed(transaction: lmdb.Transaction) -> None:
    record = transaction.get(key(5))
    transaction.put(key(5), record.replace(b"number 5", b"number 6"))


def swapped(transaction: lmdb.Transaction) -> None:
    fifth, sixth = transaction.get(key(5)), transaction.get(key(6))
    transaction.put(key(5), sixth)
    transaction.put(key(6), fifth)


def inserted(transaction: lmdb.Transaction) -> None:
    for seq in range(9, 4, -1):
        transaction.put(key(seq + 1), transaction.get(key(seq)))
    transaction.put(key(5), transaction.get(key(4)))


def closed_up(transaction: lmdb.Transaction) -> None:
    """One removed, and the later ones moved down."""
    for seq in range(5, 9):
        transaction.put(key(seq), transaction.get(key(seq + 1)))
    transaction.delete(key(9))


def stray(transaction: lmdb.Transaction) -> None:
    transaction.put(key(4) + b"x", b"something" * 10)


@pytest.mark.parametrize("damage", [removed, changed, swapped, inserted, closed_up, stray])
def test_the_first_bad_event_is_named(
    directory: Path, damage: Callable[[lmdb.Transaction], None]
) -> None:
    tamper(directory, damage)
    assert bad_seq(directory) == 5


def test_a_log_that_starts_late_lacks_its_first(directory: Path) -> None:
    tamper(directory, lambda transaction: transaction.delete(key(1)))
    assert bad_seq(directory) == 1


def test_an_event_of_another_log_is_found_though_its_hash_fits(directory: Path) -> None:
    with Log.open(directory) as log:
        event, _hash = log.get(9)
        previous = log.hash_at(8)
    encoded = msgspec.msgpack.encode(msgspec.structs.replace(event, log_id=bytes(16)))
    record = encoded + chain(previous, encoded)
    tamper(directory, lambda transaction: transaction.put(key(9), record))
    assert bad_seq(directory) == 9


def test_a_changed_header_is_found(directory: Path) -> None:
    def change(transaction: lmdb.Transaction) -> None:
        record = bytearray(transaction.get(headers.KEY))
        record[3] ^= 1
        transaction.put(headers.KEY, bytes(record))

    tamper(directory, change)
    with pytest.raises(CorruptError) as caught:
        Log.open(directory, write=False)
    assert caught.value.seq == 0


def test_records_cut_off_at_the_end_are_found_with_an_anchor_alone(directory: Path) -> None:
    with Log.open(directory) as log:
        anchor, earlier = log.head().hash, log.hash_at(7)
    tamper(directory, lambda transaction: transaction.delete(key(9)))
    with Log.open(directory) as log:
        assert verify(log).checked == 8
        assert verify(log, anchor=earlier).anchor == 7
        assert verify(log, anchor=earlier, start=8).anchor == 7
    assert bad_seq(directory, anchor=anchor) == 8


# -- blobs and snapshots ----------------------------------------------------------------------


@pytest.fixture
def state(tmp_path: Path) -> State:
    """A state whose third event names a blob."""
    state = State(tmp_path / "state")
    state.make()
    with state.create_log() as log:
        log.append([fact(), fact()])
        digest = state.blobs.put(b"what the build said")
        log.append([Draft(body=StepDone("build", {}, digest), actor=ACTOR)])
        log.append([fact()])
        head = log.head()
        assert state.snapshots.save("system", "1", head.seq, head.hash, b"payload")
    return state


def only_blob(state: State) -> Path:
    [digest] = state.blobs.all()
    return state.blobs.path(digest)


def bad_of(state: State) -> CorruptError:
    with state.open_log(write=False) as log, pytest.raises(CorruptError) as caught:
        verify(log, state.blobs, state.snapshots)
    return caught.value


def test_blobs_and_snapshots_are_counted(state: State) -> None:
    with state.open_log() as log:
        report = verify(log, state.blobs, state.snapshots)
    assert (report.blobs_checked, report.blobs_redacted, report.snapshots_checked) == (1, 0, 1)


def test_a_flipped_bit_in_a_blob_names_the_event(state: State) -> None:
    path = only_blob(state)
    content = bytearray(path.read_bytes())
    content[3] ^= 4
    path.write_bytes(content)
    assert bad_of(state).seq == 3


def test_a_missing_blob_names_the_event(state: State) -> None:
    only_blob(state).unlink()
    assert bad_of(state).seq == 3


def test_a_redacted_blob_is_said_and_no_damage(state: State) -> None:
    state.blobs.redact(only_blob(state).name)
    with state.open_log() as log:
        report = verify(log, state.blobs)
    assert (report.blobs_checked, report.blobs_redacted) == (0, 1)


def test_a_blob_that_no_event_names_is_checked_too(state: State) -> None:
    state.blobs.path(state.blobs.put(b"an orphan")).write_bytes(b"changed")
    assert "blob" in bad_of(state).message


def test_every_flipped_byte_of_a_snapshot_is_found(state: State) -> None:
    path = state.snapshots.path("system")
    whole = path.read_bytes()
    with state.open_log(write=False) as log:
        for at in range(len(whole)):
            content = bytearray(whole)
            content[at] ^= 1
            path.write_bytes(content)
            with pytest.raises(CorruptError):
                state.snapshots.check(log)


def test_a_bad_snapshot_is_named_with_its_event(state: State) -> None:
    path = state.snapshots.path("system")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert bad_of(state).seq == 4
