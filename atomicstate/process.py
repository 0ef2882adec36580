"""The one module that starts processes.

An argument vector, never a shell string; a closed standard input; C locale, so that what a
tool says can be read; a child that dies with its parent, so that no step goes on behind the
back of a killed run; and a limit in time, so that a hanging tool ends.

`within` is what runs the words after it somewhere else (unshare, nsenter, env): the tool itself
is still the first word of `argv`, and it is the one that errors name.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import selectors
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, Self

from atomicstate import failpoints
from atomicstate.errors import HostError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

TAIL = 2000
"""Characters of a tool's last words that an error quotes."""

TIMEOUT_VARIABLE = "ATOMICSTATE_TOOL_TIMEOUT"
"""Seconds: the user's own limit for tools that build, deploy and install. See `time_limit`."""

LIMIT_HINT = "`--tool-timeout SECONDS` sets another limit"
"""What to do about a tool that was ended after its limit."""

CONFINED = (
    *("unshare", "--pid", "--fork", "--kill-child"),
    *("--mount", "--propagation=slave", "--mount-proc", "--"),
)
"""`within` for a tool with children: the kernel ends all of them with it, and its mounts go."""

_PR_SET_PDEATHSIG = 1
_GRACE = 5.0
_POLL = 0.2
# Loaded before any fork: between fork and exec nothing may import.
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Finished:
    """What a process left: its exit status (negative: the signal that ended it) and output.

    `limit`: it was ended after that many seconds, and its status is not 0.
    """

    argv: tuple[str, ...]
    status: int
    stdout: bytes
    stderr: bytes
    limit: float | None = None
    within: tuple[str, ...] = ()
    cwd: Path | None = None

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
        """`exited 3`, `was killed by SIGKILL`, or `was ended after 600 seconds`."""
        if self.limit is not None:
            return f"was ended after {self.limit:g} seconds"
        if self.status >= 0:
            return f"exited {self.status}"
        return f"was killed by {_signal_name(-self.status)}"

    @property
    def command(self) -> str:
        """What ran, for a person's shell."""
        words = shlex.join((*self.within, *self.argv))
        return f"cd {shlex.quote(str(self.cwd))} && {words}" if self.cwd else words


