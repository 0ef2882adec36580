"""Killed at every failpoint, then `resume`, `abort` or the same command again: a whole machine."""

from __future__ import annotations

import random
import subprocess
import sys
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.crash.logged import events
from tests.crash.whole import check
from tests.support.sandboxes import DRIVER
from tests.support.seeds import seed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.crash.conftest import Machines
    from tests.support.machines import Machine

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.spread]

APPLY = ("apply", "-y")
ADD = ("package", "add", "other", "-y")
RESUME = ("resume", "-y")
ABORT = ("abort", "-y")
BACK = ("rollback", "-y")
MORE = ("package", "add", "third", "--no-live", "-y")
FIRST = "the first apply"
BACK_TO = ("rollback", "--to", FIRST, "-y")
LAST = "the last package"
UNDO = ("undo", LAST, "-y")
WHERE = "the machine"
REBOOT = ("sandbox", "reboot", WHERE)
RESTORE = ("overlay", "restore", "-y")
INTO_ETC = ("package", "add", "daemon", "-y")
WITHDRAW = ("withdraw", "-y")
PRUNE = ("prune", "--keep", "0", "-y")
PLACEHOLDERS = (FIRST, LAST, WHERE)
"""Words that stand for what is another one on each machine."""
FOLLOW_UPS = ("status", "resume", "abort", "the same")
MANY = 200
"""More points than any command reaches: a sweep that comes here does not end."""


class Killed(NamedTuple):
    """A command to be killed, and the commands, each killed at a point, that go before it.

    One that is killed at no point is done. `template` and `driver` are those of the machine.
    """

    words: tuple[str, ...]
    before: tuple[tuple[tuple[str, ...], str], ...] = ()
    template: str = "killable"
    driver: str = DRIVER

    def __str__(self) -> str:
        named = [("reboot" if words is REBOOT else words[0], point) for words, point in self.before]
        before = [f"{name}@{point}" if point else name for name, point in named]
        last = " ".join(word for word in self.words if word not in ("-y", *PLACEHOLDERS))
        return " then ".join([*before, last])


KILLED = (
    Killed(APPLY),
    Killed(ADD),
    Killed(RESUME, ((APPLY, "config.started"),)),
    Killed(RESUME, ((APPLY, "build.done"),)),
    Killed(RESUME, ((APPLY, "switch.done"),)),
    Killed(RESUME, ((ADD, "live.started"),)),
    Killed(RESUME, ((ADD, "live.done"),)),
    Killed(ABORT, ((APPLY, "build.done"),)),
    Killed(ABORT, ((APPLY, "staged.recording"),)),
    Killed(ABORT, ((APPLY, "switch.done"),)),
    Killed(ABORT, ((ADD, "live.done"),)),
    # What was staged before it comes back.
    Killed(ABORT, ((APPLY, ""), (MORE, ""), (APPLY, "switch.done"))),
    Killed(ABORT, ((APPLY, ""), (MORE, ""), (APPLY, "promote.started"))),
    Killed(BACK, ((APPLY, ""),)),
    Killed(BACK, template="gone_far"),
    Killed(BACK_TO, template="gone_far"),
    Killed(RESUME, ((BACK, "rollback.started"),), template="gone_far"),
    Killed(ABORT, ((BACK, "rollback.started"),), template="gone_far"),
    Killed(UNDO, ((ADD, ""),)),
    # The boot takes the overlay away, with the package.
    Killed(RESTORE, ((ADD, ""), (REBOOT, ""))),
    Killed(RESUME, ((ADD, ""), (REBOOT, ""))),
    # What it has put into /etc the next image brings itself.
    Killed(WITHDRAW, ((INTO_ETC, ""), (APPLY, "")), template="built_before"),
    Killed(PRUNE, template="thrown_away"),
)


@contextmanager
def ready(machines: Machines, killed: Killed) -> Iterator[Machine]:
    """A machine on which all was done that goes before the command."""
    with machines(template=killed.template, driver=killed.driver) as machine:
        for words, point in killed.before:
            if point:
                assert machine.killed(said_to(machine, words), point)
            else:
                machine.done(*said_to(machine, words))
        yield machine


@contextmanager
def killed_at(machines: Machines, killed: Killed, number: int) -> Iterator[Machine | None]:
    """A machine on which the command was killed at its Nth point; None where it ran to its end."""
    with ready(machines, killed) as machine:
        words = said_to(machine, killed.words)
        yield machine if machine.killed(words, f"*:{number}") else None


def said_to(machine: Machine, words: tuple[str, ...]) -> tuple[str, ...]:
    """`words`, with what the placeholders in them stand for on this machine."""
    return tuple(meant(machine, word) if word in PLACEHOLDERS else word for word in words)


def meant(machine: Machine, placeholder: str) -> str:
    """What a placeholder stands for."""
    if placeholder == FIRST:
        staged = (event for event in events(machine) if event["kind"] == "transaction.staged")
        return next(staged)["txn"]
    if placeholder == LAST:
        added = [event for event in events(machine) if event["kind"] == "package.added"]
        return str(added[-1]["seq"])
    return str(machine.directory)


def follow(machine: Machine, words: tuple[str, ...], follow_up: str) -> None:
    """What a person may do next; after it nothing is unfinished."""
    if follow_up == "status":
        check(machine, settled=False)
        machine.done("status")
    elif follow_up == "the same":
        again = machine(*said_to(machine, words))
        # Done; or to be finished first; or it was done already: then there may be no way back.
        fine = (0, 3, 6, 8) if words == BACK else (0, 6, 8)
        assert again.status in fine, (machine.killed_at, again)
        check(machine, settled=False)
    else:
        machine.done(follow_up, "-y")
        check(machine, resumed=follow_up == "resume")
        return
    machine.done(*RESUME)
    check(machine, resumed=True)


