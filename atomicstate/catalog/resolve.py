"""Working out what asking for packages means, with libapt's resolver. Changes nothing."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, NamedTuple

from atomicstate.catalog import tree
from atomicstate.catalog.errors import apt_error
from atomicstate.catalog.libapt import INSTALLED_INDEX, apt_pkg
from atomicstate.catalog.names import quoted
from atomicstate.catalog.reasons import Explanation
from atomicstate.errors import AptError, NotFoundError
from atomicstate.events.plan import PackageChange, Plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from atomicstate.catalog.libapt import Cache, DepCache, Package, PackageRecords, Version
    from atomicstate.catalog.protocol import Request

_NEAR = 3
_SHOWN = 5


class _Asked(NamedTuple):
    install: list[Package]
    remove: list[Package]

    @property
    def ids(self) -> frozenset[int]:
        return frozenset(package.id for package in (*self.install, *self.remove))


def resolve(request: Request) -> Plan:
    """The plan of `request` on top of the tree and what is given.

    Raises NotFoundError naming every unknown name, LockedError, AptError with libapt's reasons.
    """
    apt = apt_pkg()
    tree.require_unlocked()
    tree.merge_journal()
    if not request.unclean:
        _refuse_unclean()
    try:
        cache = apt.Cache(None)
        depcache = apt.DepCache(cache)
    except apt.Error as error:
        raise apt_error(error, "the package lists can't be read") from error
    if depcache.broken_count:
        raise AptError(
            "the tree's packages don't fit together as they are; nothing was changed",
            hint="`apt-get check` in the tree says which, `apt-get -f install` mends it",
        )
    _prefer(cache, depcache, request.versions)
    try:
        given = _find(cache, depcache, request.given_install, request.given_remove)
    except NotFoundError as error:
        raise NotFoundError(
            f"of what is wanted already, not applied yet: {error.message}",
            hint="`atomicstate status` shows what is pending, `atomicstate undo` takes it back",
        ) from error
    asked = _find(cache, depcache, request.install, request.remove)
    _refuse_protected(asked)
    # What is given and there already must not be upgraded on the way: only `asked` may change it.
    missing = [package for package in given.install if package.current_ver is None]
    taken = asked.ids
    given = _Asked(
        [package for package in missing if package.id not in taken],
        [package for package in given.remove if package.id not in taken],
    )
    _mark(cache, depcache, given, _Asked([], []))
    before = _versions(cache, depcache, only_marked=True)
    _mark(cache, depcache, asked, given)
    return _difference(cache, depcache, before, asked)


def _prefer(cache: Cache, depcache: DepCache, versions: Mapping[str, str]) -> None:
    """Let these versions be the candidates, where they are offered."""
    for name, wanted in versions.items():
        package = _lookup(cache, name)
        for version in package.version_list if package is not None else ():
            if version.ver_str == wanted and version.downloadable:
                depcache.set_candidate_ver(package, version)
                break


def _refuse_unclean() -> None:
    unclean = tree.database().unclean
    if unclean:
        shown = ", ".join(record.trouble for record in unclean[:_SHOWN])
        raise AptError(
            f"an earlier change of packages was cut short: {shown}; nothing was changed",
            hint="`atomicstate resume` goes on with it; `dpkg --configure -a` in the tree ends "
            "one that somebody else began",
        )


def _find(
    cache: Cache, depcache: DepCache, install: Sequence[str], remove: Sequence[str]
) -> _Asked:
    """The packages that the names mean. Raises NotFoundError for all that mean none."""
    found: dict[str, Package] = {}
    unknown: list[str] = []
    virtual: list[str] = []
    for name in (*install, *remove):
        package = _lookup(cache, name)
        if package is None:
            unknown.append(name)
        elif not package.has_versions or (
            name in install and depcache.get_candidate_ver(package) is None
        ):
            virtual.append(_without_candidate(depcache, name, package))
        else:
            found[name] = package
    if unknown:
        raise _not_found(cache, unknown)
    if virtual:
        raise AptError(f"{'; '.join(virtual)}; nothing was changed")
    return _Asked([found[name] for name in install], [found[name] for name in remove])


def _lookup(cache: Cache, name: str) -> Package:
    bare, _, architecture = name.partition(":")
    try:
        package = cache[bare, architecture] if architecture else cache[bare]
    except KeyError:
        return None
    return package if package.has_versions or package.has_provides else None


def _without_candidate(depcache: DepCache, name: str, package: Package) -> str:
    """Why a name that libapt knows can't be installed or removed by that name."""
    if package.has_versions:
        return f"no version of {name!r} is offered that may be installed"
    providers = {
        version.parent_pkg.name
        for _name, _version, version in package.provides_list
        if depcache.get_candidate_ver(version.parent_pkg) == version
        or version.parent_pkg.current_ver == version
    }
    if not providers:
        return f"{name!r} is a virtual package, and nothing that is offered provides it"
    shown = sorted(providers)[: 2 * _SHOWN]
    return f"{name!r} is a virtual package: name one that provides it: {', '.join(shown)}"


