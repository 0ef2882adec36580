"""Appending and reading: real LMDB, one thread or several processes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import lmdb
import msgspec
import pytest

from atomicstate.errors import (
    ConflictError,
    CorruptError,
    LockedError,
    NotFoundError,
    TooNewError,
    ValidationError,
)
from atomicstate.events import codec
from atomicstate.events.bodies import StepSkipped
from atomicstate.events.codec import GENESIS
from atomicstate.events.event import Draft, UnknownEvent
from atomicstate.store import header as headers
from atomicstate.store.log import BATCH, Head, Log
from tests.support.logs import (
    ACTOR,
    action,
    fact,
    filled,
    key,
    run_writer,
    start_writer,
    tamper,
    texts,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with Log.create(tmp_path / "log") as log:
        yield log


def test_a_new_log_is_empty(log: Log) -> None:
    assert log.head() == Head(0, GENESIS)
    assert list(log.events()) == []
    assert len(log.log_id) == 16


def test_files_are_private(log: Log) -> None:
    assert log.directory.stat().st_mode & 0o777 == 0o700
    for file in log.directory.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600, file


def test_the_locks_have_all_their_space_from_the_start(log: Log) -> None:
    status = (log.directory / "lock.mdb").stat()
    assert 0 < status.st_size <= status.st_blocks * 512


def test_creating_twice_is_refused_and_leaves_the_first(log: Log) -> None:
    log.append([fact("kept")])
    with pytest.raises(ConflictError):
        Log.create(log.directory)
    assert texts(log) == ["kept"]


def test_what_a_killed_creator_left_is_cleaned(tmp_path: Path) -> None:
    leftover = tmp_path / ".log.new.abcdef"
    leftover.mkdir()
    (leftover / "data.mdb").write_bytes(b"half")
    Log.create(tmp_path / "log").close()
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_opening_where_there_is_none_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        Log.open(tmp_path / "log")
    assert "atomicstate init" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_process_opens_a_log_once(log: Log) -> None:
    with pytest.raises(LockedError):
        Log.open(log.directory)


def test_events_get_numbers_times_and_the_logs_id(log: Log) -> None:
    log.append([fact("one"), fact("two")], now=lambda: (5, 7))
    [(first, _), (second, second_hash)] = log.events()
    assert (first.seq, first.time, first.boottime) == (1, 5, 7)
    assert (second.seq, second.body) == (2, StepSkipped("live", "two"))
    assert second.log_id == log.log_id
    assert log.head() == Head(2, second_hash)


def test_append_returns_what_is_read_back(log: Log) -> None:
    appended = log.append([fact("a"), action("jq")])
    assert appended == [event for event, _hash in log.events()]


def test_appending_nothing_makes_no_event(log: Log) -> None:
    assert log.append([]) == []
    assert log.head().seq == 0


def test_reopening_finds_all_of_it(log: Log) -> None:
    log.append([fact("kept")])
    log_id, head = log.log_id, log.head()
    log.close()
    with Log.open(log.directory) as again:
        assert (again.log_id, again.head(), texts(again)) == (log_id, head, ["kept"])


def test_an_action_since_the_decision_is_a_conflict_and_nothing_is_recorded(log: Log) -> None:
    log.append([fact()])
    log.append([action("jq")])
    with pytest.raises(ConflictError) as caught:
        log.append([action("htop")], decided_at=1)
    assert "event 2" in caught.value.message
    assert log.head().seq == 2


def test_facts_since_the_decision_are_no_conflict(log: Log) -> None:
    log.append([action("jq")])
    log.append([fact(), fact()])
    log.append([action("htop")], decided_at=1)
    assert log.head().seq == 4


def test_a_decision_beyond_the_head_is_a_conflict(log: Log) -> None:
    with pytest.raises(ConflictError):
        log.append([action("htop")], decided_at=3)


def test_an_unknown_number_is_not_found(log: Log) -> None:
    log.append([fact()])
    for seq in (0, -1, 2, 1 << 70):
        with pytest.raises(NotFoundError):
            log.get(seq)


@pytest.mark.parametrize("count", [1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH + 5])
def test_ranges_are_those_of_python(tmp_path: Path, count: int) -> None:
    with filled(tmp_path / "log", count) as log:
        numbers = list(range(1, count + 1))
        assert [e.seq for e, _ in log.events()] == numbers
        assert [e.seq for e, _ in log.events(reverse=True)] == numbers[::-1]
        assert [e.seq for e, _ in log.events(3, count)] == numbers[2 : count - 1]
        assert [e.seq for e, _ in log.events(3, count, reverse=True)] == numbers[2 : count - 1][
            ::-1
        ]
        assert len(list(log.records(2))) == count - 1


def test_a_reader_holds_no_transaction_between_batches(tmp_path: Path) -> None:
    with filled(tmp_path / "log", 3 * BATCH) as log:
        reading = log.events()
        next(reading)
        # No slot holds a snapshot (a dash for its number): a writer can reuse all pages.
        _title, *slots = log._environment._environment.readers().splitlines()
        assert {slot.split()[-1] for slot in slots} <= {"-"}
        with log._environment.begin():
            _title, *slots = log._environment._environment.readers().splitlines()
            assert [slot.split()[-1].isdecimal() for slot in slots] == [True]
        log.append([fact("late")])
        assert sum(1 for _ in reading) == 3 * BATCH - 1


def test_the_map_grows_by_itself(tmp_path: Path) -> None:
    with Log.create(tmp_path / "log", map_size=1 << 20) as log:
        log.append([fact("x" * 1000)] * 100)
        for _ in range(3):
            log.append([fact("x" * 1000)] * 1000)
        assert log.head().seq == 3100


def test_a_map_that_another_process_let_grow_is_taken_over(tmp_path: Path) -> None:
    with Log.create(tmp_path / "log", map_size=1 << 20) as log:
        run_writer(log.directory, "log.append([fact('x' * 1000)] * 3000)")
        assert log.head().seq == 3000
        log.append([fact("mine")])
        assert log.get(3001)[0].body.reason == "mine"


def test_eight_writers_lose_nothing(log: Log) -> None:
    code = "for n in range(25): log.append([fact(f'{sys.argv[2][-1]} {n}'), fact('second')])#"
    writers = [start_writer(log.directory, f"{code}{n}") for n in range(8)]
    for writer in writers:
        _out, said = writer.communicate(timeout=120)
        assert writer.returncode == 0, said.decode()
    written = texts(log)
    assert len(written) == 8 * 25 * 2
    assert set(written[1::2]) == {"second"}  # commits don't mix
    for n in range(8):
        mine = [text for text in written[::2] if text.startswith(f"{n} ")]
        assert mine == [f"{n} {i}" for i in range(25)]


def test_a_child_of_a_fork_goes_on_with_its_own(log: Log) -> None:
    log.append([fact("parent")])
    child = os.fork()
    if not child:
        try:
            log.append([fact("child")])
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    log.append([fact("parent again")])
    assert texts(log) == ["parent", "child", "parent again"]


def test_a_text_that_cant_be_encoded_is_refused(log: Log) -> None:
    with pytest.raises(ValidationError):
        log.append([fact("fine"), fact("\udcff")])
    assert log.head().seq == 0
    log.append([fact("next")])


def test_a_body_with_a_wrong_type_is_refused(log: Log) -> None:
    with pytest.raises(ValidationError):
        log.append([Draft(body=StepSkipped("live", None), actor=ACTOR)])  # type: ignore[arg-type]
    assert log.head().seq == 0


def test_the_header_names_the_kinds_in_use(log: Log) -> None:
    log.append([fact()])
    log.append([action("jq"), fact()])
    log.close()
    with Log.open(log.directory, write=False) as again:
        assert again.header.kinds == ("package.added", "step.skipped")


def put_unknown(log: Log, seq: int) -> None:
    """What a newer version would have done: its kind is in the header and in an event."""
    event, _hash = log.get(seq - 1)
    fields = [getattr(event, name) for name in event.__struct_fields__]
    fields[0], fields[1] = seq, ["weather.changed", "rain", 3]
    encoded = msgspec.msgpack.encode(fields)
    record = encoded + codec.chain(log.hash_at(seq - 1), encoded)
    header = log.header.with_kinds({"weather.changed"}).record
    log.close()

    def change(transaction: lmdb.Transaction) -> None:
        transaction.put(headers.KEY, header)
        transaction.put(key(seq), record, append=True)

    tamper(log.directory, change)


def test_an_unknown_kind_can_be_read_and_refuses_writing(log: Log) -> None:
    log.append([fact("known")])
    put_unknown(log, 2)
    with pytest.raises(TooNewError) as caught:
        Log.open(log.directory)
    assert "weather.changed" in caught.value.message
    with Log.open(log.directory, write=False) as again:
        event = list(again.events(check=True))[1][0]
        assert isinstance(event, UnknownEvent)
        assert event.kind == "weather.changed"


def test_a_newer_version_that_wrote_meanwhile_is_noticed(log: Log) -> None:
    log.append([fact("known")])
    header = log.header.with_kinds({"weather.changed"}).record
    code = (
        "with log._environment.begin(write=True) as t: "
        f"t.put(bytes(8), bytes.fromhex('{header.hex()}'))"
    )
    run_writer(log.directory, code)
    with pytest.raises(TooNewError):
        log.append([fact("late")])
    assert log.head().seq == 1


def test_a_newer_format_refuses_writing(log: Log) -> None:
    log.append([fact("known")])
    header = msgspec.structs.replace(log.header, format=codec.FORMAT + 1).record
    log.close()
    tamper(log.directory, lambda transaction: transaction.put(headers.KEY, header))
    with pytest.raises(TooNewError):
        Log.open(log.directory)
    with Log.open(log.directory, write=False) as again:
        assert texts(again) == ["known"]


def test_nothing_is_appended_to_a_broken_head(log: Log) -> None:
    log.append([fact("one"), fact("two")])
    record = bytearray(log.record(2))
    log.close()
    record[20] ^= 1
    tamper(log.directory, lambda transaction: transaction.put(key(2), bytes(record)))
    with Log.open(log.directory) as again, pytest.raises(CorruptError) as caught:
        again.append([fact("three")])
    assert caught.value.seq == 2


def test_reading_names_the_gap(tmp_path: Path) -> None:
    filled(tmp_path / "log", 600).close()
    tamper(tmp_path / "log", lambda transaction: transaction.delete(key(400)))
    with Log.open(tmp_path / "log", write=False) as log:
        for reading in (log.events(), log.events(reverse=True), log.records()):
            with pytest.raises(CorruptError) as caught:
                list(reading)
            assert caught.value.seq == 400


def test_a_record_under_anothers_number_is_found(tmp_path: Path) -> None:
    log = filled(tmp_path / "log", 3)
    record = log.record(1)
    log.close()
    tamper(tmp_path / "log", lambda transaction: transaction.put(key(2), record))
    with Log.open(tmp_path / "log", write=False) as log, pytest.raises(CorruptError) as caught:
        list(log.events())
    assert caught.value.seq == 2


def test_checked_reading_finds_a_changed_record(tmp_path: Path) -> None:
    log = filled(tmp_path / "log", 5)
    record = log.record(3).replace(b"number 3", b"number 4")
    log.close()
    tamper(tmp_path / "log", lambda transaction: transaction.put(key(3), record))
    with Log.open(tmp_path / "log", write=False) as log:
        assert len(list(log.events())) == 5
        with pytest.raises(CorruptError) as caught:
            list(log.events(check=True))
        assert caught.value.seq == 3


def test_a_killed_readers_slot_is_cleaned_at_the_next_opening(log: Log) -> None:
    code = "t = log._environment.begin(); import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    process = start_writer(log.directory, code)
    process.communicate(timeout=60)
    log.close()
    with Log.open(log.directory) as again:
        assert "no active readers" in again._environment._environment.readers().lower()
