"""The peer `eventsourcing`, on SQLite, as its own documentation uses it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Wanted(Aggregate):
    """What is wanted, as events say."""

    @event("Started")
    def __init__(self) -> None:
        self.names: dict[str, int] = {}

    @event("Added")
    def add(self, name: str, transaction: str, verb: str) -> None:
        self.names[name] = len(transaction) + len(verb)


@contextmanager
def opened(directory: Path) -> Iterator[Application[Any]]:
    """An application whose events are in a SQLite file."""
    directory.mkdir()
    environment = {
        "PERSISTENCE_MODULE": "eventsourcing.sqlite",
        "SQLITE_DBNAME": str(directory / "events.sqlite"),
    }
    application: Application[Any] = Application(env=environment)
    try:
        yield application
    finally:
        application.close()


def saving(application: Application[Any]) -> Callable[[], object]:
    """One event made and saved."""
    wanted = Wanted()
    application.save(wanted)

    def turn() -> None:
        _add(wanted, 1)
        application.save(wanted)

    return turn


def rebuilding(application: Application[Any], count: int) -> Callable[[], object]:
    """One aggregate of `count` events, read and rebuilt."""
    wanted = Wanted()
    _add(wanted, count - 1)
    application.save(wanted)
    return lambda: application.repository.get(wanted.id)


def _add(wanted: Wanted, count: int) -> None:
    for number in range(count):
        wanted.add(f"lib{number % 200}", "01902d5e-7c00-7000-8000-000000000001", "package add")
