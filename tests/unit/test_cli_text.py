"""Text that fits, means no harm, and says what is meant."""

from __future__ import annotations

import io
import re
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomicstate.cli.progress import Live, Plain, plain_output
from atomicstate.cli.render.diff import diff_lines
from atomicstate.cli.render.moments import age_of
from atomicstate.cli.render.plan import plan_lines
from atomicstate.cli.render.status import status_text
from atomicstate.cli.terminal import Look, clean, cut, pad, size, table, width_of
from atomicstate.engine.results import HeadResult, HostResult, OverlayResult, StatusResult
from atomicstate.errors import ValidationError
from atomicstate.events.asjson import rfc3339
from atomicstate.events.plan import PackageChange, Plan
from atomicstate.events.times import parse_time

NOW = datetime(2026, 11, 24, 12, 0).timestamp()
MINUTE = 60_000_000_000


@given(st.text())
def test_clean_text_obeys_no_terminal_and_can_be_encoded(text):
    shown = clean(text)
    assert shown.isprintable()
    shown.encode()


def test_clean_text_keeps_what_is_harmless():
    assert clean("Übergröße 日本 – ok") == "Übergröße 日本 – ok"


@given(st.text(st.characters(exclude_categories=("Cs", "Cc"))), st.integers(2, 40))
def test_cut_text_fits(text, width):
    assert width_of(cut(text, width)) <= width


def test_a_wide_character_takes_two_columns():
    assert width_of("日本") == 4
    assert cut("日本語", 5) == "日本…"
    assert pad("日", 4) == "日  "


def test_a_table_aligns_wide_cells():
    assert table([("日本", "1"), ("a", "22")], right=(1,)) == ["  日本   1", "  a     22"]


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (-2_000_000, "-2.0 MB"), (123_456, "123 kB")],
)
def test_sizes(count, shown):
    assert size(count) == shown


def test_a_plan_shows_each_package_and_the_totals():
    plan = Plan(
        (
            PackageChange("install", "libjq1", "1.6", "amd64", automatic=True),
            PackageChange("upgrade", "jq", "1.6", "amd64", was="1.5", installed_size=1500),
            PackageChange("remove", "gojq", "0.9", "amd64"),
        ),
        download_size=2_000,
        installed_size=-500,
    )
    text = "\n".join(plan_lines(plan, Look()))
    assert "jq       1.5 -> 1.6" in text
    assert "install (dependency)" in text
    assert text.endswith("1 come, 1 change, 1 go; 2.0 kB to download, 500 B less on disk")


def test_a_diff_is_coloured_by_line():
    lines = diff_lines(b"a\nb\n", b"a\nc\n", "image.yml", Look(colour=True))
    assert "\x1b[31m-b\x1b[0m" in lines
    assert "\x1b[32m+c\x1b[0m" in lines
    assert diff_lines(b"a\n", b"a\n", "image.yml", Look()) == []


@pytest.mark.parametrize(
    ("text", "back"),
    [
        ("now", 0),
        ("5 minutes ago", 5),
        ("2 hours ago", 120),
        ("2h", 120),
        ("1 day", 1440),
        ("today", 720),
        ("yesterday", 720 + 1440),
        ("2026-11-24 11:30", 30),
        ("2026-11-24T11:30", 30),
        ("11:30", 30),
        ("9:00", 180),
        ("2026-11-24", 720),
    ],
)
def test_times_as_people_write_them(text, back):
    assert parse_time(text, NOW) == int(NOW) * 1_000_000_000 - back * MINUTE


@given(st.integers(0, 4_000_000_000_000_000))
def test_a_time_that_the_log_printed_is_understood(microseconds):
    nanoseconds = microseconds * 1000
    assert parse_time(rfc3339(nanoseconds)) == nanoseconds


@given(st.text(max_size=40))
def test_whatever_is_given_as_a_time_is_one_or_refused(text):
    try:
        assert isinstance(parse_time(text), int)
    except ValidationError as error:
        assert "is not a time" in error.message


def test_output_of_a_tool_loses_its_colours_and_what_it_overwrote():
    assert plain_output("10 %\r50 %\r100 %\r") == "100 %"
    assert plain_output("\x1b[31mred\x1b[0m\tx") == "red    x"


def test_progress_is_drawn_in_place_and_wiped():
    stream = io.StringIO()
    live = Live(stream, Look(colour=True, width=60, height=20))
    live.step("build", "started")
    live.line("STEP 1/2")
    time.sleep(0.1)
    live.line("STEP 2/2 " + "x" * 100)
    live.step("build", "done")
    live.close()
    shown = stream.getvalue()
    assert "STEP 2/2" in shown
    assert all(width_of(line) <= 60 + 30 for line in shown.splitlines())
    # The last thing drawn is the line of the step that ended, after the picture was wiped.
    assert "build" in shown.rpartition("\x1b[J")[2]
    assert "STEP" not in shown.rpartition("\x1b[J")[2]


def test_without_a_terminal_sentences_alone_are_said_unless_verbose():
    quiet, loud = io.StringIO(), io.StringIO()
    for stream, verbose in ((quiet, False), (loud, True)):
        plain = Plain(stream, Look(), verbose=verbose)
        plain.step("build", "started")
        plain.progress(50.0, "half")
        plain.line("STEP 1")
        plain.note("It was found.")
    assert quiet.getvalue() == "It was found.\n"
    assert loud.getvalue() == "build: started\n  STEP 1\nIt was found.\n"


def nothing_there(head, **more):
    """The status of a host on which nothing is under way."""
    return StatusResult(
        state="idle",
        pending=[],
        overlay=OverlayResult(active=False, writable=False),
        head=HeadResult(76, head),
        host=HostResult(driver="ostree", booted=None, staged=None, rollback=None),
        base="localhost/base:1",
        unfinished=[],
        residue=[],
        **more,
    )


def test_status_shows_the_head_as_verify_takes_it_and_fits_a_terminal():
    digest = "0123456789abcdef" * 4
    lines = status_text(nothing_there(digest), Look(width=80)).splitlines()
    assert any(digest in line.split() for line in lines)
    assert max(map(len, lines)) <= 80


BASE_MADE = "2023-11-14T22:13:20.000000000Z"
DAY = 86_400 * 10**9


@pytest.mark.parametrize(
    ("later", "age"),
    [
        (0, ", less than a day old"),
        (DAY - 1, ", less than a day old"),
        (DAY, ", 1 day old"),
        (12 * DAY + 5, ", 12 days old"),
        # The clock went back: nothing is older than now.
        (-DAY, ""),
    ],
)
def test_status_tells_how_old_the_base_is(later, age):
    result = nothing_there("00", base_created=BASE_MADE)
    page = status_text(result, Look(), 1_700_000_000 * 10**9 + later)
    [line] = [line for line in page.splitlines() if line.startswith("base")]
    assert re.fullmatch(rf"base +localhost/base:1, made 2023-11-1[45] \d\d:\d\d{age}", line)


def test_status_tells_the_age_of_the_base_now_where_no_other_moment_is_meant():
    made = datetime.now(UTC) - timedelta(days=3, minutes=1)
    assert age_of(made.isoformat()) == "3 days old"


def test_status_shows_what_is_in_the_way_on_this_host():
    page = status_text(nothing_there("00", warnings=("a timer is enabled",)), Look())
    assert page.endswith("\n\nin the way\n  a timer is enabled")
    assert "in the way" not in status_text(nothing_there("00"), Look())
