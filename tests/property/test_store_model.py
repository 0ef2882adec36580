"""The log against a plain list, with reopening, other processes, conflicts and kills among it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from atomicstate.errors import ConflictError
from atomicstate.events.bodies import StepSkipped
from atomicstate.events.codec import GENESIS
from atomicstate.store.log import Head, Log
from atomicstate.store.verify import verify
from tests.support.logs import action, fact

WORDS = st.lists(st.text("abc", min_size=1, max_size=5), min_size=1, max_size=4)


class Worker:
    """Another process that has the log open (tests/support/log_worker.py)."""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.log_worker", directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._read() == "ready"

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def tell(self, line: str) -> int:
        self._write(line)
        return int(self._read().split()[1])

    def start_loop(self) -> None:
        """Have it append 1, 2, 3, ... for ever, and wait until it does."""
        self._write("loop 1")
        self._last = int(self._read())

    def kill(self) -> list[str]:
        """Kill it while it appends; the facts that it acknowledged."""
        self._process.kill()
        rest, _ = self._process.communicate(timeout=60)
        whole = rest[: rest.rfind("\n") + 1].split()
        last = int(whole[-1]) if whole else self._last
        return [str(n) for n in range(1, last + 1)]

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate(timeout=60)


class Model(RuleBasedStateMachine):
    """`self.facts`: what each event says; an action's names, joined."""

    def __init__(self) -> None:
        super().__init__()
        self.scratch = Path(tempfile.mkdtemp())
        self.directory = self.scratch / "log"
        self.facts: list[str] = []
        self.actions: list[int] = []
        self.worker: Worker | None = None

    @initialize()
    def create(self) -> None:
        self.log = Log.create(self.directory, map_size=1 << 20)

    @rule(words=WORDS)
    def append(self, words: list[str]) -> None:
        events = self.log.append([fact(word) for word in words])
        assert events[0].seq == len(self.facts) + 1
        self.facts += words

    @rule(words=WORDS, back=st.integers(0, 6))
    def decide(self, words: list[str], back: int) -> None:
        decided_at = max(len(self.facts) - back, 0)
        try:
            self.log.append([action(*words)], decided_at=decided_at)
        except ConflictError:
            assert any(seq > decided_at for seq in self.actions)
        else:
            assert not any(seq > decided_at for seq in self.actions)
            self.facts.append("+".join(words))
            self.actions.append(len(self.facts))

    @rule(size=st.integers(1, 40))
    def append_much(self, size: int) -> None:
        self.log.append([fact("x" * 20_000)] * size)
        self.facts += ["x" * 20_000] * size

    @rule()
    def reopen(self) -> None:
        log_id = self.log.log_id
        self.log.close()
        self.log = Log.open(self.directory, map_size=1 << 20)
        assert self.log.log_id == log_id

    @rule(words=WORDS, act=st.booleans())
    def another_process_appends(self, words: list[str], *, act: bool) -> None:
        if self.worker is None:
            self.worker = Worker(self.directory)
        seq = self.worker.tell(f"{'act' if act else 'append'} {' '.join(words)}")
        self.facts += ["+".join(words)] if act else words
        assert seq == len(self.facts)
        if act:
            self.actions.append(seq)

    @precondition(lambda self: self.worker is not None)
    @rule(mine=st.integers(0, 4))
    def both_append_and_the_other_is_killed(self, mine: int) -> None:
        assert self.worker is not None
        self.worker.start_loop()
        seqs = {self.log.append([fact("mine")])[0].seq for _ in range(mine)}
        sure = self.worker.kill()
        self.worker = None
        # A commit that it had no time to announce is seen once somebody writes.
        seqs.add(self.log.append([fact("mine")])[0].seq)
        start = len(self.facts) + 1
        written = self.said(start)
        assert {start + at for at, said in enumerate(written) if said == "mine"} == seqs
        theirs = [said for said in written if said != "mine"]
        # More than was acknowledged may be there: whole commits, in order.
        assert theirs == [str(n) for n in range(1, len(theirs) + 1)]
        assert theirs[: len(sure)] == sure
        self.facts += written

    def said(self, start: int = 1) -> list[str]:
        return [
            event.body.reason if isinstance(event.body, StepSkipped) else "+".join(event.body.names)
            for event, _hash in self.log.events(start)
        ]

    @invariant()
    def same_as_the_list(self) -> None:
        if not hasattr(self, "log"):
            return
        last = self.log.hash_at(len(self.facts)) if self.facts else GENESIS
        assert self.log.head() == Head(len(self.facts), last)
        start = max(len(self.facts) - 8, 1)
        assert self.said(start) == self.facts[start - 1 :]

    def teardown(self) -> None:
        try:
            if hasattr(self, "log"):
                assert self.said() == self.facts
                assert [e.seq for e, _ in self.log.events(reverse=True)] == list(
                    range(len(self.facts), 0, -1)
                )
                assert verify(self.log).checked == len(self.facts)
        finally:
            if self.worker is not None:
                self.worker.stop()
            if hasattr(self, "log"):
                self.log.close()
            shutil.rmtree(self.scratch)


@pytest.mark.slow
def test_the_log_is_a_list_that_many_append_to() -> None:
    run_state_machine_as_test(
        Model, settings=settings(max_examples=40, stateful_step_count=25, deadline=None)
    )
