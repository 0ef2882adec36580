"""The entry. Nothing is imported here until the garbage collector was told to be patient."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

_PATIENCE = 50_000


def run() -> NoReturn:
    """Run the command of this process, and exit."""
    import gc

    # Imports make many objects and no garbage: a twentieth of a short command's time.
    gc.set_threshold(_PATIENCE, 20, 20)
    from atomicstate.cli.dispatch import run_and_exit

    run_and_exit()


def main(argv: Sequence[str]) -> int:
    """Run the command `argv`, and return its exit status. BrokenPipeError goes through."""
    from atomicstate.cli.dispatch import dispatch

    return dispatch(argv)
