"""The host that a sandbox is. What makes and destroys one is not loaded for it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from atomicstate.host.ostree import STATEROOT, OstreeDeployer
from atomicstate.host.sandbox.running import Running, SandboxOverlay

if TYPE_CHECKING:
    from pathlib import Path

    from atomicstate.catalog.client import Catalog
    from atomicstate.host.podman import PodmanBuilder
    from atomicstate.host.ports import Deployer, Overlay
    from atomicstate.host.sandbox.layout import Sandbox


class SandboxHost:
    """The host (ports.Host) that a sandbox is."""

    driver = "ostree"

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.running = Running(sandbox)
        self.overlay: Overlay = SandboxOverlay(self.running)
        self.ostree = OstreeDeployer(self.running, lambda: self.builder)
        self.deployer: Deployer = self.ostree

    @cached_property
    def builder(self) -> PodmanBuilder:
        """Its builder. Not loaded for a look at what is deployed."""
        from atomicstate.host.podman import PodmanBuilder
        from atomicstate.host.storage import Storage

        sandbox = self.sandbox
        storage = Storage(sandbox.storage, sandbox.runtime, sandbox.marker.storage_driver)
        var = sandbox.sysroot / "ostree/deploy" / STATEROOT / "var"
        return PodmanBuilder(storage, var / "cache/apt/archives")

    def check(self) -> tuple[str, ...]:
        """Nothing is in the way: `create` made all of it."""
        return ()

    def notices(self) -> tuple[str, ...]:
        """Nothing is in the way."""
        return ()

    @property
    def catalog(self) -> Catalog:
        """libapt in the running tree."""
        from atomicstate.catalog.client import Catalog

        return Catalog(enter=self.running.enter(), root=self.sandbox.tree)


class SandboxMachine:
    """The machine that bootc's tools take a sandbox for (bootc.Machine).

    They are told by ATOMICSTATE_SANDBOX which sandbox is meant.
    """

    def __init__(self, running: Running) -> None:
        self._running = running
        self.environment = {"ATOMICSTATE_SANDBOX": str(running.sandbox.directory)}
        self.usr = running.sandbox.tree / "usr"
        self.boot = running.sandbox.sysroot / "boot"

    def boot_id(self) -> str:
        """The id of the running system's boot."""
        return self._running.ensure().boot_id

    def mountinfo(self) -> str:
        """What is mounted in the running system."""
        return self._running.mountinfo()


class SandboxBootcHost(SandboxHost):
    """A sandbox driven as a bootc host is: by the `bootc` that is found on PATH."""

    driver = "bootc"

    def __init__(self, sandbox: Sandbox) -> None:
        from atomicstate.host.bootc import Bootc, BootcDeployer, BootcOverlay

        super().__init__(sandbox)
        self._bootc = Bootc(SandboxMachine(self.running))
        self.overlay = BootcOverlay(self._bootc)
        self.deployer = BootcDeployer(self._bootc)

    def check(self) -> tuple[str, ...]:
        """As on a booted bootc machine."""
        from atomicstate.host.bootc_host import check

        var = self.sandbox.sysroot / "ostree/deploy" / STATEROOT / "var"
        check(self._bootc, etc=self._tree() / "etc", var=var)
        return self.notices()

    def notices(self) -> tuple[str, ...]:
        """As on a booted bootc machine."""
        from atomicstate.host import updates

        return updates.notices(self._tree())

    def _tree(self) -> Path:
        """The booted deployment."""
        record = self.running.ensure()
        deployments = self.sandbox.sysroot / "ostree/deploy" / STATEROOT / "deploy"
        return deployments / f"{record.checksum}.{record.serial}"


def host_of(sandbox: Sandbox) -> SandboxHost:
    """The host that `sandbox` is, with the driver that its marker names."""
    return SandboxBootcHost(sandbox) if sandbox.marker.driver == "bootc" else SandboxHost(sandbox)
