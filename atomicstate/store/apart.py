"""Work that may be the end of a process, done in a child of this one.

LMDB maps the file and trusts it: on a damaged one it ends whoever reads it.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any, TypeVar

from atomicstate.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

DEADLY = frozenset({signal.SIGBUS, signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGILL})
"""The signals by which a damaged file ends a process."""


class DiedError(Exception):
    """The child was ended by one of DEADLY; the message is the signal's name."""


@contextlib.contextmanager
def beside(work: Callable[[], T]) -> Iterator[Callable[[], T]]:
    """Have a fork of this process do `work` while the block goes on: the block gets what waits.

    That gives what `work` returned, or raises what it raised; both must be made for pickling. It
    raises DiedError where `work` was the end of the child, HostError where there is no answer.
    A child that nobody waited for is ended.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os._exit(_answer(work, writer))
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as pipe:
            yield lambda: _understood(pipe.read(), _status(child))
    finally:
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(child, os.WNOHANG) == (0, 0):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)


def _status(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _understood(said: bytes, status: int) -> Any:  # noqa: ANN401 - whatever the child's work gives
    import pickle

    if status == 0 and said:
        good, answer = pickle.loads(said)  # noqa: S301 - from our own child
        if good:
            return answer
        raise answer
    if -status in DEADLY:
        raise DiedError(signal.Signals(-status).name)
    raise HostError(f"a child of this process ended without an answer (status {status})")


def _answer(work: Callable[[], Any], writer: int) -> int:
    """In the child: write what `work` came to; the exit status."""
    import faulthandler
    import pickle
    import resource

    try:
        faulthandler.disable()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        # What LMDB says when it gives up is for nobody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            answer = (True, work())
        except Exception as error:
            answer = (False, error)
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(answer, pipe)
    except BaseException:
        return 1
    return 0
