"""Machines that are copied at any instant, and commands that are killed at each: for exploring."""

from __future__ import annotations

import copy
import os
import tempfile
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from atomicstate.errors import AtomicstateError
from atomicstate.events.asjson import kind
from atomicstate.host.ports import LABEL_TRANSACTION
from tests.support.fakehost import Crash, fake_host
from tests.support.faults import KILL, Faults
from tests.support.sessions import Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from atomicstate.engine.session import Session

    Command = Callable[[Session], object]

MEMORY = Path("/dev/shm")
CHANGES = {"stage", "unstage", "rollback", "unqueue", "build", "remove", "remove_image"}
KEPT = (
    *("contents", "images", "deployments", "queued", "others", "overlay_on", "files"),
    *("base_files", "archives", "tree", "boot", "registry"),
)
"""What a host in memory is, beside how it answers."""


class Frozen:
    """A machine that stands still: it can be thawed any number of times."""

    def __init__(self, machine: Machine) -> None:
        root = str(machine.directory)
        self._folders: list[str] = []
        self._files: dict[str, bytes] = {}
        for folder, _folders, names in os.walk(root):
            self._folders.append(folder.removeprefix(root))
            for path in (f"{folder}/{name}" for name in names):
                self._files[path.removeprefix(root)] = Path(path).read_bytes()
        self._host = {name: copy.copy(getattr(machine.host, name)) for name in KEPT}

    @contextmanager
    def thawed(self) -> Iterator[Machine]:
        """One that goes on from here; in the end nothing is left of it."""
        with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
            root = f"{folder}/state"
            for path in self._folders:
                Path(root + path).mkdir()
            for path, content in self._files.items():
                Path(root + path).write_bytes(content)
            host = fake_host()
            for name, value in self._host.items():
                setattr(host, name, copy.copy(value))
            yield Machine(Path(root), host)


def counts(when: str, name: str) -> bool:
    """The moments after which something else is durable than before: a kill at these is enough."""
    if when == "after":
        return name == "commit" or name in CHANGES
    return when == "at" and (
        name.endswith((".done", ".undone")) or name.startswith(("promote.", "transaction."))
    )


def run(machine: Machine, command: Command, moment: int | None = None) -> tuple[str, object]:
    """Where the command was killed, or "", and what it came to: a result or the error.

    `moment`: of those that count, the one at which it is killed.
    """
    faults = Faults() if moment is None else Faults(KILL, (moment,), counts)
    session = machine.session()
    outcome: object
    with faults.armed(machine.host):
        try:
            outcome = command(session)
        except (AtomicstateError, Crash) as error:
            outcome = error
    if isinstance(outcome, Crash):
        session.log.close()
    else:
        session.close()
    return "".join(faults.came), outcome


class Kill(NamedTuple):
    """A command that was killed `where`, or ended ("") with the outcome; and the machine then."""

    where: str
    outcome: object
    machine: Machine


def kills(frozen: Frozen, command: Command) -> Iterator[Kill]:
    """The command, killed at each moment; the last one is not killed any more."""
    for moment in count():
        with frozen.thawed() as machine:
            kill = Kill(*run(machine, command, moment), machine)
            yield kill
        if not kill.where:
            return


def signature(machine: Machine) -> int:
    """The same for machines that differ in nothing but identifiers and times."""
    numbers: dict[str, int] = {"": 0}

    def number(name: str) -> int:
        return numbers.setdefault(name, len(numbers))

    told = []
    for event in machine.events():
        named = (getattr(event.body, it, "") for it in ("target", "staged_txn", "booted_txn"))
        of_it = (getattr(event.body, it, "") for it in ("step", "mode", "queued"))
        same = map(number, (event.transaction, event.boot.boot_id, *named))
        told.append((kind(event), *same, *of_it))
    host = machine.host
    slots = [
        it and (number(it.labels.get(LABEL_TRANSACTION, "")), it.image.partition(":")[0])
        for it in host.deployments.values()
    ]
    images = sorted(number(it.labels.get(LABEL_TRANSACTION, "")) for it, _ in host.images.values())
    folders = sorted(number(it.name) for it in (machine.directory / "txn").iterdir())
    recipe = [it.read_bytes() for it in sorted((machine.directory / "recipe").glob("[A-Za-z]*"))]
    rest = (number(host.boot.boot_id), host.queued, *images, *folders, *recipe)
    return hash((tuple(told), tuple(slots), rest))
