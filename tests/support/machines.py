"""A machine to be killed: a small sandbox, the command on it, and what it acknowledged."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atomicstate.errors import NotFoundError
from atomicstate.host.sandbox import lifecycle
from atomicstate.store.state import State
from tests.support.program import LIMIT, PROGRAM, Ran
from tests.support.sandboxes import DRIVER, copy_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from atomicstate.host.sandbox.host import SandboxHost


@dataclass
class Machine:
    """The sandbox of `host`; `acknowledged` are heads (number, hash) of its log after a command.

    Its log is in `state`, where that was moved out of the sandbox.
    """

    host: SandboxHost
    acknowledged: list[tuple[int, str]] = field(default_factory=list)
    killed_at: str = ""
    moved_state: Path | None = None

    @property
    def state(self) -> Path:
        return self.moved_state or self.host.sandbox.state

    @property
    def directory(self) -> Path:
        return self.host.sandbox.directory

    def __call__(self, *words: str, env: dict[str, str] | None = None) -> Ran:
        """Run `atomicstate WORDS` on it."""
        with self.started(words, env=env) as running:
            stdout, stderr = running.communicate(timeout=LIMIT)
        assert "Traceback" not in stderr, stderr
        return Ran(running.returncode, stdout, stderr)

    @contextlib.contextmanager
    def started(
        self,
        words: Sequence[str],
        *,
        prefix: Sequence[str] = (),
        env: dict[str, str] | None = None,
    ) -> Iterator[subprocess.Popen[str]]:
        """`atomicstate WORDS`, running; it has ended at the end of the block."""
        where = ("--sandbox", self.directory, "--state-dir", self.state)
        running = subprocess.Popen(
            [*prefix, PROGRAM, *where, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
        try:
            yield running
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            running.wait(LIMIT)
            for pipe in (running.stdout, running.stderr):
                if pipe is not None:
                    pipe.close()

    def data(self, *words: str) -> Any:
        """`data` of the command's JSON."""
        return self(*words, "-f", "json").data

    def done(self, *words: str) -> Ran:
        """Run a command that must succeed, and remember what it acknowledged."""
        ran = self(*words)
        assert ran.status == 0, (self.killed_at, words, ran)
        self.acknowledge()
        return ran

    def acknowledge(self) -> None:
        """What is in the log now must be there for ever."""
        with closing(State(self.state).open_log(write=False)) as log:
            head = log.head()
        self.acknowledged.append((head.seq, head.hash.hex()))

    def killed(self, words: Sequence[str], point: str) -> bool:
        """Run `words` until the failpoint `point` kills it. Returns whether it did.

        One that comes to its end must succeed: what fails has not come to the points that are left.
        """
        ran = self(*words, env={"ATOMICSTATE_FAILPOINT": point})
        if ran.status != -signal.SIGKILL:
            ended = f"`{' '.join(words)}` was not killed at {point}, and failed"
            assert ran.status == 0, (ended, self.killed_at, ran)
            return False
        self.killed_at += f"{' '.join(words)} at {point}: {ran.stderr.splitlines()[-1]}; "
        return True

    def killed_after(self, words: Sequence[str], seconds: float) -> bool:
        """Kill `words` and its process group after so many seconds. Returns whether it ran yet."""
        with self.started(words) as running:
            time.sleep(seconds)
            ended = running.poll() is not None
        self.killed_at += f"{' '.join(words)} after {seconds:.3f} s; "
        return not ended


@contextlib.contextmanager
def machine(template: Path, directory: Path, driver: str = DRIVER) -> Iterator[Machine]:
    """A machine in `directory`, a copy of `template`; it is gone at the end of the block."""
    try:
        made = Machine(copy_of(template, directory, driver))
        made.acknowledge()
        yield made
    finally:
        with contextlib.suppress(NotFoundError):
            lifecycle.destroy(directory)
