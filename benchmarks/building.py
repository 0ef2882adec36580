"""Rows about building an image: one more package, on top of fifty.

Real packages, from where the machine's own apt gets them.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from atomicstate.host.podman import PodmanBuilder
from atomicstate.host.sandbox.base import base_tar
from atomicstate.host.storage import Storage
from atomicstate.recipe.containerfile import render
from benchmarks.bench import Bench, Row
from benchmarks.measure import Ratio, of, seconds
from tests.support.containerfiles import steps, write_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_NAMES = """
bc bind9-host bsdextrautils busybox cpio cron curl dialog dmidecode ed ethtool expect file gawk
gettext-base git groff-base htop iotop iptables jq kmod less logrotate lsof lzop m4 make man-db
mc moreutils nano netcat-openbsd patch pciutils psmisc pv rsync screen socat sqlite3 strace
tcpdump time tmux traceroute tree unzip wget zip
"""
_THERE = _NAMES.split()
_MORE = ("zsh", "lynx", "ripgrep", "aria2", "vim-nox")
_BASE = "localhost/bench-base:1"
_LIMIT = 600
_APT = "apt-get -qq update && apt-get -qq -y install --no-install-recommends"


class _Workshop:
    """A container storage with a base."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        # Podman takes no run root with a long name.
        self._run = tempfile.TemporaryDirectory(prefix="bench-")
        self.storage = Storage(directory / "storage", Path(self._run.name), "overlay")
        self.builder = PodmanBuilder(self.storage)
        self._number = count()
        tar, _recipe = base_tar("bookworm", lambda _line: None)
        self.base = self.builder.import_tar(tar, _BASE, {}).id

    def podman(self, *words: str | Path) -> str:
        argv = self.storage.argv(*(str(word) for word in words))
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=_LIMIT, check=True)
        return ran.stdout.strip()

    def image(self, names: Sequence[str]) -> None:
        """The image that has these, as an apply builds it: each was recorded by itself."""
        document = "\n".join(
            ("modules:", *(f"- {{type: packages, body: {{install: [{it}]}}}}" for it in names))
        )
        context = self.directory / f"context-{next(self._number)}"
        write_context(context, render(steps(document), self.base, _BASE, "deb", {}), {})
        tag = f"localhost/made:{next(self._number)}"
        self.builder.build(context, context / "Containerfile", {}, tag, lambda _line: None)

    def squashed(self, names: Sequence[str]) -> None:
        """The same as APM builds it: one RUN that does all, squashed; archives are kept."""
        context = self.directory / f"context-{next(self._number)}"
        context.mkdir()
        cache = "--mount=type=cache,id=squashed,target=/var/cache/apt/archives"
        (context / "Containerfile").write_text(
            f"FROM {self.base}\nENV DEBIAN_FRONTEND=noninteractive\n"
            f"RUN {cache} {_APT} {' '.join(names)}\n",
            encoding="utf-8",
        )
        tag = f"--tag=localhost/squashed:{next(self._number)}"
        options = ("--isolation=chroot", "--network=host", "--pull=never", "--squash")
        self.podman("build", "--quiet", *options, tag, context)

    @contextmanager
    def tree(self) -> Iterator[Path]:
        """A tree that has the fifty, to change root to."""
        tree = self.directory / "tree"
        made = self.podman("create", self.base, "true")
        mounted = self.podman("mount", made)
        subprocess.run(["cp", "-a", mounted, tree], check=True, timeout=_LIMIT)
        self.podman("rm", "--force", made)
        shutil.copy("/etc/resolv.conf", tree / "etc/resolv.conf")
        self.installed(tree, _THERE)
        try:
            yield tree
        finally:
            shutil.rmtree(tree)

    def installed(self, tree: Path, names: Sequence[str]) -> None:
        """Install these in the tree. Its own mounts end with the command."""
        inside = 'mount --rbind /dev "$1/dev" && mount -t proc proc "$1/proc"'
        inside += ' && exec chroot "$1" sh -c "$2"'
        argv = ["unshare", "--mount", "--pid", "--fork", "sh", "-ec", inside, "sh", str(tree)]
        subprocess.run(
            [*argv, f"{_APT} {' '.join(names)}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_LIMIT,
            check=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"},
        )

    def remove(self) -> None:
        """End with it: what containers leave is no ordinary folder."""
        self.podman("system", "reset", "--force")
        self._run.cleanup()


@contextmanager
def _workshop(bench: Bench) -> Iterator[_Workshop]:
    workshop = _Workshop(bench.fresh())
    try:
        workshop.image(_THERE)
        yield workshop
    finally:
        workshop.remove()


def _measured(workshop: _Workshop, theirs: Callable[[list[str]], object], rounds: int) -> Ratio:
    ratios, times = [], []
    for name in _MORE[:rounds]:
        names = [*_THERE, name]
        times.append(seconds(lambda names=names: workshop.image(names)))
        ratios.append(times[-1] / seconds(lambda names=names: theirs(names)))
    return of(ratios, median(times))


def _against_chroot(bench: Bench) -> Ratio:
    with _workshop(bench) as workshop, workshop.tree() as tree:
        rounds = bench.scale.rounds
        return _measured(workshop, lambda names: workshop.installed(tree, names[-1:]), rounds)


def _against_squashed(bench: Bench) -> Ratio:
    with _workshop(bench) as workshop:
        return _measured(workshop, workshop.squashed, bench.scale.rounds)


_OURS = "image of a base and fifty packages, with one more"

ROWS = (
    Row("one-more", _OURS, "apt-get installs just that one in a chroot", 1.5, _against_chroot),
    Row(
        "one-more-squashed",
        _OURS,
        "APM's way: one RUN for all of it, squashed",
        None,
        _against_squashed,
    ),
)
