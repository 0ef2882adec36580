"""Tools that are not there, fail, hang or are killed, and storage that takes no more.

Real tools behind scripts on PATH that spoil one of their verbs. Whatever happens, the error says
which tool, how it ended and how to run it again; nothing is left; and it works once it can.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from atomicstate.errors import (
    AtomicstateError,
    ContainerError,
    HostError,
    ImageError,
    NoSpaceError,
)
from atomicstate.host import mounts
from tests.support.program import atomicstate
from tests.support.sandboxes import build

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atomicstate.host.ports import Image
    from atomicstate.host.sandbox.host import SandboxHost

pytestmark = pytest.mark.sandbox

TAG = "localhost/failing:made"
SLEEP = "317.26"
WAYS = {
    "exits": ("echo what went wrong >&2; exit 5", r"exited 5(.|\n)*what went wrong"),
    "prints-garbage": (
        r"printf '\377\376\000\200\n' >&2; exit 1",
        "exited 1(.|\n)*\ufffd",
    ),
    "hangs": (f"sleep {SLEEP}; exit 1", "was ended after 5 seconds"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder at the head of PATH."""
    found = tmp_path / "bin"
    found.mkdir()
    monkeypatch.setenv("PATH", f"{found}:{os.environ['PATH']}")
    return found


def spoil(folder: Path, tool: str, verb: str, script: str) -> None:
    """Let `tool` run `script` where one of its words is `verb`."""
    real = shutil.which(tool)
    path = folder / tool
    path.write_text(f'#!/bin/sh\ncase " $* " in *" {verb} "*) {script};; esac\nexec {real} "$@"\n')
    path.chmod(0o755)


