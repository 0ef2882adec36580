"""Why libapt finds no way. It says little itself: apt's own sentences are made in its front end."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from atomicstate.catalog.libapt import Cache, DepCache, Dependency, Package, Version

_SHOWN = 3
_NEEDS = ("PreDepends", "Depends")
_EXCLUDES = ("Conflicts", "Breaks")
_VERBS = {"Conflicts": "conflicts with", "Breaks": "breaks"}


class Explanation:
    """Follows what is asked to what it needs, the first choice each time, and notes what fails."""

    def __init__(
        self,
        cache: Cache,
        depcache: DepCache,
        install: Iterable[Package],
        remove: Iterable[Package],
    ) -> None:
        self._depcache = depcache
        self._gone = {package.id for package in remove}
        self._chosen: dict[int, Version] = {
            package.id: package.current_ver
            for package in cache.packages
            if package.current_ver is not None and package.id not in self._gone
        }
        self._queue: deque[Version] = deque()
        self._new: dict[int, Version] = {}
        for package in install:
            # The candidate may be discarded by a resolver that found no way: the newest, then.
            version = depcache.get_candidate_ver(package) or next(iter(package.version_list), None)
            if version is not None:
                self._choose(version)

    def _choose(self, version: Version) -> None:
        self._chosen[version.parent_pkg.id] = version
        self._new[version.parent_pkg.id] = version
        self._queue.append(version)

    def reasons(self) -> list[str]:
        """Sentences, at most a few: needs that nothing meets first, then what excludes what."""
        said = [*self._unmet(), *self._exclusions()]
        return list(dict.fromkeys(said))[:_SHOWN]

    def _unmet(self) -> Iterator[str]:
        while self._queue:
            version = self._queue.popleft()
            for kind in _NEEDS:
                for group in version.depends_list.get(kind, ()):
                    reason = self._meet(version, group)
                    if reason:
                        yield reason

    def _meet(self, version: Version, group: list[Dependency]) -> str:
        """Choose something that meets one of the alternatives of `group`, or say why not."""
        targets = [target for choice in group for target in choice.all_targets()]
        if any(self._chosen.get(target.parent_pkg.id) == target for target in targets):
            return ""
        for target in targets:
            package = target.parent_pkg
            offered = self._depcache.get_candidate_ver(package)
            free = package.id not in self._gone and package.id not in self._new
            if free and (offered is None or offered == target):
                self._choose(target)
                return ""
        wanted = " or ".join(_named(choice) for choice in group)
        return f"{version.parent_pkg.name} needs {wanted}, {self._why_not(group[0])}"

    def _why_not(self, choice: Dependency) -> str:
        package = choice.target_pkg
        if package.id in self._gone:
            return "which is to be removed"
        there = self._chosen.get(package.id)
        if there is not None:
            return f"but {there.ver_str} is what there is"
        offered = self._depcache.get_candidate_ver(package)
        if offered is not None:
            return f"but {offered.ver_str} is what is offered"
        return "which nobody offers"

    def _exclusions(self) -> Iterator[str]:
        # What comes excludes something first; then what is there excludes what comes.
        there = [version for key, version in self._chosen.items() if key not in self._new]
        for version in (*self._new.values(), *there):
            for kind in _EXCLUDES:
                for group in version.depends_list.get(kind, ()):
                    for target in group[0].all_targets():
                        if self._excludes(version, target):
                            other = target.parent_pkg
                            yield f"{version.parent_pkg.name} {_VERBS[kind]} {other.name}"

    def _excludes(self, version: Version, target: Version) -> bool:
        package = target.parent_pkg
        if package.id == version.parent_pkg.id or self._chosen.get(package.id) != target:
            return False
        return version.parent_pkg.id in self._new or package.id in self._new


def _named(choice: Dependency) -> str:
    name = choice.target_pkg.name
    return f"{name} ({choice.comp_type_deb} {choice.target_ver})" if choice.target_ver else name
