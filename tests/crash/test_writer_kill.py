"""A writer is killed at any instant: what it acknowledged is there, and the log goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import traceback
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from atomicstate.events.bodies import StepFailed, StepSkipped
from atomicstate.events.event import Draft
from atomicstate.store.state import State
from atomicstate.store.verify import verify
from tests.support.logs import ACTOR, fact
from tests.support.seeds import seed

if TYPE_CHECKING:
    from atomicstate.store.log import Log

ROUNDS = 120
LONGEST = 0.02
"""Seconds that a writer is left alone at most: some commits, or the opening of the log."""

SIZES = (1, 3, 2)
"""Events in one commit after the other, over and over."""

PROJECTOR = "system"


def append_for_ever(state: State, name: str, acknowledgements: int) -> None:
    """Commits of facts `NAME 1`, `NAME 2`, ...; the first of each names a blob."""
    with state.open_log() as log:
        number = commit = 0
        while True:
            size = SIZES[commit % len(SIZES)]
            said = [f"{name} {number + n}" for n in range(1, size + 1)]
            blob = state.blobs.put(said[0].encode())
            failed = Draft(body=StepFailed("build", "", said[0], blob), actor=ACTOR)
            head = log.append([failed, *map(fact, said[1:])])[-1].seq
            number, commit = number + size, commit + 1
            os.write(acknowledgements, f"{number}\n".encode())
            state.snapshots.save(PROJECTOR, "1", head, log.hash_at(head), b"payload")


def run_and_kill(state: State, name: str, after: float, *, at_work: bool) -> int:
    """Have a process append, kill it `after` so many seconds; how many it acknowledged.

    `at_work`: the seconds count from its first acknowledgement.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            append_for_ever(state, name, writer)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        first = pipe.readline() if at_work else b""
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
        _pid, status = os.waitpid(child, 0)
        acknowledged = (first + pipe.read()).split()
    assert os.WIFSIGNALED(status), "the writer ended by itself"
    return int(acknowledged[-1]) if acknowledged else 0


def reasons(log: Log, start: int) -> list[str]:
    said = []
    for event, _hash in log.events(start, check=True):
        assert isinstance(event.body, StepFailed | StepSkipped)
        said.append(event.body.reason)
    return said


def check(state: State, name: str, before: int, acknowledged: int) -> int:
    """What must hold after a kill; the number of events then."""
    with state.open_log() as log:
        report = verify(log, state.blobs, state.snapshots)
        written = reasons(log, before + 1)
        assert written == [f"{name} {n}" for n in range(1, len(written) + 1)]
        assert len(written) >= acknowledged
        # What was not acknowledged is there as whole commits, or not.
        assert len(written) in accumulate(SIZES * len(written), initial=0)
        snapshot = state.snapshots.load(PROJECTOR, "1", log)
        assert snapshot is None or snapshot.position <= report.head.seq
        assert log.append([fact("after")])[0].seq == before + len(written) + 1
        return log.head().seq


@pytest.mark.slow
def test_what_was_acknowledged_survives_a_kill_at_any_instant(tmp_path: Path) -> None:
    chance = random.Random(seed())
    for round_ in range(ROUNDS):
        if round_ % 40 == 0:
            state = State(tmp_path / str(round_))
            state.make()
            state.create_log().close()
            head = 0
        name, after = f"r{round_}", chance.uniform(0, LONGEST)
        acknowledged = run_and_kill(state, name, after, at_work=round_ % 3 > 0)
        head = check(state, name, head, acknowledged)


STEP_BY_STEP = """
import sys
from pathlib import Path
from atomicstate.store.state import State
from tests.crash.test_writer_kill import append_for_ever
append_for_ever(State(Path(sys.argv[1])), sys.argv[2], 1)
"""
TWO_COMMITS = sum(SIZES[:2])


@pytest.mark.slow
@pytest.mark.parametrize(
    "call", ["mkdir", "write", "fsync", "rename", "writev", "fdatasync", "pwrite64"]
)
def test_killed_before_each_system_call_that_writes(tmp_path: Path, call: str) -> None:
    """Before the first, before the second, ... until two commits went through."""
    state = State(tmp_path / "state")
    state.make()
    state.create_log().close()
    head = acknowledged = number = 0
    while acknowledged < TWO_COMMITS:
        number += 1
        finished = subprocess.run(
            [
                *("strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}"),
                *("-e", f"inject={call}:signal=KILL:when={number}"),
                *(sys.executable, "-c", STEP_BY_STEP, state.directory, f"c{number}"),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=Path(__file__).parents[2],
        )
        assert finished.returncode == -signal.SIGKILL, finished.stderr
        acknowledged = int(([0, *finished.stdout.split()])[-1])
        head = check(state, f"c{number}", head, acknowledged)
    assert number > 1
