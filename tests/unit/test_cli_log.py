"""`log` over a small log that tells a whole story."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

from atomicstate.cli.main import main
from atomicstate.events.bodies import StepSkipped
from atomicstate.events.event import Draft
from atomicstate.store.log import Log
from benchmarks import mix
from tests.support import sample_log
from tests.support.program import PROGRAM
from tests.support.sample_log import APPLY, BEGIN, LENGTH, LIVE, SECOND


@pytest.fixture
def state(tmp_path):
    sample_log.make(tmp_path)
    return tmp_path


@pytest.fixture
def seqs(state, capsys):
    """The numbers of the events that `log OPTIONS` shows."""

    def run(*options):
        assert main(["--state-dir", str(state), "log", "-f", "json", *options]) == 0
        return [event["seq"] for event in json.loads(capsys.readouterr().out)["data"]["events"]]

    return run


def test_json_shows_every_event_oldest_first(seqs):
    assert seqs() == list(range(1, LENGTH + 1))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--kind", "package.added"], [5]),
        (["--kind", "package"], [5, 12]),
        (["--kind", "package", "--kind", "host.booted"], [5, 11, 12]),
        (["--txn", LIVE], [2, 3, 4, 5]),
        (["--txn", APPLY[:8], "--kind", "package"], [5]),
        (["--actor", "eve"], [6, 7, 8, 9, 10]),
        (["--actor", "1001"], [6, 7, 8, 9, 10]),
        (["--package", "jq"], [2, 5]),
        (["--package", "libjq1"], [2, 5]),
        (["--package", "libjq1:amd64"], [2, 5]),
        (["--package", "nan"], []),
        (["--grep", "no such package"], [15]),
        (["--grep", "^CONT"], [15, 18]),
        (["--grep", "package.added"], [2, 5]),
        (["--grep", r"\Aeve\Z", "-n", "1"], [10]),
        (["--grep", "(?i)NO SUCH"], [15]),
        (["-n", "2"], [17, 18]),
        (["-n", "99"], list(range(1, 19))),
        (["-n", "2", "--kind", "step.done"], [4, 8]),
        (["-n", "1", "--kind", "step.done", "--reverse"], [8]),
        (["--reverse", "-n", "3"], [18, 17, 16]),
        (["--reverse", "--kind", "package"], [12, 5]),
        (["--actor", "eve", "--kind", "step.started"], [7]),
    ],
)
def test_filters(options, expected, seqs):
    assert seqs(*options) == expected


def test_since_and_until_count_an_event_whose_clock_went_back_where_it_stands(seqs):
    since, until = (f"2025-06-15T15:06:{40 + seq}Z" for seq in (11, 14))
    assert BEGIN // SECOND == 1_750_000_000  # 2025-06-15T15:06:40Z
    assert seqs("--since", since, "--until", until) == [11, 12, 13]


def test_since_after_the_last_event_shows_nothing(seqs):
    assert seqs("--since", "2030-01-01") == []


def test_the_event_whose_clock_went_back_is_marked(state, capsys):
    assert main(["--state-dir", str(state), "log", "-f", "json"]) == 0
    events = json.loads(capsys.readouterr().out)["data"]["events"]
    assert [event["seq"] for event in events if event["clock_went_back"]] == [12]
    main(["--state-dir", str(state), "log", "--kind", "package.removed"])
    assert "the clock went back" in capsys.readouterr().out


def test_an_event_has_its_contract_keys(state, capsys):
    main(["--state-dir", str(state), "log", "-f", "json", "--kind", "package.added"])
    [event] = json.loads(capsys.readouterr().out)["data"]["events"]
    assert event["time"] == "2025-06-15T15:06:45.000000000Z"
    assert (event["seq"], event["txn"], event["kind"]) == (5, LIVE, "package.added")
    assert event["data"]["names"] == ["jq"]
    assert event["actor"]["user"] == "root"
    assert len(event["hash"]) == 64


def test_jsonl_is_one_event_a_line(state, capsys):
    main(["--state-dir", str(state), "log", "-f", "jsonl"])
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == list(range(1, LENGTH + 1))


def test_text_is_one_line_an_event(state, capsys):
    main(["--state-dir", str(state), "log"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == LENGTH
    assert lines[4].split()[3:] == ["package.added", "root", "jq", "and", "1", "more"]


def test_that_nothing_was_found_is_said_beside_the_answer(state, capsys):
    assert main(["--state-dir", str(state), "log", "--package", "nan"]) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "no event" in shown.err
    assert main(["--state-dir", str(state), "log", "--package", "nan", "-f", "jsonl"]) == 0
    assert capsys.readouterr() == ("", "")


def test_verbose_text_shows_every_package_of_a_plan(state, capsys):
    main(["--state-dir", str(state), "log", "-v", "--kind", "package.added"])
    printed = capsys.readouterr().out
    assert "install libjq1 1.6-2.1 amd64" in printed
    assert f"transaction {LIVE}" in printed


@pytest.mark.parametrize(
    "options",
    [
        ["--since", "tomorow"],
        ["--until", "99 fortnights ago"],
        ["--since", "999999999 weeks ago"],
        ["--kind", "package.add"],
        ["--txn", "zz"],
        ["--grep", "("],
        ["--follow", "-n", "0"],
        ["--grep", "[[:alpha:]]"],
        ["--follow", "--reverse"],
        ["--follow", "--until", "2030-01-01"],
    ],
    ids=" ".join,
)
def test_what_cant_be_meant_is_a_validation_error(options, state, capsys):
    assert main(["--state-dir", str(state), "log", *options]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_follow_has_no_end_so_it_cant_be_one_json_document(state, capsys):
    assert main(["--state-dir", str(state), "log", "--follow", "-f", "json"]) == 2
    assert "jsonl" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_a_broken_event_ends_the_list_and_is_named_in_the_same_envelope(state, capsys):
    _damage(state, 9)
    assert main(["--state-dir", str(state), "log", "-f", "json"]) == 12
    answer = json.loads(capsys.readouterr().out)
    assert [event["seq"] for event in answer["data"]["events"]] == list(range(1, 9))
    assert answer["error"]["errorCode"] == "CORRUPT"
    assert "event 9" in answer["error"]["message"]


def test_what_lies_before_a_missing_event_is_shown(state, capsys):
    _remove(state, 9)
    assert main(["--state-dir", str(state), "log", "-f", "json"]) == 12
    answer = json.loads(capsys.readouterr().out)
    assert [event["seq"] for event in answer["data"]["events"]] == list(range(1, 9))
    assert "event 9 is missing" in answer["error"]["message"]


def test_a_search_backward_in_windows_finds_the_same_as_forward(state, seqs, monkeypatch):
    monkeypatch.setattr("atomicstate.store.search.WINDOW", 4)
    assert seqs("--kind", "step.started", "--reverse") == [14, 7, 3]
    assert seqs("--kind", "step.started", "-n", "2") == [7, 14]


def test_colour_and_width_are_for_a_terminal_alone(state):
    shown = _shown_on_a_terminal(state, {})
    assert b"\x1b[" in shown
    lines = [_without_colour(line) for line in shown.splitlines()]
    assert max(map(len, lines)) <= 60
    assert b"\x1b[" not in _shown_on_a_terminal(state, {"NO_COLOR": "1"})


def test_a_reader_that_leaves_early_is_no_error(state):
    with Log.open(state / "log") as log:
        log.append([_skipped("x" * 500)] * 1000)
    argv = [PROGRAM, "--state-dir", state, "log", "-f", "jsonl"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert json.loads(process.stdout.readline())["seq"] == 1
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_follow_shows_what_is_appended_and_ends_when_it_is_told_to(state, number, status):
    argv = [PROGRAM, "--state-dir", state, "log", "-n", "1", "-f", "jsonl", "--follow"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert json.loads(_line(process))["seq"] == LENGTH
            with Log.open(state / "log") as log:
                log.append([_skipped("more")])
            assert json.loads(_line(process))["data"]["reason"] == "more"
            process.send_signal(number)
            assert process.wait(30) == status
            assert process.stderr.read() == b""
        finally:
            process.kill()


def test_follow_shows_nothing_from_before_the_time_that_was_asked_for(state):
    since = "2100-01-01T00:00:00Z"
    argv = [PROGRAM, "--state-dir", state, "log", "-f", "jsonl", "--follow", "--since", since]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            with Log.open(state / "log") as log:
                for reason, year in (("early", 2099), ("late", 2101), ("clock went back", 2099)):
                    time.sleep(0.3)
                    wall = int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) * SECOND
                    log.append([_skipped(reason)], now=lambda wall=wall: (wall, 0))
            shown = [json.loads(_line(process))["data"]["reason"] for _ in range(2)]
            assert shown == ["late", "clock went back"]
        finally:
            process.kill()


PEAK = """
import sys, tracemalloc
from atomicstate.cli.main import main
main(sys.argv[1:])
tracemalloc.start()
main(sys.argv[1:])
print(tracemalloc.get_traced_memory()[1], file=sys.stderr)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["log", "-f", "jsonl"],
        ["log", "-f", "json", "--reverse"],
        ["log", "-n", "100000"],
        ["log", "--grep", "no such [a-z]+"],
        ["log", "--package", "lib7", "--since", "2023-01-01"],
        ["export"],
    ],
    ids=" ".join,
)
def test_a_long_log_takes_no_more_memory_than_a_short_one(command, tmp_path):
    peaks = []
    for count in (9_000, 36_000):
        state = mix.state_at(tmp_path / str(count), count).directory
        done = subprocess.run(
            [sys.executable, "-c", PEAK, "--state-dir", state, *command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=120,
            check=True,
        )
        peaks.append(int(done.stderr.split()[-1]))
    assert peaks[1] < 1.2 * peaks[0]


def _line(process):
    ready, _, _ = select.select([process.stdout], [], [], 30)
    assert ready, "nothing was shown in time"
    return process.stdout.readline()


def _skipped(reason):
    return Draft(body=StepSkipped("build", reason), actor=sample_log.ROOT)


def _damage(state, seq):
    """Flip one bit of a record, behind the back of the log."""
    import lmdb

    with lmdb.open(str(state / "log"), subdir=True) as env, env.begin(write=True) as txn:
        record = bytearray(txn.get(seq.to_bytes(8, "big")))
        record[-40] ^= 1
        txn.put(seq.to_bytes(8, "big"), bytes(record))


def _remove(state, seq):
    """Take a record away, behind the back of the log."""
    import lmdb

    with lmdb.open(str(state / "log"), subdir=True) as env, env.begin(write=True) as txn:
        txn.delete(seq.to_bytes(8, "big"))


def _shown_on_a_terminal(state, extra):
    import fcntl
    import struct
    import termios

    controller, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 60, 0, 0))
    environment = {name: text for name, text in os.environ.items() if name != "NO_COLOR"}
    try:
        subprocess.run(
            [PROGRAM, "--state-dir", state, "log"],
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            env={**environment, "TERM": "xterm", **extra},
            timeout=60,
            check=True,
        )
        time.sleep(0.05)
        return os.read(controller, 65536)
    finally:
        os.close(controller)
        os.close(terminal)


def _without_colour(line):
    import re

    return re.sub(r"\x1b\[[0-9;]*m", "", line.decode())
