"""At shutdown: what live installs added to /etc makes way for the next image's own files.

Until then the packages in the overlay need it; after the boot the merged /etc would hold it for
good, over whatever later images bring. A file that was changed since is a person's, and stays; so
does one that the next image does not have: another program may have written it meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from atomicstate.catalog.residue import Residue
from atomicstate.engine.residue import shadowing
from atomicstate.engine.runner import Answer, Effect, Runner
from atomicstate.errors import ImageError
from atomicstate.events.bodies import TransactionBegun
from atomicstate.events.ids import new_id
from atomicstate.machine import recovery, table
from atomicstate.machine.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from atomicstate.engine.results import Reporter
    from atomicstate.engine.session import Session
    from atomicstate.events.bodies import AnyBody
    from atomicstate.events.event import BootInstance, Event
    from atomicstate.host.ports import Image

_SHOWN = 5


def withdraw(session: Session, reporter: Reporter) -> tuple[str, ...]:
    """Take away what would shadow the next image's own /etc. Returns the paths; none: no event."""
    if not session.state.has_log or not session.system().residue:
        return ()
    with session.recording():
        return run(session, reporter)


def run(session: Session, reporter: Reporter) -> tuple[str, ...]:
    """`withdraw`, where there is a log and the recording lock is held."""
    system = session.observe()
    shadow = shadowing(session, system)
    if not shadow:
        return ()
    now = session.host.catalog.survey().files
    unchanged = [path for path, sign in shadow.items() if now.get(path) == sign]
    paths = tuple(sorted(_in_next_image(session, reporter, unchanged)))
    if not paths:
        return ()
    begun = TransactionBegun(table.WITHDRAW, objects=paths)
    boot = session.host_status().boot
    WithdrawTransaction(session, reporter, new_id(), begun, boot).begin()
    return paths


def _in_next_image(session: Session, reporter: Reporter, paths: Sequence[str]) -> Collection[str]:
    """Those of `paths` that the image which boots next has; none where nobody can tell."""
    if not paths:
        return ()
    try:
        return session.host.builder.has(_next_image(session), paths)
    except ImageError as error:
        more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
        reporter.note(
            f"{error.message}: nothing was withdrawn from /etc. What live installs left there stays"
            " in front of what the next image brings; compare the two after the boot:"
            f" {', '.join(sorted(paths)[:_SHOWN])}{more}"
        )
        return ()


def _next_image(session: Session) -> Image:
    """The image that boots next. Raises ImageError where it is gone, or not known."""
    coming = session.host_status().boots_next
    if coming is None or not coming.image_digest:
        raise ImageError("the host does not tell which image boots next")
    return session.host.builder.resolve(coming.image_digest)


class WithdrawTransaction:
    """The transaction `transaction`, which takes away the paths `begun.objects`."""

    def __init__(
        self,
        session: Session,
        reporter: Reporter,
        transaction: str,
        begun: TransactionBegun,
        boot: BootInstance | None,
    ) -> None:
        self._session = session
        self._reporter = reporter
        self._transaction = transaction
        self._boot = boot
        self._signatures = {
            path: sign for path, sign in self._recorded().items() if path in set(begun.objects)
        }
        self._begun = begun

    def begin(self) -> list[Event]:
        """Run it from its start."""
        return self._runner(waiting=(self._begun,)).forward()

    def resume(self, statuses: Mapping[str, str]) -> list[Event]:
        """Go on after an interruption."""
        return self._runner(statuses=statuses).forward()

    def abort(self, statuses: Mapping[str, str], reason: str, code: str) -> None:
        """End it: what is gone was nobody's own, and is not brought back."""
        self._runner(statuses=statuses).back(reason, code)

    def settled(self) -> bool:
        """It can be ended at any time."""
        return False

    def _recorded(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for blob in self._session.system().residue.values():
            found.update(msgspec.json.decode(self._session.blobs.get(blob), type=Residue).added)
        return found

    def _runner(
        self, *, waiting: tuple[AnyBody, ...] = (), statuses: Mapping[str, str] | None = None
    ) -> Runner:
        catalog = self._session.host.catalog

        def do() -> None:
            catalog.withdraw(self._signatures)

        def probe() -> Answer:
            # After a boot the same path is the new image's own file.
            if self._session.is_over(self._boot):
                return Answer(recovery.GONE)
            now = catalog.survey().files
            left = [path for path, sign in self._signatures.items() if now.get(path) == sign]
            files = [path for path in left if not _is_folder(self._signatures[path])]
            if files:
                return Answer(recovery.ABSENT)
            gone = len(self._signatures) - len(left)
            return Answer(recovery.DONE, {"paths": str(gone)})

        effect = Effect("withdraw", do, probe)
        return Runner(
            self._session,
            self._reporter,
            self._transaction,
            Pipeline(table.WITHDRAW),
            (effect,),
            waiting=waiting,
            statuses=statuses,
        )


def _is_folder(signature: str) -> bool:
    """Whether it was a folder: one that holds a person's own file stays."""
    return signature.startswith("40000 ")
