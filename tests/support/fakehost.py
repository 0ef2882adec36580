"""A host in memory, behind the same ports as a real one: for tests of the engine alone.

`failing` maps the name of an effect to the error that it raises (before doing anything);
`after` likewise, but once its work is done; a `Crash` stands for a kill at that very point.
`on_effect` is told of each effect, before and after.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import msgspec

from atomicstate.catalog.client import PlanState, Progress
from atomicstate.catalog.residue import Survey
from atomicstate.errors import HostError, ImageError, NotFoundError
from atomicstate.events.event import BootInstance
from atomicstate.events.plan import PackageChange, Plan
from atomicstate.host.ports import Deployment, HostStatus, Image, OverlayState, TreeEntry
from tests.support import containerfiles

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

BASE = "localhost/base:test"


class Crash(BaseException):
    """A kill: nothing may catch it, nothing more is written."""


class FakeHost:
    """Packages are names; `depends` says what comes along; a base image holds `base`."""

    driver = "fake"

    def __init__(self, base: Sequence[str] = ("bash", "coreutils")) -> None:
        self.available = {"jq", "oniguruma", "tree", "hello", "nano", "vim", *base}
        self.depends = {"jq": ("oniguruma",)}
        self.conflicts: list[set[str]] = []
        self.newest: dict[str, str] = {}
        self.older: set[tuple[str, str]] = set()
        self.failing: dict[str, BaseException] = {}
        self.after: dict[str, BaseException] = {}
        self.on_effect: Callable[[str, str], None] = lambda _when, _name: None
        # What an image holds, which a deployment of it does even when the image is gone.
        self.contents: dict[str, frozenset[str]] = {}
        self.images: dict[str, tuple[Image, frozenset[str]]] = {}
        self.deployments: dict[str, Deployment | None] = dict.fromkeys(
            ("booted", "staged", "rollback")
        )
        self.queued = False
        self.others: list[Deployment] = []
        self.registry: dict[str, frozenset[str]] = {}
        self.overlay_on = False
        self.calls: list[str] = []
        # What lies in /etc and /var: each package leaves a file there.
        self.files: dict[str, str] = {}
        # What the base image holds beside its packages, by path.
        self.base_files: dict[str, bytes] = {"/var/lib/dpkg/status": b""}
        # What libapt fetched, by the names of its files.
        self.archives: set[str] = set()
        self.warnings: tuple[str, ...] = ()
        self.finalize_failure = ""
        base_image = self._image(BASE, {}, frozenset(base))
        self.deployments["booted"] = self._deployment(base_image)
        self.tree = set(base)
        self.boot = self._new_boot()
        self.overlay = self.builder = self.deployer = self.catalog = self

    def _effect(self, name: str) -> None:
        self.calls.append(name)
        self.on_effect("before", name)
        if name in self.failing:
            raise self.failing[name]

    def _worked(self, name: str) -> None:
        self.on_effect("after", name)
        if name in self.after:
            raise self.after[name]

    # -- overlay -----------------------------------------------------------------------------

    def state(self, plan: Plan | None = None) -> OverlayState | PlanState:
        """The overlay's state, or (with a plan) the catalog's answer about it."""
        if plan is None:
            return OverlayState(self.overlay_on, self.overlay_on)
        there = [change.name in self.tree for change in plan.comes]
        away = [change.name not in self.tree for change in plan.goes]
        if all(there + away):
            return PlanState.DONE
        return PlanState.PARTIAL if any(there + away) else PlanState.ABSENT

    def enable(self) -> None:
        self._effect("enable")
        self.overlay_on = True
        self._worked("enable")

    # -- catalog -----------------------------------------------------------------------------

    def resolve(
        self,
        install: Sequence[str],
        remove: Sequence[str],
        *,
        given_install: Sequence[str] = (),
        given_remove: Sequence[str] = (),
        versions: Mapping[str, str] | None = None,
        unclean: bool = False,
        bare: bool = False,
    ) -> Plan:
        unknown = [name for name in (*install, *remove) if name not in self.available]
        if unknown:
            raise NotFoundError(f"no package named {', '.join(unknown)}")
        booted = self.deployments["booted"]
        tree = set(self.packages_of(booted.image_digest)) if bare and booted else self.tree
        before = self._with(tree, given_install, given_remove)
        after = self._with(before, install, remove)
        comes = [
            PackageChange(
                "install",
                n,
                self._version(n, versions or {}),
                "all",
                automatic=n not in install,
            )
            for n in sorted(after - before)
        ]
        goes = [PackageChange("remove", n, "1.0", "all") for n in sorted(before - after)]
        return Plan((*comes, *goes), 1000 * len(comes), 3000 * len(comes))

    def _version(self, name: str, wanted: Mapping[str, str]) -> str:
        newest = self.newest.get(name, "1.0")
        return wanted[name] if (name, wanted.get(name)) in self.older else newest

    def _with(self, tree: set[str], install: Sequence[str], remove: Sequence[str]) -> set[str]:
        wanted = {*install, *(d for name in install for d in self.depends.get(name, ()))}
        gone = {*remove, *(p for p, needs in self.depends.items() if set(needs) & set(remove))}
        gone.update(name for pair in self.conflicts if pair & wanted for name in pair - wanted)
        return (tree | wanted) - gone

    def installed(self, names: Sequence[str]) -> dict[str, str]:
        return {name: "1.0" for name in names if name in self.tree}

    def boot_packages(self, plan: Plan) -> tuple[str, ...]:
        return tuple(c.name for c in plan.changes if c.name.startswith("linux-image"))

    def carry_out(self, plan: Plan, on_progress: Callable[[Progress], None]) -> None:
        self._effect("carry_out")
        on_progress(Progress(50.0, "half", ""))
        self._install(plan)
        self._worked("carry_out")

    def finish(self, plan: Plan, on_progress: Callable[[Progress], None]) -> None:
        self._effect("finish")
        self._install(plan)
        self._worked("finish")

    def _install(self, plan: Plan) -> None:
        if not self.overlay_on:
            raise AssertionError("a write to a read-only /usr")
        for change in plan.comes:
            self.tree.add(change.name)
            self.files[f"/etc/{change.name}.conf"] = "644:0:0 1"
            self._worked("half")
        self.tree -= {change.name for change in plan.goes}

    def revert(self, plan: Plan, on_progress: Callable[[Progress], None]) -> None:
        self._effect("revert")
        self.tree -= {change.name for change in plan.comes}
        self.tree |= {change.name for change in plan.goes}
        self._worked("revert")

    def survey(self) -> Survey:
        if "survey" in self.failing:
            raise self.failing["survey"]
        return Survey(dict(self.files), ("root",), ("root",))

    def withdraw(self, signatures: Mapping[str, str]) -> Survey:
        self._effect("withdraw")
        kept = {p: s for p, s in self.files.items() if signatures.get(p) != s}
        self.files = kept
        self._worked("withdraw")
        return self.survey()

    def update(self, on_progress: Callable[[Progress], None]) -> None:
        self._effect("update")

    # -- builder -----------------------------------------------------------------------------

    def _image(self, tag: str, labels: Mapping[str, str], packages: frozenset[str]) -> Image:
        identity = f"sha256:{uuid.uuid5(uuid.NAMESPACE_OID, tag).hex * 2}"
        image = Image(identity, tag, identity, "amd64", dict(labels))
        self.images[tag] = (image, packages)
        self.contents[image.id] = packages
        return image

    def resolve_image(self, reference: str) -> Image:
        for tag, (image, _packages) in self.images.items():
            if reference in (tag, image.id, image.id.removeprefix("sha256:")):
                return image
        raise ImageError(f"no image {reference}")

    def find(self, labels: Mapping[str, str]) -> Image | None:
        for image, _packages in self.images.values():
            if all(image.labels.get(key) == value for key, value in labels.items()):
                return image
        return None

    def build(
        self,
        context: Path,
        containerfile: Path,
        labels: Mapping[str, str],
        tag: str,
        on_line: Callable[[str], None],
    ) -> None:
        on_line("STEP 1")
        self._effect("build")
        base, *instructions = containerfiles.read(containerfile.read_bytes())
        packages = set(self.packages_of(self.resolve_image(base.words[0]).id))
        set_by_file: dict[str, str] = {}
        for instruction in instructions:
            if instruction.keyword == "LABEL":
                key, _, value = instruction.words[0].partition("=")
                set_by_file[key] = value.strip('"')
            if instruction.name == "packages":
                words = [word.partition("=")[0] for word in instruction.arguments if word != "--"]
                gone = [word[:-1] for word in words if word.endswith("-")]
                comes = [word for word in words if not word.endswith("-")]
                packages = self._with(packages, comes, gone)
        self._image(tag, {**set_by_file, **labels}, frozenset(packages))
        self._worked("build")

    def remove(self, tag: str) -> None:
        self._effect("remove")
        self.images.pop(tag, None)
        self._worked("remove")

    def run_in(self, image: Image, argv: Sequence[str], on_line: Callable[[str], None]) -> int:
        """`has NAME` says whether the image holds the package; `exit N` exits so."""
        self._effect("run")
        on_line(" ".join(argv))
        if argv[0] == "exit":
            return int(argv[1])
        return 0 if argv[1] in self.packages_of(image.id) else 1

    def has(self, image: Image, paths: Sequence[str]) -> frozenset[str]:
        if image.id not in {found.id for found, _packages in self.images.values()}:
            raise ImageError(f"the image {image.reference} is gone")
        brought = {f"/etc/{name}.conf" for name in self.packages_of(image.id)}
        return frozenset(path for path in paths if path in self.base_files or path in brought)

    def read(self, image: Image, path: str) -> tuple[TreeEntry, ...] | None:
        if path in self.base_files:
            return (TreeEntry("", 0o644, self.base_files[path]),)
        below = {
            name.removeprefix(f"{path}/"): content
            for name, content in sorted(self.base_files.items())
            if name.startswith(f"{path}/")
        }
        if not below:
            return None
        return (
            TreeEntry("", 0o755),
            *(TreeEntry(name, 0o644, content) for name, content in below.items()),
        )

    def clean(self) -> None:
        self._effect("clean")

    def forget_unused(self) -> None:
        self._effect("forget_unused")

    def keep_archives(self, needed: Collection[str]) -> None:
        self._effect("keep_archives")
        self.archives &= set(needed)

    def pull(self, reference: str, on_line: Callable[[str], None]) -> None:
        """`registry` maps a reference to the packages that its newest image holds."""
        self._effect("pull")
        on_line(f"pulling {reference}")
        packages = self.registry.get(reference)
        known = self.images.get(reference)
        if packages is not None and (known is None or known[1] != packages):
            if old := self.images.pop(reference, None):
                self.images[old[0].id] = old
            made = self._image(f"{reference} {sorted(packages)}", {}, packages)
            del self.images[made.reference]
            self.images[reference] = (msgspec.structs.replace(made, reference=reference), packages)
        self._worked("pull")

    def images_with(self, labels: Mapping[str, str]) -> tuple[Image, ...]:
        return tuple(
            image
            for image, _packages in self.images.values()
            if all(image.labels.get(key) == value for key, value in labels.items())
        )

    def remove_image(self, image_id: str) -> None:
        self._effect("remove_image")
        self.images = {tag: it for tag, it in self.images.items() if it[0].id != image_id}
        self._worked("remove_image")

    def check(self) -> tuple[str, ...]:
        return self.warnings

    def notices(self) -> tuple[str, ...]:
        return self.warnings

    # -- deployer ----------------------------------------------------------------------------

    def _deployment(self, image: Image) -> Deployment:
        # As OSTree's: that of the same content is the same again.
        checksum = uuid.uuid5(uuid.NAMESPACE_OID, image.id).hex * 2
        return Deployment(checksum, 0, image.reference, image.id, image.labels)

    def _new_boot(self) -> BootInstance:
        booted = self.deployments["booted"]
        assert booted is not None
        return BootInstance(uuid.uuid4().hex, 0, booted.checksum, booted.serial)

    def status(self) -> HostStatus:
        return HostStatus(
            driver=self.driver,
            boot=self.boot,
            rollback_queued=self.queued,
            finalize_failure=self.finalize_failure,
            others=tuple(self.others),
            **self.deployments,
        )

    def rollback(self, checksum: str) -> None:
        self._effect("rollback")
        slot = self.deployments["rollback"]
        if slot is None or slot.checksum != checksum:
            raise HostError(f"{checksum} is not in the rollback slot")
        self.deployments["staged"] = None
        self.queued = True
        self._worked("rollback")

    def unqueue(self) -> None:
        self._effect("unqueue")
        self.queued = False
        self._worked("unqueue")

    def remove_deployment(self, checksum: str) -> None:
        self._effect("remove_deployment")
        self.others = [item for item in self.others if item.checksum != checksum]
        self._worked("remove_deployment")

    def remove_unused(self) -> None:
        self._effect("remove_unused")

    def stage(self, image: Image, _on_progress: object = None) -> None:
        self._effect("stage")
        self.deployments["staged"] = self._deployment(image)
        self._worked("stage")

    def unstage(self, checksum: str) -> None:
        self._effect("unstage")
        staged = self.deployments["staged"]
        if staged and staged.checksum == checksum:
            self.deployments["staged"] = None
        self._worked("unstage")

    # -- what happens to a machine -----------------------------------------------------------

    def reboot(self, *, power_cut: bool = False, other_entry: bool = False) -> None:
        """Boot what boots next; with `other_entry` a person chooses the other one in the menu."""
        slots = self.deployments
        staged, slots["staged"] = slots["staged"], None
        # What is staged is made a deployment at an orderly shutdown alone.
        if staged and not staged.locked and not power_cut:
            slots["rollback"], slots["booted"] = slots["booted"], staged
        elif self.queued:
            self._swap()
        self.queued = False
        if other_entry and slots["rollback"]:
            # The menu's order stays: what was chosen once is not what boots next.
            self._swap()
            self.queued = True
        self.overlay_on = False
        booted = slots["booted"]
        assert booted is not None
        self.tree = set(self.packages_of(booted.image_digest))
        self.boot = self._new_boot()

    def _swap(self) -> None:
        slots = self.deployments
        slots["booted"], slots["rollback"] = slots["rollback"], slots["booted"]

    def packages_of(self, image_id: str) -> frozenset[str]:
        return self.contents[image_id]


class Builder:
    """The builder's side of a FakeHost (its `resolve` and the catalog's differ)."""

    def __init__(self, host: FakeHost) -> None:
        self._host = host
        self.find, self.build, self.remove = host.find, host.build, host.remove
        self.resolve, self.images = host.resolve_image, host.images_with
        self.clean, self.forget_unused = host.clean, host.forget_unused
        self.keep_archives = host.keep_archives
        self.pull, self.remove_image = host.pull, host.remove_image
        self.run = host.run_in
        self.has, self.read = host.has, host.read


class Deployer:
    """The deployer's side of a FakeHost (its `remove` and the builder's differ)."""

    def __init__(self, host: FakeHost) -> None:
        self.status, self.stage, self.unstage = host.status, host.stage, host.unstage
        self.rollback, self.unqueue = host.rollback, host.unqueue
        self.remove, self.remove_unused = host.remove_deployment, host.remove_unused


def fake_host(base: Sequence[str] = ("bash", "coreutils")) -> FakeHost:
    """A FakeHost, ready for a session."""
    host = FakeHost(base)
    host.builder = Builder(host)  # type: ignore[assignment]
    host.deployer = Deployer(host)  # type: ignore[assignment]
    return host
