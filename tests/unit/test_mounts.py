"""The list of what is mounted."""

from __future__ import annotations

from pathlib import Path

from atomicstate.host.mounts import parse_mountinfo


def test_a_line_gives_the_mount_point_the_kind_and_both_kinds_of_options() -> None:
    (found,) = parse_mountinfo(
        "36 35 98:0 /mnt1 /mnt/2 ro,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\n"
    )
    assert (found.point, found.file_system) == (Path("/mnt/2"), "ext3")
    assert {"ro", "noatime", "errors=continue"} <= found.options


def test_a_mount_point_may_hold_spaces_newlines_and_other_letters() -> None:
    (found,) = parse_mountinfo("1 2 0:1 / /a\\040b\\012c\\134dé rw - tmpfs none rw\n")
    assert found.point == Path("/a b\nc\\dé")
