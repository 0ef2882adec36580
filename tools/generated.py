"""Files that a tool writes: `./dev docs` writes them all, tests find those that drifted."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def settle(target: Path, text: str) -> None:
    """Write `text` to `target`; with `--check` on the command line, exit 1 where it differs."""
    if "--check" not in sys.argv[1:]:
        target.write_text(text, encoding="utf-8")
    elif target.read_text(encoding="utf-8") != text:
        sys.exit(f"{target.name} is out of date: run `./dev docs`")
