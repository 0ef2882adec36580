"""Named crash points: inert, unless a test arms one.

`ATOMICSTATE_FAILPOINT=NAME` (or `NAME:3` for the third time) in the environment makes the program
kill itself there with SIGKILL, and its whole process group with it: what a power cut does to it.
The name is written where the code says `reach`, once.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "ATOMICSTATE_FAILPOINT"

_name, _, _times = os.environ.get(VARIABLE, "").partition(":")
_left = int(_times) if _times.isdigit() else 1


def reach(name: str) -> None:
    """Be at the crash point `name`: nothing happens, unless it is the armed one."""
    global _left  # noqa: PLW0603 - one counter for the process, like the variable that sets it
    if name != _name:
        return
    _left -= 1
    if _left == 0:
        os.kill(0 if os.getpgrp() == os.getpid() else os.getpid(), signal.SIGKILL)
