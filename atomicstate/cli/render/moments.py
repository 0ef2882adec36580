"""Times in the log, shown in the time zone of whoever looks."""

from __future__ import annotations

import time

WIDTH = 15


def short_time(nanoseconds: int) -> str:
    """A time in 15 columns: `Nov 24 04:14:05`, of another year `2025-11-24 04h`."""
    try:
        moment = time.localtime(nanoseconds // 1_000_000_000)
    except (OverflowError, OSError, ValueError):
        return f"{nanoseconds / 1e9:<15.9g}"
    if moment.tm_year != time.localtime().tm_year:
        return time.strftime("%Y-%m-%d %Hh ", moment)
    return time.strftime("%b %d %H:%M:%S", moment)


def long_time(nanoseconds: int) -> str:
    """A time with its zone, to the millisecond."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    try:
        moment = time.localtime(seconds)
    except (OverflowError, OSError, ValueError):
        return f"{seconds}.{fraction:09d}"
    return time.strftime(f"%Y-%m-%d %H:%M:%S.{fraction // 1_000_000:03d} %z", moment)


def short_time_of(rfc3339: str) -> str:
    """`short_time` of a time in RFC 3339."""
    from datetime import datetime

    whole = datetime.fromisoformat(rfc3339[:19] + "+00:00")
    return short_time(int(whole.timestamp()) * 1_000_000_000)
