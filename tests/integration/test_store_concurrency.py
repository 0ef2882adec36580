"""Several processes at one log: nobody loses an event, nobody waits for a reader."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import traceback
from itertools import chain, pairwise
from typing import TYPE_CHECKING

from atomicstate.store.log import BATCH, Log
from atomicstate.store.verify import verify
from tests.support.logs import WRITER, fact, filled, texts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WRITERS = 8
COMMITS = 40
LIMIT = 120
"""Seconds; what takes longer hangs."""

APPEND = f"""
print("ready", flush=True)
name = sys.stdin.readline().strip()
for n in range({COMMITS}):
    first, second = log.append([fact(f"{{name}} {{n}}"), fact(f"{{name}} {{n}} too")])
    print(first.seq, second.seq)
"""


def writer(directory: Path, code: str = APPEND) -> subprocess.Popen[str]:
    """A process that has the log open and waits for its name."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, directory, code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def let_go(writers: list[subprocess.Popen[str]]) -> None:
    """Tell each its name: it begins to append."""
    for name, process in enumerate(writers):
        assert process.stdin is not None
        process.stdin.write(f"{name}\n")
        process.stdin.flush()


def answer(process: subprocess.Popen[str]) -> list[int]:
    """The numbers that its events got, when it has ended."""
    said, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 0
    return [int(number) for number in said.split()]


def test_eight_that_append_at_once_get_a_number_each_in_one_chain(tmp_path: Path) -> None:
    Log.create(tmp_path / "log").close()
    writers = [writer(tmp_path / "log") for _ in range(WRITERS)]
    let_go(writers)
    numbers = [answer(process) for process in writers]
    total = WRITERS * COMMITS * 2
    assert sorted(chain.from_iterable(numbers)) == list(range(1, total + 1))
    with Log.open(tmp_path / "log") as log:
        assert verify(log).checked == total
        said = texts(log)
    for name, mine in enumerate(numbers):
        assert [said[number - 1] for number in mine] == [
            f"{name} {n}{rest}" for n in range(COMMITS) for rest in ("", " too")
        ]
        assert all(second == first + 1 for first, second in zip(mine[::2], mine[1::2], strict=True))


def test_a_reader_holds_up_no_writer_and_sees_ever_longer_prefixes(tmp_path: Path) -> None:
    with filled(tmp_path / "log", 3) as log:
        writers = [writer(log.directory) for _ in range(2)]
        seen = [texts(log)]
        let_go(writers)
        while any(process.poll() is None for process in writers):
            seen.append(texts(log))
        # This one stays in the middle of its reading until all have written again.
        with log._environment.begin() as transaction:
            before = transaction.stat()["entries"]
            late = writer(log.directory)
            let_go([late])
            assert len(answer(late)) == COMMITS * 2
            assert transaction.stat()["entries"] == before
        seen.append(texts(log))
        for process in writers:
            answer(process)
    for shorter, longer in pairwise(seen):
        assert longer[: len(shorter)] == shorter
    assert len(seen[-1]) == 3 + 3 * COMMITS * 2
    # A commit is seen whole: each has two events, and there were three.
    assert all(len(prefix) % 2 == 1 for prefix in seen)


def test_killed_readers_leave_room_for_others_while_the_log_stays_open(tmp_path: Path) -> None:
    hold = "t = log._environment.begin(); print('ready', flush=True); sys.stdin.read()"
    with filled(tmp_path / "log", 3) as log:
        for _ in range(3):
            reader = writer(log.directory, hold)
            os.kill(reader.pid, signal.SIGKILL)
            reader.communicate(timeout=LIMIT)
        next_one = writer(log.directory, "print('ready', flush=True)")
        assert answer(next_one) == []
        slots = log._environment._environment.readers().splitlines()[1:]
        assert {int(slot.split()[0]) for slot in slots} <= {os.getpid()}


def in_a_child(work: Callable[[], object]) -> int:
    """Do `work` in a fork of this process; its number."""
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def append_some(log: Log, name: str) -> None:
    for n in range(COMMITS):
        log.append([fact(f"{name} {n}")])


def test_after_a_fork_parent_and_children_append_at_once(tmp_path: Path) -> None:
    with Log.create(tmp_path / "log") as log:
        log.append([fact("before")])
        children = [in_a_child(lambda name=name: append_some(log, name)) for name in ("a", "b")]
        append_some(log, "parent")
        assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
        assert verify(log).checked == 1 + 3 * COMMITS
        said = texts(log)
    for name in ("a", "b", "parent"):
        assert [text for text in said if text.startswith(f"{name} ")] == [
            f"{name} {n}" for n in range(COMMITS)
        ]


def test_a_fork_in_the_middle_of_reading_reads_on_in_both(tmp_path: Path) -> None:
    with filled(tmp_path / "log", 3 * BATCH) as log:
        reading = log.events()
        next(reading)

        def read_on_and_append() -> None:
            assert sum(1 for _ in reading) == 3 * BATCH - 1
            log.append([fact("child")])

        child = in_a_child(read_on_and_append)
        assert sum(1 for _ in reading) == 3 * BATCH - 1
        assert os.waitpid(child, 0)[1] == 0
        log.append([fact("parent")])
        assert texts(log)[-2:] == ["child", "parent"]


def test_parent_and_child_of_a_fork_read_at_the_same_time(tmp_path: Path) -> None:
    """LMDB would give both the same place in the table of readers."""
    with filled(tmp_path / "log", 3) as log:
        assert len(texts(log)) == 3
        inside, tell_inside = os.pipe()
        done, tell_done = os.pipe()

        def stay_in_a_transaction() -> None:
            os.close(tell_done)
            with log._environment.begin() as transaction:
                os.write(tell_inside, b"x")
                os.read(done, 1)
                assert transaction.stat()["entries"] == 4
            slots = log._environment._environment.readers().splitlines()[1:]
            assert os.getpid() in {int(slot.split()[0]) for slot in slots}

        child = in_a_child(stay_in_a_transaction)
        os.close(tell_inside)
        assert os.read(inside, 1) == b"x"
        log.append([fact("meanwhile")])
        assert len(texts(log)) == 4
        os.close(tell_done)
        assert os.waitpid(child, 0)[1] == 0
        os.close(inside)
        os.close(done)
