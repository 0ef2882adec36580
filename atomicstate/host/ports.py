"""What the engine asks of the outside world: small protocols, and the values that they speak in.

A probe returns what is so now. An effect does one thing and returns nothing that counts: the
engine asks the probe afterwards. An effect raises HostError (or a kin of it) where it failed and
left nothing, UnclearError where nobody can tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from atomicstate.events.event import BootInstance

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from atomicstate.catalog.client import Catalog

IMAGE_NAME = "localhost/atomicstate"
"""What is built is named so, with the transaction as its tag."""

LABEL_LOG = "org.atomicstate.log"
LABEL_TRANSACTION = "org.atomicstate.transaction"
LABEL_RECIPE = "org.atomicstate.recipe"
LABEL_BASE = "org.atomicstate.base"


class Deployment(Struct, frozen=True):
    """A deployment, as the boot loader entries and origin files show it.

    `image` is the reference (or image id) it was made from, `image_digest` the image's id,
    `labels` those of the image: a deployment of ours carries the LABEL_ ones. `locked`: it is
    staged, and will not be finalized. `incompatible`: the host's tool can't change it.
    """

    checksum: str
    serial: int
    image: str
    image_digest: str
    labels: dict[str, str]
    pinned: bool = False
    locked: bool = False
    incompatible: bool = False

    def transaction_of(self, log_id: str) -> str:
        """The transaction of the log `log_id` (hexadecimal) that made it, empty where none did."""
        ours = self.labels.get(LABEL_LOG) == log_id
        return self.labels.get(LABEL_TRANSACTION, "") if ours else ""


class HostStatus(Struct, frozen=True):
    """The deployments now. Any of them may be missing.

    `rollback_queued`: the rollback deployment boots next, unless something is staged.
    `finalize_failure`: why what was staged before this boot did not become a deployment, where
    OSTree says so.
    """

    driver: str
    boot: BootInstance | None
    booted: Deployment | None
    staged: Deployment | None
    rollback: Deployment | None
    rollback_queued: bool = False
    others: tuple[Deployment, ...] = ()
    finalize_failure: str = ""

    @property
    def boots_next(self) -> Deployment | None:
        """H: the staged one unless it is locked, else a queued rollback, else the booted one."""
        if self.staged is not None and not self.staged.locked:
            return self.staged
        return self.rollback if self.rollback_queued else self.booted

    @property
    def all(self) -> tuple[Deployment, ...]:
        """Every deployment, staged, booted and rollback first."""
        named = (self.staged, self.booted, self.rollback)
        return (*(item for item in named if item is not None), *self.others)


class OverlayState(Struct, frozen=True):
    """Whether an overlay lies on the host's /usr now, and whether it takes writes.

    `persistent`: it outlives a reboot, so it does not serve to try something in.
    """

    active: bool
    writable: bool
    persistent: bool = False


class Image(Struct, frozen=True):
    """An image in the builder's storage. `id` is `sha256:<hex>` of its configuration.

    `created` is UTC in nanoseconds since 1970, 0 where it is not known; `size` is in bytes.
    """

    id: str
    reference: str
    digest: str
    architecture: str
    labels: dict[str, str]
    created: int = 0
    size: int = 0


class TreeEntry(Struct, frozen=True):
    """A file, link or folder of an image: `path` below what was asked for, empty for that itself.

    `mode` are its permission bits. A file has `content`, a link what it leads to.
    """

    path: str
    mode: int
    content: bytes | None = None
    link: str = ""


class Overlay(Protocol):
    """The writable, transient overlay on the host's /usr."""

    def state(self) -> OverlayState:
        """Probe."""

    def enable(self) -> None:
        """Effect. An overlay that is there already is left as it is."""


