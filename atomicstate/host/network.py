"""Whether there is a way to other machines."""

from __future__ import annotations

from pathlib import Path

_UP = 0x1
_COLUMNS, _COLUMNS_6 = 8, 10
_PROC = Path("/proc/net")


def has_way_out(proc: Path = _PROC) -> bool:
    """Whether the kernel has a default route that is up, as early in a boot it has none.

    Whether anybody answers at its other end nothing tells but asking.
    """
    return any(_ipv4(line.split()) for line in _lines(proc / "route")[1:]) or any(
        _ipv6(line.split()) for line in _lines(proc / "ipv6_route")
    )


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _ipv4(words: list[str]) -> bool:
    """Interface, destination, gateway, flags, three counters, mask (proc(5), in hexadecimal)."""
    if len(words) < _COLUMNS:
        return False
    interface, destination, _gateway, flags, *_counters, mask = words[:_COLUMNS]
    return interface != "lo" and int(destination, 16) == int(mask, 16) == 0 and _is_up(flags)


def _ipv6(words: list[str]) -> bool:
    """Destination and the length of its prefix first, flags and the interface last."""
    if len(words) < _COLUMNS_6:
        return False
    everything = int(words[0], 16) == int(words[1], 16) == 0
    return everything and words[-1] != "lo" and _is_up(words[-2])


def _is_up(flags: str) -> bool:
    return bool(int(flags, 16) & _UP)
