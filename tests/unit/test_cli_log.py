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
from hypothesis import given
from hypothesis import strategies as st

from atomicstate.cli.main import main
from atomicstate.cli.render.moments import times
from atomicstate.events.bodies import (
    PackageAdded,
    StepDone,
    StepSkipped,
    StepStarted,
    TagSet,
    TransactionBegun,
)
from atomicstate.events.event import Draft
from atomicstate.events.times import parse_time
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


@pytest.fixture
def lines(state, capsys):
    """The lines that `log OPTIONS` shows, without number, date and time."""

    def run(*options):
        assert main(["--state-dir", str(state), "log", *options]) == 0
        return [line.split(maxsplit=3)[3] for line in capsys.readouterr().out.splitlines()]

    return run


def squeezed(lines):
    return [" ".join(line.split()) for line in lines]


STORY = [
    "system.initialized root ostree, localhost/base:test",
    "package.added root jq and 1 more",
    "apply eve 1 to add: 0123456789ab boots next, made in 1.0 s",
    "host.booted root booted 0123456789ab",
    "package.removed root (the clock went back) nano, not live",
    "apply root 1 to add: taken back: podman exited 1",
]


def test_text_is_one_line_an_event_and_one_a_transaction(lines):
    assert squeezed(lines()) == STORY


def test_as_many_lines_are_shown_as_are_asked_for(lines):
    assert squeezed(lines("-n", "4")) == STORY[-4:]
    assert squeezed(lines("-n", "4", "--reverse")) == STORY[:-5:-1]


def test_a_transaction_that_began_before_the_range_is_told_whole(lines):
    assert squeezed(lines("--since", "2025-06-15T15:06:44Z"))[0] == STORY[1]
    assert squeezed(lines("--until", "2025-06-15T15:06:45Z"))[-1].startswith(
        "live root add jq: not"
    )


def test_a_filter_shows_event_by_event(lines):
    assert [line.split()[0] for line in lines("--txn", LIVE)] == [
        "transaction.begun",
        "step.started",
        "step.done",
        "package.added",
    ]


def test_a_line_has_the_number_that_names_it(state, capsys):
    main(["--state-dir", str(state), "log"])
    shown = capsys.readouterr().out.splitlines()
    assert [int(line.split()[0]) for line in shown] == [1, 5, 10, 11, 12, 18]


def test_two_transactions_at_once_are_two_lines(state, lines):
    with Log.open(state / "log") as log:
        for transaction, body in (
            (LIVE[:-1] + "8", TransactionBegun("apply", add=(5,))),
            (LIVE[:-1] + "9", TransactionBegun("live", action="package.added", names=("vim",))),
            (LIVE[:-1] + "8", StepStarted("build")),
            (LIVE[:-1] + "9", StepStarted("live")),
            (LIVE[:-1] + "9", PackageAdded(("vim",), True)),
            (LIVE[:-1] + "8", StepDone("build")),
            (LIVE[:-1] + "8", StepStarted("switch")),
        ):
            log.append([Draft(body=body, actor=sample_log.ROOT, transaction=transaction)])
    assert squeezed(lines("-n", "2")) == [
        "package.added root vim",
        "apply root 1 to add: not ended, at the step switch",
    ]


def test_a_begin_that_lies_far_back_is_not_looked_for(state, lines, monkeypatch):
    monkeypatch.setattr("atomicstate.cli.folding.FAR", 2)
    assert squeezed(lines("-n", "1")) == ["transaction.rolled_back root podman exited 1"]


def test_a_damaged_log_is_shown_event_by_event_as_far_as_it_can_be(state, capsys):
    _damage(state, 9)
    assert main(["--state-dir", str(state), "log"]) == 12
    assert len(capsys.readouterr().out.splitlines()) == 8


