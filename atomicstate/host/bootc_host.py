"""A booted bootc machine, as a host."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from atomicstate.host import adoption, updates
from atomicstate.host.bootc import Bootc, BootcDeployer, BootcOverlay
from atomicstate.host.podman import PodmanBuilder
from atomicstate.host.storage import Storage
from atomicstate.host.working import BOOT_ID

if TYPE_CHECKING:
    from collections.abc import Mapping

    from atomicstate.catalog.client import Catalog

_POLICY = "containers/policy.json"


class ThisMachine:
    """The machine that this process runs on (bootc.Machine)."""

    environment: Mapping[str, str] = {}
    usr = Path("/usr")
    boot = Path("/boot")

    def boot_id(self) -> str:
        """The kernel's id of this boot."""
        return BOOT_ID.read_text("ascii").strip()

    def mountinfo(self) -> str:
        """What is mounted, as this process sees it."""
        return Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")


class BootcHost:
    """The host (ports.Host) that this machine is, booted by bootc."""

    driver = "bootc"

    def __init__(self) -> None:
        self._bootc = Bootc(ThisMachine())
        self.overlay = BootcOverlay(self._bootc)
        self.deployer = BootcDeployer(self._bootc)
        # bootc finds an image in the machine's own container storage alone.
        self.builder = PodmanBuilder(Storage(), Path("/var/cache/apt/archives"))

    @cached_property
    def catalog(self) -> Catalog:
        """libapt in the running system."""
        from atomicstate.catalog.client import Catalog

        return Catalog(enter=(), root=Path("/"))

    def check(self) -> tuple[str, ...]:
        """What will be in the way here. Raises HostError where the host can't be adopted."""
        check(self._bootc, etc=Path("/etc"), var=Path("/var"))
        return self.notices()

    def notices(self) -> tuple[str, ...]:
        """What is in the way here."""
        return updates.notices(Path("/"))


def check(bootc: Bootc, *, etc: Path, var: Path) -> None:
    """Raise HostError where a bootc host with these folders can't be adopted."""
    adoption.check_deployment(bootc.status())
    adoption.check_package_database(var)
    adoption.check_image_policy(etc / _POLICY)
