"""What a build works in: containers and files of its own, which go when it ends.

One that was cut short by a kill leaves them for the next one to clear away. A power cut may have
taken more: neither podman nor buildah flushes the layers that it writes, but the lists that name
them are flushed. So what was made while the machine went down is not to be trusted, and is made
anew. And a kill of podman itself may leave an image that is half there: podman then fails at
whatever it is asked, until that image is removed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from atomicstate.errors import AtomicstateError, from_os_error
from atomicstate.files import fsync_directory, write_atomically
from atomicstate.host.podman_answers import Listed, read
from atomicstate.host.storage import failure, tool
from atomicstate.recipe.labels import LABEL_RENDERER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atomicstate import process
    from atomicstate.host.storage import Storage

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_BROKEN = re.compile(
    r'image with ID "([0-9a-f]{64})" \(consider removing'
    r"|Image ([0-9a-f]{12,64}) exists in local storage but may be corrupted"
)
_MAKING = 1.0
"""Seconds: longer than podman takes from an image's name to all of it."""
_ROUNDS = 8
_BOOT = "boot"
_OTHERS = "others"
_CACHE = "buildah-cache"
"""Where buildah keeps what `--mount=type=cache` mounts: below TMPDIR."""


def is_broken(finished: process.Finished) -> bool:
    """Whether podman failed since an image is half there."""
    return bool(_broken_in(finished))


def _broken_in(finished: process.Finished) -> set[str]:
    said = finished.stderr.decode(errors="replace").replace("\\", "")
    return {found[1] or found[2] for found in _BROKEN.finditer(said)}


class Working:
    """The one thing at a time that works in containers of its own, on a storage.

    The caller has the pipeline, but of `mend` where nothing is `cut_short`.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._scratch = storage.scratch

    @contextlib.contextmanager
    def begun(self) -> Iterator[None]:
        """While it works. What went before and was cut short goes first.

        When it ends well, all that it made is durable.
        """
        scratch = self._scratch
        self.clear()
        # Nothing in a working container tells whose it is: these are not ours.
        others = "" if self._storage.root is None else "\n".join(self._containers())
        try:
            scratch.mkdir(mode=0o700, parents=True)
            write_atomically(scratch / _OTHERS, others.encode())
            write_atomically(scratch / _BOOT, BOOT_ID.read_bytes())
            fsync_directory(scratch.parent)
            self._storage.cache.mkdir(mode=0o700, exist_ok=True)
            (scratch / _CACHE).symlink_to(self._storage.cache)
        except OSError as error:
            raise from_os_error(error, "build in", scratch) from error
        try:
            yield
        finally:
            # What it made is trusted once the scratch is gone.
            os.sync()
            # What can't be cleared now the next one clears, and why not is no answer here.
            with contextlib.suppress(AtomicstateError):
                self._clear()

    @property
    def cut_short(self) -> bool:
        """Whether something works here, or did when it was killed."""
        return self._scratch.exists()

    def distrust(self) -> None:
        """Take away what was being made when the machine went down, if anything was.

        Raises ContainerError where that can't be done.
        """
        with contextlib.suppress(OSError):
            boot = self._scratch / _BOOT
            if boot.read_bytes() != BOOT_ID.read_bytes():
                # One that is half there keeps podman from telling of the others.
                self.mend()
                self._remove_since(int(boot.stat().st_mtime))
                boot.unlink()

    def clear(self) -> None:
        """Take away the containers and files of what was cut short.

        Of storage that others use no container: what began meanwhile may be theirs. What it had
        made, and is not to be distrusted, is durable then.
        """
        self.distrust()
        if self.cut_short:
            self.mend()
            # A kill came before the flush, and what was made by then may be taken up still. The
            # mark by which a power cut is told goes with the scratch.
            os.sync()
        self._clear()

    def _clear(self) -> None:
        others = self._scratch / _OTHERS
        if self._storage.root is not None and others.is_file():
            spared = others.read_text().split()
            names = set(self._containers()).difference(spared)
            if names and tool(self._storage.buildah("rm", *names)).status != 0:
                return  # garbage, not a wrong state: the next one tries again
        shutil.rmtree(self._scratch, ignore_errors=True)

    def mend(self) -> bool:
        """Take away images that are half there. Returns whether there was one.

        Not one that another process is just making: it is whole a moment later.
        """
        found = False
        for _round in range(_ROUNDS):
            # Each error hides those behind it.
            broken = self._broken()
            if not broken:
                break
            time.sleep(_MAKING)
            for image in broken & self._broken():
                tool(self._storage.argv("rmi", "--force", "--ignore", "--", image))
                found = True
        return found

    def _broken(self) -> set[str]:
        return _broken_in(tool(self._storage.argv("images", "--all", "--quiet")))

    def _containers(self) -> list[str]:
        """Builds work in containers of their own; buildah lists them, podman does not."""
        finished = tool(self._storage.buildah("containers", "--quiet", "--all"))
        if finished.status != 0:
            raise failure(finished, "listing the working containers")
        return finished.text.split()

    def _remove_since(self, since: int) -> None:
        """Take away our images that were made since `since`, in seconds; the newest first."""
        words = (
            "images",
            "--all",
            "--no-trunc",
            "--format=json",
            f"--filter=label={LABEL_RENDERER}",
        )
        finished = tool(self._storage.argv(*words))
        if finished.status != 0:
            raise failure(finished, "listing the images")
        made = [item for item in read(finished, list[Listed]) if item.created >= since]
        for item in sorted(made, key=lambda item: item.created, reverse=True):
            finished = tool(self._storage.argv("rmi", "--force", "--ignore", "--", item.id))
            if finished.status != 0:
                raise failure(finished, f"removing the image {item.id}")
