"""What lies in /etc and /var of the host's tree, and who has an account: before and after a change.

A package's files in /usr go with the overlay; what its scripts and configuration files leave in
/etc and /var stays. Run as `python -m atomicstate.catalog.survey ROOT` in the tree's mount
namespace; it prints the survey as JSON. With `--withdraw` it first removes what standard input
names, as a JSON object of paths and signatures, where the signature is still the same. No libapt:
it may be asked often.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from typing import Any

# What apt, dpkg and the journal write there in any case is nobody's residue.
_PASSED_OVER = frozenset(
    {
        *("/var/cache", "/var/log", "/var/tmp", "/var/run", "/var/lock", "/var/lib/apt"),  # noqa: S108
        *("/var/lib/dpkg", "/var/lib/systemd", "/var/lib/atomicstate", "/var/backups"),
        *("/etc/ld.so.cache", "/etc/mtab", "/etc/.pwd.lock"),
        *("/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-"),
    }
)
_LARGE = 1 << 20


def survey(root: str) -> dict[str, Any]:
    """The tree below `root`, as the fields of a `residue.Survey`."""
    files: dict[str, str] = {}
    for top in ("/etc", "/var"):
        _walk(root, top, files)
    return {
        "files": files,
        "users": _names(f"{root}/etc/passwd"),
        "groups": _names(f"{root}/etc/group"),
    }


def _walk(root: str, folder: str, files: dict[str, str]) -> None:
    try:
        entries = sorted(os.scandir(root + folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        path = f"{folder}/{entry.name}"
        if path in _PASSED_OVER:
            continue
        try:
            found = entry.stat(follow_symlinks=False)
            files[_text(path)] = _signature(entry.path, found)
        except OSError:
            # It went while we looked.
            continue
        if stat.S_ISDIR(found.st_mode):
            _walk(root, path, files)


def _signature(path: str, found: os.stat_result) -> str:
    owner = f"{stat.S_IMODE(found.st_mode):o}:{found.st_uid}:{found.st_gid}"
    if stat.S_ISLNK(found.st_mode):
        return f"link {_text(os.readlink(path))}"  # noqa: PTH115
    if not stat.S_ISREG(found.st_mode):
        return f"{stat.S_IFMT(found.st_mode):o} {owner}"
    if found.st_size > _LARGE:
        return f"{owner} {found.st_size} {found.st_mtime_ns}"
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a bare name, thousands of times
        return f"{owner} {hashlib.blake2b(file.read(), digest_size=16).hexdigest()}"


def _text(path: str) -> str:
    """A path that holds bytes of no known encoding, as text that JSON can hold."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _names(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="backslashreplace") as file:  # noqa: PTH123
            return [line.partition(":")[0] for line in file if ":" in line]
    except OSError:
        return []


def withdraw(root: str, signatures: dict[str, str]) -> None:
    """Remove each of these paths that is still as its signature says; a folder once it is empty."""
    for path, signature in sorted(signatures.items(), reverse=True):
        place = root + path
        try:
            found = os.lstat(place)
            if _signature(place, found) != signature:
                continue
            if stat.S_ISDIR(found.st_mode):
                os.rmdir(place)  # noqa: PTH106
            else:
                os.unlink(place)  # noqa: PTH108
        except OSError:
            # It went, or somebody's own file is in the folder: what stays is seen afterwards.
            continue


def main(root: str, *options: str) -> None:
    """Look through the tree at `root`, and print what was found."""
    root = root.rstrip("/")
    if options:
        withdraw(root, json.load(sys.stdin))
        os.sync()
    sys.stdout.buffer.write(json.dumps(survey(root)).encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
