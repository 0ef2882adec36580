"""Requests to end: where they are raised, where they wait, and the second one."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

START = """
import os, signal, sys
from atomicstate import interrupts
interrupts.install()
def request(number=signal.SIGINT):
    os.kill(os.getpid(), number)
"""


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", START + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_request_is_raised_where_it_comes(number: str) -> None:
    done = run(f"""
        try:
            request(signal.{number})
            print("not raised")
        except KeyboardInterrupt:
            print("raised", interrupts.was_terminated())
        """)
    assert done.stdout == f"raised {number != 'SIGINT'}\n"


def test_inside_a_deferred_block_it_waits_for_the_end() -> None:
    done = run("""
        try:
            with interrupts.deferred():
                with interrupts.deferred():
                    request()
                    print("both said")
                print("of it")
        except KeyboardInterrupt:
            print("raised")
        """)
    assert done.stdout == "both said\nof it\nraised\n"


def test_a_safe_point_raises_what_waits() -> None:
    done = run("""
        with interrupts.deferred():
            request()
            try:
                interrupts.check()
            except KeyboardInterrupt:
                print("raised")
        print("once")
        """)
    assert done.stdout == "raised\nonce\n"


def test_what_may_be_ended_is_ended_where_the_request_comes() -> None:
    done = run("""
        with interrupts.deferred():
            try:
                with interrupts.allowed():
                    request()
                    print("not raised")
            except KeyboardInterrupt:
                print("raised")
        """)
    assert done.stdout == "raised\n"


def test_what_waits_is_dropped_where_nothing_is_left_to_end() -> None:
    done = run("""
        with interrupts.deferred():
            request()
            interrupts.ignore()
        print("done")
        """)
    assert done.stdout == "done\n"


def test_the_second_request_ends_the_process_even_inside_a_deferred_block() -> None:
    done = run("""
        with interrupts.deferred():
            request()
            request()
            print("still here")
        """)
    assert (done.returncode, done.stdout) == (130, "")
    assert "atomicstate status" in done.stderr


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    done = subprocess.run(
        ["nohup", sys.executable, "-c", START + "request(signal.SIGHUP)\nprint('still here')"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "still here\n"


def test_a_second_one_has_the_envelope_for_an_answer_where_one_is_wanted() -> None:
    done = run("""
        interrupts.answer_with(lambda words: b"{" + words.encode() + b"}")
        with interrupts.deferred():
            request()
            request()
        """)
    assert done.returncode == 130
    assert done.stdout.startswith("{ended at once")
    assert done.stderr == ""


def test_what_was_put_off_is_raised_at_the_next_safe_point() -> None:
    done = run("""
        try:
            with interrupts.deferred():
                try:
                    with interrupts.allowed():
                        request()
                except KeyboardInterrupt:
                    interrupts.put_off()
                print("and then")
                interrupts.check()
                print("not raised")
        except KeyboardInterrupt:
            print("raised")
        """)
    assert done.stdout == "and then\nraised\n"
