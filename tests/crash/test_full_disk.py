"""A disk that is full from some write on, or turns read-only: a whole machine once it is mended."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from atomicstate.host import mounts
from tests.crash.building import building
from tests.crash.whole import check
from tests.support.seeds import seed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.crash.conftest import Machines
    from tests.support.machines import Machine

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

APPLY = ("apply", "-y")
ADD = ("package", "add", "other", "-y")
RESUME = ("resume", "-y")
ABORT = ("abort", "-y")
BACK = ("rollback", "-y")
PERMISSION, CONTAINER, NO_SPACE = 5, 9, 11
ENDS = ((0, 0), (NO_SPACE, "NO_SPACE"))
"""Of a command on a disk that is full or not: exit status and code."""
ENOUGH = 64 * 1024
"""KiB; more than any command here needs."""


@contextlib.contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """A file system of its own in `directory`, in memory."""
    directory.mkdir()
    mounts.mount("tmpfs", directory, "tmpfs")
    try:
        yield directory
    finally:
        mounts.unmount(directory)


def leave_room(disk: Path, kib: int) -> None:
    """Let the disk take so much more than is on it."""
    shown = subprocess.check_output(["df", "--output=used", "-k", disk], text=True)
    size = int(shown.split()[1]) + kib
    subprocess.run(["mount", "-o", f"remount,size={size}k", disk], check=True, timeout=60)


def run_out(machine: Machine, disk: Path, kib: int, words: tuple[str, ...]) -> bool:
    """Run `words` with so much room, then make room and `resume`. Returns whether it was enough."""
    leave_room(disk, kib)
    machine.killed_at += f"{' '.join(words)} with {kib} KiB"
    ran = machine(*words, "-f", "json")
    # Podman does not always say that it was space which its own pipe ended for.
    hidden = ran.status == CONTAINER and "closed pipe" in ran.stdout
    assert hidden or (ran.status, ran.status and ran.code) in ENDS, ran
    # What only looks needs no room; podman, which is asked then, does.
    machine.done("status")
    machine.done("verify")
    leave_room(disk, ENOUGH)
    check(machine, settled=False)
    machine.done(*RESUME)
    check(machine)
    return ran.status == 0


def state_runs_out(machine: Machine, disk: Path, kib: int, words: tuple[str, ...]) -> bool:
    """`run_out`, of a disk that holds the state directory alone."""
    machine.moved_state = disk / "state"
    shutil.copytree(machine.host.sandbox.state, machine.moved_state)
    return run_out(machine, disk, kib, words)


@pytest.mark.parametrize("kib", [4, 12, 64])
def test_an_apply_whose_log_runs_out_of_space(machines: Machines, tmp_path: Path, kib: int) -> None:
    with machines() as machine, small_disk(tmp_path / "small") as disk:
        assert not state_runs_out(machine, disk, kib, APPLY)


def test_an_apply_that_ends_on_the_reserve(machines: Machines, tmp_path: Path) -> None:
    with machines() as machine, small_disk(tmp_path / "small") as disk:
        assert state_runs_out(machine, disk, 44, APPLY)


@pytest.mark.crash
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("words", "before", "template"),
    [
        (APPLY, "", "killable"),
        (RESUME, "config.started", "killable"),
        (RESUME, "switch.done", "killable"),
        (ABORT, "build.done", "killable"),
        (ADD, "", "killable"),
        (BACK, "", "gone_far"),
    ],
    ids=["apply", "resume-early", "resume-late", "abort", "package-add", "rollback"],
)
def test_the_log_runs_out_of_space_at_each_write(
    machines: Machines, tmp_path: Path, words: tuple[str, ...], before: str, template: str
) -> None:
    rounds, enough = 0, 0
    # It may be enough by way of the reserve, and then not be for a little more.
    for kib in range(0, 96, 4):
        with machines(template=template) as machine, small_disk(tmp_path / f"k{kib}") as disk:
            if before:
                assert machine.killed(APPLY, before)
            enough += state_runs_out(machine, disk, kib, words)
            rounds += 1
    print(f"{' '.join(words)}: {rounds} sizes of the disk, {rounds - enough} too small")
    # What an abort writes tells what was done: the reserve is for that. What a rollback writes
    # is little, and the log has so much room in itself.
    assert (enough == rounds) == (words in (ABORT, BACK))
    assert enough


def on_one_disk(
    machines: Machines, disk: Path, kib: int, words: tuple[str, ...], *, template: str = "killable"
) -> bool:
    """`run_out`, of a disk that holds all of the machine: log, images and deployments."""
    with machines(template=template, at=disk / "machine") as machine:
        # Else OSTree would keep some space free, and stop before there is none.
        repo = f"--repo={machine.directory}/sysroot/ostree/repo"
        keep = ("config", "set", "core.min-free-space-percent", "0")
        subprocess.run(["ostree", repo, *keep], check=True, timeout=60)
        return run_out(machine, disk, kib, words)


@pytest.mark.parametrize("kib", [800, 2400])
def test_an_apply_that_runs_out_of_space_for_what_it_makes(
    machines: Machines, tmp_path: Path, kib: int
) -> None:
    with small_disk(tmp_path / "small") as disk:
        assert not on_one_disk(machines, disk, kib, APPLY)


@pytest.mark.crash
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("words", "template", "step"),
    [(APPLY, "killable", 100), (ADD, "killable", 4), (BACK, "gone_far", 4)],
    ids=["apply", "package-add", "rollback"],
)
def test_the_disk_runs_out_of_space_at_each_write(
    machines: Machines, tmp_path: Path, words: tuple[str, ...], template: str, step: int
) -> None:
    rounds, enough = 0, 0
    while enough < 3:
        assert rounds < 100
        with small_disk(tmp_path / f"r{rounds}") as disk:
            enough += on_one_disk(machines, disk, rounds * step, words, template=template)
        rounds += 1
    print(f"{' '.join(words)}: {rounds} sizes of the disk, {rounds - enough} too small")
    # An overlay is in memory, and a rollback takes the place of what it writes to.
    assert (enough < rounds) == (words == APPLY)


class FailingDisk:
    """A file system in a file, which can turn read-only under whoever has it open."""

    def __init__(self, scratch: Path) -> None:
        self.image, self.directory = scratch / "image", scratch / "disk"
        self.directory.mkdir()
        with self.image.open("wb") as file:
            file.truncate(32 << 20)
        _run("mkfs.ext4", "-q", self.image)

    @contextlib.contextmanager
    def mounted(self) -> Iterator[Path]:
        _run("mount", "-o", "loop", self.image, self.directory)
        try:
            yield self.directory
        finally:
            _run("umount", self.directory)

    def fail(self) -> None:
        """What the kernel does when a disk fails: whoever writes is not asked."""
        _run("mount", "-o", "remount,abort", self.directory)

    def mend(self) -> None:
        """Put a mended copy in its place: the namespace of another test may hold the old one."""
        mended = self.image.with_name("mended")
        shutil.copy(self.image, mended)
        self.image = mended
        _run("e2fsck", "-fp", self.image)


def test_a_log_that_turns_read_only_in_the_middle(machines: Machines, tmp_path: Path) -> None:
    disk = FailingDisk(tmp_path)
    with machines() as machine:
        with disk.mounted() as directory:
            machine.moved_state = directory / "state"
            shutil.copytree(machine.host.sandbox.state, machine.moved_state)
            _run("sync", "--file-system", directory)
            with building(machine, tmp_path) as apply:
                disk.fail()
                assert apply.ended() == PERMISSION, apply.said
            assert "can't write the log" in apply.said[1]
            assert "`atomicstate abort` tries again" in apply.said[1]
            # Reading goes on.
            assert machine("verify").status == 0
            assert machine.data("status")["unfinished"][0]["step"] == "build"
        disk.mend()
        machine.killed_at = "an apply whose log turned read-only"
        with disk.mounted():
            check(machine, settled=False)
            machine.done(*RESUME)
            check(machine)


@pytest.mark.crash
@pytest.mark.timeout(3600)
def test_a_power_cut_takes_what_was_not_flushed_and_nothing_that_was_told(
    machines: Machines, tmp_path: Path
) -> None:
    """The log's file system stops at a random moment: what it had not written yet is gone."""
    chance, rounds, at_work = random.Random(seed()), 40, 0
    for number in range(rounds):
        scratch = tmp_path / f"r{number}"
        scratch.mkdir()
        disk = FailingDisk(scratch)
        with machines() as machine:
            with disk.mounted() as directory:
                machine.moved_state = directory / "state"
                shutil.copytree(machine.host.sandbox.state, machine.moved_state)
                _run("sync", "--file-system", directory)
                machine.done("package", "add", "third", "--no-live", "-y")
                with machine.started(APPLY) as running:
                    time.sleep(chance.uniform(0, 2.5))
                    at_work += running.poll() is None
                    disk.fail()
            disk.mend()
            machine.killed_at = f"a power cut in round {number}"
            with disk.mounted():
                check(machine, settled=False)
                machine.done(chance.choice(("resume", "abort")), "-y")
                check(machine)
    print(f"a power cut while at work in {at_work} of {rounds} rounds")
    assert at_work


def _run(*argv: str | Path) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    # e2fsck exits 1 where it mended something.
    assert done.returncode in (0, int(argv[0] == "e2fsck")), (argv, done)