def sweep(machines: Machines, killed: Killed, follow_up: str) -> int:
    """Kill at the first point, at the second, ... until the command comes to its end.

    Returns the number of points.
    """
    for number in count(1):
        assert number < MANY
        with killed_at(machines, killed, number) as machine:
            if machine is None:
                break
            follow(machine, killed.words, follow_up)
    print(f"{killed}, then {follow_up}: killed at {number - 1} points")
    return number - 1


@pytest.mark.parametrize("follow_up", ["resume", "abort"])
def test_what_a_killed_build_left_goes(machines: Machines, follow_up: str) -> None:
    with machines() as machine:
        assert machine.killed(APPLY, "image.building")
        # What a build works in, as a kill leaves it.
        base = "localhost/atomicstate-base:bookworm"
        left = subprocess.run(
            machine.host.builder.storage.buildah("from", "--pull-never", base),
            check=True,
            capture_output=True,
            timeout=60,
        )
        assert left.stdout
        follow(machine, APPLY, follow_up)


@pytest.mark.parametrize("point", ["staged.recording", "promote.started"])
def test_what_a_killed_staging_left_goes_with_abort(machines: Machines, point: str) -> None:
    with machines() as machine:
        assert machine.killed(APPLY, point)
        follow(machine, APPLY, "abort")


APPLY_AGAIN = Killed(APPLY, template="built_before")
RESUME_AGAIN = Killed(RESUME, template="built")
"""Quick, for each run of the tests; `KILLED` has them as they are."""

RECORD = """
import sys
from atomicstate import failpoints
from atomicstate.cli.main import main

def reach(name):
    with open(sys.argv[1], "a") as reached:
        reached.write(name + "\\n")

failpoints.reach = reach
sys.exit(main(sys.argv[2:]))
"""
SOME = 3


def points(machines: Machines, killed: Killed, tmp_path: Path) -> list[int]:
    """Where the command reaches each failpoint first, and some of the places where it does again.

    The `crash` tests have all of them.
    """
    reached = tmp_path / "reached"
    with ready(machines, killed) as machine:
        where = ("--sandbox", machine.directory, "--state-dir", machine.state)
        argv = [sys.executable, "-c", RECORD, reached, *where, *killed.words]
        subprocess.run(argv, check=True, capture_output=True, timeout=240)
    names = reached.read_text().split()
    first = [number for number, name in enumerate(names, 1) if name not in names[: number - 1]]
    again = sorted(set(range(1, len(names) + 1)) - set(first))
    return sorted(first + random.Random(seed()).sample(again, SOME))


def kill_at_each(machines: Machines, killed: Killed, numbers: list[int]) -> None:
    for number in numbers:
        with killed_at(machines, killed, number) as machine:
            assert machine is not None
            follow(machine, killed.words, "resume")


@pytest.mark.parametrize("part", range(3))
def test_apply_killed_at_every_failpoint_then_resume(
    machines: Machines, tmp_path: Path, part: int
) -> None:
    numbers = points(machines, APPLY_AGAIN, tmp_path)
    assert len(numbers) > 25
    kill_at_each(machines, APPLY_AGAIN, numbers[part::3])


@pytest.mark.parametrize("part", range(2))
def test_resume_killed_at_every_failpoint_then_resume(
    machines: Machines, tmp_path: Path, part: int
) -> None:
    numbers = points(machines, RESUME_AGAIN, tmp_path)
    assert len(numbers) > 20
    kill_at_each(machines, RESUME_AGAIN, numbers[part::2])


def test_anything_killed_anywhere_then_anything(machines: Machines) -> None:
    """A sample of what the `crash` tests do, with another seed each day."""
    chance = random.Random(seed())
    for _round in range(3):
        killed, follow_up = chance.choice(KILLED), chance.choice(FOLLOW_UPS)
        most, was_killed = 24, False
        while not was_killed:
            assert most, f"{killed} was not even killed at its first point"
            number = chance.randint(1, most)
            print(f"{killed}, at point {number}, then {follow_up}")
            with killed_at(machines, killed, number) as machine:
                if machine is not None:
                    follow(machine, killed.words, follow_up)
                    was_killed = True
            # It has fewer points: the next one is before this one.
            most = number - 1


@pytest.mark.crash
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("follow_up", FOLLOW_UPS)
@pytest.mark.parametrize("killed", KILLED, ids=str)
def test_killed_at_every_failpoint(machines: Machines, killed: Killed, follow_up: str) -> None:
    assert sweep(machines, killed, follow_up) > 3


@pytest.mark.crash
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("standins")
@pytest.mark.parametrize("follow_up", ["resume", "abort"])
@pytest.mark.parametrize(
    "killed",
    [
        Killed(APPLY, driver="bootc"),
        Killed(RESUME, ((APPLY, "bootc.changing"),), driver="bootc"),
        Killed(ABORT, ((APPLY, "bootc.changed"),), driver="bootc"),
        Killed(ADD, driver="bootc"),
        Killed(BACK, ((APPLY, ""),), driver="bootc"),
    ],
    ids=str,
)
def test_killed_at_every_failpoint_on_a_bootc_host(
    machines: Machines, killed: Killed, follow_up: str
) -> None:
    assert sweep(machines, killed, follow_up) > 3
