"""Every event there can be survives its encoding, and no flipped byte goes unseen."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgpack
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atomicstate.errors import CorruptError
from atomicstate.events import codec
from atomicstate.events.asjson import as_json, kind
from atomicstate.events.bodies import ALL, Body, kind_of
from atomicstate.events.event import Event
from atomicstate.store.log import Log
from atomicstate.store.verify import verify
from tests.support.logs import filled, key, tamper
from tests.support.strategies import DRAFTS, EVENTS, of_struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HASH = bytes(codec.HASH_SIZE)


@pytest.mark.parametrize("of", ALL, ids=kind_of)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_every_kind_survives_its_encoding(of: type[Body], data: st.DataObject) -> None:
    event = msgspec.structs.replace(data.draw(EVENTS), body=data.draw(of_struct(of)))
    encoded = codec.encode(event)
    assert codec.decode(encoded + HASH) == event
    assert codec.encode(codec.decode(encoded + HASH)) == encoded
    assert kind(event) == kind_of(of)


@settings(max_examples=100, deadline=None)
@given(event=EVENTS)
def test_another_reader_sees_the_same_fields(event: Event) -> None:
    fields = msgpack.unpackb(codec.encode(event))
    assert fields[0] == event.seq
    assert fields[1][0] == kind_of(event.body)
    assert fields[9] == event.log_id


@settings(max_examples=60, deadline=None)
@given(event=EVENTS.filter(lambda event: 0 <= event.time < 1 << 61))
def test_every_event_can_be_shown_as_json(event: Event) -> None:
    shown = msgspec.json.decode(msgspec.json.encode(as_json(event, HASH)))
    assert set(shown["data"]) == set(event.body.__struct_fields__)


SETTINGS = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.data_too_large]
)


@SETTINGS
@given(drafts=st.lists(DRAFTS, min_size=1, max_size=12))
def test_every_prefix_of_a_log_is_a_valid_log(drafts: list) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch) / "log"
        with Log.create(directory) as log:
            log.append(drafts)
            records = list(log.records())
        for length in range(len(records), -1, -1):
            if length < len(records):
                tamper(directory, lambda t, last=length + 1: t.delete(key(last)))
            with Log.open(directory, write=False) as log:
                assert len(list(log.events(check=True))) == length
                assert log.head().seq == length


@pytest.fixture(scope="module")
def unprobed() -> Iterator[None]:
    """Without the child that reads every page first: the records lie on whole pages here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("atomicstate.store.datafile.check_pages", lambda *_args, **_options: None)
        patch.setattr("atomicstate.store.log.Log.apart", lambda _log, work: work())
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("unprobed")
@settings(SETTINGS, max_examples=10)
@given(drafts=st.lists(DRAFTS, min_size=1, max_size=3), flip=st.integers(1, 255))
def test_every_flipped_byte_of_every_record_is_found_and_named(drafts: list, flip: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch) / "log"
        with Log.create(directory) as log:
            log.append(drafts)
            records = list(log.records())
        for seq, record in enumerate(records, 1):
            for at in range(len(record)):
                put(directory, seq, flipped(record, at, flip))
                with Log.open(directory, write=False) as log:
                    assert named_by(verify, log) == seq, at
                    assert named_by(lambda log: list(log.events(check=True)), log) == seq, at
            put(directory, seq, record)


@pytest.mark.usefixtures("unprobed")
def test_every_flipped_byte_of_the_header_is_found_at_opening(tmp_path: Path) -> None:
    directory = tmp_path / "log"
    filled(directory, 1).close()
    whole: list[bytes] = []
    tamper(directory, lambda transaction: whole.append(transaction.get(key(0))))
    for at in range(len(whole[0])):
        put(directory, 0, flipped(whole[0], at, 0x20))
        assert named_by(partial(Log.open, write=False), directory) == 0, at


def put(directory: Path, seq: int, record: bytes) -> None:
    """Put `record` in the place of another, behind the store's back."""
    tamper(directory, lambda transaction: transaction.put(key(seq), record))


def flipped(record: bytes, at: int, flip: int) -> bytes:
    """`record` with other bits in the byte `at`."""
    return record[:at] + bytes([record[at] ^ flip]) + record[at + 1 :]


Of = TypeVar("Of")


def named_by(read: Callable[[Of], object], of: Of) -> int | None:
    """The number of the event that `read` calls bad."""
    with pytest.raises(CorruptError) as caught:
        read(of)
    return caught.value.seq
