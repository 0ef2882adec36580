"""The sandbox as the stand-ins see it: a booted machine with deployments."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from atomicstate.host import ostree_child
from atomicstate.host.deployments import parse_origin, read_deployments
from atomicstate.host.ostree import Staged
from atomicstate.host.sandbox.host import SandboxHost
from atomicstate.host.sandbox.layout import open_sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atomicstate.host.ports import Image

REFS = "ostree/container/image"
STATEROOT = "debian"


@dataclass(frozen=True)
class Known:
    """A deployment, with the reference that its origin names."""

    checksum: str
    serial: int
    transport: str
    image: str
    pinned: bool = False
    locked: bool = False

    @property
    def name(self) -> str:
        return f"{self.checksum}.{self.serial}"


@dataclass(frozen=True)
class Deployments:
    booted: Known
    staged: Known | None
    rollback: Known | None
    queued: bool
    others: list[Known]
    in_order: list[Known]


class World:
    """The sandbox that ATOMICSTATE_SANDBOX names."""

    def __init__(self) -> None:
        self.host = SandboxHost(open_sandbox(Path(os.environ["ATOMICSTATE_SANDBOX"])))
        self.sysroot = self.host.sandbox.sysroot
        self.repo = self.sysroot / "ostree/repo"
        self.running = self.host.running
        self.changed = self.host.sandbox.run / "bootc.changed"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """The lock that one call waits for while another changes the sysroot."""
        self.changed.touch()
        with (self.host.sandbox.run / "bootc.lock").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield

    def deployments(self) -> Deployments:
        boot = self.running.boot()
        present = []
        for located in read_deployments(self.sysroot):
            one = located.deployment
            text = located.path.with_name(f"{located.path.name}.origin").read_text()
            origin = parse_origin(text)["origin"]["container-image-reference"]
            _signature, transport, image = origin.split(":", 2)
            present.append(Known(one.checksum, one.serial, transport, image, one.pinned))
        booted = next(one for one in present if one.name == f"{boot.checksum}.{boot.serial}")
        others = [one for one in present if one is not booted]
        rollback = others.pop(0) if others else None
        waiting = self.running.staged()
        staged = None
        if waiting is not None:
            staged = Known(
                waiting.checksum,
                sum(one.checksum == waiting.checksum for one in present),
                "containers-storage",
                waiting.image,
                locked=waiting.locked,
            )
        queued = rollback is not None and present.index(rollback) < present.index(booted)
        in_order = [staged, *present] if staged else present
        return Deployments(booted, staged, rollback, queued, others, in_order)

    def metadata(self, checksum: str, key: str) -> str | None:
        """A string of a commit's metadata."""
        done = subprocess.run(
            ["ostree", f"--repo={self.repo}", "show", f"--print-metadata-key={key}", checksum],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.strip().strip("'\"") if done.returncode == 0 else None

    def pull(self, image: Image) -> str:
        """The commit of the image, with the image's own documents in its metadata."""
        image_id = image.id.removeprefix("sha256:")
        ref = f"{REFS}/{image_id}"
        known = self._ostree("rev-parse", ref)
        if known.returncode == 0:
            return known.stdout.strip()
        tree = self.host.ostree.commit(image)
        stored = self.host.sandbox.storage / "overlay-images" / image_id
        name = base64.b64encode(image.id.encode()).decode()
        documents = {
            "ostree.manifest-digest": image.digest,
            "ostree.manifest": (stored / "manifest").read_text(),
            "ostree.container.image-config": (stored / f"={name}").read_text(),
        }
        metadata = [f"--add-metadata-string={key}={text}" for key, text in documents.items()]
        made = self._ostree("commit", f"--branch={ref}", f"--tree=ref={tree}", *metadata)
        assert made.returncode == 0, made.stderr
        return made.stdout.strip()

    def _ostree(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = ["ostree", f"--repo={self.repo}", *words]
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    def stage(self, checksum: str, reference: str, image: Image) -> None:
        boot = self.running.boot()
        self.running.set_staged(
            Staged(
                checksum=checksum,
                image=reference,
                image_id=image.id,
                labels={},
                merge=f"{boot.checksum}.{boot.serial}",
                boot_id=boot.boot_id,
            )
        )

    def lock_staged(self) -> None:
        """A shutdown passes over what is staged."""
        staged = self.running.staged()
        assert staged is not None
        self.running.set_staged(msgspec.structs.replace(staged, locked=True))

    def drop_staged(self) -> None:
        self.running.set_staged(None)

    def put_first(self, deployment: Known) -> None:
        ostree_child.first({"sysroot": str(self.sysroot), "deployment": deployment.name})

    def clean_up(self) -> None:
        """Drop the images that no deployment needs."""
        needed = {one.checksum for one in self.deployments().in_order}
        for ref in self._ostree("refs", "--list", REFS).stdout.split():
            if self._ostree("rev-parse", ref).stdout.strip() not in needed:
                self._ostree("refs", "--delete", ref)
        request: dict[str, Any] = {"sysroot": str(self.sysroot), "keep": sorted(needed)}
        ostree_child.prune(request)
