"""Files that a tool writes: `./dev docs` writes them all, tests find those that drifted."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def settle(target: Path, text: str) -> None:
    """Write `text` to `target`; with `--check` on the command line, exit 1 where it differs."""
    if "--check" not in sys.argv[1:]:
        target.write_text(text, encoding="utf-8")
    elif target.read_text(encoding="utf-8") != text:
        sys.exit(f"{target.name} is out of date: run `./dev docs`")


def filled(text: str, sections: Mapping[str, str]) -> str:
    """`text` with what stands between each section's markers as it should be.

    Raises LookupError for a section that has no markers there.
    """
    for name, section in sections.items():
        begin, end = f"<!-- {name}: written by ./dev docs -->\n", f"<!-- end of {name} -->"
        before, found, rest = text.partition(begin)
        _old, closed, after = rest.partition(end)
        if not found or not closed:
            raise LookupError(f"there is no section {name}")
        text = f"{before}{begin}\n{section}\n\n{end}{after}"
    return text
