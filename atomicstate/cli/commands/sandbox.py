"""`sandbox create`, `exec`, `reboot`, `destroy`: a real host in a directory."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atomicstate.cli.terminal import clean
from atomicstate.cli.verbs import group, not_empty, verb
from atomicstate.errors import AtomicstateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atomicstate.cli.app import App
    from atomicstate.engine.session import Session

_directory = click.argument("directory", callback=not_empty, metavar="DIR")


@verb("create")
@_directory
@click.option("--suite", default="bookworm", show_default=True, help="The Debian suite.")
@click.option("--driver", default="ostree", envvar="ATOMICSTATE_SANDBOX_DRIVER", hidden=True)
def create(app: App, directory: str, *, suite: str, driver: str) -> None:
    """Make a host in DIR: an OSTree sysroot with a Debian base image.

    One that was cut short is finished, or made anew. The base is kept for the next sandbox.
    """
    from atomicstate.host.sandbox import lifecycle

    path = _path(directory)
    lifecycle.create(path, suite, app.note, driver=driver)
    shown = clean(str(path))
    app.answer(
        lambda: {"directory": str(path), "suite": suite},
        lambda _look: f"The sandbox {shown} is ready: `atomicstate --sandbox {shown} init` begins.",
    )


@verb("exec")
@_directory
@click.argument("argv", nargs=-1, required=True, metavar="-- CMD...", type=click.UNPROCESSED)
def execute(app: App, directory: str, argv: tuple[str, ...]) -> int:
    """Run CMD in the sandbox's running system.

    The exit status is that of CMD. With -f json its output goes to standard error.
    """
    from atomicstate.host.sandbox import lifecycle

    if not app.json:
        return lifecycle.execute(_path(directory), argv)
    with _output_to_stderr():
        status = lifecycle.execute(_path(directory), argv)
    app.answer(lambda: {"status": status}, lambda _look: "")
    return status


@verb("reboot")
@_directory
@click.option("--power-cut", is_flag=True, help="Without a shutdown: what was staged is lost.")
def reboot(app: App, directory: str, *, power_cut: bool) -> None:
    """Do what a reboot does: the overlay goes, what was staged is booted."""
    from atomicstate.host.sandbox import lifecycle

    path = _path(directory)
    with _nobody_at_work(app, path) as session:
        if not power_cut:
            _shut_down(app, session)
        lifecycle.reboot(path, power_cut=power_cut)
    app.answer(
        lambda: {"directory": str(path), "power_cut": power_cut},
        lambda _look: f"The sandbox {clean(str(path))} booted.",
    )


@contextmanager
def _nobody_at_work(app: App, path: Path) -> Iterator[Session]:
    """The session of the sandbox, on which no other command works inside the block.

    What works on it runs outside of it: a reboot would not end it, as one of a machine does, but
    take its ground away. Raises LockedError, which names who is at work.
    """
    app.state_dir, app.sandbox = path / "state", path
    with app.session() as session:
        if not session.state.directory.is_dir():
            yield session
            return
        with session.alone():
            yield session


def _shut_down(app: App, session: Session) -> None:
    """What the unit does before a shutdown. What fails there does not stop the machine."""
    from atomicstate.engine import withdraw

    if not session.state.has_log:
        return
    try:
        with app.reporting() as reporter:
            withdraw.run(session, reporter)
    except AtomicstateError as error:
        app.note(f"not withdrawn before the reboot: {error.message}")


@verb("destroy")
@_directory
def destroy(app: App, directory: str) -> None:
    """Take away the sandbox DIR, with its log.

    Its mounts, images and files, and nothing else.
    """
    from atomicstate.host.sandbox import lifecycle

    path = _path(directory)
    app.ask(f"Destroy the sandbox {clean(str(path))}, with its log?")
    with _nobody_at_work(app, path):
        lifecycle.destroy(path)
    app.answer(
        lambda: {"directory": str(path)},
        lambda _look: f"The sandbox {clean(str(path))} is gone.",
    )


sandbox = group(
    "sandbox",
    "A real host in a directory: try everything without risk.",
    {
        "create": f"{__name__}:create",
        "exec": f"{__name__}:execute",
        "reboot": f"{__name__}:reboot",
        "destroy": f"{__name__}:destroy",
    },
)


def _path(directory: str) -> Path:
    return Path(directory).absolute()


@contextmanager
def _output_to_stderr() -> Iterator[None]:
    """What a child writes to standard output shows up on standard error meanwhile."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
