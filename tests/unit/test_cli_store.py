"""`verify`, `export`, `import` and `backup` from the command line."""

from __future__ import annotations

import json
import os
import subprocess

import msgspec
import pytest

from atomicstate.events import codec
from atomicstate.store import header as headers
from tests.support import sample_log
from tests.support.logs import key, tamper
from tests.support.program import PROGRAM, atomicstate
from tests.support.sample_log import LENGTH


@pytest.fixture
def state(tmp_path):
    sample_log.make(tmp_path / "state")
    return tmp_path / "state"


def damage(state, seq):
    """Change one bit of what an event says."""

    def change(transaction):
        record = transaction.get(key(seq))
        transaction.put(key(seq), record[:-40] + bytes([record[-40] ^ 1]) + record[-39:])

    tamper(state / "log", change)


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


def test_verify_from_a_point_answers_for_the_rest_alone(state):
    damage(state, 9)
    shown = atomicstate("--state-dir", state, "verify", "--from", "10").stdout
    assert "The log is whole." not in shown
    assert "from event 10 on" in shown


def test_verify_of_a_broken_log_does_not_send_to_verify(state):
    damage(state, 9)
    said = atomicstate("--state-dir", state, "verify").stderr
    assert "event 9" in said
    assert "backup" in said
    assert "verify" not in said


@pytest.mark.parametrize("command", [("config", "show"), ("diff", "3", "12"), ("show", "12")])
def test_what_builds_on_a_broken_chain_is_refused_and_says_where_and_what_to_do(state, command):
    damage(state, 9)
    ran = atomicstate("--state-dir", state, *command)
    assert ran.status == 12
    assert "event 9" in ran.stderr
    assert "backup" in ran.stderr


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


def without_its_fifth_event(lines):
    return [line for line in lines if '"seq":5,' not in line]


def with_two_in_each_others_place(lines):
    return [*lines[:5], lines[6], lines[5], *lines[7:]]


@pytest.mark.parametrize("change", [without_its_fifth_event, with_two_in_each_others_place])
def test_an_export_that_does_not_verify_is_named_as_such(state, tmp_path, change):
    lines = atomicstate("--state-dir", state, "export").stdout.splitlines(keepends=True)
    assert change(lines) != lines
    (tmp_path / "log.jsonl").write_text("".join(change(lines)), encoding="utf-8")
    ran = atomicstate("--state-dir", tmp_path / "new", "import", tmp_path / "log.jsonl")
    assert ran.status == 12
    assert "nothing was imported" in ran.stderr
    assert "export again" in ran.stderr
    assert "verify`" not in ran.stderr
    assert not (tmp_path / "new").exists()


def test_an_export_goes_to_a_file_system_without_hard_links(state, tmp_path):
    target = tmp_path / "log.jsonl"
    done = subprocess.run(
        [
            *("strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=link,linkat:error=EPERM"),
            *(PROGRAM, "--state-dir", state, "export", target),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["log.jsonl"]
    assert target.read_text(encoding="utf-8") == atomicstate("--state-dir", state, "export").stdout


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
