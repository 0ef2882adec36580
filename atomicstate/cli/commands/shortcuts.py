"""`service`, `file`, `repo`, `kernel`, `hostname`, `run`, `env`: a module or variable each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from atomicstate.cli.changes import change, secrets
from atomicstate.cli.remarks import remark
from atomicstate.cli.verbs import group, verb
from atomicstate.errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from atomicstate.cli.app import App

_HERE = __name__


# -- service ------------------------------------------------------------------------------------


def _units(function: Callable[..., None]) -> Callable[..., None]:
    function = click.option(
        "--global", "everyone", is_flag=True, help="Units of every user, not of the system."
    )(remark(function))
    return click.argument("units", nargs=-1, required=True, metavar="UNIT...")(function)


@verb("enable")
@_units
def service_enable(app: App, units: tuple[str, ...], *, everyone: bool, note: str | None) -> None:
    """Have units start with the system."""
    _service(app, "enable", units, everyone=everyone, note=note)


@verb("disable")
@_units
def service_disable(app: App, units: tuple[str, ...], *, everyone: bool, note: str | None) -> None:
    """Have units start no more with the system."""
    _service(app, "disable", units, everyone=everyone, note=note)


@verb("mask")
@_units
def service_mask(app: App, units: tuple[str, ...], *, everyone: bool, note: str | None) -> None:
    """Have units that can't be started at all."""
    _service(app, "mask", units, everyone=everyone, note=note)


def _service(
    app: App, what: str, units: tuple[str, ...], *, everyone: bool, note: str | None
) -> None:
    from atomicstate.engine import shortcuts as engine

    change(
        app,
        note,
        lambda session, reporter: engine.service(session, what, units, reporter, everyone=everyone),
    )


service = group(
    "service",
    "Units of systemd in the image.",
    {name: f"{_HERE}:service_{name}" for name in ("enable", "disable", "mask")},
)


# -- file ---------------------------------------------------------------------------------------


@verb("add")
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DEST")
@click.option("--replace", is_flag=True, help="What is there goes first.")
@remark
def file_add(app: App, source: str, destination: str, *, replace: bool, note: str | None) -> None:
    """Put a file or folder of this machine into the image.

    What SRC holds now is recorded, so the log alone can build the image again. DEST is where it
    goes in the image; what a folder holds goes into DEST.
    """
    from atomicstate.engine import placing as engine

    change(
        app,
        note,
        lambda session, reporter: engine.add(
            session, source, destination, reporter, replace=replace
        ),
    )


@verb("remove")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@remark
def file_remove(app: App, paths: tuple[str, ...], *, note: str | None) -> None:
    """Take files and folders out of the image."""
    from atomicstate.engine import placing as engine

    change(app, note, lambda session, reporter: engine.remove(session, paths, reporter))


file = group(
    "file",
    "Files of the image.",
    {name: f"{_HERE}:file_{name}" for name in ("add", "remove")},
)


# -- repo ---------------------------------------------------------------------------------------


@verb("set")
@click.argument("branch")
@click.option("--date", metavar="DATE", default="", help="As it was on this day: YYYYMMDD.")
@remark
def repo_set(app: App, branch: str, *, date: str, note: str | None) -> None:
    """Take packages from this branch of the distribution, instead of others."""
    from atomicstate.engine import shortcuts as engine

    change(
        app,
        note,
        lambda session, reporter: engine.set_branch(session, branch, date, reporter),
    )


@verb("add")
@click.argument("words", nargs=-1, required=True, metavar="LINE")
@secrets
@remark
def repo_add(app: App, words: tuple[str, ...], *, allow_secret: bool, note: str | None) -> None:
    """Add a repository: LINE is as in sources.list, `deb https://... bookworm main`."""
    from atomicstate.engine import shortcuts as engine

    change(
        app,
        note,
        lambda session, reporter: engine.add_repository(
            session, " ".join(words), reporter, allow_secret=allow_secret
        ),
    )


@verb("remove")
@click.argument("words", nargs=-1, required=True, metavar="LINE")
@remark
def repo_remove(app: App, words: tuple[str, ...], *, note: str | None) -> None:
    """Take a repository out that the recipe adds."""
    from atomicstate.engine import shortcuts as engine

    change(
        app,
        note,
        lambda session, reporter: engine.remove_repository(session, " ".join(words), reporter),
    )


repo = group(
    "repo",
    "Where packages of the image come from.",
    {name: f"{_HERE}:repo_{name}" for name in ("set", "add", "remove")},
)


# -- kernel, hostname, run ----------------------------------------------------------------------


@verb("set")
@click.argument("flavour")
@click.option("--module", "modules", multiple=True, metavar="M", help="With this kernel module.")
@click.option("--headers", is_flag=True, help="With its headers.")
@remark
def kernel_set(
    app: App, flavour: str, *, modules: tuple[str, ...], headers: bool, note: str | None
) -> None:
    """Take the newest kernel of this flavour."""
    from atomicstate.engine import shortcuts as engine

    change(
        app,
        note,
        lambda session, reporter: engine.set_kernel(
            session, flavour, modules, reporter, headers=headers
        ),
    )


kernel = group("kernel", "The kernel of the image.", {"set": f"{_HERE}:kernel_set"})


@verb("set")
@click.argument("name")
@remark
def hostname_set(app: App, name: str, *, note: str | None) -> None:
    """Name the host."""
    from atomicstate.engine import shortcuts as engine

    change(app, note, lambda session, reporter: engine.set_host_name(session, name, reporter))


hostname = group("hostname", "The name of the host.", {"set": f"{_HERE}:hostname_set"})


@verb("run")
@click.argument("command", metavar="CMD")
@secrets
@remark
def run(app: App, command: str, *, allow_secret: bool, note: str | None) -> None:
    """Run a command while the image is built.

    CMD is one argument, for the shell. It runs in this place of the recipe in each build that
    the builder's cache does not spare.
    """
    from atomicstate.engine import shortcuts as engine

    change(
        app,
        note,
        lambda session, reporter: engine.run(session, command, reporter, allow_secret=allow_secret),
    )


# -- env ----------------------------------------------------------------------------------------


@verb("set")
@click.argument("words", nargs=-1, required=True, metavar="NAME=VALUE...")
@secrets
@remark
def env_set(app: App, words: tuple[str, ...], *, allow_secret: bool, note: str | None) -> None:
    """Set variables of the recipe, which modules read as Env.NAME and commands as $NAME."""
    from atomicstate.engine import shortcuts as engine

    values = _assigned(words)
    change(
        app,
        note,
        lambda session, reporter: engine.set_env(
            session, values, reporter, allow_secret=allow_secret
        ),
    )


@verb("remove")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@remark
def env_remove(app: App, names: tuple[str, ...], *, note: str | None) -> None:
    """Take variables out of the recipe."""
    from atomicstate.engine import shortcuts as engine

    change(app, note, lambda session, reporter: engine.remove_env(session, names, reporter))


def _assigned(words: tuple[str, ...]) -> dict[str, str]:
    values = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise ValidationError(
                f"{word[:60]!r} sets no variable; nothing was changed",
                hint="NAME=VALUE, as `LANG=C.UTF-8`",
            )
        values[name] = value
    return values


env = group(
    "env",
    "The variables of the recipe.",
    {name: f"{_HERE}:env_{name}" for name in ("set", "remove")},
)