def _not_found(cache: Cache, unknown: Sequence[str]) -> NotFoundError:
    names = {package.name for package in cache.packages if package.has_versions}
    word = "package" if len(unknown) == 1 else "packages"
    message = f"no {word} {', '.join(quoted(name) for name in unknown)}; nothing was changed"
    if all(file.index_type == INSTALLED_INDEX for file in cache.file_list):
        return NotFoundError(
            message, hint="there are no package lists yet: `atomicstate package update` gets them"
        )
    near = [match for name in unknown for match in near_names(name.partition(":")[0], names)]
    if near:
        return NotFoundError(message, hint=f"near it: {', '.join(dict.fromkeys(near))}")
    return NotFoundError(message, hint="`atomicstate package update` gets the newest package lists")


def near_names(name: str, names: set[str]) -> list[str]:
    """The few of `names` that are most like `name`."""
    # Comparing with all of a distribution's names takes a second: most can't be near.
    length = len(name)
    likely = [
        other
        for other in sorted(names)
        if abs(len(other) - length) <= 1 + length // 4 and set(other[:3]) & set(name[:3])
    ]
    return difflib.get_close_matches(name, likely, _NEAR, 0.75)


def protected(package: Package, version: Version) -> str:
    """Why `package` must stay, empty where it need not."""
    if package.essential:
        return "essential"
    if package.important:
        return "protected"
    return "required" if version.priority_str == "required" else ""


def _refuse_protected(asked: _Asked) -> None:
    for package in asked.remove:
        version = package.current_ver
        word = protected(package, version) if version is not None else ""
        if word:
            raise AptError(
                f"{package.name} is {word}: the system does not work without it; "
                "nothing was changed"
            )


def _mark(cache: Cache, depcache: DepCache, asked: _Asked, given: _Asked) -> None:
    """Mark `asked` with all that it takes. Raises AptError where there is no way."""
    apt = apt_pkg()
    resolver = apt.ProblemResolver(depcache)
    removed = {package.id for package in asked.remove}
    for package in given.install:
        if package.id not in removed:
            resolver.protect(package)
    refusal = ""
    try:
        for package in asked.remove:
            resolver.clear(package)
            resolver.protect(package)
            resolver.remove(package)
            depcache.mark_delete(package, False)
        # First all that is asked, then what they need: so that one asked package serves as
        # another's dependency before libapt looks for one itself.
        for automatic in (False, True):
            for package in asked.install:
                resolver.clear(package)
                resolver.protect(package)
                depcache.mark_install(package, automatic, True)
        if depcache.broken_count:
            resolver.resolve(True)
    except apt.Error as error:
        refusal = str(apt_error(error, "libapt says"))
    unmet = [
        package
        for package in asked.install
        if depcache.marked_delete(package)
        or (depcache.marked_keep(package) and package.current_ver is None)
    ]
    if refusal or depcache.broken_count or unmet:
        raise _no_way(cache, depcache, asked, given, refusal)


