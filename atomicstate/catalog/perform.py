"""Carrying a plan out in the tree, going on with one that was cut short, taking one back."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

from atomicstate.catalog import dpkg, install, tree
from atomicstate.catalog.dpkg import PlanState, after, before, plan_state
from atomicstate.catalog.errors import apt_error
from atomicstate.catalog.fetch import Archives
from atomicstate.catalog.libapt import apt_pkg
from atomicstate.catalog.protocol import ScriptError
from atomicstate.catalog.resolve import archive_hash
from atomicstate.errors import AptError, AtomicstateError, NoSpaceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from atomicstate.catalog.fetch import Report
    from atomicstate.catalog.libapt import Cache, DepCache, Package, PackageRecords, Version
    from atomicstate.events.plan import PackageChange, Plan
    from atomicstate.process import Finished

_FETCH_SHARE = 40.0
# Bytes. dpkg writes its database anew each time, and can neither go on nor back without room.
_SPARE = 8 << 20
_MOVED_HINT = "`atomicstate package update`, then ask again: that makes a new plan"


class Goal(NamedTuple):
    """One package, and the version that it shall have: empty for none.

    `sha256`: the archive that was planned, empty where any of that version will do. `purge`: its
    configuration goes with it. `again`: it is at its version, and broken: install it once more.
    """

    change: PackageChange
    version: str
    sha256: str = ""
    automatic: bool = False
    purge: bool = False
    again: bool = False


def carry_out(plan: Plan, report: Report) -> None:
    """Do `plan`, all of it and nothing else, on a tree that is as it was when it was made.

    Raises AptError (also where the tree or the package lists moved on), LockedError,
    NotPermittedError, NoSpaceError.
    """
    with changing():
        database = tree.database()
        if database.unclean:
            raise AptError(
                f"an earlier change was cut short: {database.unclean[0].trouble}; "
                "nothing was changed",
                hint="`atomicstate resume` goes on with it",
            )
        for change in plan.changes:
            now = database.version(change)
            if now not in (before(change), after(change)):
                raise AptError(
                    f"{change.name} is {f'at {now}' if now else 'not there'} now, and the plan was "
                    f"made for {before(change) or 'a tree without it'}; nothing was changed",
                    hint=_MOVED_HINT,
                )
        _require_space(plan)
        tree.note_kept_configuration(plan, database)
        _forward(plan, database, report)


def finish(plan: Plan, report: Report) -> None:
    """Go on where a killed run stopped: configure what waits for it, then the rest of `plan`.

    Raises as `carry_out` does.
    """
    with changing():
        configure_pending()
        _forward(plan, tree.database(), report)


def _forward(plan: Plan, database: dpkg.Database, report: Report) -> None:
    goals = []
    for change in plan.changes:
        record = database.find(change.name, change.architecture)
        broken = record is not None and not record.clean
        if database.version(change) != after(change) or broken:
            # Where dpkg was killed while unpacking, the new version may be in its database already.
            again = broken and record is not None and record.version == after(change)
            goals.append(Goal(change, after(change), change.sha256, change.automatic, again=again))
    if goals:
        reach(goals, report)
    if plan_state(plan, tree.database()) is not PlanState.DONE:
        raise ScriptError("dpkg ended well, and the packages are not as planned")


@contextlib.contextmanager
def changing() -> Iterator[None]:
    """The package database is ours to change: locked, writable, its journal merged, no services."""
    tree.require_unlocked()
    tree.require_writable()
    tree.merge_journal()
    apt = apt_pkg()
    try:
        apt.pkgsystem_lock()
    except apt.Error as error:
        raise apt_error(
            error, "the package database can't be locked, nothing was changed"
        ) from error
    try:
        with tree.no_services():
            yield
    finally:
        with contextlib.suppress(apt.Error):
            apt.pkgsystem_unlock()


def configure_pending() -> None:
    """Let dpkg configure what is unpacked and run triggers that wait.

    Raises ScriptError where a script fails. A package that dpkg was killed while unpacking fails
    too, and is not meant: it must be unpacked again first.
    """
    finished = tree.run_dpkg(["--configure", "--pending"])
    if finished.status != 0 and not any(record.broken for record in tree.database().unclean):
        message = f"what was unpacked can't be configured: dpkg {finished.outcome}"
        raise dpkg_error(message, finished)


def dpkg_error(message: str, finished: Finished, *, hint: str | None = None) -> AtomicstateError:
    """The error for a dpkg that failed; one for want of room says so by its class."""
    if b"No space left on device" in finished.stderr:
        return NoSpaceError(f"{message}: no space left")
    return ScriptError(message, hint=hint)


def _require_space(plan: Plan) -> None:
    state = os.statvfs("/usr")
    if plan.comes and plan.installed_size + _SPARE > state.f_bavail * state.f_frsize:
        raise NoSpaceError(
            f"the packages take {plan.installed_size} bytes more, dpkg needs {_SPARE} to work, and "
            "/usr has less free; nothing was changed"
        )


def reach(goals: Sequence[Goal], report: Report) -> None:
    """Bring each package of `goals` to its version, with libapt, and no other package.

    Raises AptError where that can't be, before anything is changed; ScriptError where a package
    failed on the way.
    """
    apt = apt_pkg()
    try:
        cache = apt.Cache(None)
        depcache = apt.DepCache(cache)
        _mark(cache, depcache, goals)
        archives = Archives(cache, depcache, report, _FETCH_SHARE)
    except apt.Error as error:
        raise apt_error(error, "libapt can't do it, nothing was changed") from error
    # What is fetched is left there: the next image takes it.
    archives.fetch()
    comes = any(goal.version for goal in goals)
    install.run(archives.manager, report, _FETCH_SHARE if comes else 0.0)


def _mark(cache: Cache, depcache: DepCache, goals: Sequence[Goal]) -> None:
    apt = apt_pkg()
    records = apt.PackageRecords(cache)
    meant = set()
    group = apt.ActionGroup(depcache)
    for goal in goals:
        package = find_package(cache, goal.change)
        if package is None:
            raise _moved(goal, "is not known any more")
        meant.add(package.id)
        if not goal.version:
            depcache.mark_delete(package, goal.purge)
            continue
        depcache.set_candidate_ver(package, find_version(records, package, goal))
        depcache.mark_install(package, False, not goal.automatic)
        if goal.again:
            depcache.set_reinstall(package, True)
    group.release()
    marked = {
        package.id: package.name
        for package in cache.packages
        if not depcache.marked_keep(package) or depcache.marked_reinstall(package)
    }
    strange = sorted(name for key, name in marked.items() if key not in meant)
    if depcache.broken_count or strange or meant - marked.keys():
        what = f": {', '.join(strange)} would change too" if strange else ""
        raise AptError(
            f"the tree or the package lists are not those of the plan any more{what}; "
            "nothing was changed",
            hint=_MOVED_HINT,
        )


def find_package(cache: Cache, change: PackageChange) -> Package:
    """libapt's package for `change`, None where it knows none."""
    # A package of architecture `all` is one of the native architecture to libapt.
    try:
        if change.architecture == "all":
            return cache[change.name]
        return cache[change.name, change.architecture]
    except KeyError:
        return None


def find_version(records: PackageRecords, package: Package, goal: Goal) -> Version:
    """The version of `package` that `goal` wants, as the lists offer it. Raises AptError."""
    candidates = [
        version
        for version in package.version_list
        if version.ver_str == goal.version and version.downloadable
    ]
    if not candidates:
        raise _moved(goal, "is not offered any more")
    for version in candidates:
        if not goal.sha256 or archive_hash(records, version) == goal.sha256:
            return version
    raise _moved(goal, "is offered with another archive than was planned")


def _moved(goal: Goal, what: str) -> AptError:
    name = f"{goal.change.name} {goal.version}".strip()
    return AptError(f"{name} {what}; nothing was changed", hint=_MOVED_HINT)
