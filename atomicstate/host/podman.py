"""Images: podman, with container storage of its own.

Every call names its storage, so that nothing of the machine's own images is seen or touched.
Builds run with chroot isolation: it works where containers can't run.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from atomicstate import failpoints, process
from atomicstate.errors import AtomicstateError, ContainerError, ImageError
from atomicstate.host.layers import LayeredTree
from atomicstate.host.podman_answers import Driver, Inspected, Listed, read
from atomicstate.host.ports import LABEL_LOG, TreeEntry
from atomicstate.host.storage import LIMIT, Storage, check_reference, failure, tool
from atomicstate.host.working import Working, is_broken
from atomicstate.recipe.labels import LABEL_RENDERER, LABEL_WHOLE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from atomicstate.host.ports import Builder, Image

BUILD_LIMIT = 3 * 3600.0
"""Seconds after which a build is taken for hanging."""
ARCHIVES = "atomicstate-archives"
"""The id of the cache that a RUN mounts on apt's archives."""
_ARCHIVE_AGE = 30 * 86400.0
_LAYER = re.compile(r"/([0-9a-f]{64}/diff)(?=:|$)")
_UNKNOWN = re.compile(r"image not known|invalid reference format|no such image|repository name")


def _is_whole(image: Listed) -> bool:
    """Whether it is what its Containerfile describes, to the end: such a one has its name."""
    labels = image.labels or {}
    return LABEL_RENDERER not in labels or (LABEL_WHOLE in labels and bool(image.names))


def _failure(finished: process.Finished, looking: str) -> AtomicstateError:
    """The error for a look that failed: nothing was to be changed by it."""
    hint = "`atomicstate resume` clears away what a build that was cut short left half made"
    return failure(finished, looking, hint=hint if is_broken(finished) else None)


class Layers(Struct, frozen=True):
    """An image's layers, topmost first: `names` are folders below `folder`."""

    folder: Path
    names: tuple[str, ...]


def _overlay_layers(data: Driver) -> Layers:
    # Names below one folder, not paths: paths may hold the `:` that divides a list of layers,
    # and too many long ones don't fit the page that mount(2) takes.
    listed = f"{data.upper_dir}:{data.lower_dir}"
    return Layers(Path(data.upper_dir).parents[1], tuple(_LAYER.findall(listed)))


def _share(archive: Path, at: Path) -> None:
    """Have `archive` at `at` too: once on the disk, where that is one file system."""
    if at.exists():
        if at.stat().st_size == archive.stat().st_size:
            return
        at.unlink()
    try:
        os.link(archive, at)
    except OSError:
        # What was cut short at its name would be taken for the archive.
        part = at.with_name(f"{at.name}.part")
        shutil.copy2(archive, part)
        part.replace(at)


