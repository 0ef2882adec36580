"""Deployments: the `ostree` driver.

It works on any sysroot. What a running system adds (which deployment is booted, where a staged
one waits for the next boot) it asks of a `System`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec import Struct

from atomicstate import failpoints
from atomicstate.errors import AtomicstateError, CorruptError, HostError, ImageError, NoSpaceError
from atomicstate.host.deployments import Located, read_deployments, render_origin
from atomicstate.host.finalizing import finalize_failure
from atomicstate.host.ports import Deployment, HostStatus, Image

if TYPE_CHECKING:
    from collections.abc import Callable

    from atomicstate.events.event import BootInstance
    from atomicstate.host.podman import Layers, PodmanBuilder

STATEROOT = "debian"
_LIMIT = 1200.0
_NO_SPACE = r"(?i)no space left|min-free-space|disk quota exceeded"


class Staged(Struct, frozen=True):
    """A deployment that the next boot makes: the commit, of which image, on top of what.

    `boot_id` is that of the boot in which it was staged: in another it counts for nothing.
    `locked`: no boot makes it, as long as that is so.
    """

    checksum: str
    image: str
    image_id: str
    labels: dict[str, str]
    merge: str
    boot_id: str
    locked: bool = False

    def deployment(self) -> Deployment:
        """It, as the deployment that it will be."""
        return Deployment(
            checksum=self.checksum,
            serial=0,
            image=self.image,
            image_digest=self.image_id,
            labels=self.labels,
            locked=self.locked,
        )


class System(Protocol):
    """The running system on a sysroot."""

    @property
    def sysroot(self) -> Path:
        """The sysroot."""

    @property
    def scratch(self) -> Path:
        """An empty folder to mount something on, in a private namespace."""

    def boot(self) -> BootInstance | None:
        """Probe: the boot instance; None where nothing is booted."""

    def staged(self) -> Staged | None:
        """Probe: what waits for the next boot."""

    def set_staged(self, staged: Staged | None) -> None:
        """Effect: durable when it returns; what raises left the old one or the new one."""


class OstreeDeployer:
    """The deployer (ports.Deployer) of a sysroot."""

    driver = "ostree"

    def __init__(self, system: System, builder: Callable[[], PodmanBuilder]) -> None:
        self._system = system
        self._builder = builder

    def status(self) -> HostStatus:
        """The deployments, from boot loader entries and origin files."""
        boot = self._system.boot()
        found = [located.deployment for located in read_deployments(self._system.sysroot)]
        booted = next((one for one in found if _is_booted(one, boot)), None)
        others = [one for one in found if one is not booted]
        staged = self._system.staged()
        return HostStatus(
            driver=self.driver,
            boot=boot,
            booted=booted,
            staged=staged.deployment() if staged else None,
            rollback=others[0] if others else None,
            rollback_queued=bool(booted and found[0] is not booted),
            others=tuple(others[1:]),
            finalize_failure=finalize_failure(self._system.sysroot / "boot"),
        )

    def stage(self, image: Image, on_progress: Callable[[float, str], None] | None = None) -> None:
        """Commit the image's tree, and make it what boots next.

        An image that is staged already is left so. Raises ImageError for one that can't be
        deployed, NoSpaceError, HostError; then what was staged before still is.
        """
        boot = self._system.boot()
        if boot is None:
            raise HostError(f"nothing is booted on {self._system.sysroot}: nothing was staged")
        before = self._system.staged()
        if before is not None and before.image_id == image.id and before.labels == image.labels:
            return
        if on_progress is not None:
            on_progress(0.0, "committing the image's tree")
        try:
            checksum = self.commit(image)
            failpoints.reach("staged.recording")
            self._system.set_staged(
                Staged(
                    checksum=checksum,
                    image=image.reference,
                    image_id=image.id,
                    labels=image.labels,
                    merge=f"{boot.checksum}.{boot.serial}",
                    boot_id=boot.boot_id,
                )
            )
            failpoints.reach("staged.recorded")
        except BaseException:
            self._prune()
            raise
        if before is not None:
            self._prune()

    def unstage(self, checksum: str) -> None:
        """Drop the staged deployment `checksum`; one that is not there is no error."""
        staged = self._system.staged()
        if staged is None or staged.checksum != checksum:
            return
        self._system.set_staged(None)
        failpoints.reach("staged.dropped")
        self._prune()

    def remove_unused(self) -> None:
        """Drop the commits that neither a deployment nor the staged record names; never raises."""
        self._prune()

    def rollback(self, checksum: str) -> None:
        """Put the rollback deployment `checksum` first. Raises HostError."""
        status = self.status()
        slot = status.rollback
        if slot is None or slot.checksum != checksum:
            raise HostError(f"{checksum[:12]} is not in the rollback slot: nothing was changed")
        if not status.rollback_queued:
            self._put_first(slot)
        if status.staged is not None:
            self.unstage(status.staged.checksum)

    def unqueue(self) -> None:
        """Put the booted deployment first again. Raises HostError."""
        status = self.status()
        if status.rollback_queued and status.booted is not None:
            self._put_first(status.booted)

    def remove(self, checksum: str) -> None:
        """Drop the deployment `checksum`; one that is not there is no error.

        Raises HostError for one that is booted, staged, pinned or in the rollback slot.
        """
        status = self.status()
        found = next((one for one in status.all if one.checksum == checksum), None)
        if found is None:
            return
        if found.pinned or found not in status.others:
            raise HostError(f"the deployment {checksum[:12]} is in use: nothing was changed")
        keep = [status.staged.checksum] if status.staged else []
        _change("remove", {**self._request(found), "keep": keep})

    def _put_first(self, deployment: Deployment) -> None:
        _change("first", self._request(deployment))

    def _request(self, deployment: Deployment) -> dict[str, str]:
        name = f"{deployment.checksum}.{deployment.serial}"
        return {"sysroot": str(self._system.sysroot), "deployment": name}

    def commit(self, image: Image, var: Path | None = None) -> str:
        """The commit of the image's tree, made unless it is there.

        With `var`, what the image has below /var is copied into that folder, for a new
        stateroot. Raises ImageError, NoSpaceError, HostError.
        """
        return commit_tree(
            self._system.sysroot,
            self._builder().layers(image),
            image,
            scratch=self._system.scratch,
            var=var,
        )

    def _prune(self) -> None:
        """Take away what neither a deployment nor the staged record names; never raises."""
        try:
            staged = self._system.staged()
            keep = [staged.checksum] if staged else []
            _change("prune", {"sysroot": str(self._system.sysroot), "keep": keep})
        except AtomicstateError:
            # Garbage, not a wrong state: every later staging and reboot prunes again. And while
            # what is staged can't be told, nothing may go.
            return


def init_sysroot(sysroot: Path) -> None:
    """An empty OSTree sysroot with a stateroot, in a folder that is there."""
    from atomicstate import process

    process.run(["ostree", "admin", "init-fs", "--modern", sysroot], timeout=_LIMIT)
    repo = f"--repo={sysroot}/ostree/repo"
    # No boot loader's own files are written: entries below /boot/loader alone.
    process.run(["ostree", repo, "config", "set", "sysroot.bootloader", "none"], timeout=_LIMIT)
    process.run(["ostree", "admin", "os-init", f"--sysroot={sysroot}", STATEROOT], timeout=_LIMIT)


def commit_tree(
    sysroot: Path, layers: Layers, image: Image, *, scratch: Path, var: Path | None = None
) -> str:
    """Commit the tree that `layers` make up; returns the commit's checksum."""
    import json

    from atomicstate import process
    from atomicstate.host.ostree_child import REFS

    request = {
        "repo": f"{sysroot}/ostree/repo",
        "folder": str(layers.folder),
        "layers": list(layers.names),
        "scratch": str(scratch),
        "ref": f"{REFS}/{image.id.removeprefix('sha256:')}",
        "subject": image.reference,
        "metadata": {
            "atomicstate.image": image.reference,
            "atomicstate.image-id": image.id,
            "atomicstate.labels": json.dumps(image.labels, sort_keys=True),
        },
        "var": None if var is None else str(var),
    }
    # Its mounts are in a namespace of its own: they are gone when it ends, however it ends.
    failpoints.reach("ostree.committing")
    answer = _child("commit", request, process.CONFINED)
    failpoints.reach("ostree.committed")
    return str(answer["checksum"])


