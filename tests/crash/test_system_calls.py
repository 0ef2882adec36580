"""Killed at system calls, by strace, which knows nothing of failpoints: a whole machine."""

from __future__ import annotations

import re
import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.crash.whole import check

if TYPE_CHECKING:
    from tests.crash.conftest import Machines
    from tests.support.machines import Machine

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

APPLY = ("apply", "-y")
CALLS = {
    "fsync": "fsync",
    "fdatasync": "fdatasync",
    "pwrite64": "pwrite64",
    "rename": "rename,renameat,renameat2",
    "mount": "mount",
    "execve": "execve",
}
_CALL = re.compile(r"^(\d+) +\w+\(", re.MULTILINE)
"""Who made a call; the end of one that was interrupted in the output is none."""
MOST = 400
"""A process that makes more such calls than this one does not end."""


def killed_before(machine: Machine, calls: str, number: int) -> bool:
    """Run an apply in which every process is killed before its Nth call. Returns whether one was.

    strace counts for each process; that one was killed says nothing, as a namespace of processes
    ends so too. Only what dies with the program is the program's: a tool that
    was killed is an error, which the program itself takes back.
    """
    trace = machine.directory.parent / "trace"
    prefix = (
        *("strace", "-f", "--seccomp-bpf", "-qq", "-o", str(trace), "-e", f"trace={calls}"),
        *("-e", f"inject={calls}:signal=KILL:when={number}", "--"),
    )
    with machine.started(APPLY, prefix=prefix) as running:
        _stdout, stderr = running.communicate(timeout=240)
    assert "Traceback" not in stderr, stderr
    assert running.returncode in (0, 1, 9, 10, 11, 15, -signal.SIGKILL), (number, stderr)
    machine.killed_at = f"apply, each process before its {calls} number {number}"
    calls_of = Counter(_CALL.findall(trace.read_text()))
    return max(calls_of.values(), default=0) >= number


def kill_at(machines: Machines, name: str, number: int) -> bool:
    """One round; returns whether anything was killed."""
    with machines() as machine:
        killed = killed_before(machine, CALLS[name], number)
        check(machine, settled=False)
        machine.done("resume", "-y")
        check(machine)
    return killed


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("fsync", 1),
        ("fdatasync", 2),
        ("pwrite64", 3),
        ("rename", 2),
        # Podman dies between the record of an image and the rest of it.
        ("rename", 10),
        ("mount", 1),
        ("execve", 2),
    ],
)
def test_killed_before_a_system_call(machines: Machines, name: str, number: int) -> None:
    assert kill_at(machines, name, number)


@pytest.mark.crash
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", CALLS)
def test_killed_before_every_system_call(machines: Machines, name: str) -> None:
    for number in range(1, MOST):
        if not kill_at(machines, name, number):
            break
    else:
        pytest.fail(f"more than {MOST} calls of {name}")
    print(f"{name}: killed at {number - 1} calls")
    assert number > 1