class PodmanBuilder:
    """The builder (ports.Builder) on a storage.

    `archives` is the folder where the host's libapt keeps what it fetched: a build takes from it.
    """

    def __init__(self, storage: Storage, archives: Path | None = None) -> None:
        self.storage = storage
        self._working = Working(storage)
        self._archives = archives

    def resolve(self, reference: str) -> Image:
        """The image that `reference` (or an id) names in this storage.

        Raises ImageError where there is none, ValidationError for what can't be a name.
        """
        name = check_reference(reference).removeprefix("sha256:")
        finished = self._run("image", "inspect", "--", name)
        if finished.status != 0:
            if _UNKNOWN.search(finished.last_words):
                raise ImageError(
                    f"there is no image {reference!r} in the storage of this host",
                    hint="build it, or import it with `podman --root`",
                )
            raise _failure(finished, f"looking for the image {reference}")
        return read(finished, tuple[Inspected])[0].image(reference)

    def find(self, labels: Mapping[str, str]) -> Image | None:
        """The newest image that carries all of `labels`, or None."""
        found = self.images(labels)
        return found[-1] if found else None

    def images(self, labels: Mapping[str, str]) -> tuple[Image, ...]:
        """Every image that carries all of `labels`, oldest first.

        Not those that a build keeps for the next one, or left when it was cut short: podman gives
        them all the labels of its command line, but the file itself has not come to its last one.
        What a power cut may have damaged is among them until `clean`.
        """
        # By name alone: podman takes a value for a pattern, and divides it at commas.
        filters = [f"--filter=label={key}" for key in sorted(labels)]
        finished = self._run("images", "--no-trunc", "--format=json", *filters)
        if finished.status != 0:
            raise _failure(finished, "listing the images")
        wanted = labels.items()
        ids = {
            item.id: item.created
            for item in read(finished, list[Listed])
            if wanted <= (item.labels or {}).items() and _is_whole(item)
        }
        return tuple(self.resolve(name) for name in sorted(ids, key=ids.__getitem__))

    def pull(self, reference: str, on_line: Callable[[str], None]) -> None:
        """Fetch what `reference` names in its registry now; one of localhost has none.

        What was fetched is durable then. Raises ImageError, ContainerError, NoSpaceError.
        """
        if check_reference(reference).startswith("localhost/"):
            return
        argv = self.storage.argv("pull", "--", reference)
        finished = process.stream(argv, on_line, timeout=process.time_limit(LIMIT))
        if finished.status != 0:
            raise failure(finished, f"pulling {reference}")
        # Podman flushes no layer, and what it fetched is about to be written down.
        os.sync()

    def send(self, image: Image, to: Builder, tag: str) -> None:
        """Have `image` in the storage of `to` too, the very same, named `tag` there.

        Raises ContainerError, NoSpaceError, ValidationError.
        """
        if not isinstance(to, PodmanBuilder):
            raise ContainerError(f"{image.reference} can't be sent to a storage of another kind")
        name = check_reference(image.id).removeprefix("sha256:")
        finished = self._run("push", "--quiet", "--", name, to.storage.named(tag))
        if finished.status != 0:
            raise failure(finished, f"copying the image {image.reference}")
        os.sync()

    def remove_image(self, image_id: str) -> None:
        """Drop the image `image_id`, all its names with it; none there is no error."""
        name = check_reference(image_id).removeprefix("sha256:")
        finished = self._run("rmi", "--force", "--ignore", "--", name)
        if finished.status != 0:
            raise failure(finished, f"removing the image {image_id}")

    def build(
        self,
        context: Path,
        containerfile: Path,
        labels: Mapping[str, str],
        tag: str,
        on_line: Callable[[str], None],
    ) -> None:
        """Build `containerfile` in `context`, with `labels`, named `tag`.

        Each line that the build prints goes to `on_line`. Raises ContainerError with the last
        words of the build, NoSpaceError. A base that is not in the storage is not fetched. What
        an earlier build that was cut short left is cleared away first.
        """
        check_reference(tag)
        folder = containerfile.absolute().parent
        labelled = [f"--label={key}={value}" for key, value in sorted(labels.items())]
        argv = self.storage.argv(
            "build",
            "--isolation=chroot",
            "--network=host",
            "--pull=never",
            # One layer a step: what was built before is taken from the cache, up to the first
            # step that is another. A new base, or a step that names another day, builds anew.
            "--layers=true",
            "--force-rm",
            *labelled,
            f"--tag={tag}",
            # By name alone: podman divides this option at commas, and reads quotes in it.
            f"--file={containerfile.name}",
            "--",
            os.path.relpath(context, folder),
        )
        with self._working.begun():
            self._offer_archives()
            failpoints.reach("image.building")
            # Podman dies with this process, but what its RUN instructions started would go on.
            finished = process.stream(
                argv,
                on_line,
                within=("env", f"TMPDIR={self.storage.scratch}", *process.CONFINED),
                timeout=process.time_limit(BUILD_LIMIT),
                cwd=folder,
            )
            failpoints.reach("image.built")
        if finished.status != 0:
            self._working.mend()
            # The folder may go when the failure is taken back: any with that file will do.
            raise failure(
                replace(finished, within=process.CONFINED, cwd=None),
                f"building {tag}",
                hint="`atomicstate containerfile >Containerfile` writes what it reads",
            )
        # What a build before this one left half-built, and this one did not take up, goes.
        self._remove_nameless()

    def run(self, image: Image, argv: Sequence[str], on_line: Callable[[str], None]) -> int:
        """Run `argv` in a copy of the image's tree, which goes with it; its exit status.

        128 and the signal's number where one ended it. Raises ContainerError.
        """
        name = check_reference(image.id).removeprefix("sha256:")
        # buildah: podman's own `run` needs a container runtime, chroot isolation does not.
        with self._working.begun():
            made = tool(self.storage.buildah("from", "--pull-never", "--", name))
            if made.status != 0:
                raise failure(made, f"making a container of {image.reference}")
            container = made.text.split()[-1]
            words = self.storage.buildah("run", "--isolation=chroot", "--", container, *argv)
            limit = process.time_limit(BUILD_LIMIT)
            finished = process.stream(words, on_line, within=process.CONFINED, timeout=limit)
            tool(self.storage.buildah("rm", container))
        return finished.status if finished.status >= 0 else 128 - finished.status

    def remove(self, tag: str) -> None:
        """Drop the image `tag`, and what a cut-short build left."""
        check_reference(tag)
        failpoints.reach("image.removing")
        self._working.clear()
        finished = self._run("rmi", "--force", "--ignore", "--", tag)
        if finished.status != 0:
            raise failure(finished, f"removing the image {tag}")
        self._remove_nameless()
        failpoints.reach("image.removed")

    def clean(self) -> None:
        """Drop what builds that were cut short left: containers, and images without a name."""
        self._working.clear()
        self._remove_nameless()

    def _remove_nameless(self, label: str = LABEL_LOG) -> None:
        # Those with our label alone: an older base lost its name when its tag moved on, and an
        # image may be built on it still.
        # A failure leaves garbage, not a wrong state: the next removal tries again.
        self._run("image", "prune", "--force", f"--filter=label={label}")

    def forget_unused(self) -> None:
        """Drop layers that no image is made of any more, and archives that are old."""
        self.clean()
        self._remove_nameless(LABEL_RENDERER)
        self._offer_archives()
        before = time.time() - _ARCHIVE_AGE
        with contextlib.suppress(OSError):
            for path in list((self.storage.cache / ARCHIVES).iterdir()):
                if path.stat().st_mtime >= before:
                    continue
                # The lists of a base lie in a folder.
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def keep_archives(self, needed: Collection[str]) -> None:
        """Of what the host's libapt fetched, it keeps the archives `needed`, by file name.

        Builds have the others still, as long as `forget_unused` leaves them.
        """
        self._offer_archives()
        with contextlib.suppress(OSError):
            for archive in self._fetched():
                if archive.name not in needed:
                    archive.unlink()

    def _offer_archives(self) -> None:
        """Let a build find what the host's libapt fetched, which keeps it: the overlay may need it
        again when there is no network.

        It need not succeed: a build fetches what it does not find.
        """
        found = self._fetched()
        if not found:
            return
        folder = self.storage.cache / ARCHIVES
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            for archive in found:
                # What an archive is was told by apt's own lists, and apt checks it against those
                # of the image again.
                _share(archive, folder / archive.name)

    def _fetched(self) -> list[Path]:
        return sorted(self._archives.glob("*.deb")) if self._archives else []

    def import_tar(self, tar: Path, tag: str, labels: Mapping[str, str]) -> Image:
        """The image `tag`, of the root file system in `tar`, with `labels`."""
        changes = [f"--change=LABEL {key}={json.dumps(value)}" for key, value in labels.items()]
        finished = self._run("import", *changes, "--", str(tar), check_reference(tag))
        if finished.status != 0:
            raise failure(finished, f"importing {tag}")
        os.sync()
        return self.resolve(tag)

    def has(self, image: Image, paths: Sequence[str]) -> frozenset[str]:
        """Those of `paths` that the image's tree has. Raises ImageError where it is gone."""
        tree = self._tree(image)
        return frozenset(path for path in paths if tree.has(path))

    def read(self, image: Image, path: str) -> tuple[TreeEntry, ...] | None:
        """The file or folder `path` of the image's tree (layers.LayeredTree.read).

        Raises ImageError where the image is gone.
        """
        return self._tree(image).read(path)

    def _tree(self, image: Image) -> LayeredTree:
        layers = self.layers(image)
        return LayeredTree(layers.folder, layers.names)

    def layers(self, image: Image) -> Layers:
        """Where the image's root file system lies. Raises ImageError where it is gone."""
        name = image.id.removeprefix("sha256:")
        if self.storage.driver == "vfs":
            # vfs keeps whole trees: what it calls a mount is the name of a folder.
            finished = self._run("image", "mount", name)
            if finished.status == 0:
                self._run("image", "unmount", name)
                return Layers(Path(finished.text.strip()), ("",))
        else:
            finished = self._run("image", "inspect", "--format={{json .GraphDriver.Data}}", name)
            if finished.status == 0:
                return _overlay_layers(read(finished, Driver))
        if _UNKNOWN.search(finished.last_words):
            raise ImageError(f"the image {image.reference} ({image.id}) is gone")
        raise _failure(finished, f"looking for the layers of {image.reference}")

    def _run(self, *words: str) -> process.Finished:
        argv = self.storage.argv(*words)
        finished = tool(argv)
        if finished.status == 0 or not is_broken(finished):
            return finished
        # While a build works here the image may be its own, still in the making; what a killed
        # one left the next with the pipeline takes away (`clean`).
        if not self._working.cut_short and self._working.mend():
            return tool(argv)
        return finished
