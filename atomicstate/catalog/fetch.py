"""Getting package lists and archives, and saying what of it did not work."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from atomicstate.catalog.errors import apt_error
from atomicstate.catalog.libapt import INSTALLED_INDEX, apt_pkg
from atomicstate.catalog.protocol import Progress
from atomicstate.errors import AptError, NoSpaceError
from atomicstate.files import fsync_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from atomicstate.catalog.libapt import (
        Acquire,
        AcquireItem,
        AcquireItemDesc,
        Cache,
        DepCache,
        Version,
    )

    Report = Callable[[Progress], None]

_PULSE = 0.2
_PULSE_US = 200_000
_NAMED = 3


class Watcher:
    """libapt calls these methods while it fetches (apt.progress.base.AcquireProgress).

    Reports percentages from 0 to `share`, and keeps the reasons of what failed for good.
    """

    def __init__(self, report: Report, share: float) -> None:
        self._report = report
        self._share = share
        self._last = 0.0
        self.failures: list[str] = []
        # Set by libapt before each pulse.
        self.current_bytes = self.total_bytes = self.current_cps = 0.0
        self.current_items = self.total_items = 0
        self.fetched_bytes = self.last_bytes = self.elapsed_time = 0.0

    def start(self) -> None:
        """It begins."""

    def stop(self) -> None:
        """It has ended."""

    def done(self, item: AcquireItemDesc) -> None:
        """A file has come."""

    def ims_hit(self, item: AcquireItemDesc) -> None:
        """A file is as it was."""

    def fetch(self, item: AcquireItemDesc) -> None:
        """A file begins to come."""
        if time.monotonic() - self._last >= _PULSE:
            self._say(item.shortdesc)

    def fail(self, item: AcquireItemDesc) -> None:
        """A file did not come. One that libapt can do without is none of our business."""
        if item.owner.status in (item.owner.STAT_DONE, item.owner.STAT_IDLE):
            return
        self.failures.append(f"{item.uri}: {item.owner.error_text or 'could not be fetched'}")

    def media_change(self, media: str, drive: str) -> bool:
        """A disc is wanted: there is nobody to put it in."""
        self.failures.append(f"the disc {media!r} is wanted in {drive}")
        return False

    def pulse(self, owner: Acquire) -> bool:
        """Some more has come. True: go on."""
        if time.monotonic() - self._last >= _PULSE:
            names = [worker.current_item for worker in owner.workers]
            self._say(next((item.shortdesc for item in names if item is not None), ""))
        return True

    def _say(self, what: str) -> None:
        self._last = time.monotonic()
        part = min(self.current_bytes / self.total_bytes, 1.0) if self.total_bytes else 0.0
        self._report(Progress(part * self._share, f"fetching {what}".strip(), ""))

    def refuse_failures(self, what: str) -> None:
        """Raises AptError where a file that is needed did not come."""
        if not self.failures:
            return
        reasons = list(dict.fromkeys(self.failures))
        more = f", and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
        message = f"{what}: {'; '.join(reasons[:_NAMED])}{more}"
        if "No space left on device" in message:
            raise NoSpaceError(message)
        raise AptError(message, hint="look at the network and at the sources in /etc/apt")


def update(report: Report) -> None:
    """Fetch the package lists. Raises AptError; what could not be fetched stays as it was."""
    apt = apt_pkg()
    try:
        cache = apt.Cache(None)
        sources = apt.SourceList()
        sources.read_main_list()
    except apt.Error as error:
        raise apt_error(error, "the package lists can't be read") from error
    if not sources.list:
        raise AptError(
            "there is no package source; nothing was fetched",
            hint="/etc/apt/sources.list or a file in /etc/apt/sources.list.d names one",
        )
    watcher = Watcher(report, 100.0)
    what = "the package lists could not be fetched, the old ones stay"
    try:
        cache.update(watcher, sources, _PULSE_US)
    except apt.Error as error:
        watcher.refuse_failures(what)
        raise apt_error(error, what) from error
    watcher.refuse_failures(what)


class Archives:
    """The archives that the marks of `depcache` need."""

    def __init__(self, cache: Cache, depcache: DepCache, report: Report, share: float) -> None:
        apt = apt_pkg()
        self._watcher = Watcher(report, share)
        self._acquire = apt.Acquire(self._watcher)
        self._sources = apt.SourceList()
        self._sources.read_main_list()
        # libapt keeps pointers to these: they live as long as this object.
        self._records = apt.PackageRecords(cache)
        self.manager = apt.PackageManager(depcache)

    def fetch(self) -> None:
        """Get them. Raises AptError, NoSpaceError; nothing but the archive cache was touched."""
        apt = apt_pkg()
        what = "the packages could not be fetched, nothing was changed"
        try:
            self.manager.get_archives(self._acquire, self._sources, self._records)
            _refuse_untrusted(self._acquire.items)
            _require_space(Path(apt.config.find_dir("Dir::Cache::Archives")), self._acquire)
            self._acquire.run()
        except apt.Error as error:
            raise apt_error(error, what) from error
        for item in self._acquire.items:
            if item.status != item.STAT_DONE or not item.complete:
                reason = item.error_text or "it did not come whole"
                self._watcher.failures.append(f"{item.desc_uri}: {reason}")
        self._watcher.refuse_failures(what)
        _flush([Path(item.destfile) for item in self._acquire.items])


def _flush(files: Sequence[Path]) -> None:
    """Make them durable: after a power cut the overlay is restored from them.

    libapt flushes none, and takes one of the right length for whole. What can't be flushed does
    no harm to the install.
    """
    for path in files:
        with suppress(OSError), path.open("rb") as file:
            os.fsync(file.fileno())
    for folder in {path.parent for path in files}:
        with suppress(OSError):
            fsync_directory(folder)


def _refuse_untrusted(items: list[AcquireItem]) -> None:
    untrusted = [item.desc_uri for item in items if not item.is_trusted]
    if untrusted:
        raise AptError(
            f"not signed by a key that is trusted: {', '.join(untrusted[:_NAMED])}; "
            "nothing was changed",
            hint="add the repository's key (Signed-By in its source)",
        )


def _require_space(folder: Path, acquire: Acquire) -> None:
    if acquire.fetch_needed == 0:
        return
    state = os.statvfs(folder)
    if state.f_bavail * state.f_frsize < acquire.fetch_needed:
        raise NoSpaceError(
            f"{acquire.fetch_needed} bytes are to be fetched and {folder} has less free; "
            "nothing was changed"
        )


def fetch_versions(cache: Cache, versions: Sequence[Version], report: Report) -> list[str]:
    """Get the archives of `versions`, without libapt's plan; their paths. Raises AptError."""
    apt = apt_pkg()
    watcher = Watcher(report, 100.0)
    acquire = apt.Acquire(watcher)
    sources = apt.SourceList()
    sources.read_main_list()
    records = apt.PackageRecords(cache)
    folder = Path(apt.config.find_dir("Dir::Cache::Archives"))
    # libapt makes it for a plan of its own, and not for these.
    folder.mkdir(parents=True, exist_ok=True)
    items = []
    for version in versions:
        file = next(file for file in version.file_list if file[0].index_type != INSTALLED_INDEX)
        records.lookup(file)
        index = sources.find_index(file[0])
        if not index.is_trusted:
            raise AptError(
                f"{version.parent_pkg.name} {version.ver_str} comes from no trusted source"
            )
        items.append(
            apt.AcquireFile(
                acquire,
                index.archive_uri(records.filename),
                hash=records.hashes,
                size=version.size,
                descr=version.parent_pkg.name,
                destdir=str(folder),
            )
        )
    acquire.run()
    for item in items:
        if item.status != item.STAT_DONE:
            watcher.failures.append(f"{item.desc_uri}: {item.error_text.strip()}")
    watcher.refuse_failures("the earlier packages could not be fetched")
    return [item.destfile for item in items]
