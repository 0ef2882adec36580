"""What live transactions leave in /etc and /var: found by before and after, shown by `status`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from atomicstate.catalog.residue import Residue, Survey, left_between, still_there, unsure_of
from atomicstate.errors import AtomicstateError, HostError
from atomicstate.events.bodies import ResidueFound
from atomicstate.files import make_directory, write_atomically
from atomicstate.projectors.compaction import in_force
from atomicstate.projectors.pending import applied, booted

if TYPE_CHECKING:
    from pathlib import Path

    from atomicstate.engine.session import Session
    from atomicstate.projectors.state import Action
    from atomicstate.projectors.system import System

_BEFORE = "before.json"
_TAKEN_UP = "taken-up.json"


def note_before(session: Session, transaction: str) -> None:
    """Keep, durable, what lies there before `transaction` changes anything; once.

    A tree that can't be looked through is no reason not to go on: then nothing is known to stay.
    """
    if not _noted(session, transaction, _BEFORE).exists():
        _note(session, transaction, _BEFORE)


def note_taken_up(session: Session, transaction: str) -> None:
    """Keep, durable, what lies there when `transaction` is taken up after an interruption.

    One that was cut short before it looked has changed nothing yet: it looks now. What came since
    another looked may be a person's as well as its own: nobody can tell.
    """
    before = _noted(session, transaction, _BEFORE)
    if not before.exists():
        _note(session, transaction, _BEFORE)
    elif not _note(session, transaction, _TAKEN_UP):
        before.unlink()


def found(session: Session, transaction: str, *, over: bool) -> tuple[ResidueFound, ...]:
    """What `transaction` left, as a fact; none where nothing is known to stay.

    `over`: the boot that it ran in is, and what came since then is among it.
    """
    try:
        before = _read(session, transaction, _BEFORE)
        now = session.host.catalog.survey()
        residue = left_between(before, now)
        if over:
            residue = unsure_of(residue, now.files)
        elif _noted(session, transaction, _TAKEN_UP).exists():
            residue = unsure_of(residue, _read(session, transaction, _TAKEN_UP).files)
    except (OSError, msgspec.MsgspecError, HostError):
        return ()
    if not residue:
        return ()
    return (
        ResidueFound(
            session.blobs.put(msgspec.json.encode(residue)),
            len(residue.added) + len(residue.changed),
            residue.users,
            residue.groups,
        ),
    )


def _noted(session: Session, transaction: str, name: str) -> Path:
    return session.state.transaction_directory(transaction) / name


def _note(session: Session, transaction: str, name: str) -> bool:
    """Whether what lies there now is kept under `name`."""
    path = _noted(session, transaction, name)
    try:
        seen = session.host.catalog.survey()
    except HostError:
        return False
    make_directory(path.parent)
    write_atomically(path, msgspec.json.encode(seen))
    return True


def _read(session: Session, transaction: str, name: str) -> Survey:
    return msgspec.json.decode(_noted(session, transaction, name).read_bytes(), type=Survey)


def residue(session: Session, system: System, *, overlay: bool) -> list[str]:
    """What stays outside /usr of packages that are not there: paths, users and groups.

    What belongs to a package that runs, by the image or in the overlay, is no residue.
    """
    here = _in_force(system, overlay=overlay)
    blobs = [
        blob
        for transaction, blob in system.residue.items()
        if not _in_use(system, transaction, here)
    ]
    if not blobs:
        return []
    try:
        now = session.host.catalog.survey()
        left = [msgspec.json.decode(session.blobs.get(blob), type=Residue) for blob in blobs]
    except (AtomicstateError, msgspec.MsgspecError):
        return []
    return list(dict.fromkeys(path for item in left for path in still_there(item, now)))


def shadowing(session: Session, system: System) -> dict[str, str]:
    """What live transactions added to /etc whose actions the next deployment holds.

    Paths with signatures; which of them the image itself has, its tree alone tells. The next boot
    merges /etc: a file that was added on the machine wins over the image's own, for good.
    """
    coming = (applied(system) or frozenset()) - (booted(system) or frozenset())
    found: dict[str, str] = {}
    for transaction, blob in system.residue.items():
        action = _action_of(system, transaction)
        if action is not None and action.seq in coming:
            left = msgspec.json.decode(session.blobs.get(blob), type=Residue)
            found.update(item for item in left.added.items() if item[0].startswith("/etc/"))
    return found


def _action_of(system: System, transaction: str) -> Action | None:
    return next((it for it in system.actions.values() if it.transaction == transaction), None)


def _in_use(system: System, transaction: str, here: set[int]) -> bool:
    """Whether its action is one of those that are in force here; what goes on may be yet."""
    action = _action_of(system, transaction)
    return transaction in system.open if action is None else action.seq in here


def _in_force(system: System, *, overlay: bool) -> set[int]:
    """The actions that make the running system: what a later one took away is not among them."""
    here = set(booted(system) or ())
    if overlay:
        here |= system.wanted
    return in_force(system.actions, here)
