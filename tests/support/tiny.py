"""A base as small as apt can work in, with its own repository: quick to deploy and to build on.

It is Debian's base tree without what nothing here runs: dpkg and libapt are the real ones.
"""

from __future__ import annotations

import lzma
import shutil
import subprocess
from typing import TYPE_CHECKING

from atomicstate.host.sandbox import lifecycle
from atomicstate.host.sandbox.base import base_tar
from atomicstate.host.sandbox.running import Running
from tests.support.debs import build_deb, write_repository
from tests.support.sandboxes import LIMIT, REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SUITE = "bookworm"
_UNUSED = (
    "usr/share/[!bdk]*",
    "usr/share/doc",
    "usr/share/bug",
    "usr/lib/x86_64-linux-gnu/perl*",
    "usr/lib/*/perl*",
    "usr/lib/*/gconv",
    "usr/lib/*/security",
    "usr/lib/systemd",
    "usr/lib/init",
    "usr/lib/udev",
    "usr/lib/locale",
    "usr/lib/terminfo",
    "usr/bin/perl*",
    "usr/bin/openssl",
    "usr/sbin/[!pls]*",
    "usr/local/share",
    "etc/ssl",
    "etc/ca-certificates*",
    "usr/lib/sysimage/dpkg/info/*.md5sums",
    "var/cache/*/*",
    "var/log/*",
)


def make_tiny(directory: Path, debs: Sequence[Path], scratch: Path) -> Running:
    """A sandbox of the tiny base in `directory`, whose repository holds exactly `debs`."""
    tar, _recipe = base_tar(SUITE, lambda _line: None)
    root, cache = scratch / "root", scratch / "cache"
    root.mkdir(parents=True)
    cache.mkdir()
    unused = [f"--exclude=./{pattern}" for pattern in _UNUSED]
    _run("tar", "-C", root, "--no-wildcards-match-slash", *unused, "--xattrs", "-xpf", tar)
    _offer(root, debs)
    # `create` takes the tree from its cache: there it finds this one.
    tiny = cache / tar.name
    _run("tar", "-C", root, "--numeric-owner", "--xattrs", "-cf", tiny, ".")
    tiny.with_suffix(".size").write_text(str(tiny.stat().st_size))
    shutil.rmtree(root)
    return Running(lifecycle.create(directory, SUITE, cache=cache))


def _offer(root: Path, debs: Sequence[Path]) -> None:
    """Let apt in `root` know a repository of `debs`, below /var, and no other."""
    apt = root / "etc/apt"
    for old in ("sources.list", "sources.list.d"):
        path = apt / old
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    repository = root / REPOSITORY.lstrip("/")
    line = write_repository(repository, debs, seen_at=REPOSITORY)
    # apt asks for the compressed index first, and calls it an error where there is none.
    index = repository / "Packages"
    index.with_suffix(".xz").write_bytes(lzma.compress(index.read_bytes()))
    (apt / "sources.list").write_text(line + "\n")


def tutorial_debs(directory: Path) -> list[Path]:
    """The packages of the tests about history, and of its tutorial."""
    return [
        deb(directory, "editor", depends="spelling"),
        deb(directory, "spelling"),
        deb(directory, "viewer", depends="spelling"),
        deb(directory, "player"),
        deb(directory, "server"),
        deb(directory, "paint"),
        deb(directory, "gallery", conflicts="paint"),
    ]


def deb(directory: Path, name: str, **parts: str) -> Path:
    """A package whose one file lies in /usr: the rest of a running tree is not the overlay's."""
    return build_deb(directory, name, files={f"/usr/share/{name}/version": "1.0"}, **parts)


def _run(*argv: str | Path) -> None:
    subprocess.run(argv, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=LIMIT)
