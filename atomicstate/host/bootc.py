"""Deployments and the overlay of a booted bootc host: the `bootc` driver.

After everything that changes the host its status is asked: bootc exits 0 where it staged nothing
("unchanged"), and 1 where it did (bound images and old ones are seen to afterwards).
"""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec
from msgspec import Struct

from atomicstate import failpoints, process
from atomicstate.errors import HostError, NoSpaceError, UnclearError
from atomicstate.events.event import BootInstance
from atomicstate.host import bootc_status, mounts
from atomicstate.host.bootc_status import Entry, Status
from atomicstate.host.finalizing import finalize_failure
from atomicstate.host.ports import Deployment, HostStatus, OverlayState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from atomicstate.host.ports import Image

_CONFIG = "ostree.container.image-config"
_MANIFEST = "ostree.manifest"
_Document = TypeVar("_Document")
_LIMIT = 60.0
# A concurrent call of bootc waits for its lock, and a pull takes what it takes.
_CHANGE_LIMIT = 3 * 3600.0
_LOOK = "`ostree admin status` and `bootc status` show what is there"
_TOGGLES = "`bootc status` shows whether a rollback is queued; `bootc rollback` changes that"
_IMAGE_ID = re.compile(r"[0-9a-f]{64}")
_NO_KEY = re.compile(r"no such metadata key", re.IGNORECASE)
_NO_SPACE = re.compile(r"no space left|min-free-space|disk quota exceeded", re.IGNORECASE)
# `* default 0123....0 (staged)`: one line for each deployment, in the order of their indexes.
_LISTED = re.compile(r"^.\s(\S+) ([0-9a-f]{64}\.\d+)(?:\s|$)", re.MULTILINE)


class Machine(Protocol):
    """The machine that the tools work on."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What the tools are started with, beside this process's own environment."""

    @property
    def usr(self) -> Path:
        """Where `mountinfo` shows the running system's /usr."""

    @property
    def boot(self) -> Path:
        """The host's /boot."""

    def boot_id(self) -> str:
        """Probe: the kernel's id of this boot."""

    def mountinfo(self) -> str:
        """Probe: what is mounted, as /proc/self/mountinfo lists it."""


