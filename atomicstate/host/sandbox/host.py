"""The host that a sandbox is. What makes and destroys one is not loaded for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.host.ostree import OstreeDeployer
from atomicstate.host.podman import PodmanBuilder, Storage
from atomicstate.host.sandbox.running import Running, SandboxOverlay

if TYPE_CHECKING:
    from pathlib import Path

    from atomicstate.catalog.client import Catalog
    from atomicstate.host.sandbox.layout import Sandbox


class SandboxHost:
    """The host (ports.Host) that a sandbox is."""

    driver = "ostree"

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.running = Running(sandbox)
        self.overlay = SandboxOverlay(self.running)
        storage = Storage(sandbox.storage, sandbox.runtime, sandbox.marker.storage_driver)
        self.builder = PodmanBuilder(storage)
        self.deployer = OstreeDeployer(self.running, self.builder)

    @property
    def state_directory(self) -> Path:
        """Where the log of this host is kept unless the user says otherwise."""
        return self.sandbox.state

    @property
    def catalog(self) -> Catalog:
        """libapt in the running tree."""
        from atomicstate.catalog.client import Catalog

        return Catalog(enter=self.running.enter(), root=self.sandbox.tree)