def test_times_are_local_relative_or_iso(state, capsys, monkeypatch):
    monkeypatch.setattr("time.time", lambda: BEGIN // SECOND + 3 * 3600)
    for style, shown in (
        ("relative", "5  2 hours ago     package.added"),
        ("iso", f"5  {_local(BEGIN + 5 * SECOND)}  package.added"),
    ):
        main(["--state-dir", str(state), "log", "--time", style])
        assert shown in capsys.readouterr().out


def _local(time_):
    from datetime import datetime

    return datetime.fromtimestamp(time_ // SECOND).astimezone().isoformat()


@given(st.integers(-(10**18), 10**18))
def test_a_relative_time_means_the_same_to_since(past):
    now = 2_000_000_000
    words = times("relative", 80, now)(now * SECOND - past).strip()
    if words.endswith(" ago"):
        found = now * SECOND - parse_time(words, now)
        unit = SECOND * max(size for word, size in UNITS.items() if word in words)
        assert 0 <= past - found < unit


UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}


# -- tags ------------------------------------------------------------------------------------


@pytest.fixture
def tagged(state):
    with Log.open(state / "log") as log:
        for name, seq in (("later", 12), ("made", 10), ("gone", 5), ("gone", 0), ("first", 1)):
            log.append([Draft(body=TagSet(name, seq), actor=sample_log.ROOT)])
    return state


def test_tags_are_listed_with_what_they_name(tagged, capsys):
    assert main(["--state-dir", str(tagged), "log", "--tags"]) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [(line[0], line[1], line[4]) for line in shown] == [
        ("first", "1", "system.initialized"),
        ("made", "10", "apply"),
        ("later", "12", "package.removed"),
    ]


def test_tags_for_a_program(tagged, capsys):
    assert main(["--state-dir", str(tagged), "log", "--tags", "-f", "json"]) == 0
    tags = json.loads(capsys.readouterr().out)["data"]["tags"]
    assert [(tag["name"], tag["point"]) for tag in tags] == [
        ("first", 1),
        ("made", 10),
        ("later", 12),
    ]
    assert tags[2]["event"]["kind"] == "package.removed"


def test_no_tags_are_said_so(state, capsys):
    assert main(["--state-dir", str(state), "log", "--tags"]) == 0
    assert capsys.readouterr().out == "No point has a name.\n"


def test_tags_are_not_filtered(state, capsys):
    assert main(["--state-dir", str(state), "log", "--tags", "--kind", "package"]) == 2
    assert "--kind" in capsys.readouterr().err


# -- a pager ---------------------------------------------------------------------------------


def test_what_is_longer_than_the_terminal_goes_through_the_pager(state, tmp_path):
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\necho through the pager; cat\n")
    pager.chmod(0o755)
    paged = {"PAGER": str(pager)}
    assert b"through the pager" in _shown_on_a_terminal(state, paged, "-v")
    assert b"through the pager" not in _shown_on_a_terminal(state, paged, "-n", "3")


def test_ctrl_c_is_the_pagers_own(state, tmp_path):
    pager = tmp_path / "pager"
    press = "kill -INT 0; sleep 0.1; "
    pager.write_text(f"#!/bin/sh\ntrap 'echo still here' INT; {press}{press}cat >/dev/null\n")
    pager.chmod(0o755)
    shown = _shown_on_a_terminal(state, {"PAGER": str(pager)}, "-v")
    assert b"still here" in shown


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


def test_verbose_text_shows_the_evidence_of_a_step(state, capsys):
    main(["--state-dir", str(state), "log", "-v", "--kind", "step.done", "-n", "1"])
    assert f"  evidence    checksum: {sample_log.CHECKSUM}\n" in capsys.readouterr().out


def test_verbose_text_shows_no_field_that_says_nothing(state, capsys):
    main(["--state-dir", str(state), "log", "-v", "-n", "1", "--kind", "transaction.begun"])
    shown = capsys.readouterr().out
    assert "  add         12\n" in shown
    assert "renderer" not in shown and "drop" not in shown


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


@pytest.fixture(scope="module")
def short_and_long(tmp_path_factory):
    """The states of a log, and of one that is four times as long, for reading alone."""
    root = tmp_path_factory.mktemp("lengths")
    return [mix.state_at(root / str(count), count).directory for count in (9_000, 36_000)]


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
def test_a_long_log_takes_no_more_memory_than_a_short_one(command, short_and_long):
    peaks = []
    for state in short_and_long:
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


def _shown_on_a_terminal(state, extra, *options):
    import fcntl
    import struct
    import termios

    controller, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 60, 0, 0))
    environment = {name: text for name, text in os.environ.items() if name != "NO_COLOR"}
    try:
        subprocess.run(
            [PROGRAM, "--state-dir", state, "log", *options],
            stdin=terminal,
            stdout=terminal,
            start_new_session=True,
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
