"""Real, tiny Debian packages, and a local repository of them: no network."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_SCRIPTS = ("preinst", "postinst", "prerm", "postrm")


def build_deb(  # noqa: PLR0917 - a package has many parts
    directory: Path,
    name: str,
    version: str = "1.0",
    depends: str = "",
    conflicts: str = "",
    postinst: str = "",
    prerm: str = "",
    postrm: str = "",
    files: Mapping[str, str] | None = None,
    *,
    preinst: str = "",
    provides: str = "",
    conffiles: Sequence[str] = (),
    fields: str = "",
    architecture: str = "all",
) -> Path:
    """Build a package in `directory`; its path.

    Scripts are shell text without the `#!` line. `files` maps absolute paths to content (without
    it: one small file, /opt/NAME/version); those in `conffiles` are configuration. `fields` are
    further lines of its control file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    tree = directory / f".{name}_{version}.build"
    control = tree / "DEBIAN"
    control.mkdir(parents=True)
    lines = [
        f"Package: {name}",
        f"Version: {version}",
        f"Architecture: {architecture}",
        "Maintainer: Tests <tests@localhost>",
        "Priority: optional",
        "Section: misc",
        "Installed-Size: 10",
        *(
            f"{field}: {value}"
            for field, value in (
                ("Depends", depends),
                ("Conflicts", conflicts),
                ("Provides", provides),
            )
            if value
        ),
        *fields.splitlines(),
        f"Description: {name}, made for a test",
    ]
    (control / "control").write_text("\n".join(lines) + "\n")
    if conffiles:
        (control / "conffiles").write_text("".join(f"{path}\n" for path in conffiles))
    for script, text in zip(_SCRIPTS, (preinst, postinst, prerm, postrm), strict=True):
        if text:
            (control / script).write_text(f"#!/bin/sh\n{text}\n")
            (control / script).chmod(0o755)
    for path, content in ({f"/opt/{name}/version": version} if files is None else files).items():
        target = tree / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
    package = directory / f"{name}_{version}_{architecture}.deb"
    subprocess.run(
        ["dpkg-deb", "-Znone", "--root-owner-group", "--build", str(tree), str(package)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    shutil.rmtree(tree)
    return package


def write_repository(directory: Path, debs: Sequence[Path], *, seen_at: str = "") -> str:
    """Make `directory` a repository of exactly `debs`; its line for sources.list.

    `seen_at`: where the directory is for the apt that will read it, if that is elsewhere.
    """
    directory.mkdir(parents=True, exist_ok=True)
    entries = []
    for deb in debs:
        target = directory / deb.name
        if target != deb:
            shutil.copyfile(deb, target)
        control = subprocess.run(
            ["dpkg-deb", "--field", str(deb)],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout.rstrip()
        content = target.read_bytes()
        entries.append(
            f"{control}\nFilename: ./{deb.name}\nSize: {len(content)}\n"
            f"SHA256: {hashlib.sha256(content).hexdigest()}\n"
        )
    index = directory / "Packages"
    # apt knows lists by their size and time in seconds: a change within one must show as well.
    earlier = index.stat().st_mtime if index.exists() else 0.0
    index.write_text("\n".join(entries))
    stamp = max(time.time(), earlier + 2)
    os.utime(index, (stamp, stamp))
    for path in (directory, *directory.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return f"deb [trusted=yes] file:{seen_at or directory} ./"
