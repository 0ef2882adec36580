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
    """What is wanted, as events say that hold what the product's do."""

    @event("Started")
    def __init__(self) -> None:
        self.names: dict[str, int] = {}

    @event("Added")
    def add(self, names: list[str], live: bool, envelope: dict[str, Any]) -> None:
        for name in names:
            self.names[name] = len(envelope)


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
    """Events that hold what ours do; number and time the library adds."""
    for number in range(count):
        envelope = {
            "transaction": "01902d5e-7c00-7000-8000-000000000001",
            "boottime": number,
            "actor": {"uid": 0, "user": "root", "login_uid": 1000, "verb": "package add"},
            "boot": {"boot_id": "2f1d" * 9, "soft_reboots": 0, "checksum": "c" * 64},
            "cause": number,
            "request": "",
            "log_id": "0" * 32,
        }
        wanted.add([f"lib{number % 200}"], True, envelope)
