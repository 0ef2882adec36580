"""Work in a child of this process: what it returns, raises, and what becomes of one that dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from atomicstate.errors import CorruptError, HostError
from atomicstate.store.apart import DiedError, beside

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = os.getpid()


def apart(work: Callable[[], Any]) -> Any:
    with beside(work) as answer:
        return answer()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_the_answer_comes_from_another_process() -> None:
    before = descriptors()
    assert apart(os.getpid) != HERE
    assert len(apart(lambda: b"x" * 1_000_000)) == 1_000_000
    assert descriptors() == before


def test_what_is_raised_is_raised_here_with_all_that_it_says() -> None:
    def fail() -> None:
        raise CorruptError("event 5 is missing", seq=5, hint="look")

    with pytest.raises(CorruptError) as caught:
        apart(fail)
    assert (caught.value.message, caught.value.seq, caught.value.hint) == (
        "event 5 is missing",
        5,
        "look",
    )


@pytest.mark.parametrize("number", [signal.SIGBUS, signal.SIGSEGV, signal.SIGABRT])
def test_a_signal_of_a_damaged_file_is_told_by_name(
    number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    def die() -> None:
        os.write(2, b"mdb.c: Assertion failed\n")
        os.kill(os.getpid(), number)

    with pytest.raises(DiedError, match=number.name):
        apart(die)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("end", [lambda: os._exit(0), lambda: os.kill(os.getpid(), signal.SIGKILL)])
def test_a_child_without_an_answer_is_an_error(end: Callable[[], None]) -> None:
    with pytest.raises(HostError):
        apart(end)


CUT_SHORT = """
import os, time
from atomicstate.store.apart import beside
def work():
    print(os.getpid(), flush=True)
    time.sleep(60)
with beside(work) as answer:
    answer()
"""


def test_the_child_ends_with_who_waits_for_it() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", CUT_SHORT],
        stdout=subprocess.PIPE,
        text=True,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_work_goes_on_beside_the_block() -> None:
    reader, writer = os.pipe()
    with beside(lambda: os.read(reader, 4)) as answer:
        os.write(writer, b"here")
        assert answer() == b"here"
    os.close(reader)
    os.close(writer)


def test_a_child_that_nobody_waits_for_is_ended() -> None:
    began = time.monotonic()
    with pytest.raises(ValueError, match="enough"), beside(lambda: time.sleep(60)):
        raise ValueError("enough")
    assert time.monotonic() - began < 30
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
