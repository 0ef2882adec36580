"""The list of what is mounted."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from atomicstate.host.mounts import mountinfo_of, parse_mountinfo

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_a_line_gives_the_mount_point_the_kind_and_both_kinds_of_options() -> None:
    (found,) = parse_mountinfo(
        "36 35 98:0 /mnt1 /mnt/2 ro,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\n"
    )
    assert (found.point, found.file_system) == (Path("/mnt/2"), "ext3")
    assert {"ro", "noatime", "errors=continue"} <= found.options


def test_a_mount_point_may_hold_spaces_newlines_and_other_letters() -> None:
    (found,) = parse_mountinfo("1 2 0:1 / /a\\040b\\012c\\134dé rw - tmpfs none rw\n")
    assert found.point == Path("/a b\nc\\dé")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """The mount namespace of a process in which something is mounted on `tmp_path`."""
    script = 'mount -t tmpfs tmpfs "$1" && echo mounted && cat'
    process = subprocess.Popen(
        ["unshare", "--mount", "--", "sh", "-c", script, "sh", tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"mounted\n"
        yield Path(f"/proc/{process.pid}/ns/mnt")
    finally:
        process.kill()
        process.communicate(timeout=30)


@pytest.mark.sandbox
def test_a_look_into_another_namespace_sees_its_mounts_and_stays_here(
    elsewhere: Path, tmp_path: Path
) -> None:
    here, folder = Path("/proc/self/ns/mnt").readlink(), Path.cwd()
    there = {mount.point for mount in parse_mountinfo(mountinfo_of(elsewhere))}
    assert tmp_path in there
    assert Path("/proc/self/ns/mnt").readlink() == here
    assert tmp_path not in {
        m.point for m in parse_mountinfo(Path("/proc/self/mountinfo").read_text())
    }
    assert Path.cwd() == folder


@pytest.mark.sandbox
def test_what_is_no_namespace_is_an_error_with_its_number(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for name, number in (("plain", errno.EINVAL), ("missing", errno.ENOENT)):
        with pytest.raises(OSError, match=name) as caught:
            mountinfo_of(tmp_path / name)
        assert caught.value.errno == number
    assert len(list(Path("/proc/self/fd").iterdir())) == before
