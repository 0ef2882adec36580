"""What live transactions leave in /etc and /var: found by before and after, shown by `status`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from atomicstate.catalog.residue import Residue, Survey, left_between, still_there
from atomicstate.errors import AtomicstateError, HostError
from atomicstate.events.bodies import ResidueFound
from atomicstate.files import make_directory, write_atomically
from atomicstate.projectors.compaction import in_force
from atomicstate.projectors.pending import applied, booted

if TYPE_CHECKING:
    from atomicstate.engine.session import Session
    from atomicstate.projectors.state import Action
    from atomicstate.projectors.system import System

_BEFORE = "before.json"


def note_before(session: Session, transaction: str) -> None:
    """Keep, durable, what lies there before `transaction` changes anything; once.

    A tree that can't be looked through is no reason not to go on: then nothing is known to stay.
    """
    path = session.state.transaction_directory(transaction) / _BEFORE
    if path.exists():
        return
    try:
        before = session.host.catalog.survey()
    except HostError:
        return
    make_directory(path.parent)
    write_atomically(path, msgspec.json.encode(before))


def found(session: Session, transaction: str) -> tuple[ResidueFound, ...]:
    """What `transaction` left, as a fact; none where nothing is known to stay."""
    path = session.state.transaction_directory(transaction) / _BEFORE
    try:
        before = msgspec.json.decode(path.read_bytes(), type=Survey)
        residue = left_between(before, session.host.catalog.survey())
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
    """What live transactions added to /etc that the next deployment brings itself.

    Paths with signatures. The next boot merges /etc: a file that was added on the machine wins
    over the image's own, for good.
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
