"""The one module that starts processes.

An argument vector, never a shell string; a closed standard input; C locale, so that what a
tool says can be read; a child that dies with its parent, so that no step goes on behind the
back of a killed run; and a limit in time, so that a hanging tool ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from atomicstate.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

TAIL = 2000
"""Characters of a tool's last words that an error quotes."""

_PR_SET_PDEATHSIG = 1
_GRACE = 5.0
_POLL = 0.2
# Loaded before any fork: between fork and exec nothing may import.
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Finished:
    """What a process left: its exit status (negative: the signal that ended it) and output."""

    argv: tuple[str, ...]
    status: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output, undecodable bytes replaced."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def last_words(self) -> str:
        """The end of standard error, or of standard output where that is empty."""
        said = self.stderr.strip() or self.stdout.strip()
        return said.decode("utf-8", "replace")[-TAIL:]

    @property
    def outcome(self) -> str:
        """`exited 3`, or `was killed by SIGKILL`."""
        if self.status >= 0:
            return f"exited {self.status}"
        return f"was killed by {signal.Signals(-self.status).name}"


class ToolError(HostError):
    """A tool is not there, failed, or took too long. `finished` holds its output, if it ran."""

    def __init__(
        self, message: str, *, hint: str | None = None, finished: Finished | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.finished = finished


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C.UTF-8", "LANGUAGE": "C", **(extra or {})}


def start(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    pass_fds: Sequence[int] = (),
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start `argv` in a process group of its own, to die with this process.

    Raises ToolError where the program is not there.
    """
    words = [str(word) for word in argv]
    try:
        return subprocess.Popen(
            words,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=_environment(env),
            cwd=cwd,
            pass_fds=pass_fds,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - one prctl, nothing that allocates
        )
    except FileNotFoundError as error:
        raise ToolError(
            f"the program {words[0]!r} is not on this machine", hint=f"install {words[0]}"
        ) from error
    except OSError as error:
        raise ToolError(f"can't start {words[0]!r}: {error.strerror}") from error


def _at_the_terminal() -> None:
    _die_with_parent()
    # The child gets its own Ctrl-C: what this process ignores meanwhile it must not.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def foreground(argv: Sequence[str | Path]) -> int:
    """Run `argv` on this process's own standard streams and terminal, as a shell does.

    Returns its exit status; 128 and the signal's number where one ended it. Ctrl-C goes to
    `argv` alone. Raises ToolError where the program is not there.
    """
    words = [str(word) for word in argv]
    sys.stdout.flush()
    sys.stderr.flush()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        status = subprocess.run(
            words,
            check=False,
            preexec_fn=_at_the_terminal,
        ).returncode
    except FileNotFoundError as error:
        raise ToolError(
            f"the program {words[0]!r} is not on this machine", hint=f"install {words[0]}"
        ) from error
    finally:
        signal.signal(signal.SIGINT, before)
    return status if status >= 0 else 128 - status


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End `process` and what it started: a request first, then by force. Waits for its end."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(_GRACE)
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    timeout: float | None = None,
    check: bool = True,
    cwd: Path | None = None,
) -> Finished:
    """Run `argv` to its end. With `check`, raises ToolError unless it exits 0.

    `timeout` is in seconds; a tool that takes longer is ended, with its children. `stdin` is
    for small input: what a pipe holds (64 KiB).
    """
    process = start(
        argv, env=env, stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE, cwd=cwd
    )
    if stdin is not None and process.stdin is not None:
        with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
            pipe.write(stdin)
    finished = _finish(process, argv, timeout, lambda _stream, _chunk: None)
    if check and finished.status != 0:
        raise failure(finished)
    return finished


def failure(finished: Finished) -> ToolError:
    """The error for a tool that ended badly: which, how, and its last words."""
    said = f": {finished.last_words}" if finished.last_words else ""
    return ToolError(f"{finished.argv[0]} {finished.outcome}{said}", finished=finished)


def stream(
    argv: Sequence[str | Path],
    on_line: Callable[[str], None],
    *,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    cwd: Path | None = None,
) -> Finished:
    """Run `argv` and hand over each line of its output (both streams) as it comes.

    The result's `stdout` is all of it; its exit status is not checked. `timeout` is in seconds.
    """
    process = start(argv, env=env, stderr=subprocess.STDOUT, cwd=cwd)
    rest = b""

    def take(_stream: str, chunk: bytes) -> None:
        nonlocal rest
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            on_line(line.decode("utf-8", "replace").rstrip("\r"))

    finished = _finish(process, argv, timeout, take)
    if rest:
        on_line(rest.decode("utf-8", "replace"))
    return finished


def _finish(
    process: subprocess.Popen[bytes],
    argv: Sequence[str | Path],
    timeout: float | None,
    on_chunk: Callable[[str, bytes], None],
) -> Finished:
    """Read both pipes until `process` ends; end it where time runs out or this run is cut short."""
    words = tuple(str(word) for word in argv)
    said = {"stdout": bytearray(), "stderr": bytearray()}
    try:
        for name, chunk in _chunks(process, timeout):
            said[name] += chunk
            on_chunk(name, chunk)
        process.wait()
    except TimeoutError as error:
        kill_group(process)
        ended = Finished(words, process.returncode, bytes(said["stdout"]), bytes(said["stderr"]))
        raise ToolError(
            f"{words[0]} took longer than {timeout:g} seconds and was ended", finished=ended
        ) from error
    except BaseException:
        kill_group(process)
        raise
    finally:
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    return Finished(words, process.returncode, bytes(said["stdout"]), bytes(said["stderr"]))


def _chunks(process: subprocess.Popen[bytes], timeout: float | None) -> Iterator[tuple[str, bytes]]:
    """What `process` writes, by stream, until it ends. Raises TimeoutError after `timeout`.

    The end of the process counts, not the end of the pipe: a daemon that a package's script
    left behind may hold the pipe for ever.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        for name, pipe in (("stdout", process.stdout), ("stderr", process.stderr)):
            if pipe is not None:
                selector.register(pipe, selectors.EVENT_READ, name)
        while selector.get_map():
            ended = process.poll() is not None
            ready = selector.select(0 if ended else _POLL)
            for key, _events in ready:
                chunk = os.read(key.fd, 65536)
                if chunk:
                    yield key.data, chunk
                else:
                    selector.unregister(key.fileobj)
            if ended and not ready:
                return
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError
        left = None if deadline is None else max(deadline - time.monotonic(), 0)
        try:
            process.wait(left)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError from error
