"""The root of the command tree: the global options, and where each command lives."""

from __future__ import annotations

import math
import os
from pathlib import Path

import click

from atomicstate import __version__
from atomicstate.cli.app import STATE_DIR, App
from atomicstate.cli.verbs import SETTINGS, LazyGroup, not_empty

_COMMANDS = "atomicstate.cli.commands"

VERBS = {
    "sandbox": f"{_COMMANDS}.sandbox:sandbox",
    "init": f"{_COMMANDS}.host:init",
    "status": f"{_COMMANDS}.host:status",
    "adopt": f"{_COMMANDS}.base:adopt",
    "leave": f"{_COMMANDS}.base:leave",
    "overlay": f"{_COMMANDS}.host:overlay",
    "package": f"{_COMMANDS}.package:package",
    "base": f"{_COMMANDS}.base:base",
    "module": f"{_COMMANDS}.module:module",
    "service": f"{_COMMANDS}.shortcuts:service",
    "file": f"{_COMMANDS}.shortcuts:file",
    "repo": f"{_COMMANDS}.shortcuts:repo",
    "kernel": f"{_COMMANDS}.shortcuts:kernel",
    "hostname": f"{_COMMANDS}.shortcuts:hostname",
    "run": f"{_COMMANDS}.shortcuts:run",
    "env": f"{_COMMANDS}.shortcuts:env",
    "config": f"{_COMMANDS}.documents:config",
    "containerfile": f"{_COMMANDS}.documents:containerfile",
    "watch": f"{_COMMANDS}.watch:watch",
    "apply": f"{_COMMANDS}.apply:apply",
    "switch": f"{_COMMANDS}.apply:switch",
    "rollback": f"{_COMMANDS}.rollback:rollback",
    "resume": f"{_COMMANDS}.recovery:resume",
    "abort": f"{_COMMANDS}.recovery:abort",
    "withdraw": f"{_COMMANDS}.host:withdraw",
    "undo": f"{_COMMANDS}.steering:undo",
    "redo": f"{_COMMANDS}.steering:redo",
    "replay": f"{_COMMANDS}.steering:replay",
    "show": f"{_COMMANDS}.history:show",
    "diff": f"{_COMMANDS}.history:diff",
    "tag": f"{_COMMANDS}.history:tag",
    "note": f"{_COMMANDS}.history:note",
    "bisect": f"{_COMMANDS}.bisect:bisect",
    "log": f"{_COMMANDS}.log:log",
    "verify": f"{_COMMANDS}.store:verify",
    "export": f"{_COMMANDS}.store:export",
    "import": f"{_COMMANDS}.store:import_",
    "backup": f"{_COMMANDS}.store:backup",
    "prune": f"{_COMMANDS}.prune:prune",
    "machine": f"{_COMMANDS}.host:machine",
}


@click.group(
    "atomicstate",
    cls=LazyGroup,
    lazy=VERBS,
    context_settings=SETTINGS,
    no_args_is_help=True,
)
@click.option(
    "--state-dir",
    callback=not_empty,
    metavar="DIR",
    envvar="ATOMICSTATE_STATE_DIR",
    show_envvar=True,
    help=f"Where the log is.  [default: {STATE_DIR}, or DIR/state with --sandbox]",
)
@click.option(
    "--sandbox",
    callback=not_empty,
    metavar="DIR",
    envvar="ATOMICSTATE_SANDBOX",
    show_envvar=True,
    help="Work on the host in this sandbox, not on this machine.",
)
@click.option(
    "--tool-timeout",
    type=float,
    metavar="SECONDS",
    envvar="ATOMICSTATE_TOOL_TIMEOUT",
    show_envvar=True,
    help="End a tool that builds, deploys or installs when it takes longer.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show more.")
@click.version_option(__version__, message="atomicstate %(version)s")
@click.pass_context
def root(
    ctx: click.Context,
    state_dir: str | None,
    sandbox: str | None,
    tool_timeout: float | None,
    verbose: bool,
) -> None:
    """Change an image-based system as a sequence of events.

    Packages are put into the running system at once and recorded; `apply` makes an image of all
    that is pending, and the next boot starts it.
    """
    if tool_timeout is not None:
        _set_tool_timeout(ctx, tool_timeout)
    ctx.obj = App(
        _state_dir(ctx, state_dir, sandbox),
        Path(sandbox).absolute() if sandbox else None,
        verbose=verbose,
    )


def _set_tool_timeout(ctx: click.Context, seconds: float) -> None:
    if not 0 < seconds < math.inf:
        raise click.BadParameter(
            f"{seconds:g} is not a number of seconds", ctx=ctx, param_hint="'--tool-timeout'"
        )
    # In the environment: children of ours that start tools themselves are told so too.
    os.environ["ATOMICSTATE_TOOL_TIMEOUT"] = repr(seconds)


def _state_dir(ctx: click.Context, state_dir: str | None, sandbox: str | None) -> Path:
    """A `--sandbox` on the command line outweighs a state directory from the environment."""
    environment = click.core.ParameterSource.ENVIRONMENT
    inherited = ctx.get_parameter_source("state_dir") is environment
    named = ctx.get_parameter_source("sandbox") is click.core.ParameterSource.COMMANDLINE
    if state_dir and not (sandbox and inherited and named):
        return Path(state_dir).absolute()
    return Path(sandbox).absolute() / "state" if sandbox else Path(STATE_DIR)
