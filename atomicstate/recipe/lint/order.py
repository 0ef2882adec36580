"""Rules about what comes before what."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from atomicstate.recipe import schema
from atomicstate.recipe.lint.commands import makes_ram_disk
from atomicstate.recipe.lint.effects import is_below, normal
from atomicstate.recipe.lint.findings import Found, Rule
from atomicstate.recipe.names import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from atomicstate.recipe.document import Path
    from atomicstate.recipe.expand import Step
    from atomicstate.recipe.lint.effects import Effects
    from atomicstate.recipe.lint.files import Check

_KERNEL_PACKAGE = re.compile(r"linux-image-.+|kernel-(image|modules)-.+|kernel(-core)?|.+-dkms")
_UNIT_KIND = re.compile(r"\.(service|socket|timer|path)$")
_UNIT_FOLDERS = ("/usr/lib/systemd", "/lib/systemd", "/etc/systemd")
# What these do to the image does not show, or not wholly: whatever comes after may rely on it.
_OPAQUE = (schema.ShellBody, schema.GitBody, schema.BrandingBody, schema.KernelBody)


# -- an initial RAM disk after the kernel --------------------------------------------------------


def _without_ram_disk(effects: Sequence[Effects]) -> Iterator[tuple[Step, Found]]:
    made = max((place for place, each in enumerate(effects) if _makes_ram_disk(each)), default=-1)
    for place, each in enumerate(effects):
        if place > made and (found := _changes_kernel(each.step)):
            yield each.step, found


def _makes_ram_disk(effects: Effects) -> bool:
    body = effects.step.module.body
    if isinstance(body, schema.KernelBody):
        return body.initrd.method != "none"
    return any(map(makes_ram_disk, effects.commands))


def _changes_kernel(step: Step) -> Found | None:
    body = step.module.body
    if isinstance(body, schema.KernelBody):
        info = body.kernel_info
        brings = info.flavour or info.modules
        return Found(("body", "initrd", "method"), "the kernel is another one") if brings else None
    for place, name in enumerate(_installed(step)):
        if _KERNEL_PACKAGE.fullmatch(name):
            return Found(("body", "install", place), f"{shown(name)} changes the kernel")
    return None


def _installed(step: Step) -> tuple[str, ...]:
    body = step.module.body
    return body.install if isinstance(body, schema.PackagesBody) else ()


# -- units and what brings them ------------------------------------------------------------------


def _enabled_early(effects: Sequence[Effects]) -> Iterator[tuple[Step, Found]]:
    places = _places_of_units(effects)
    for place, each in enumerate(effects):
        body = each.step.module.body
        if not isinstance(body, schema.SystemdBody) or not body.enabled:
            continue
        for number, unit in enumerate(body.targets):
            names = (unit, f"{unit}.service", f"package {_package_of(unit)}")
            brought = [at for name in names for at in places.get(name, ())]
            if brought and min(brought) > place:
                by = effects[min(brought)].step.where
                what = f"{shown(unit)} is enabled here, and comes with {by}"
                yield each.step, Found(("body", "targets", number), what)


def _places_of_units(effects: Sequence[Effects]) -> dict[str, list[int]]:
    """Where units are brought, by the name of their file, and packages, as `package NAME`."""
    places: dict[str, list[int]] = {}
    for place, each in enumerate(effects):
        names = [f"package {name}" for name in _installed(each.step)]
        names += [
            write.path.rpartition("/")[2]
            for write in each.writes
            if is_below(write.path, _UNIT_FOLDERS)
        ]
        for name in names:
            places.setdefault(name, []).append(place)
    return places


def _package_of(unit: str) -> str:
    """The package that has the name of the unit."""
    return _UNIT_KIND.sub("", unit).partition("@")[0]


# -- what is gone -------------------------------------------------------------------------------


def _used_after_removal(effects: Sequence[Effects]) -> Iterator[tuple[Step, Found]]:
    gone = _Gone()
    packages: dict[str, str] = {}
    for each in effects:
        step, body = each.step, each.step.module.body
        for path, needed in _needs(step):
            if by := gone.by(normal(needed)):
                yield step, Found(path, f"{shown(needed)} went with {by}")
        if isinstance(body, schema.SystemdBody) and body.enabled:
            for number, unit in enumerate(body.targets):
                if by := packages.get(_package_of(unit)):
                    what = f"the package of {shown(unit)} went with {by}"
                    yield step, Found(("body", "targets", number), what)
        _go_on(each, gone, packages)


class _Gone:
    """The paths that are not there any more, and by which module."""

    def __init__(self) -> None:
        self._by: dict[str, str] = {}
        self._folders: set[str] = set()

    def by(self, path: str) -> str | None:
        """What took `path` away, or a folder that it lies in."""
        return next((self._by[above] for above in _upwards(path) if above in self._by), None)

    def add(self, path: str, by: str) -> None:
        """`path` is gone."""
        self._by[path] = by
        self._folders.update(_upwards(path))

    def back(self, path: str) -> None:
        """`path` is there again, and so may be what it lies in, and what lies in it."""
        for above in _upwards(path):
            self._by.pop(above, None)
        if path in self._folders or path == "/":
            self._by = {gone: by for gone, by in self._by.items() if not is_below(gone, (path,))}

    def clear(self) -> None:
        """Whatever was gone may be back."""
        self._by.clear()
        self._folders.clear()


def _upwards(path: str) -> Iterator[str]:
    """`path`, and the folders that it lies in."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def _go_on(effects: Effects, gone: _Gone, packages: dict[str, str]) -> None:
    """Note what a step takes away, and what it brings back, or may bring back."""
    step, body = effects.step, effects.step.module.body
    if isinstance(body, _OPAQUE):
        gone.clear()
        packages.clear()
    if isinstance(body, schema.PackagesBody):
        gone.clear()
        for name in body.install:
            packages.pop(name, None)
        packages.update(dict.fromkeys(body.remove, step.where))
    for write in effects.writes:
        gone.back(write.path)
    if isinstance(body, schema.RemoveBody) and not body.inside:
        for target in body.targets:
            gone.add(normal(target), step.where)
    if isinstance(body, schema.MoveBody) and not body.create_link:
        gone.add(normal(body.source), step.where)


def _needs(step: Step) -> Iterator[tuple[Path, str]]:
    """The paths of the image that must be there for a step."""
    match step.module.body:
        case schema.MoveBody(source=source):
            yield ("body", "source"), source
        case schema.ReplaceBody(target=target):
            yield ("body", "target"), target
        case schema.MergeBody(source=source) if source.startswith("/"):
            yield ("body", "source"), source


CHECKS: tuple[tuple[Rule, Check], ...] = (
    (
        Rule(
            "initramfs-missing",
            "warning",
            "a kernel, or modules of it, and no initial RAM disk made afterwards",
            "no module after it makes an initial RAM disk, so the old one is booted, or none",
            "let a `kernel` module with an initrd.method follow",
        ),
        _without_ram_disk,
    ),
    (
        Rule(
            "enabled-early",
            "warning",
            "a unit enabled before the package or file that brings it",
            "a unit that is not there can't be enabled",
            "put this module after that one",
        ),
        _enabled_early,
    ),
    (
        Rule(
            "used-after-removal",
            "warning",
            "a file or package used after it was removed",
            "it is not there any more",
            "put this module before that one, or take one of them out",
        ),
        _used_after_removal,
    ),
)
