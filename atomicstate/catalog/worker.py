"""The worker: `python -m atomicstate.catalog.worker FD ROOT`, a process of one request.

It reads the request from standard input, goes into ROOT, and writes answers to the descriptor FD.
What libapt, dpkg and the packages' scripts say goes to its standard output and error, never
between the answers.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Nothing can be imported once the root has changed: all of it comes in here.
from atomicstate.catalog import fetch, perform, protocol, resolve, revert, tree
from atomicstate.catalog.errors import sentences
from atomicstate.catalog.libapt import apt_pkg
from atomicstate.errors import AptError, AtomicstateError, HostError, from_os_error


class _Answers:
    """Lines to the client."""

    def __init__(self, descriptor: int) -> None:
        # A package's script must neither write answers nor hold the pipe open.
        os.set_inheritable(descriptor, False)
        self._file = os.fdopen(descriptor, "wb")

    def send(self, answer: protocol.Answer) -> None:
        self._file.write(protocol.encode(answer))
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def answer(request: protocol.Request, report: fetch.Report) -> protocol.Answer:
    """Do what is asked, in the tree that this process is in. Raises AtomicstateError."""
    match request.operation:
        case "resolve":
            return protocol.Resolved(resolve.resolve(request))
        case "carry-out":
            perform.carry_out(request.plan, report)
        case "finish":
            perform.finish(request.plan, report)
        case "revert":
            revert.revert(request.plan, report)
        case "update":
            fetch.update(report)
    return protocol.Done()


def _failure(error: Exception) -> protocol.Failed:
    """What the client is told of `error`."""
    if isinstance(error, AtomicstateError):
        return protocol.failed(error)
    if isinstance(error, FileNotFoundError):
        # Not NOT_FOUND: to who asks, that is a package's name.
        return protocol.failed(HostError(f"{error.filename} is not there"))
    if isinstance(error, OSError):
        return protocol.failed(from_os_error(error, "use", error.filename or "the tree"))
    return protocol.failed(AptError(f"libapt failed: {sentences(str(error))}"))


def main(descriptor: int, root: Path) -> None:
    """Serve one request."""
    answers = _Answers(descriptor)
    request = protocol.decode_request(sys.stdin.buffer.read())
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    try:
        apt = apt_pkg()
        if request.bare:
            tree.uncover(root)
        tree.enter(root)
        child = os.fork()
    except (AtomicstateError, OSError) as error:
        answers.send(_failure(error))
        return
    if child:
        answers.close()
        sys.exit(1 if tree.watch_over(child) else 0)
    try:
        tree.set_up_libapt()
        answers.send(answer(request, answers.send))
    except (AtomicstateError, OSError, apt.Error) as error:
        answers.send(_failure(error))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
