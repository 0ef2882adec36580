"""A tree with real dpkg and libapt and next to no packages: made in milliseconds, no network.

Its /usr is this machine's with an overlay on it, mounted anew by every call in a namespace of the
caller's own; so nothing is left mounted. Its package database is its own, and all but empty.
"""

from __future__ import annotations

from pathlib import Path

from atomicstate.catalog.client import Catalog
from tests.support.debs import write_repository

_ENTER = """
root=$1; upper=$2; work=$3; shift 3
mount -t overlay overlay -o lowerdir=/usr,upperdir=$upper,workdir=$work "$root/usr"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
exec "$@"
"""
_STANZA = """Package: {name}
Status: install ok installed
Priority: {priority}
Section: misc
Maintainer: Tests <tests@localhost>
Architecture: all
Version: 1.0
{fields}Description: {name}, there from the start

"""
_FROM_THE_START = (
    ("heart", "required", "Essential: yes\n"),
    ("lung", "required", ""),
    ("neighbour", "optional", ""),
)
_PASSWD = "root:x:0:0:root:/root:/bin/sh\n_apt:x:42:65534::/nonexistent:/usr/sbin/nologin\n"


class PackageTree:
    """The tree, in `directory`; `heart` (essential), `lung` (required), `neighbour` are there."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "tree"
        self.upper = directory / "upper"
        self.debs = directory / "debs"
        work = directory / "work"
        self.enter = [
            *("unshare", "--mount", "sh", "-ec", _ENTER, "enter"),
            *(str(self.root), str(self.upper), str(work)),
        ]
        self.catalog = Catalog(self.enter, self.root)
        for path in (self.root, self.upper, work):
            path.mkdir(parents=True)
        self._fill()

    def _fill(self) -> None:
        for name in ("bin", "sbin", "lib", "lib64"):
            (self.root / name).symlink_to(f"usr/{name}")
        for name in ("usr", "dev", "proc", "tmp", "root", "opt", "repository", "run", "etc/apt"):
            (self.root / name).mkdir(parents=True)
        (self.root / "tmp").chmod(0o1777)
        for name in ("lib/apt/lists/partial", "cache/apt/archives/partial", "log/apt"):
            (self.root / "var" / name).mkdir(parents=True)
        # As in a real image: the database lies in /usr, reached by an absolute link.
        self.admin.mkdir(parents=True)
        (self.root / "var/lib/dpkg").symlink_to("/usr/lib/sysimage/dpkg")
        for name in ("info", "updates", "triggers", "alternatives", "parts"):
            (self.admin / name).mkdir()
        (self.admin / "available").touch()
        (self.admin / "status").write_text(
            "".join(
                _STANZA.format(name=name, priority=priority, fields=fields)
                for name, priority, fields in _FROM_THE_START
            )
        )
        for name, _priority, _fields in _FROM_THE_START:
            (self.admin / "info" / f"{name}.list").touch()
        for name, content in (("passwd", _PASSWD), ("group", "root:x:0:\n"), ("hosts", "")):
            (self.root / "etc" / name).write_text(content)
        (self.root / "etc/ld.so.cache").write_bytes(Path("/etc/ld.so.cache").read_bytes())

    @property
    def admin(self) -> Path:
        """dpkg's database, in the overlay's upper directory."""
        return self.upper / "lib/sysimage/dpkg"

    @property
    def policy(self) -> Path:
        """The policy program, in the overlay's upper directory."""
        return self.upper / "sbin/policy-rc.d"

    def offer(self, *debs: Path) -> None:
        """Make the repository hold exactly `debs`, and fetch the lists."""
        repository = self.root / "repository"
        for old in repository.glob("*.deb"):
            old.unlink()
        line = write_repository(repository, debs, seen_at="/repository")
        (self.root / "etc/apt/sources.list").write_text(line + "\n")
        self.catalog.update(lambda _progress: None)

    def read(self, path: str) -> str | None:
        """The content of a file outside /usr, None where there is none."""
        target = self.root / path.lstrip("/")
        return target.read_text() if target.exists() else None