def deploy(sysroot: Path, staged: Staged) -> Located:
    """Make `staged` a deployment and the default, its merge deployment the one after it.

    /etc is merged from the merge deployment (none: the image's own). Raises HostError.
    """
    request = {
        "sysroot": str(sysroot),
        "stateroot": STATEROOT,
        "checksum": staged.checksum,
        "origin": render_origin(staged.image, staged.image_id, staged.labels),
        "merge": staged.merge,
    }
    _change("deploy", request)
    made = read_deployments(sysroot)[0]
    if made.deployment.checksum != staged.checksum:
        raise HostError(f"{staged.image} was deployed, but is not what boots next")
    return made


def prune(sysroot: Path) -> None:
    """Take away what no deployment names. Raises HostError."""
    _change("prune", {"sysroot": str(sysroot), "keep": []})


def read_staged(path: Path) -> Staged | None:
    """The staged record in `path`, if there is one. Raises CorruptError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Staged)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise CorruptError(
            f"the record of the staged deployment, {path}, can't be read: {error}",
            hint="`atomicstate sandbox reboot --power-cut DIR` drops what is staged",
        ) from error


def _is_booted(deployment: Deployment, boot: BootInstance | None) -> bool:
    return boot is not None and (deployment.checksum, deployment.serial) == (
        boot.checksum,
        boot.serial,
    )


def _change(verb: str, request: dict[str, Any]) -> None:
    failpoints.reach("ostree.changing")
    _child(verb, request)
    failpoints.reach("ostree.changed")


def _child(verb: str, request: dict[str, Any], within: tuple[str, ...] = ()) -> dict[str, Any]:
    """Run the child process that mounts and loads libostree; its answer, or its error."""
    import json
    import re

    # Not for a look at what is deployed: what starts processes takes a while to load.
    from atomicstate import process

    module = "atomicstate.host.ostree_child"
    finished = process.run(
        [sys.executable, "-m", module, verb, json.dumps(request)],
        within=("env", f"PYTHONPATH={process.python_path()}", *within),
        timeout=process.time_limit(_LIMIT),
        check=False,
    )
    try:
        answer: dict[str, Any] = json.loads(finished.text.splitlines()[-1])
    except (IndexError, ValueError):
        answer = {"error": f"its child process {finished.outcome}", "last": finished.last_words}
    if "error" not in answer:
        return answer
    said = ": ".join(filter(None, (str(answer["error"]), str(answer.get("last", "")))))
    if answer.get("code") == ImageError.code:
        raise ImageError(said)
    message = f"OSTree could not {verb}: {said}"
    if hint := answer.get("hint"):
        # Something is to be mended first: running it again is no use.
        raise HostError(message, hint=str(hint))
    message += f"\nto run it again: {finished.command}"
    if re.search(_NO_SPACE, said):
        raise NoSpaceError(f"no space left on the device: {message}")
    raise HostError(message, hint=process.LIMIT_HINT if finished.limit is not None else None)
