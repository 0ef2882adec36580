"""Taking a plan back: in order, with libapt, where that works; package by package where not."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from atomicstate.catalog import tree
from atomicstate.catalog.dpkg import PlanState, before, plan_state
from atomicstate.catalog.fetch import fetch_versions
from atomicstate.catalog.libapt import apt_pkg
from atomicstate.catalog.names import archive_name
from atomicstate.catalog.perform import (
    Goal,
    changing,
    dpkg_error,
    find_package,
    find_version,
    reach,
)
from atomicstate.errors import AptError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atomicstate.catalog.dpkg import Database
    from atomicstate.catalog.fetch import Report
    from atomicstate.events.plan import Plan

_SCRIPTS = ("prerm", "postrm", "preinst", "postinst")
_TAKE_AWAY = (
    "--force-depends",
    "--force-remove-reinstreq",
    "--force-remove-essential",
    "--force-remove-protected",
)
_PUT_BACK = ("--force-depends", "--force-conflicts", "--force-breaks", "--force-downgrade")


def revert(plan: Plan, report: Report) -> None:
    """Bring every package of `plan` to what it was before, however far the plan came.

    What the plan installed is purged; configuration that an earlier install had left is kept.
    Raises AptError where something could not be taken back.
    """
    with changing():
        database = tree.database()
        goals = _goals(plan, database)
        if not plan.changes or plan_state(plan, database) is PlanState.ABSENT:
            return
        try:
            if goals:
                reach(goals, report)
        except AptError:
            # A script of a package fails, or libapt does not take the tree as it is.
            _by_force(plan, report)
        if plan_state(plan, tree.database()) is not PlanState.ABSENT:
            _by_force(plan, report)
        _settle(plan)
    _clean_archives(plan)


def _goals(plan: Plan, database: Database) -> list[Goal]:
    kept = tree.kept_configuration()
    goals = []
    for change in plan.changes:
        record = database.find(change.name, change.architecture)
        unclean = record is not None and not record.clean
        if database.version(change) == before(change) and not unclean:
            continue
        again = unclean and record is not None and record.version == before(change)
        purge = not before(change) and (change.name, change.architecture) not in kept
        goals.append(Goal(change, before(change), purge=purge, again=again))
    return goals


def _by_force(plan: Plan, report: Report) -> None:
    """With dpkg alone, dependencies set aside, and scripts too where they fail."""
    tree.merge_journal()
    goals = _goals(plan, tree.database())
    back = [goal for goal in goals if goal.version]
    # All that comes back is fetched before anything goes.
    archives = _archives(back, report)
    gone = [goal for goal in goals if not goal.version]
    _take_away(gone)
    left = _still_there(gone)
    if left:
        _drop_scripts(left)
        _take_away(left)
    if archives and tree.run_dpkg([*_PUT_BACK, "--unpack", *archives]).status != 0:
        _drop_scripts(back)
        tree.run_dpkg([*_PUT_BACK, "--unpack", *archives])


def _archives(back: Sequence[Goal], report: Report) -> list[str]:
    if not back:
        return []
    apt = apt_pkg()
    cache = apt.Cache(None)
    records = apt.PackageRecords(cache)
    versions = []
    for goal in back:
        package = find_package(cache, goal.change)
        if package is None:
            raise AptError(f"{goal.change.name} {goal.version} is not offered any more")
        versions.append(find_version(records, package, goal))
    return fetch_versions(cache, versions, report)


def _clean_archives(plan: Plan) -> None:
    """Remove what was fetched for the plan, and for taking it back, from apt's cache."""
    folder = Path(apt_pkg().config.find_dir("Dir::Cache::Archives"))
    for change in plan.changes:
        for version in {change.version, change.was} - {""}:
            name = archive_name(change.name, version, change.architecture)
            (folder / name).unlink(missing_ok=True)


def _take_away(goals: Sequence[Goal]) -> None:
    for option, purge in (("--purge", True), ("--remove", False)):
        names = [_dpkg_name(goal) for goal in goals if goal.purge is purge]
        if names:
            tree.run_dpkg([*_TAKE_AWAY, option, *names])


def _dpkg_name(goal: Goal) -> str:
    change = goal.change
    if change.architecture == "all":
        return change.name
    return f"{change.name}:{change.architecture}"


def _still_there(goals: Sequence[Goal]) -> list[Goal]:
    database = tree.database()
    left = []
    for goal in goals:
        record = database.find(goal.change.name, goal.change.architecture)
        if record is not None and not (record.clean and not record.there):
            left.append(goal)
    return left


def _drop_scripts(goals: Sequence[Goal]) -> None:
    """Their scripts failed already: without them dpkg removes the files all the same."""
    for goal in goals:
        for stem in (goal.change.name, f"{goal.change.name}:{goal.change.architecture}"):
            for script in _SCRIPTS:
                with contextlib.suppress(FileNotFoundError):
                    (tree.ADMIN / "info" / f"{stem}.{script}").unlink()


def _settle(plan: Plan) -> None:
    """Configure what was deconfigured or waits for a trigger, and look what there is now."""
    finished = tree.run_dpkg(["--configure", "--pending"])
    database = tree.database()
    if plan_state(plan, database) is PlanState.ABSENT:
        return
    wrong = [record.trouble for record in database.unclean]
    wrong += [
        f"{change.name} is {database.version(change) or 'not there'}"
        for change in plan.changes
        if database.version(change) != before(change)
    ]
    raise dpkg_error(
        f"the change could not be taken back whole: {'; '.join(wrong)} (dpkg {finished.outcome})",
        finished,
        hint="where an overlay holds it, the next boot starts without it",
    )