def without(folder: Path, monkeypatch: pytest.MonkeyPatch, *there: str) -> None:
    """Let `there` be all the tools of the machine."""
    for name in there:
        (folder / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", str(folder))


def sleeping() -> bool:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == f"sleep\0{SLEEP}\0".encode():
                return True
        except OSError:
            continue
    return False


class Left:
    """What a host holds that a failure must not change."""

    def __init__(self, host: SandboxHost) -> None:
        self.host = host
        self.before = self.now()

    def now(self) -> tuple[object, ...]:
        sandbox = self.host.sandbox
        containers = self.host.builder.storage.buildah("containers", "--quiet", "--all")
        refs = ["ostree", f"--repo={sandbox.sysroot}/ostree/repo", "refs", "--list"]
        words = [
            subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout
            for argv in (containers, refs)
        ]
        return (
            *("".join(sorted(text.splitlines(keepends=True))) for text in words),
            self.host.deployer.status(),
            self.host.builder.storage.scratch.exists(),
            [one.point for one in mounts.mounts_below(sandbox.directory)],
        )

    def check(self) -> None:
        assert self.now() == self.before
        assert not sleeping()


@pytest.fixture
def left(shared_host: SandboxHost) -> Left:
    staged = shared_host.deployer.status().staged
    if staged is not None:
        shared_host.deployer.unstage(staged.checksum)
    shared_host.builder.remove(TAG)
    return Left(shared_host)


@pytest.fixture(scope="module")
def made(shared_host: SandboxHost) -> Image:
    """An image to stage, of which one file is large."""
    tag = "localhost/failing:to-stage"
    build(shared_host, "head -c 4000000 /dev/urandom >/usr/lib/large", tag, {})
    return shared_host.builder.resolve(tag)


@contextmanager
def laid_over(target: Path, source: Path | None = None, *, size: str = "") -> Iterator[None]:
    """Lay `source` over `target`, or a file system in memory of `size`; itself read-only else."""
    if size:
        mounts.mount("tmpfs", target, "tmpfs", options=f"size={size}")
    else:
        mounts.bind(source or target, target, read_only=source is None)
    try:
        yield
    finally:
        mounts.unmount(target)


# Building


@pytest.mark.parametrize("way", WAYS)
def test_a_podman_that_fails_is_told_and_leaves_nothing(
    shared_host: SandboxHost,
    left: Left,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    script, said = WAYS[way]
    spoil(folder, "podman", "build", script)
    monkeypatch.setenv("ATOMICSTATE_TOOL_TIMEOUT", "5")
    with pytest.raises(ContainerError, match=f"building {TAG} failed: podman {said}") as raised:
        build(shared_host, "true", TAG, {})
    again = raised.value.message.splitlines()[-1]
    assert again.startswith("to run it again: unshare --pid")
    assert f" podman --root={shared_host.sandbox.storage} " in again
    assert ("--tool-timeout" in raised.value.hint) == (way == "hangs")
    (folder / "podman").unlink()
    monkeypatch.delenv("ATOMICSTATE_TOOL_TIMEOUT")
    left.check()
    build(shared_host, "true", TAG, {})
    assert shared_host.builder.resolve(TAG)


@pytest.mark.parametrize(
    "says", [r"printf '\377{\200[\n'; exit 0", "exit 0", "echo '[{}]'; exit 0"]
)
@pytest.mark.parametrize("verb", ["images", "inspect"])
def test_an_answer_of_podman_that_can_not_be_read_is_no_answer(
    shared_host: SandboxHost, made: Image, folder: Path, verb: str, says: str
) -> None:
    """An image that is there must not be taken for one that is not."""
    spoil(folder, "podman", verb, says)
    asks = (
        (lambda: shared_host.builder.images({}),)
        if verb == "images"
        else (
            lambda: shared_host.builder.resolve(made.id),
            lambda: shared_host.builder.layers(made),
        )
    )
    for ask in asks:
        with pytest.raises(ContainerError, match="podman's answer can't be read") as raised:
            ask()
        assert "to run it again: podman --root=" in raised.value.message


@pytest.mark.parametrize("missing", ["podman", "buildah", "unshare"])
def test_a_tool_that_is_missing_is_named_and_nothing_was_built(
    shared_host: SandboxHost,
    left: Left,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    missing: str,
) -> None:
    shared_host.running.ensure()
    tools = tmp_path / "tools"
    tools.mkdir()
    with monkeypatch.context() as patch:
        without(tools, patch, *({"podman", "buildah", "unshare", "env"} - {missing}))
        with pytest.raises(AtomicstateError, match=missing):
            build(shared_host, "true", TAG, {})
    left.check()


def test_a_build_that_fills_its_storage_says_so_and_leaves_nothing(
    shared_host: SandboxHost, left: Left, tmp_path: Path
) -> None:
    storage = shared_host.sandbox.storage
    used = int(subprocess.check_output(["du", "-sm", storage], text=True).split()[0])
    small = tmp_path / "small"
    small.mkdir()
    with laid_over(small, size=f"{used + 40}m"):
        subprocess.run(["cp", "-a", f"{storage}/.", small], check=True, timeout=120)
        with laid_over(storage, small):
            with pytest.raises(NoSpaceError, match="no space left on the device"):
                build(shared_host, "head -c 90000000 /dev/urandom >/usr/lib/big", TAG, {})
            with pytest.raises(ImageError):
                shared_host.builder.resolve(TAG)
            build(shared_host, "true", TAG, {})
    left.check()


def test_storage_that_became_read_only_is_told(shared_host: SandboxHost, left: Left) -> None:
    with (
        laid_over(shared_host.sandbox.storage),
        pytest.raises(AtomicstateError, match=r"[Rr]ead-only file system"),
    ):
        build(shared_host, "true", TAG, {})
    left.check()
    build(shared_host, "true", TAG, {})


# Staging


@pytest.mark.parametrize("way", [*WAYS, "is-killed"])
def test_an_ostree_that_fails_is_told_and_leaves_nothing(  # noqa: PLR0917
    shared_host: SandboxHost,
    left: Left,
    made: Image,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    script, said = {**WAYS, "is-killed": ("kill -KILL $$", "was killed by SIGKILL")}[way]
    spoil(folder, "ostree", "commit", script)
    monkeypatch.setenv("ATOMICSTATE_TOOL_TIMEOUT", "5")
    with pytest.raises(HostError, match=f"OSTree could not commit: .*{said}") as raised:
        shared_host.deployer.stage(made)
    assert "to run it again: env PYTHONPATH=" in raised.value.message.splitlines()[-1]
    (folder / "ostree").unlink()
    monkeypatch.delenv("ATOMICSTATE_TOOL_TIMEOUT")
    left.check()
    shared_host.deployer.stage(made)
    assert shared_host.deployer.status().staged is not None


@pytest.mark.parametrize("says", [r"printf '\377{\200[\n'; exit 0", "exit 0"])
@pytest.mark.parametrize("verb", ["commit", "rev-parse"])
def test_an_answer_of_ostree_that_is_no_checksum_is_no_answer(  # noqa: PLR0917
    shared_host: SandboxHost, left: Left, made: Image, folder: Path, verb: str, says: str
) -> None:
    """What it names would boot next."""
    spoil(folder, "ostree", verb, says)
    with pytest.raises(HostError, match=f"ostree {verb}.* answered .* which is no checksum"):
        shared_host.deployer.stage(made)
    (folder / "ostree").unlink()
    left.check()


def test_an_ostree_that_is_missing_is_named(
    shared_host: SandboxHost,
    left: Left,
    made: Image,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    with monkeypatch.context() as patch:
        without(tools, patch, "podman", "buildah", "unshare", "env", "cp", "rm")
        with pytest.raises(HostError, match="'ostree' is not on this machine"):
            shared_host.deployer.stage(made)
    left.check()


def test_a_repository_without_space_says_so_and_leaves_nothing(
    shared_host: SandboxHost, left: Left, made: Image
) -> None:
    with (
        laid_over(shared_host.sandbox.sysroot / "ostree/repo/tmp", size="1m"),
        pytest.raises(NoSpaceError, match="no space left on the device"),
    ):
        shared_host.deployer.stage(made)
    left.check()


def test_a_repository_that_became_read_only_is_told(
    shared_host: SandboxHost, left: Left, made: Image
) -> None:
    with (
        laid_over(shared_host.sandbox.sysroot),
        pytest.raises(HostError, match=r"OSTree could not commit: .*Read-only file system"),
    ):
        shared_host.deployer.stage(made)
    left.check()
    shared_host.deployer.stage(made)


# In the log


@pytest.mark.slow
def test_the_log_tells_which_tool_failed_and_how_to_run_it_again(
    tiny_host: SandboxHost, folder: Path
) -> None:
    box = tiny_host.sandbox.directory
    assert atomicstate("init", sandbox=box).status == 0
    assert atomicstate("package", "add", "player", "--no-live", "-y", sandbox=box).status == 0
    spoil(folder, "podman", "build", "sleep 318.25; exit 1")
    ran = atomicstate("--tool-timeout", "5", "apply", "-y", "-f", "json", sandbox=box)
    assert (ran.status, ran.code) == (ContainerError.exit_status, "CONTAINER")

    events = atomicstate("log", "-f", "json", sandbox=box).data["events"]
    failed = next(event["data"] for event in events if event["kind"] == "step.failed")
    assert failed["step"] == "build"
    assert "podman was ended after 5 seconds" in failed["reason"]
    assert "to run it again: unshare --pid" in failed["reason"]
    status = atomicstate("status", "-f", "json", sandbox=box).data
    assert [item["change"] for item in status["pending"]] == ["add"]
    assert status["unfinished"] == []

    (folder / "podman").unlink()
    assert atomicstate("apply", "-y", sandbox=box).status == 0
