"""Identifiers: UUIDv7 (RFC 9562), so that the order of their text is the order of their making."""

from __future__ import annotations

import os
import time
import uuid

_TIME_DIGITS = 12


def new_id() -> str:
    """A UUIDv7 as text: 48 bits of milliseconds since 1970, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds & (1 << 48) - 1) << 80
    value |= 0x7 << 76 | (random >> 62 & 0xFFF) << 64
    value |= 0b10 << 62 | random & (1 << 62) - 1
    return str(uuid.UUID(int=value))


def made_after(start: str) -> int:
    """A time (UTC, nanoseconds) before which no id that begins with `start` was made."""
    digits = start.replace("-", "")[:_TIME_DIGITS]
    return int(digits.ljust(_TIME_DIGITS, "0"), 16) * 1_000_000
