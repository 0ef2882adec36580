"""Two commands at once, with and without a kill: neither spoils the other's work."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING

import pytest

from tests.crash.building import APPLY, LIMIT, building
from tests.crash.logged import events
from tests.crash.whole import check

if TYPE_CHECKING:
    from pathlib import Path

    from tests.crash.conftest import Machines
    from tests.support.machines import Machine

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

ADD = ("package", "add", "other", "-y")
RECORD = ("package", "add", "third", "--no-live", "-y")
RESUME, ABORT, BACK = ("resume", "-y"), ("abort", "-y"), ("rollback", "-y")
POINTS = ("image.built", "build.done", "ostree.committed", "switch.done", "promote.started")
"""Where an apply dies beside an add, apart from the one that is always tried."""

LOCKED, NO_OPERATION, CONFLICT = 7, 8, 14


def pending(machine: Machine) -> list[str]:
    return [name for item in machine.data("status")["pending"] for name in item["data"]["names"]]


def test_what_is_added_while_an_image_builds_waits_for_the_next_one(
    machines: Machines, tmp_path: Path
) -> None:
    with machines() as machine, building(machine, tmp_path) as apply:
        machine.done(*ADD)
        machine.done(*RECORD)
        assert apply.ended() == 0
        check(machine)
        assert pending(machine) == ["other", "third"]
        machine.done(*APPLY)
        check(machine)
        assert pending(machine) == []


@pytest.mark.parametrize(
    "template", ["killable", pytest.param("gone_far", marks=pytest.mark.crash)]
)
def test_who_comes_while_an_image_builds_is_told_who_is_at_work(
    machines: Machines, tmp_path: Path, template: str
) -> None:
    with machines(template=template) as machine:
        commands = [RESUME, ABORT, APPLY]
        if template == "gone_far":
            machine.done(*RECORD)
            commands.append(BACK)
        with building(machine, tmp_path) as apply:
            for words in commands:
                ran = machine(*words, "-f", "json")
                assert (ran.status, ran.code) == (LOCKED, "LOCKED"), words
                assert "`apply`" in ran.stdout
            assert apply.ended() == 0
        check(machine)
        assert pending(machine) == []


def test_of_applies_that_begin_at_once_one_goes_through(machines: Machines) -> None:
    with machines() as machine, contextlib.ExitStack() as stack:
        together = [stack.enter_context(machine.started(APPLY)) for _ in range(3)]
        for running in together:
            running.communicate(timeout=LIMIT)
        statuses = sorted(running.returncode for running in together)
        assert statuses[0] == 0
        assert set(statuses[1:]) <= {LOCKED, NO_OPERATION, CONFLICT}
        check(machine)
        begun = [event for event in events(machine) if event["kind"] == "transaction.begun"]
        assert len(begun) == 1


def test_of_resumes_that_begin_at_once_one_goes_on(machines: Machines) -> None:
    with machines() as machine, contextlib.ExitStack() as stack:
        assert machine.killed(APPLY, "image.built")
        words = (RESUME, RESUME, ABORT)
        together = [stack.enter_context(machine.started(each)) for each in words]
        for running in together:
            running.communicate(timeout=LIMIT)
        statuses = {running.returncode for running in together}
        assert 0 in statuses
        assert statuses <= {0, LOCKED}
        check(machine)


@pytest.mark.parametrize(
    "point",
    [
        "staged.recorded",
        *(pytest.param(point, marks=pytest.mark.crash) for point in POINTS),
    ],
)
def test_what_is_added_while_an_apply_dies_is_not_lost(
    machines: Machines, tmp_path: Path, point: str
) -> None:
    with machines() as machine, building(machine, tmp_path, point) as apply:
        machine.done(*RECORD)
        with machine.started(ADD) as adding:
            assert apply.ended() == -signal.SIGKILL
            adding.communicate(timeout=LIMIT)
            assert adding.returncode == 0
        machine.killed_at = f"apply at {point}, beside a package add"
        machine.acknowledge()
        check(machine, settled=False)
        machine.done(*RESUME)
        check(machine)
        assert sorted(pending(machine)) == ["other", "third"]


@pytest.mark.parametrize(
    "point", ["live.done", pytest.param("live.started", marks=pytest.mark.crash)]
)
def test_an_apply_goes_on_while_an_add_dies(machines: Machines, tmp_path: Path, point: str) -> None:
    with machines() as machine, building(machine, tmp_path) as apply:
        assert machine.killed(ADD, point)
        assert apply.ended() == 0
        machine.acknowledge()
        check(machine, settled=False)
        machine.done(*RESUME)
        check(machine)
        assert pending(machine) == ["other"]