class Builder(Protocol):
    """Builds and keeps images."""

    def resolve(self, reference: str) -> Image:
        """The image that `reference` names in local storage. ImageError where there is none."""

    def find(self, labels: Mapping[str, str]) -> Image | None:
        """Probe: an image that carries all of `labels`."""

    def build(
        self,
        context: Path,
        containerfile: Path,
        labels: Mapping[str, str],
        tag: str,
        on_line: Callable[[str], None],
    ) -> None:
        """Effect: build `containerfile` in `context`, with `labels`, named `tag`.

        Raises ContainerError with the last words of the build, NoSpaceError.
        """

    def remove(self, tag: str) -> None:
        """Effect: drop the image `tag` and what a build that was cut short left behind."""

    def run(self, image: Image, argv: Sequence[str], on_line: Callable[[str], None]) -> int:
        """Effect: run `argv` in a copy of the image's tree that goes with it; its exit status.

        128 and the signal's number where one ended it. Raises ContainerError, ImageError.
        """

    def clean(self) -> None:
        """Effect: drop what builds that were cut short left behind. No build runs.

        What they had made, and a power cut did not damage, is durable then.
        """

    def keep_archives(self, needed: Collection[str]) -> None:
        """Effect: of what the host's libapt fetched it keeps the archives `needed`, by file name.

        Builds have the others still. Nothing is fetched meanwhile; a failure is none of anybody's.
        """

    def forget_unused(self) -> None:
        """Effect: drop what `clean` does, and the cache of builds as far as it serves no image."""

    def pull(self, reference: str, on_line: Callable[[str], None]) -> None:
        """Effect: fetch what `reference` names in its registry now into local storage.

        A reference to this machine alone (localhost/...) has no registry: nothing is done.
        Raises ImageError, ContainerError, NoSpaceError.
        """

    def has(self, image: Image, paths: Sequence[str]) -> frozenset[str]:
        """Probe: those of `paths` that the image's tree has, links followed inside of it.

        Raises ImageError where the image is gone.
        """

    def read(self, image: Image, path: str) -> tuple[TreeEntry, ...] | None:
        """Probe: the file or folder `path` of the image's tree, with all in it; None without one.

        Raises ImageError where the image is gone, ValidationError for what is too large.
        """

    def send(self, image: Image, to: Builder, tag: str) -> None:
        """Effect: have `image` in the storage of `to` too, the very same, named `tag` there.

        Raises ContainerError, NoSpaceError.
        """

    def images(self, labels: Mapping[str, str]) -> tuple[Image, ...]:
        """Probe: every image that carries all of `labels`, oldest first."""

    def remove_image(self, image_id: str) -> None:
        """Effect: drop the image `image_id`, all its names with it; none there is no error."""


class Deployer(Protocol):
    """Stages images as deployments."""

    def status(self) -> HostStatus:
        """Probe: the deployments, from boot loader entries and origin files (cheap)."""

    def stage(self, image: Image, on_progress: Callable[[float, str], None] | None = None) -> None:
        """Effect: make `image` what boots next.

        `on_progress` hears how far it is, from 0 to 100, and at what, where the host tells.
        """

    def unstage(self, checksum: str) -> None:
        """Effect: drop the staged deployment `checksum`; one that is not there is no error."""

    def remove_unused(self) -> None:
        """Effect: drop what a staging that was cut short left, and no deployment needs."""

    def rollback(self, checksum: str) -> None:
        """Effect: the rollback deployment `checksum` boots next; never toggles.

        One that boots next already is left so. What is staged is dropped by it: unstage first.
        Raises HostError where `checksum` is not in the rollback slot.
        """

    def unqueue(self) -> None:
        """Effect: the booted deployment boots next again, where a rollback was queued."""

    def remove(self, checksum: str) -> None:
        """Effect: drop the deployment `checksum`; one that is not there is no error.

        Raises HostError for one that is booted, staged, pinned or in the rollback slot.
        """


class Host(Protocol):
    """One host: its parts, and facts about it that don't change while it runs."""

    driver: str

    @property
    def overlay(self) -> Overlay:
        """Its overlay."""

    @property
    def builder(self) -> Builder:
        """Its builder."""

    @property
    def deployer(self) -> Deployer:
        """Its deployer."""

    @property
    def catalog(self) -> Catalog:
        """libapt in the host's running tree."""

    def check(self) -> tuple[str, ...]:
        """Probe: what will be in the way here, as sentences for a person.

        Raises HostError, with the reason, where the host can't be adopted.
        """

    def notices(self) -> tuple[str, ...]:
        """Probe: what is in the way here, as sentences for a person (cheap)."""