class Bootc:
    """The tools of a bootc host: bootc, ostree and systemctl, found on PATH."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def status(self) -> Status:
        """Probe: what bootc says now. Raises HostError."""
        finished = self.run(*bootc_status.ARGV)
        if finished.status != 0:
            raise process.failure(finished)
        return bootc_status.parse(finished.stdout)

    def run(self, *argv: str) -> process.Finished:
        """Run a tool that answers at once. Raises ToolError where it can't be run."""
        return process.run(argv, env=self.machine.environment, timeout=_LIMIT, check=False)

    def change(
        self, *words: str, on_progress: Callable[[float, str], None] | None = None
    ) -> process.Finished:
        """Run `bootc WORDS`, which changes the host; its exit status tells little."""

        def take(line: str) -> None:
            found = progress_of(line)
            if found is not None and on_progress is not None:
                on_progress(*found)

        failpoints.reach("bootc.changing")
        with process.SideChannel(take) as side:
            told = () if on_progress is None else (f"--progress-fd={side.number}",)
            finished = process.stream(
                ["bootc", words[0], *told, *words[1:]],
                lambda _line: None,
                env=self.machine.environment,
                timeout=process.time_limit(_CHANGE_LIMIT),
                side=side,
            )
        failpoints.reach("bootc.changed")
        # As a person would run it again: without our end of a pipe.
        return replace(finished, argv=("bootc", *words))

    def labels(self, checksum: str) -> dict[str, str]:
        """The labels of the image that the commit was made from; none for another commit.

        They are in the image's configuration, which is in the commit's metadata.
        """
        found = self._document(checksum, _CONFIG, _Image)
        return (found and found.config and found.config.labels) or {}

    def image_id(self, checksum: str) -> str:
        """The id, as podman has it, of the image that the commit was made from, or nothing.

        It is the digest of the image's configuration, which its manifest names.
        """
        found = self._document(checksum, _MANIFEST, _Manifest)
        return (found and found.config and found.config.digest) or ""

    def _document(self, checksum: str, key: str, kind: type[_Document]) -> _Document | None:
        """A JSON document in a commit's metadata; None where there is none that can be read."""
        finished = self.run("ostree", "show", f"--print-metadata-key={key}", checksum)
        if finished.status != 0:
            if _NO_KEY.search(finished.last_words):
                return None
            raise process.failure(finished)
        try:
            # ostree prints a GVariant: its strings are written as those of Python are.
            return msgspec.json.decode(ast.literal_eval(finished.text.strip()), type=kind)
        except (ValueError, SyntaxError, TypeError, msgspec.MsgspecError):
            return None  # whose it is can't be told: nobody's

    def soft_reboots(self) -> int:
        """How often userspace was started anew in this boot; 0 where systemd knows no such thing.

        The kernel's boot id stays the same over a soft reboot.
        """
        finished = self.run("systemctl", "show", "--property=SoftRebootsCount", "--value")
        if finished.status != 0:
            raise process.failure(finished)
        text = finished.text.strip()
        return int(text) if text.isdecimal() else 0

    def undeploy(self, entry: Entry) -> None:
        """Drop the deployment `entry`. Raises HostError where OSTree lists no such one, or two,
        and where it lists it still; UnclearError where it does not list any more.

        OSTree takes the place in its list, not a name: a command that dropped one deployment drops
        another one when it is given again. So it is never given as what to run again.
        """
        wanted = f"{entry.checksum}.{entry.serial}"
        before = self._listed()
        if before.count(wanted) != 1:
            raise HostError(
                f"`ostree admin status` does not list {wanted[:12]} once: nothing was dropped",
                hint=_LOOK,
            )
        failpoints.reach("deployment.dropping")
        # It waits while bootc changes something, as bootc does.
        finished = process.run(
            ["ostree", "admin", "undeploy", str(before.index(wanted))],
            env=self.machine.environment,
            timeout=process.time_limit(_CHANGE_LIMIT),
            check=False,
        )
        failpoints.reach("deployment.dropped")
        how = f"`ostree admin undeploy` {finished.outcome}"
        try:
            after = self._listed()
        except HostError as error:
            raise UnclearError(
                f"{how}, and what is deployed can't be read: {error.message}"
            ) from error
        if wanted not in after:
            return
        said = f": {finished.last_words}" if finished.last_words else ""
        gone = [name for name in before if name not in after]
        lost = f" but {gone[0][:12]} is not: the list changed meanwhile" if gone else ""
        raise HostError(
            f"{how}, and the deployment {wanted[:12]} is there still{lost}{said}",
            hint=process.LIMIT_HINT if finished.limit is not None else _LOOK,
        )

    def _listed(self) -> list[str]:
        """Probe: the deployments by name, each at its place in OSTree's list. Raises HostError."""
        listed = self.run("ostree", "admin", "status")
        if listed.status != 0:
            raise process.failure(listed)
        return [name for _stateroot, name in _LISTED.findall(listed.text)]


