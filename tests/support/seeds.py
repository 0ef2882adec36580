"""The seed of a random test: another each day, the same all day, so that a failure comes again."""

from __future__ import annotations

import os
from datetime import UTC, datetime

VARIABLE = "ATOMICSTATE_TEST_SEED"


def seed() -> int:
    """The day's seed, or the one that ATOMICSTATE_TEST_SEED says; it is printed."""
    found = int(os.environ.get(VARIABLE) or f"{datetime.now(UTC):%Y%m%d}")
    print(f"{VARIABLE}={found}")
    return found
