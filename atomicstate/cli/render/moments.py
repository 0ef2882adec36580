"""Times in the log, shown in the time zone of whoever looks."""

from __future__ import annotations

import time

_ROOMY = 100


def line_time(nanoseconds: int, width: int) -> str:
    """A time for a line of `width` columns (0: no limit): all of it where there is room."""
    if 0 < width < _ROOMY:
        return short_time(nanoseconds)
    return _local(nanoseconds, "%Y-%m-%d %H:%M:%S")


def short_time(nanoseconds: int) -> str:
    """A time in 15 or 16 columns: `Nov 24 04:14:05`, of another year `2025-11-24 04:14`."""
    this_year = _local(nanoseconds, "%Y") == time.strftime("%Y")
    return _local(nanoseconds, "%b %d %H:%M:%S" if this_year else "%Y-%m-%d %H:%M")


def long_time(nanoseconds: int) -> str:
    """A time with its zone, to the millisecond."""
    return _local(nanoseconds, f"%Y-%m-%d %H:%M:%S.{nanoseconds // 1_000_000 % 1000:03d} %z")


def short_time_of(rfc3339: str) -> str:
    """`short_time` of a time in RFC 3339."""
    from datetime import datetime

    whole = datetime.fromisoformat(rfc3339[:19] + "+00:00")
    return short_time(int(whole.timestamp()) * 1_000_000_000)


def _local(nanoseconds: int, form: str) -> str:
    """In the time zone of whoever looks; a time beyond the calendar as a plain number."""
    try:
        return time.strftime(form, time.localtime(nanoseconds // 1_000_000_000))
    except (OverflowError, OSError, ValueError):
        return f"{nanoseconds} ns"