def _no_way(
    cache: Cache, depcache: DepCache, asked: _Asked, given: _Asked, refusal: str
) -> AptError:
    explanation = Explanation(
        cache, depcache, (*given.install, *asked.install), (*given.remove, *asked.remove)
    )
    names = ", ".join(package.name for package in (*asked.install, *asked.remove))
    verb = "remove" if not asked.install else "install" if not asked.remove else "change"
    said = "; ".join(explanation.reasons()) or refusal or "libapt finds no way"
    return AptError(
        f"can't {verb} {names}: {said}. Nothing was changed",
        hint="`atomicstate package update` gets the newest package lists; leave one of the two "
        "out where packages exclude each other",
    )


def _versions(
    cache: Cache, depcache: DepCache, *, only_marked: bool
) -> dict[int, tuple[Package, Version]]:
    """By package id: the package, and the version it will have (None: none)."""
    return {
        package.id: (package, outcome(depcache, package))
        for package in cache.packages
        if not (only_marked and depcache.marked_keep(package))
    }


def outcome(depcache: DepCache, package: Package) -> Version:
    """The version that the marks leave of `package`, None for none."""
    if depcache.marked_delete(package):
        return None
    if depcache.marked_keep(package):
        return package.current_ver
    return depcache.get_candidate_ver(package)


def _difference(
    cache: Cache, depcache: DepCache, before: dict[int, tuple[Package, Version]], asked: _Asked
) -> Plan:
    records = apt_pkg().PackageRecords(cache)
    now = _versions(cache, depcache, only_marked=True)
    changes: list[PackageChange] = []
    net = 0
    for key in now.keys() | before.keys():
        package = (now.get(key) or before[key])[0]
        old = before[key][1] if key in before else package.current_ver
        new = outcome(depcache, package)
        if (old and old.ver_str) == (new and new.ver_str):
            continue
        if new is None:
            _refuse_loss(package, old, asked)
        automatic = package.id not in asked.ids
        changes.append(_change(records, package, old, new, automatic=automatic))
        net += (new.installed_size if new else 0) - (old.installed_size if old else 0)
    changes.sort(key=lambda change: (change.name, change.architecture))
    return Plan(
        changes=tuple(changes),
        download_size=sum(change.download_size for change in changes),
        installed_size=net,
    )


def _refuse_loss(package: Package, version: Version, asked: _Asked) -> None:
    word = protected(package, version)
    if word:
        names = ", ".join(wanted.name for wanted in (*asked.install, *asked.remove))
        raise AptError(
            f"changing {names} would remove {package.name}, which is {word}; nothing was changed"
        )


def _change(
    records: PackageRecords, package: Package, old: Version, new: Version, *, automatic: bool
) -> PackageChange:
    if new is None:
        return PackageChange(
            kind="remove",
            name=package.name,
            version=old.ver_str,
            architecture=old.arch,
            was=old.ver_str,
            automatic=automatic,
            installed_size=old.installed_size,
        )
    return PackageChange(
        kind=_kind(old, new),
        name=package.name,
        version=new.ver_str,
        architecture=new.arch,
        was=old.ver_str if old is not None else "",
        sha256=archive_hash(records, new),
        automatic=automatic,
        download_size=new.size,
        installed_size=new.installed_size,
    )


def _kind(old: Version, new: Version) -> str:
    if old is None:
        return "install"
    return "upgrade" if apt_pkg().version_compare(new.ver_str, old.ver_str) > 0 else "downgrade"


def archive_hash(records: PackageRecords, version: Version) -> str:
    """The SHA-256 that the package lists give for the version's archive; empty where none does."""
    for file in version.file_list:
        if file[0].index_type == INSTALLED_INDEX:
            continue
        records.lookup(file)
        found = records.hashes.find("SHA256")
        if found is not None:
            return str(found.hashvalue)
    return ""
