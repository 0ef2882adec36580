"""Work that may be the end of a process, done in a child of this one.

LMDB maps the file and trusts it: on a damaged one it ends whoever reads it.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any, TypeVar

from atomicstate.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

DEADLY = frozenset({signal.SIGBUS, signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGILL})
"""The signals by which a damaged file ends a process."""


class DiedError(Exception):
    """The child was ended by one of DEADLY; the message is the signal's name."""


def apart(work: Callable[[], T]) -> T:
    """What `work` returns or raises, in a fork of this process. Both must be made for pickling.

    Raises DiedError where it was the end of the child, HostError where it gave no answer.
    """
    import pickle

    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os._exit(_answer(work, writer))
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as pipe:
            said = pipe.read()
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == 0 and said:
        good, answer = pickle.loads(said)  # noqa: S301 - from our own child
        if good:
            return answer  # type: ignore[no-any-return]
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
