"""Waiting for a file to change."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOOK_ANYWAY = 1000
"""Milliseconds: a change that came before the watch began is seen after so long."""


def changes(path: Path) -> Iterator[None]:
    """Once at each change of `path`, and now and then without one. Ctrl-C goes through."""
    from watchfiles import watch

    yield None
    for _changed in watch(
        path,
        watch_filter=None,
        debounce=50,
        step=10,
        rust_timeout=_LOOK_ANYWAY,
        yield_on_timeout=True,
        recursive=False,
        raise_interrupt=True,
    ):
        yield None
