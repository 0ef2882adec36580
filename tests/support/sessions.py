"""Sessions of the engine over a fake host, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

from atomicstate.engine.initialize import initialize
from atomicstate.engine.session import Session
from atomicstate.events.event import Actor
from atomicstate.store import datafile
from tests.support.fakehost import Crash, FakeHost

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from atomicstate.events.event import Event


class Machine:
    """A host and a state directory; each `command` is a process of its own."""

    def __init__(self, directory: Path, host: FakeHost) -> None:
        self.directory = directory
        self.host = host

    def session(self, verb: str = "test") -> Session:
        session = Session(self.directory, None, Actor(0, "root", -1, verb))
        session.host = self.host  # type: ignore[misc,assignment]
        return session

    def command(self, work: Callable[[Session], object], verb: str = "test"):
        """What `work` returns, in a session that is closed after it."""
        with self.session(verb) as session:
            return work(session)

    def killed(self, work: Callable[[Session], object], verb: str = "test") -> None:
        """Run `work`, which must come to a Crash: nothing is closed in an orderly way."""
        session = self.session(verb)
        try:
            work(session)
        except Crash:
            return
        finally:
            session.log.close()
        raise AssertionError("it was to be killed, and came to its end")

    def events(self) -> list[Event]:
        with self.session() as session:
            return [event for event, _hash in session.log.events()]

    def kinds(self, start: int = 1) -> list[str]:
        from atomicstate.events.asjson import kind

        return [kind(event) for event in self.events()[start - 1 :]]


def adopted(directory: Path, host: FakeHost) -> Machine:
    """A machine after `init`."""
    machine = Machine(directory, host)
    # A process that reads each page of the log is for one that may be damaged: test_store_damage.
    with patch.object(datafile, "check_pages"):
        machine.command(initialize, "init")
    return machine