class BootcDeployer:
    """The deployer (ports.Deployer) of a bootc host."""

    driver = "bootc"

    def __init__(self, bootc: Bootc) -> None:
        self._bootc = bootc
        # A commit never changes: what is known of it once is known for ever.
        self._known: dict[str, tuple[str, dict[str, str]]] = {}

    def status(self) -> HostStatus:
        """The deployments, as bootc tells of them. Raises HostError."""
        found = self._bootc.status()
        return HostStatus(
            driver=self.driver,
            boot=self._boot(found.booted),
            booted=self._deployment(found.booted),
            staged=self._deployment(found.staged),
            rollback=self._deployment(found.rollback),
            rollback_queued=found.rollback_queued,
            others=tuple(one for one in map(self._deployment, found.others) if one),
            finalize_failure=finalize_failure(self._bootc.machine.boot),
        )

    def stage(self, image: Image, on_progress: Callable[[float, str], None] | None = None) -> None:
        """Switch to the image, by its id.

        A tag would not do: bootc compares references, and finds one that names another image now
        to be unchanged. Raises NoSpaceError, HostError, and UnclearError where the host does not
        tell whether it is staged.
        """
        before = self._bootc.status()
        if before.staged is not None and before.staged.locked and _is_of(before.staged, image):
            # bootc would call it unchanged, and the shutdown pass it over.
            self._bootc.undeploy(before.staged)
        elif before.rollback_queued and before.staged is None:
            # Where `image` is the booted one bootc calls it unchanged, and the rollback boots.
            self._toggle(before)
        image_id = image.id.removeprefix("sha256:")
        finished = self._bootc.change(
            "switch", "--transport", bootc_status.STORAGE, image_id, on_progress=on_progress
        )
        now = self._after(f"`bootc switch` {finished.outcome}")
        if now.staged is not None and not now.staged.locked:
            comes_next: Entry | None = now.staged
        else:
            comes_next = now.rollback if now.rollback_queued else now.booted
        if comes_next is not None and _is_of(comes_next, image):
            return
        if _NO_SPACE.search(finished.last_words):
            raise NoSpaceError(
                f"no space left for the new deployment: bootc {finished.outcome}:"
                f" {finished.last_words}\nto run it again: {finished.command}"
            )
        if finished.status != 0:
            raise _failure(finished)
        raise HostError(
            f"bootc exited 0, and {image.reference} is not what boots next: {finished.last_words}"
            f"\nto run it again: {finished.command}",
            hint="`bootc status` shows what is staged",
        )

    def unstage(self, checksum: str) -> None:
        """Drop the staged deployment `checksum`; one that is not there is no error.

        Raises HostError.
        """
        staged = self._bootc.status().staged
        if staged is None or staged.checksum != checksum:
            return
        self._bootc.undeploy(staged)
        now = self._after("it was dropped").staged
        if now is not None and now.checksum == checksum:
            raise HostError(f"the deployment {checksum[:12]} is staged still")

    def remove_unused(self) -> None:
        """Nothing: bootc clears away itself, with its next change, what it was killed at."""

    def rollback(self, checksum: str) -> None:
        """Queue the rollback deployment `checksum`. What is staged is dropped.

        Raises HostError.
        """
        status = self._bootc.status()
        if status.rollback is None or status.rollback.checksum != checksum:
            raise HostError(f"{checksum[:12]} is not in the rollback slot: nothing was changed")
        if not status.rollback_queued:
            self._toggle(status)
        elif status.staged is not None:
            self.unstage(status.staged.checksum)

    def unqueue(self) -> None:
        """Take a queued rollback back; none that is queued is no error.

        Raises HostError, also where something is staged: bootc would drop it.
        """
        status = self._bootc.status()
        if not status.rollback_queued:
            return
        if status.staged is not None:
            raise HostError(
                f"the deployment {status.staged.checksum[:12]} is staged, and bootc would drop it "
                "with the queued rollback: nothing was changed",
                hint="the staged one boots next; drop it first",
            )
        self._toggle(status)

    def remove(self, checksum: str) -> None:
        """Drop the deployment `checksum`; one that is not there is no error.

        Raises HostError for one that is booted, staged, pinned or in the rollback slot.
        """
        status = self._bootc.status()
        slots = (status.staged, status.booted, status.rollback)
        found = [one for one in (*slots, *status.others) if one and one.checksum == checksum]
        if not found:
            return
        if any(one.pinned or one in slots for one in found):
            raise HostError(f"the deployment {checksum[:12]} is in use: nothing was changed")
        for entry in found:
            self._bootc.undeploy(entry)

    def _toggle(self, before: Status) -> None:
        """`bootc rollback`, once: a second call would take the first one back.

        `before` is the status that made it right. Raises HostError, UnclearError.
        """
        finished = self._bootc.change("rollback")
        now = self._after(f"`bootc rollback` {finished.outcome}")
        if now.rollback_queued != before.rollback_queued:
            return
        said = f": {finished.last_words}" if finished.last_words else ""
        # Not what to run again: who does so after it worked takes it back.
        raise HostError(
            f"`bootc rollback` {finished.outcome}, and the order in which deployments boot is as it"
            f" was{said}",
            hint=process.LIMIT_HINT if finished.limit is not None else _TOGGLES,
        )

    def _after(self, what: str) -> Status:
        """The status after a change. Raises UnclearError where bootc does not tell it."""
        try:
            return self._bootc.status()
        except HostError as error:
            raise UnclearError(f"{what}, and its status can't be read: {error.message}") from error

    def _boot(self, booted: Entry) -> BootInstance:
        return BootInstance(
            self._bootc.machine.boot_id(),
            self._bootc.soft_reboots(),
            booted.checksum,
            booted.serial,
        )

    def _deployment(self, entry: Entry | None) -> Deployment | None:
        if entry is None:
            return None
        if entry.checksum not in self._known:
            image_id = _image_id(entry) or self._bootc.image_id(entry.checksum)
            self._known[entry.checksum] = (image_id, self._bootc.labels(entry.checksum))
        image_id, labels = self._known[entry.checksum]
        return Deployment(
            checksum=entry.checksum,
            serial=entry.serial,
            image=entry.image,
            image_digest=image_id,
            labels=labels,
            pinned=entry.pinned,
            locked=entry.locked,
            incompatible=entry.incompatible,
        )


