"""`verify`, `export`, `import` and `backup` from the command line."""

from __future__ import annotations

import json
import os

import msgspec
import pytest

from atomicstate.events import codec
from atomicstate.store import header as headers
from tests.support import sample_log
from tests.support.logs import tamper
from tests.support.program import atomicstate
from tests.support.sample_log import LENGTH


@pytest.fixture
def state(tmp_path):
    sample_log.make(tmp_path / "state")
    return tmp_path / "state"


def head_of(state):
    return atomicstate("--state-dir", state, "verify", "-f", "json").data["head"]


def test_verify_says_what_it_checked(state):
    data = atomicstate("--state-dir", state, "verify", "-f", "json").data
    assert (data["checked"], data["first"], data["last"]) == (LENGTH, 1, LENGTH)
    assert data["head"]["seq"] == LENGTH
    assert "The log is whole." in atomicstate("--state-dir", state, "verify").stdout


@pytest.mark.parametrize("start", ["15", "HEAD~3", "2025-06-15T15:06:55Z"])
def test_verify_from_a_point(start, state):
    data = atomicstate("--state-dir", state, "verify", "--from", start, "-f", "json").data
    assert (data["first"], data["last"]) == (15, LENGTH)


@pytest.mark.parametrize("start", ["19", "HEAD~18", "2030-01-01"])
def test_verify_from_nowhere_is_not_found(start, state):
    ran = atomicstate("--state-dir", state, "verify", "--from", start, "-f", "json")
    assert (ran.status, ran.code) == (3, "NOT_FOUND")


def test_verify_finds_a_head_that_was_noted(state):
    noted = head_of(state)["hash"]
    ran = atomicstate("--state-dir", state, "verify", "--anchor", noted, "-f", "json")
    assert ran.data["anchor"] == LENGTH


def test_verify_misses_a_head_that_is_not_there(state):
    ran = atomicstate("--state-dir", state, "verify", "--anchor", "ab" * 32, "-f", "json")
    assert (ran.status, ran.code) == (12, "CORRUPT")


def test_an_export_makes_the_same_log(state, tmp_path):
    exported = atomicstate("--state-dir", state, "export").stdout
    (tmp_path / "log.jsonl").write_text(exported, encoding="utf-8")
    other = tmp_path / "other"
    ran = atomicstate("--state-dir", other, "import", tmp_path / "log.jsonl", "-f", "json")
    assert ran.data["head"] == head_of(state) == head_of(other)


def test_an_export_to_a_file_is_the_same_as_to_standard_output(state, tmp_path):
    ran = atomicstate("--state-dir", state, "export", tmp_path / "log.jsonl", "-f", "json")
    assert ran.data["head"] == head_of(state)
    exported = atomicstate("--state-dir", state, "export").stdout
    assert (tmp_path / "log.jsonl").read_text(encoding="utf-8") == exported


def test_an_export_as_json_has_the_same_lines(state):
    lines = atomicstate("--state-dir", state, "export", "-f", "json").data["lines"]
    exported = atomicstate("--state-dir", state, "export").stdout
    assert lines == [json.loads(line) for line in exported.splitlines()]


def test_an_import_over_a_log_is_refused(state, tmp_path):
    atomicstate("--state-dir", state, "export", tmp_path / "log.jsonl")
    ran = atomicstate("--state-dir", state, "import", tmp_path / "log.jsonl", "-f", "json")
    assert (ran.status, ran.code) == (14, "CONFLICT")


def test_an_import_of_something_else_leaves_nothing(tmp_path):
    (tmp_path / "log.jsonl").write_text("hello\n", encoding="utf-8")
    ran = atomicstate("--state-dir", tmp_path / "s", "import", tmp_path / "log.jsonl")
    assert ran.status == 2
    assert not (tmp_path / "s").exists()


def test_a_backup_is_a_log(state, tmp_path):
    ran = atomicstate("--state-dir", state, "backup", tmp_path / "copy", "-f", "json")
    assert ran.data["head"] == head_of(state) == head_of(tmp_path / "copy")


COMMANDS = (("log",), ("verify",), ("verify", "--from", "3"), ("export",))


def refused(state):
    """The exit statuses and codes of what only reads, the log being as it was after all of them."""
    data = state / "log" / "data.mdb"
    content = data.read_bytes()
    for command in COMMANDS:
        ran = atomicstate("--state-dir", state, *command, "-f", "json")
        yield ran.status, ran.code
    assert data.read_bytes() == content


def zeroed(state):
    with (state / "log" / "data.mdb").open("r+b") as file:
        file.write(bytes(4096))


def cut(state):
    os.truncate(state / "log" / "data.mdb", 9000)


@pytest.mark.parametrize("damage", [zeroed, cut])
def test_a_damaged_file_is_corrupt_to_every_command(state, damage):
    damage(state)
    assert set(refused(state)) == {(12, "CORRUPT")}


def test_a_format_of_which_nothing_is_known_is_too_new_to_every_command(state):
    encoded = msgspec.msgpack.encode([headers.MAGIC, codec.FORMAT + 1, "another header"])
    record = encoded + codec.chain(codec.GENESIS, encoded)
    tamper(state / "log", lambda transaction: transaction.put(headers.KEY, record))
    assert set(refused(state)) == {(13, "TOO_NEW")}
