"""`systemctl`: the count of soft reboots."""

from __future__ import annotations

import sys

from tests.standin import wrong


def main(argv: list[str]) -> int:
    if argv == ["show", "--property=SoftRebootsCount", "--value"]:
        print(wrong("soft-reboots") or 0)
        return 0
    sys.stderr.write(f"the stand-in does not know {' '.join(argv)}\n")
    return 1
