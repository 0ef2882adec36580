"""`systemctl`: the count of soft reboots, and whether a timer is enabled."""

from __future__ import annotations

import sys

from tests.standin import wrong


def main(argv: list[str]) -> int:
    if argv == ["show", "--property=SoftRebootsCount", "--value"]:
        print(wrong("soft-reboots") or 0)
        return 0
    if argv == ["is-enabled", "bootc-fetch-apply-updates.timer"]:
        enabled = wrong("timer") is not None
        print("enabled" if enabled else "disabled")
        return 0 if enabled else 1
    sys.stderr.write(f"the stand-in does not know {' '.join(argv)}\n")
    return 1
