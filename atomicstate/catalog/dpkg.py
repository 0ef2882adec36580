"""What dpkg's database says, and what that means for a plan. No libapt here."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

from atomicstate.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from atomicstate.events.plan import PackageChange, Plan

# dpkg-query, not the status file: after a kill the newest states are in dpkg's journal (updates/)
# alone, and dpkg-query reads both.
QUERY = (
    "dpkg-query",
    "--show",
    "--showformat=${Package}\\t${Architecture}\\t${db:Status-Abbrev}\\t${Version}\\n",
)

_ABSENT = frozenset("nc")
_INSTALLED = "i"
_STATUS_NAMES = {
    "H": "half-installed",
    "U": "unpacked, not configured",
    "F": "half-configured",
    "W": "waiting for another package's trigger",
    "t": "has pending triggers",
}


class PlanState(enum.StrEnum):
    """How much of a plan is so.

    PARTIAL: some packages are at their new version and some are not, or dpkg stopped in the middle
    of one.
    """

    DONE = "done"
    ABSENT = "absent"
    PARTIAL = "partial"


class Record(NamedTuple):
    """A package in dpkg's database. `status` is dpkg's letter; `broken` asks for a reinstall."""

    name: str
    architecture: str
    status: str
    broken: bool
    version: str

    @property
    def clean(self) -> bool:
        """Wholly there or wholly gone."""
        return not self.broken and (self.status == _INSTALLED or self.status in _ABSENT)

    @property
    def there(self) -> bool:
        """Installed and configured."""
        return self.clean and self.status == _INSTALLED

    @property
    def trouble(self) -> str:
        """What is wrong with it, for people."""
        said = _STATUS_NAMES.get(self.status, "in an unknown state")
        return f"{self.name} is {said}" if self.status != "t" else f"{self.name} {said}"


class Database:
    """The packages of one tree, as they were when it was read."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._records: dict[tuple[str, str], Record] = {}
        self._by_name: dict[str, list[Record]] = {}
        for record in records:
            self._records[record.name, record.architecture] = record
            self._by_name.setdefault(record.name, []).append(record)

    @property
    def unclean(self) -> tuple[Record, ...]:
        """The packages that dpkg was stopped in the middle of."""
        return tuple(record for record in self._records.values() if not record.clean)

    def find(self, name: str, architecture: str) -> Record | None:
        """The package's record. One that changed from or to `all` is the same package."""
        exact = self._records.get((name, architecture))
        if exact is not None:
            return exact
        for record in self._by_name.get(name, ()):
            if "all" in (record.architecture, architecture):
                return record
        return None

    def version(self, change: PackageChange) -> str:
        """The version of `change`'s package that is there, empty where none is."""
        record = self.find(change.name, change.architecture)
        return record.version if record is not None and record.there else ""

    def named(self, name: str) -> Record | None:
        """The record of an installed package called `name` or `name:architecture`."""
        bare, _, architecture = name.partition(":")
        for record in self._by_name.get(bare, ()):
            if record.there and architecture in ("", record.architecture):
                return record
        return None


def parse(text: str) -> Database:
    """The database in what QUERY printed. Raises HostError for what it never prints.

    That is nothing, too: a tree without a package has no dpkg that could say so.
    """
    lines = [line for line in text.splitlines() if line]
    if not lines:
        raise _unreadable("")
    return Database(map(_record, lines))


def _record(line: str) -> Record:
    match line.split("\t"):
        case [name, architecture, status, version] if len(status) > 1:
            return Record(name, architecture, status[1], status[2:3] == "R", version)
    raise _unreadable(line)


def _unreadable(said: str) -> HostError:
    return HostError(
        f"the package database can't be read: dpkg-query answered {said[:80]!r}",
        hint="`dpkg --audit` tells more",
    )


def after(change: PackageChange) -> str:
    """The version that is there once `change` is done, empty where it goes."""
    return "" if change.kind == "remove" else change.version


def before(change: PackageChange) -> str:
    """The version that was there before `change`, empty where none was."""
    return (change.was or change.version) if change.kind == "remove" else change.was


def plan_state(plan: Plan, database: Database) -> PlanState:
    """How much of `plan` is so in `database`. An empty plan is done.

    A package outside the plan that dpkg stopped in the middle of (a trigger, a deconfigured
    neighbour) makes it PARTIAL too: plans are made on clean trees alone.
    """
    if not plan.changes:
        return PlanState.DONE
    if database.unclean:
        return PlanState.PARTIAL
    now = [database.version(change) for change in plan.changes]
    if all(version == after(change) for version, change in zip(now, plan.changes, strict=True)):
        return PlanState.DONE
    if all(version == before(change) for version, change in zip(now, plan.changes, strict=True)):
        return PlanState.ABSENT
    return PlanState.PARTIAL
