"""Whether there is a way out, by the kernel's tables."""

from __future__ import annotations

import pytest

from atomicstate.host.network import has_way_out

HEAD = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
NEAR = "eth0 000200C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\n"
OUT = "eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0\n"
DOWN = "eth0 00000000 010200C0 0002 0 0 0 00000000 0 0 0\n"
ZERO = "0" * 32
OUT_6 = f"{ZERO} 00 {ZERO} 00 fe800000000000000000000000000001 00000400 1 0 00000003 eth0\n"
LOOP_6 = f"{ZERO} 00 {ZERO} 00 {ZERO} ffffffff 1 0 00200200 lo\n"


@pytest.mark.parametrize(
    ("route", "route_6", "expected"),
    [
        (HEAD + OUT + NEAR, "", True),
        (HEAD + NEAR, LOOP_6 + OUT_6, True),
        (HEAD + NEAR, LOOP_6, False),
        (HEAD + DOWN, "", False),
        (HEAD, "", False),
        ("", "garbage\n", False),
    ],
)
def test_a_default_route_that_is_up_is_a_way_out(tmp_path, route, route_6, expected):
    (tmp_path / "route").write_text(route)
    (tmp_path / "ipv6_route").write_text(route_6)
    assert has_way_out(tmp_path) == expected


def test_without_the_tables_there_is_none(tmp_path):
    assert not has_way_out(tmp_path)
