"""Points in time as people write them."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

from atomicstate.errors import ValidationError

_UNITS = {
    "s": 1,
    "sec": 1,
    "second": 1,
    "m": 60,
    "min": 60,
    "minute": 60,
    "h": 3600,
    "hour": 3600,
    "d": 86400,
    "day": 86400,
    "w": 604800,
    "week": 604800,
}
_AGO = re.compile(r"(\d{1,9})\s*([a-z]+?)s?(?:\s+ago)?", re.ASCII)
_HINT = "write a time as 2026-11-24, 2026-11-24 14:30, 14:30, yesterday or `2 hours ago`"


def parse_time(text: str, now: float | None = None) -> int:
    """The time that `text` means, in nanoseconds since 1970; without a zone it is local.

    Raises ValidationError.
    """
    words = text.strip().lower()
    moment = datetime.fromtimestamp(time.time() if now is None else now).astimezone()
    try:
        found = _relative(words, moment) or _absolute(text.strip(), moment)
        # timestamp() is a float, too coarse for nanoseconds: whole seconds and the rest apart.
        since = found.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise ValidationError(f"{_quoted(text)} is not a time", hint=_HINT) from error
    return (since.days * 86400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000


def _relative(words: str, now: datetime) -> datetime | None:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    named = {"now": now, "today": midnight, "yesterday": midnight - timedelta(days=1)}
    if words in named:
        return named[words]
    match = _AGO.fullmatch(words)
    if match is None or match[2] not in _UNITS:
        return None
    return now - timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def _absolute(text: str, now: datetime) -> datetime:
    if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", text, re.ASCII):
        text = f"{now:%Y-%m-%d}T{text.zfill(5) if len(text) < 6 else text}"  # noqa: PLR2004
    # RFC 3339 with nanoseconds, as `log -f json` prints it: Python reads six digits.
    text = re.sub(r"(\.\d{6})\d+", r"\1", text)
    return datetime.fromisoformat(text)


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:59] + "…")  # noqa: PLR2004 - characters