class ToolError(HostError):
    """A tool is not there, failed, or took too long. `finished` holds its output, if it ran."""

    def __init__(
        self, message: str, *, hint: str | None = None, finished: Finished | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.finished = finished


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the real-time signals
        return f"signal {number}"


def time_limit(default: float) -> float:
    """Seconds that a tool may take: `default`, unless the user set another limit.

    Raises ValidationError for a setting that is no time.
    """
    text = os.environ.get(TIMEOUT_VARIABLE)
    if not text:
        return default
    with contextlib.suppress(ValueError):
        if (seconds := float(text)) > 0 and math.isfinite(seconds):
            return seconds
    raise ValidationError(f"{TIMEOUT_VARIABLE}={text!r} is not a number of seconds")


def _die_with(parent: int) -> Callable[[], None]:
    """What a child of the process `parent` does first: arrange to end with it."""

    def arrange() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have ended before the call: then no signal comes any more.
        if os.getppid() != parent:
            os._exit(1)

    return arrange


def python_path() -> str:
    """PYTHONPATH for a child that is to find this very package, installed or not."""
    parent = str(Path(__file__).resolve().parent.parent)
    others = os.environ.get("PYTHONPATH", "")
    return os.pathsep.join(filter(None, (parent, others)))


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    # A crash point is for this program alone, not for what it starts.
    inherited = {key: value for key, value in os.environ.items() if key != failpoints.VARIABLE}
    return {**inherited, "LC_ALL": "C.UTF-8", "LANGUAGE": "C", **(extra or {})}


def start(
    argv: Sequence[str | Path],
    *,
    within: Sequence[str] = (),
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
    if within and shutil.which(words[0]) is None:
        raise _missing(words[0])
    try:
        return subprocess.Popen(
            [*within, *words],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=_environment(env),
            cwd=cwd,
            pass_fds=pass_fds,
            start_new_session=True,
            preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509 - system calls, nothing else
        )
    except FileNotFoundError as error:
        if cwd is not None and not cwd.is_dir():
            raise ToolError(f"can't start {words[0]!r} in {cwd}: it is not there") from error
        raise _missing([*within, *words][0]) from error
    except OSError as error:
        raise ToolError(f"can't start {words[0]!r}: {error.strerror}") from error


def _missing(program: str) -> ToolError:
    return ToolError(f"the program {program!r} is not on this machine", hint=f"install {program}")


def foreground(argv: Sequence[str | Path]) -> int:
    """Run `argv` on this process's own standard streams and terminal, as a shell does.

    Returns its exit status; 128 and the signal's number where one ended it. Ctrl-C goes to
    `argv` alone. Raises ToolError where the program is not there.
    """
    words = [str(word) for word in argv]
    sys.stdout.flush()
    sys.stderr.flush()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent = _die_with(os.getpid())

    def at_the_terminal() -> None:
        die_with_parent()
        # The child gets its own Ctrl-C: what this process ignores meanwhile it must not.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    try:
        status = subprocess.run(
            words,
            check=False,
            preexec_fn=at_the_terminal,
        ).returncode
    except FileNotFoundError as error:
        raise _missing(words[0]) from error
    finally:
        signal.signal(signal.SIGINT, before)
    return status if status >= 0 else 128 - status


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End `process` and all of its group: a request first, then by force. Waits for its end."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
        # Its children too, where it alone took the request.
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run(
    argv: Sequence[str | Path],
    *,
    within: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    timeout: float | None = None,
    check: bool = True,
    cwd: Path | None = None,
) -> Finished:
    """Run `argv` to its end. With `check`, raises ToolError unless it exits 0.

    `timeout` is in seconds; a tool that takes longer is ended, with its children. `stdin` is what
    it reads on its standard input, of any length, whether it reads it or not.
    """
    with _readable(stdin) as descriptor:
        process = start(argv, within=within, env=env, stdin=descriptor, cwd=cwd)
    finished = _finish(process, _Call(argv, within, cwd, timeout), lambda _stream, _chunk: None)
    if check and finished.status != 0:
        raise failure(finished)
    return finished


@contextlib.contextmanager
def _readable(content: bytes | None) -> Iterator[int]:
    """A descriptor that gives `content`, and then its end: a file in memory, never a pipe.

    A pipe takes no more than 64 KiB before somebody reads, and a tool need not.
    """
    if content is None:
        yield subprocess.DEVNULL
        return
    with os.fdopen(os.memfd_create("stdin"), "w+b") as file:
        file.write(content)
        file.seek(0)
        yield file.fileno()


def failure(finished: Finished, *, hint: str | None = None) -> ToolError:
    """The error for a tool that ended badly: which, how, its last words, and how to run it again.

    All of it is in the message, which is what the log keeps of a step that failed.
    """
    said = f": {finished.last_words}" if finished.last_words else ""
    return ToolError(
        f"{finished.argv[0]} {finished.outcome}{said}\nto run it again: {finished.command}",
        hint=hint,
        finished=finished,
    )


class SideChannel:
    """A pipe on which a tool tells lines beside its output: for `with`, and one `stream`.

    `number` is the descriptor by which the tool is told of it; each line goes to `on_line`.
    """

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self.on_line = on_line

    def __enter__(self) -> Self:
        reader, writer = os.pipe()
        self.reader = os.fdopen(reader, "rb", buffering=0)
        self.writer = os.fdopen(writer, "wb", buffering=0)
        return self

    def __exit__(self, *_exception: object) -> None:
        self.reader.close()
        self.writer.close()

    @property
    def number(self) -> int:
        """The descriptor's number, here and in the tool."""
        return self.writer.fileno()


def stream(
    argv: Sequence[str | Path],
    on_line: Callable[[str], None],
    *,
    within: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    cwd: Path | None = None,
    side: SideChannel | None = None,
) -> Finished:
    """Run `argv` and hand over each line of its output (both streams) as it comes.

    The result's `stdout` is all of it; its exit status is not checked. `timeout` is in seconds.
    """
    passed = () if side is None else (side.number,)
    process = start(
        argv, within=within, env=env, stderr=subprocess.STDOUT, cwd=cwd, pass_fds=passed
    )
    takers = {"stdout": on_line}
    if side is not None:
        side.writer.close()  # the tool's own end alone is left: its end is the end of the lines
        takers["side"] = side.on_line
    rests = dict.fromkeys(takers, b"")

    def take(stream: str, chunk: bytes) -> None:
        *whole, rests[stream] = (rests[stream] + chunk).split(b"\n")
        for line in whole:
            takers[stream](line.decode("utf-8", "replace").rstrip("\r"))

    finished = _finish(process, _Call(argv, within, cwd, timeout), take, side)
    for name, rest in rests.items():
        if rest:
            takers[name](rest.decode("utf-8", "replace"))
    return finished


class _Call(NamedTuple):
    argv: Sequence[str | Path]
    within: Sequence[str]
    cwd: Path | None
    timeout: float | None


def _finish(
    process: subprocess.Popen[bytes],
    call: _Call,
    on_chunk: Callable[[str, bytes], None],
    side: SideChannel | None = None,
) -> Finished:
    """Read the pipes until `process` ends; end it where time runs out or this run is cut short."""
    said = {"stdout": bytearray(), "stderr": bytearray(), "side": bytearray()}
    pipes = {"stdout": process.stdout, "stderr": process.stderr}
    if side is not None:
        pipes["side"] = side.reader
    limit = None
    try:
        for name, chunk in _chunks(process, pipes, call.timeout):
            said[name] += chunk
            on_chunk(name, chunk)
        process.wait()
    except TimeoutError:
        kill_group(process)
        limit = call.timeout
    except BaseException:
        kill_group(process)
        raise
    finally:
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    status = process.returncode
    if limit is not None and status == 0:
        # It took the request to end for a reason to call that well done.
        status = -signal.SIGTERM
    return Finished(
        tuple(str(word) for word in call.argv),
        status,
        bytes(said["stdout"]),
        bytes(said["stderr"]),
        limit=limit,
        within=tuple(call.within),
        cwd=call.cwd,
    )


def _chunks(
    process: subprocess.Popen[bytes],
    pipes: Mapping[str, IO[bytes] | None],
    timeout: float | None,
) -> Iterator[tuple[str, bytes]]:
    """What `process` writes, by stream, until it ends. Raises TimeoutError after `timeout`.

    The end of the process counts, not the end of the pipe: a daemon that a package's script
    left behind may hold the pipe for ever.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        for name, pipe in pipes.items():
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
