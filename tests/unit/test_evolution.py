"""Logs of other versions: bodies with fewer fields or more, kinds that were replaced, exports."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from atomicstate.cli.query import query_of
from atomicstate.errors import CorruptError, TooNewError
from atomicstate.events import codec, upcasters
from atomicstate.events.bodies import Body, PackageAdded, StepDone, StepSkipped
from atomicstate.events.event import Draft, Event, UnknownEvent
from atomicstate.projectors.fold import fold
from atomicstate.projectors.system import System
from atomicstate.store import header as headers
from atomicstate.store import transfer
from atomicstate.store.log import write_whole
from atomicstate.store.search import search
from atomicstate.store.state import State
from atomicstate.store.verify import verify
from tests.support.logs import ACTOR, BOOT, action

if TYPE_CHECKING:
    from pathlib import Path

LOG_ID = bytes(range(16))
OLD = "package.wished"


def written(state: State, *arrays: list[Any]) -> State:
    """A log with these bodies, as arrays: whatever version may have written them."""
    records, previous = [], codec.GENESIS
    for seq, body in enumerate(arrays, 1):
        event = Event(seq, msgspec.Raw(), "", seq, seq, ACTOR, BOOT, 0, "", LOG_ID)
        fields = [getattr(event, name) for name in event.__struct_fields__]
        fields[1] = body
        encoded = msgspec.msgpack.encode(fields)
        previous = codec.chain(previous, encoded)
        records.append(encoded + previous)
    names = tuple(sorted({body[0] for body in arrays}))
    state.make()
    state.log_directory.mkdir(mode=0o700)
    header = headers.Header(headers.MAGIC, codec.FORMAT, LOG_ID, 0, names)
    write_whole(state.log_directory, header, records)
    return state


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state")


def bodies_of(state: State) -> list[Any]:
    with state.open_log(write=False) as log:
        return [event.body for event, _hash in log.events(check=True)]


# -- fields ----------------------------------------------------------------------------------


def test_fields_that_were_not_there_yet_have_their_default(state: State):
    written(state, ["package.added", ["jq"], False], ["step.done", "live"])
    assert bodies_of(state) == [PackageAdded(("jq",), False), StepDone("live")]


def test_fields_that_came_later_are_passed_over(state: State):
    written(state, ["step.skipped", "live", "no need", "a field of tomorrow", 7])
    assert bodies_of(state) == [StepSkipped("live", "no need")]
    with state.open_log() as log:
        log.append([action("jq")])
        assert verify(log).checked == 2


# -- kinds that were replaced ----------------------------------------------------------------


@pytest.fixture
def upcaster(monkeypatch: pytest.MonkeyPatch) -> None:
    """`package.wished NAME LIVE`, one name each, as if an older version had had it."""

    def upcast(fields: list[Any]) -> Body:
        name, live = fields
        return PackageAdded((name,), bool(live))

    monkeypatch.setitem(upcasters.UPCASTERS, OLD, upcast)  # type: ignore[arg-type]


@pytest.fixture
def old(state: State, upcaster: None) -> State:
    first = ["system.initialized", "ostree", "b:1", "sha256:ab", "amd64", "deb", "", ""]
    return written(
        state, first, [OLD, "jq", 1], ["package.added", ["vim"], False], [OLD, "htop", 0]
    )


def test_an_old_body_is_read_as_todays(old: State):
    assert bodies_of(old)[1:] == [
        PackageAdded(("jq",), True),
        PackageAdded(("vim",), False),
        PackageAdded(("htop",), False),
    ]


def test_an_old_body_is_folded_as_todays(old: State):
    system = System()
    with old.open_log(write=False) as log:
        fold(system, log.records(), check_from=codec.GENESIS)
    assert [system.actions[seq].names for seq in sorted(system.wanted)] == [
        ("jq",),
        ("vim",),
        ("htop",),
    ]


def test_the_record_stays_as_it_was_and_verifies(old: State):
    with old.open_log(write=False) as log:
        assert OLD.encode() in log.record(2)
        report = verify(log)
    assert (report.checked, report.unknown) == (4, 0)


def test_a_log_with_the_old_kind_alone_verifies(state: State, upcaster: None):
    written(state, [OLD, "jq", 1])
    with state.open_log(write=False) as log:
        assert verify(log).checked == 1


def test_a_log_with_an_old_kind_is_written_on(old: State):
    with old.open_log() as log:
        log.append([Draft(body=StepSkipped("live", ""), actor=ACTOR)])
        assert OLD in log.header.kinds
        assert verify(log).checked == 5


def test_its_export_is_imported(old: State, tmp_path: Path):
    out = io.BytesIO()
    head = transfer.export(old, out)
    other = State(tmp_path / "other")
    assert transfer.import_stream(other, io.BytesIO(out.getvalue())) == head
    assert bodies_of(other) == bodies_of(old)


@pytest.mark.parametrize("fields", [["jq", 1, "too much"], ["jq"], []])
def test_an_old_body_that_is_no_such_body_is_damage(
    state: State, upcaster: None, fields: list[Any]
):
    written(state, [OLD, *fields])
    with state.open_log(write=False) as log:
        with pytest.raises(CorruptError) as caught:
            list(log.events())
        assert caught.value.seq == 1
        with pytest.raises(CorruptError):
            fold(System(), log.records())


def test_a_search_for_todays_kind_finds_the_old_one(old: State):
    with old.open_log(write=False) as log:
        query = query_of(
            log,
            old.blobs.directory,
            kinds=("package.added",),
            txn=None,
            actor=None,
            package=None,
            grep=None,
        )
        assert [found.event.seq for found in search(log, query, 1, 5)] == [2, 3, 4]


# -- exports of other versions ---------------------------------------------------------------


def exported(state: State) -> list[dict[str, Any]]:
    out = io.BytesIO()
    transfer.export(state, out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def imported(lines: list[dict[str, Any]], directory: Path) -> State:
    other = State(directory)
    content = "".join(json.dumps(line) + "\n" for line in lines)
    transfer.import_stream(other, io.BytesIO(content.encode()))
    return other


def test_an_export_from_before_a_field_came_is_imported(state: State, tmp_path: Path):
    lines = exported(written(state, ["package.added", ["jq"], False]))
    for name in ("in_base", "plan", "plan_blob"):
        del lines[1]["data"][name]
    assert bodies_of(imported(lines, tmp_path / "b")) == [PackageAdded(("jq",), False)]


def test_an_export_that_shows_a_field_of_tomorrow_is_imported(state: State, tmp_path: Path):
    lines = exported(written(state, ["step.skipped", "live", "no need", "tomorrow's"]))
    lines[1]["data"]["colour"] = "tomorrow's"
    assert bodies_of(imported(lines, tmp_path / "b")) == [StepSkipped("live", "no need")]


def test_an_export_that_shows_a_kind_of_tomorrow_is_imported(state: State, tmp_path: Path):
    lines = exported(written(state, ["tomorrow.invented", "x"]))
    lines[1]["data"] = {"colour": "x"}
    other = imported(lines, tmp_path / "b")
    with other.open_log(write=False) as log:
        assert isinstance(log.get(1)[0], UnknownEvent)
    with pytest.raises(TooNewError):
        other.open_log()


def test_an_export_from_before_a_kind_was_replaced_is_imported(old: State, tmp_path: Path):
    lines = exported(old)
    lines[2] |= {"kind": OLD, "data": {"name": "jq", "live": 1}}
    assert bodies_of(imported(lines, tmp_path / "b")) == bodies_of(old)


@pytest.mark.parametrize(
    "change", [{"kind": "package.removed"}, {"seq": 2}, {"hash": "0" * 64}, {"cause": 3}]
)
def test_a_line_that_contradicts_its_record_is_refused(
    state: State, tmp_path: Path, change: dict[str, Any]
):
    lines = exported(written(state, ["package.added", ["jq"], False]))
    with pytest.raises(CorruptError, match="differ"):
        imported([lines[0], {**lines[1], **change}], tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_line_without_a_number_is_refused(state: State, tmp_path: Path):
    lines = exported(written(state, ["package.added", ["jq"], False]))
    with pytest.raises(CorruptError, match="differ"):
        imported([lines[0], {"record": lines[1]["record"]}], tmp_path / "b")
