"""Times in the log, shown in the time zone of whoever looks."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from atomicstate.cli.terminal import counted

if TYPE_CHECKING:
    from collections.abc import Callable

_ROOMY = 100
_DAY = 86400
_UNITS = (("week", 604800), ("day", _DAY), ("hour", 3600), ("minute", 60))
_LONGEST_AGO = len("59 minutes ago")

STYLES = ("local", "relative", "iso")
"""How the lines of the log can show times."""


def times(style: str, width: int, now: float | None = None) -> Callable[[int], str]:
    """What shows a time (nanoseconds) in one of STYLES, for lines of `width` columns."""
    if style == "iso":
        return _iso_time
    if style == "relative":
        return partial(_ago, time.time() if now is None else now)
    return partial(line_time, width=width)


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


def age_of(rfc3339: str, at: int | None = None) -> str:
    """How many days old a time in RFC 3339 is now, or was `at` (nanoseconds): `12 days old`.

    Empty for one that was still to come: a clock is wrong then.
    """
    from datetime import datetime

    made = int(datetime.fromisoformat(rfc3339[:19] + "+00:00").timestamp())
    days = ((time.time_ns() if at is None else at) // 1_000_000_000 - made) // _DAY
    if days < 0:
        return ""
    return f"{counted(days, 'day')} old" if days else "less than a day old"


def _iso_time(nanoseconds: int) -> str:
    """RFC 3339 to the second, with the zone of whoever looks."""
    shown = _local(nanoseconds, "%Y-%m-%dT%H:%M:%S%z")
    return f"{shown[:-2]}:{shown[-2:]}"


def _ago(now: float, nanoseconds: int) -> str:
    """A time as `--since` and a point `@{...}` take it: `5 minutes ago`."""
    seconds = (int(now * 1_000_000_000) - nanoseconds) // 1_000_000_000
    unit, length = next((item for item in _UNITS if abs(seconds) >= item[1]), ("second", 1))
    count = abs(seconds) // length
    words = f"{count} {unit}{'s' if count != 1 else ''}"
    return (f"{words} ago" if seconds >= 0 else f"in {words}").ljust(_LONGEST_AGO)


def _local(nanoseconds: int, form: str) -> str:
    """In the time zone of whoever looks; a time beyond the calendar as a plain number."""
    try:
        return time.strftime(form, time.localtime(nanoseconds // 1_000_000_000))
    except (OverflowError, OSError, ValueError):
        return f"{nanoseconds} ns"
