"""Killed at uniform moments of an apply, with all that it had started: a whole machine."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest

from tests.crash.whole import check
from tests.support.seeds import seed

if TYPE_CHECKING:
    from tests.crash.conftest import Machines

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

APPLY = ("apply", "-y")
ENDS = ("resume", "abort")


def kill_at_random(machines: Machines, rounds: int) -> None:
    chance = random.Random(seed())
    with machines() as machine:
        began = time.monotonic()
        machine.done(*APPLY)
        longest = time.monotonic() - began
    killed = 0
    for _round in range(rounds):
        with machines() as machine:
            killed += machine.killed_after(APPLY, chance.uniform(0, longest))
            check(machine, settled=False)
            machine.done(chance.choice(ENDS), "-y")
            check(machine)
    print(f"killed at work in {killed} of {rounds} rounds, an apply takes {longest:.1f} s")
    assert killed


def test_killed_at_a_random_moment(machines: Machines) -> None:
    kill_at_random(machines, 3)


@pytest.mark.crash
@pytest.mark.timeout(3600)
def test_killed_at_a_hundred_random_moments(machines: Machines) -> None:
    kill_at_random(machines, 100)
