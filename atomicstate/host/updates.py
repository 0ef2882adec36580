"""Whether this machine updates itself, past atomicstate: bootc's own timer.

The links that enable it are looked at, not systemctl: that takes a process, each time that somebody
asks for the status, and says "static" of a timer that the image itself enables in /usr.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TIMER = "bootc-fetch-apply-updates.timer"
"""Runs `bootc upgrade --apply`, which reboots."""

_UNITS = ("etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system")
_MASK = "/dev/null"


def notices(root: Path) -> tuple[str, ...]:
    """What will be in the way of the work on the running tree `root`, as sentences."""
    if not updates_itself(root):
        return ()
    return (
        f"{TIMER} is enabled: it may stage another image and reboot at any time; "
        f"`systemctl mask --now {TIMER}` ends that",
    )


def updates_itself(root: Path) -> bool:
    """Probe: whether the timer of bootc that upgrades and reboots is enabled in the tree `root`."""
    folders = [root / name for name in _UNITS]
    # The first of them that has the unit counts: a link to nothing masks those after it.
    unit = next((path for folder in folders if _is_there(path := folder / TIMER)), None)
    if unit is None or (unit.is_symlink() and str(unit.readlink()) == _MASK):
        return False
    wanting = (wants / TIMER for folder in folders for wants in folder.glob("*.wants"))
    return any(map(_is_there, wanting))


def _is_there(path: Path) -> bool:
    # Of a tree that is not this process's own a link may lead nowhere from here.
    return path.is_symlink() or path.exists()
