"""Sandboxes for tests: one is made the long way, the others are copies of it."""

from __future__ import annotations

import fcntl
import lzma
import os
import shutil
import subprocess
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from atomicstate.host.sandbox import lifecycle
from atomicstate.host.sandbox.host import SandboxHost, host_of
from atomicstate.host.sandbox.layout import Sandbox, open_sandbox
from atomicstate.host.sandbox.running import Running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

LIMIT = 240
DRIVER = os.environ.get("ATOMICSTATE_SANDBOX_DRIVER", "ostree")
"""The driver of every sandbox that does not name one: the whole suite runs with either."""


def for_all_workers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the workers of this run share: under xdist each has its own below it."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@contextmanager
def shared_template(
    folder: Path, make: Callable[[Path], Running] = lambda path: Running(lifecycle.create(path))
) -> Iterator[Path]:
    """A sandbox that is switched off, in `folder`, made by the first process that asks.

    The last one that leaves takes it away.
    """
    template, users, lock = folder / "template", folder / "users", folder / "lock"
    folder.mkdir(exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        count = int(users.read_text()) if users.exists() else 0
        if not template.exists():
            make(template).power_off()
        users.write_text(str(count + 1))
    try:
        yield template
    finally:
        with lock.open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            count = int(users.read_text()) - 1
            users.write_text(str(count))
            if count == 0:
                lifecycle.destroy(template)


REPOSITORY = "/var/local/test-repository"
LOCAL_BASE = "localhost/base-with-repository:1"


def add_repository(host: SandboxHost, debs: Path, line: str) -> None:
    """Let the running tree, and the image LOCAL_BASE, know the repository `debs` and no other.

    No mirror is asked then: quick, and alone with what the test made. `line` is for sources.list.
    """
    context = debs.parent / "context"
    shutil.copytree(debs, context / "repository")
    # apt asks for the compressed index first, and calls it an error where there is none.
    index = context / "repository/Packages"
    index.with_suffix(".xz").write_bytes(lzma.compress(index.read_bytes()))
    (context / "test.list").write_text(line + "\n")
    containerfile = context / "Containerfile"
    clear = "rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*.list"
    clear += " /etc/apt/sources.list.d/*.sources"
    containerfile.write_text(
        "FROM localhost/atomicstate-base:bookworm\n"
        f"RUN {clear}\n"
        f"COPY repository {REPOSITORY}\n"
        "COPY test.list /etc/apt/sources.list.d/test.list\n"
    )
    host.builder.build(context, containerfile, {}, LOCAL_BASE, lambda _line: None)
    assert inside(host, "sh", "-c", clear).returncode == 0
    root, enter = host.sandbox.tree, host.running.enter()
    for source, target in (
        (f"{context}/repository", f"{root}{REPOSITORY}"),
        (f"{context}/test.list", f"{root}/etc/apt/sources.list.d/test.list"),
    ):
        subprocess.run([*enter, "cp", "-rT", source, target], check=True, timeout=LIMIT)
    catalog = host.catalog
    catalog.update(lambda _progress: None)


# What is written in place. The rest, objects of OSTree and layers of images, never changes: there
# a hard link is as good as a copy, and half a gigabyte of writing is saved.
MUTABLE = (
    "atomicstate-sandbox.json",
    "lock",
    "run",
    "state",
    "storage/*.lock",
    "storage/overlay-*",
    "sysroot/boot",
    "sysroot/ostree/repo/config",
    "sysroot/ostree/repo/refs",
    "sysroot/ostree/deploy/*/var",
    "sysroot/ostree/deploy/*/deploy/*/etc",
    "sysroot/ostree/deploy/*/deploy/*.origin",
)


def copy_of(template: Path, directory: Path, driver: str = DRIVER) -> SandboxHost:
    """A sandbox in `directory` as `create` leaves it, from one that is switched off.

    A user's sandbox can't be copied: podman's database holds its paths, and the marker the name
    of its run root. Here there is no container yet, so the database can be left out.

    It has just been booted, or is in the boot that `keep_boot` has kept for copies of `template`.
    """
    near = template.stat().st_dev == directory.parent.stat().st_dev
    _copy("--link" if near else "--no-dereference", template, directory)
    for pattern in MUTABLE:
        for path in list(directory.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            _copy("--no-dereference", template / path.relative_to(directory), path)
    shutil.rmtree(directory / "storage/libpod")
    marker = open_sandbox(template).marker
    sandbox = Sandbox(directory, marker)
    sandbox.write_marker(msgspec.structs.replace(marker, id=uuid.uuid4().hex, driver=driver))
    host = host_of(sandbox)
    record = host.running.ensure()
    with suppress(FileNotFoundError):
        record = msgspec.structs.replace(record, boot_id=_kept_boot(template).read_text())
        sandbox.boot_record.write_bytes(msgspec.json.encode(record))
    return host


def keep_boot(host: SandboxHost) -> None:
    """Let each copy of this template go on in the boot that it is in."""
    _kept_boot(host.sandbox.directory).write_text(host.running.ensure().boot_id)


def _kept_boot(template: Path) -> Path:
    return template.with_name("boot")


def _copy(how: str, source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", how, source, target], check=True, timeout=LIMIT)


def inside(host: SandboxHost, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run `argv` in the host's running tree."""
    return subprocess.run(
        host.running.command(argv),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def mounted(directory: Path) -> list[str]:
    """The lines of this process's mountinfo that name `directory`."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if str(directory) in line]


def processes_in(namespace: int) -> list[int]:
    """The processes whose mount namespace has this inode number."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "ns/mnt").stat().st_ino == namespace:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def build(
    host: SandboxHost,
    run: str,
    tag: str,
    labels: dict[str, str],
    base: str = "localhost/atomicstate-base:bookworm",
) -> None:
    """Build an image on `base`, with one RUN instruction."""
    context = host.sandbox.state / f"context-{uuid.uuid4().hex}"
    context.mkdir()
    file = context / "Containerfile"
    file.write_text(f"FROM {base}\nRUN {run}\n")
    host.builder.build(context, file, labels, tag, lambda _line: None)
    shutil.rmtree(context)
