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
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from atomicstate.catalog.client import Catalog

LABEL_LOG = "org.atomicstate.log"
LABEL_TRANSACTION = "org.atomicstate.transaction"
LABEL_RECIPE = "org.atomicstate.recipe"
LABEL_BASE = "org.atomicstate.base"


class Deployment(Struct, frozen=True):
    """A deployment, as the boot loader entries and origin files show it.

    `image` is the reference (or image id) it was made from, `image_digest` the image's id,
    `labels` those of the image: a deployment of ours carries the LABEL_ ones.
    """

    checksum: str
    serial: int
    image: str
    image_digest: str
    labels: dict[str, str]
    pinned: bool = False

    def transaction_of(self, log_id: str) -> str:
        """The transaction of the log `log_id` (hexadecimal) that made it, empty where none did."""
        ours = self.labels.get(LABEL_LOG) == log_id
        return self.labels.get(LABEL_TRANSACTION, "") if ours else ""


class HostStatus(Struct, frozen=True):
    """The deployments now. Any of them may be missing."""

    driver: str
    boot: BootInstance | None
    booted: Deployment | None
    staged: Deployment | None
    rollback: Deployment | None
    rollback_queued: bool = False


class OverlayState(Struct, frozen=True):
    """Whether an overlay lies on the host's /usr now, and whether it takes writes."""

    active: bool
    writable: bool


class Image(Struct, frozen=True):
    """An image in the builder's storage. `id` is `sha256:<hex>` of its configuration."""

    id: str
    reference: str
    digest: str
    architecture: str
    labels: dict[str, str]


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


class Deployer(Protocol):
    """Stages images as deployments."""

    def status(self) -> HostStatus:
        """Probe: the deployments, from boot loader entries and origin files (cheap)."""

    def stage(self, image: Image) -> None:
        """Effect: make `image` what boots next."""

    def unstage(self, checksum: str) -> None:
        """Effect: drop the staged deployment `checksum`; one that is not there is no error."""


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
