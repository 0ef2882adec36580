"""Two texts as a unified diff."""

from __future__ import annotations

from atomicstate.cli.terminal import Look, clean

_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def diff_lines(
    before: bytes, after: bytes, name: str, look: Look, sides: tuple[str, str] = ("now", "then")
) -> list[str]:
    """The lines of a unified diff, empty where nothing differs."""
    from difflib import unified_diff

    old, new = (f"{name} {side}" for side in sides)
    lines = unified_diff(_lines(before), _lines(after), old, new, lineterm="")
    return [look.paint(clean(line), _style(line)) for line in lines]


def _lines(content: bytes) -> list[str]:
    return content.decode("utf-8", "replace").splitlines()


def _style(line: str) -> str:
    if line.startswith(("+++", "---")):
        return "bold"
    return _STYLES.get(line[:1], "")