class BootcOverlay:
    """The overlay (ports.Overlay) of a bootc host."""

    def __init__(self, bootc: Bootc) -> None:
        self._bootc = bootc

    def state(self) -> OverlayState:
        """What bootc says, or what is mounted, where its version does not tell."""
        usr = self._bootc.machine.usr
        listed = mounts.parse_mountinfo(self._bootc.machine.mountinfo())
        found = [one for one in listed if one.point == usr and one.file_system == "overlay"]
        if not found:
            return OverlayState(active=False, writable=False)
        said = self._bootc.status().overlay
        if said is None:
            return OverlayState(active=True, writable="ro" not in found[-1].options)
        return OverlayState(active=True, writable=said.writable, persistent=said.persistent)

    def enable(self) -> None:
        """`bootc usr-overlay`, unless there is one: a second call fails. Raises HostError."""
        if self.state().active:
            return
        finished = self._bootc.change("usr-overlay")
        if not self.state().active:
            raise _failure(finished)


def _failure(finished: process.Finished) -> process.ToolError:
    """The error for a change that failed: it may take as long as the user says."""
    limited = finished.limit is not None
    return process.failure(finished, hint=process.LIMIT_HINT if limited else None)


def progress_of(line: str) -> tuple[float, str] | None:
    """How far a switch is, from 0 to 100, and at what; None for a line that does not tell."""
    try:
        told = msgspec.json.decode(line, type=_Progress)
    except msgspec.MsgspecError:
        return None
    done, total = told.steps, told.steps_total
    if told.bytes_total > 0:
        done, total = told.bytes, told.bytes_total
    if not told.type.startswith("Progress") or total <= 0:
        return None
    start, end = _SHARES.get(told.task, (0.0, 100.0))
    return start + (end - start) * min(max(done / total, 0.0), 1.0), told.description or told.task


# What part of a switch each task is taken for: the pull is most of it.
_SHARES = {"pulling": (0.0, 60.0), "importing": (60.0, 80.0), "staging": (80.0, 100.0)}


class _Progress(Struct, frozen=True, rename="camel"):
    type: str
    task: str = ""
    description: str = ""
    steps: float = 0
    steps_total: float = 0
    bytes: float = 0
    bytes_total: float = 0


class _Config(Struct, frozen=True):
    labels: dict[str, str] | None = msgspec.field(default=None, name="Labels")


class _Image(Struct, frozen=True):
    config: _Config | None = None


class _Descriptor(Struct, frozen=True):
    digest: str | None = None


class _Manifest(Struct, frozen=True):
    config: _Descriptor | None = None


def _image_id(entry: Entry) -> str:
    """The image's id, where the deployment was made by it, and not by a name."""
    if entry.transport == bootc_status.STORAGE and _IMAGE_ID.fullmatch(entry.image):
        return f"sha256:{entry.image}"
    return ""


def _is_of(entry: Entry, image: Image) -> bool:
    """Whether a deployment was made from `image`: `stage` names images by their ids alone."""
    return _image_id(entry) == image.id
