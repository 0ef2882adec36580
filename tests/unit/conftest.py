"""Fixtures that tests of the engine over a host in memory share."""

from __future__ import annotations

import pytest

from atomicstate import failpoints
from tests.support.fakehost import Crash


@pytest.fixture
def killed(machine, monkeypatch):
    """Runs a command on the machine until a crash point that kills it."""
    deadly = ""

    def reach(name):
        if name == deadly:
            raise Crash

    monkeypatch.setattr(failpoints, "reach", reach)

    def kill(command, point):
        nonlocal deadly
        deadly = point
        machine.killed(command)
        deadly = ""

    return kill
