"""What the documents say of the log is so: the format's document, and the schema of its output."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from atomicstate.events.bodies import ALL, kind_of
from atomicstate.store.blobs import digest_of
from atomicstate.store.state import State
from atomicstate.store.verify import verify
from tests.support import every_kind, independent_reader
from tests.support.logs import key, tamper
from tests.support.program import atomicstate
from tools import format_tables, schemas

if TYPE_CHECKING:
    from collections.abc import Iterator

READER = Path(independent_reader.__file__)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    """A log with every kind of event, for reading alone."""
    state = State(tmp_path_factory.mktemp("format") / "state")
    every_kind.make(state)
    return state


def shown(state: State, *words: str) -> list[dict[str, Any]]:
    ran = atomicstate("--state-dir", state.directory, *words)
    assert ran.status == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


def read_apart(state: State) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", READER, state.directory, format_tables.TARGET],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# -- the format's document -------------------------------------------------------------------


def test_the_tables_are_up_to_date():
    text = format_tables.TARGET.read_text(encoding="utf-8")
    assert text == format_tables.document(text), "run `./dev docs`"


def test_a_reader_made_from_the_document_alone_reads_what_log_shows(state: State):
    ran = read_apart(state)
    assert ran.returncode == 0, ran.stderr
    events = shown(state, "log", "-f", "jsonl")
    assert {event["kind"] for event in events} == {kind_of(body) for body in ALL}
    for event in events:
        event.pop("clock_went_back")
    assert [json.loads(line) for line in ran.stdout.splitlines()] == events


def test_that_reader_sees_a_changed_record(tmp_path: Path):
    state = State(tmp_path / "state")
    every_kind.make(state)

    def change(transaction: Any) -> None:
        record = bytearray(transaction.get(key(3)))
        record[20] ^= 1
        transaction.put(key(3), bytes(record))

    tamper(state.log_directory, change)
    assert "AssertionError: 3" in read_apart(state).stderr


def test_that_reader_sees_a_changed_blob(tmp_path: Path):
    state = State(tmp_path / "state")
    every_kind.make(state)
    state.blobs.path(next(state.blobs.all())).write_bytes(b"something else")
    assert read_apart(state).returncode == 1


def test_that_reader_sees_that_a_file_of_a_manifest_is_gone(tmp_path: Path):
    state = State(tmp_path / "state")
    every_kind.make(state)
    state.blobs.path(digest_of(b"a file")).unlink()
    assert f"AssertionError: {{'{digest_of(b'a file')}'}}" in read_apart(state).stderr


def test_the_log_of_every_kind_is_whole(state: State):
    with state.open_log(write=False) as log:
        assert verify(log, state.blobs).checked == 2 * len(ALL)


# -- the schema ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    schema = json.loads(schemas.TARGET.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema


def validator(schema: dict[str, Any], *names: str) -> jsonschema.Draft202012Validator:
    """Of a `$defs` member each, or of the whole."""
    top = {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in names]} if names else schema
    return jsonschema.Draft202012Validator({**top, "$defs": schema["$defs"]})


def test_the_schema_is_up_to_date(schema: dict[str, Any]):
    assert schema == schemas.schema(), "run `./dev docs`"


def test_every_event_that_log_shows_fits_the_schema_of_its_kind(
    state: State, schema: dict[str, Any]
):
    whole = validator(schema)
    for event in shown(state, "log", "-f", "jsonl"):
        whole.validate(event)
        validator(schema, event["kind"]).validate(event)


def test_every_line_of_an_export_fits_the_schema(state: State, schema: dict[str, Any]):
    opening, *lines = shown(state, "export", "--blobs")
    validator(schema, "ExportOpening").validate(opening)
    redacted = [line for line in lines if "redacted" in line]
    blobs = [line for line in lines if "blob" in line]
    # What a tool printed, a manifest, and the file that it lists.
    assert (len(redacted), len(blobs)) == (1, 3)
    validator(schema, "ExportRedacted").validate(redacted[0])
    for blob in blobs:
        validator(schema, "ExportBlob").validate(blob)
    events = lines[4:]
    assert all("record" in event for event in events)
    for event in events:
        validator(schema).validate(event)


def spoiled(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The event with one thing each that is not as it should be."""
    for name in ("seq", "time", "actor", "kind", "data", "hash", "log_id"):
        without = copy.deepcopy(event)
        del without[name]
        yield without
    for name, value in (
        ("seq", 0),
        ("time", "2026-11-24 13:00:00"),
        ("hash", event["hash"].upper() + "F"),
        ("data", list(event["data"].values())),
        ("kind", "no.such.kind"),
    ):
        yield {**event, name: value}
    for name in event["data"]:
        yield {**event, "data": {**event["data"], name: 1.5}}


def test_what_log_would_never_show_does_not_fit(state: State, schema: dict[str, Any]):
    whole = validator(schema)
    # One of each kind: the one that has every field.
    for event in shown(state, "log", "-f", "jsonl")[::2]:
        assert [bad for bad in spoiled(event) if whole.is_valid(bad)] == []


def test_an_event_of_a_newer_kind_fits_as_an_unknown_one(state: State, schema: dict[str, Any]):
    event = shown(state, "log", "-f", "jsonl", "-n", "1")[0]
    newer = {**event, "kind": "tomorrow.invented", "data": {"fields": ["one", 2, None]}}
    validator(schema).validate(newer)
