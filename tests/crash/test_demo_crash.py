"""`./dev demo --crash`, on a small machine."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.crash.whole import check
from tests.support.program import LIMIT, PROGRAM

if TYPE_CHECKING:
    from tests.crash.conftest import Machines

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]


def test_the_demo_kills_an_apply_at_three_moments_and_shows_a_whole_machine(
    machines: Machines,
) -> None:
    with machines() as machine:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "tools.demo", "--crash"),
                *("--dir", machine.directory, "--package", "tool"),
            ],
            cwd=PROGRAM.parent.parent.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        _host, *killed = done.stdout.split("# Killed: ")
        assert len(killed) == 3
        for part, step in zip(killed, ("build", "switch", "promote"), strict=True):
            story, _, rest = part.partition("$ atomicstate status")
            assert "killed at the failpoint" in story
            interrupted, _, after = rest.partition("$ atomicstate resume")
            assert f"was cut short at the step {step}" in interrupted
            assert "went through" in after
            assert "The log is whole" in after
            assert "unfinished" not in after.partition("Whole: ")[0]
        assert "\ntool\t1.0\n" in killed[-1], "what was applied last is in what was booted"
        machine.killed_at = "three times, by the demo"
        machine.acknowledge()
        check(machine)
