"""The making of commands: options that all have, and groups that load a command when it is called.

Importing every command would cost more than running most of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from atomicstate.cli.app import App

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_WAIT = "Wait for another run to end, instead of refusing."


def not_empty(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """The callback of a parameter that may be left out, and else must hold something.

    An empty text is a variable of a script that was not set.
    """
    if value == "":
        raise click.BadParameter("it is empty", ctx=ctx, param=param)
    return value


class LazyGroup(click.Group):
    """A group whose commands are `module:attribute` names until one is called."""

    def __init__(self, *args: Any, lazy: Mapping[str, str], **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, in the order in which they are taught."""
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load the command `cmd_name`."""
        target = self.lazy.get(cmd_name)
        if target is None:
            return None
        module, attribute = target.split(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a near match where there is no such command."""
        if args[0] not in self.lazy and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], self.lazy, 1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"there is no command {args[0]!r}{meant}", ctx=ctx)
        return super().resolve_command(ctx, args)


class Repeating(click.Command):
    """A command whose options of several words take all that come, up to the next option.

    `--except 12 13` is `--except 12 --except 13`: taken as an argument the second would be asked
    for instead of left out.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, with the option set before each of its words."""
        names = {
            name
            for parameter in self.params
            if isinstance(parameter, click.Option) and parameter.multiple
            for name in parameter.opts
        }
        spread: list[str] = []
        option, first = "", False
        for place, word in enumerate(args):
            if word == "--":
                spread += args[place:]
                break
            if word.startswith("-"):
                option, first = (word, True) if word in names else ("", False)
                spread.append(word)
                continue
            spread += [word] if first or not option else [option, word]
            first = False
        return super().parse_args(ctx, spread)


class Running(click.Command):
    """A command that runs another: what follows that one's name is its own, options too."""

    allow_interspersed_args = False


def group(name: str, help_text: str, lazy: Mapping[str, str]) -> LazyGroup:
    """A group of commands under one word."""
    return LazyGroup(
        name, lazy=lazy, help=help_text, context_settings=SETTINGS, no_args_is_help=True
    )


def verb(
    name: str,
    *,
    formats: tuple[str, ...] = ("text", "json"),
    default: str = "text",
    waits: bool = False,
    cls: type[click.Command] = click.Command,
) -> Callable[[Callable[..., Any]], click.Command]:
    """A command with -f, -y and -v. The function gets the App, then its own parameters.

    `waits`: it runs the pipeline, one at a time, so it has --wait too.
    """

    def decorate(function: Callable[..., Any]) -> click.Command:
        @click.pass_context
        def invoke(ctx: click.Context, /, **values: Any) -> Any:  # noqa: ANN401 - click's
            app = ctx.find_object(App)
            if app is None:
                raise TypeError("a command runs under the root group")
            app.format = values.pop("format_")
            app.yes = values.pop("yes")
            app.verbose = values.pop("verbose") or app.verbose
            app.wait = values.pop("wait", False)
            app.verb = ctx.command_path.partition(" ")[2]
            app.options = _given(ctx)
            return function(app, **values)

        invoke.__doc__ = function.__doc__
        for parameter in getattr(function, "__click_params__", []):
            invoke.__dict__.setdefault("__click_params__", []).append(parameter)
        command = click.command(name, cls=cls, context_settings=SETTINGS)(invoke)
        if waits:
            command.params.append(click.Option(["--wait"], is_flag=True, help=_WAIT))
        return _with_common(command, formats, default)

    return decorate


def _with_common(command: click.Command, formats: tuple[str, ...], default: str) -> click.Command:
    command.params += [
        click.Option(
            ["-f", "--format", "format_"],
            type=click.Choice(formats),
            default=default,
            show_default=True,
            help="How to answer.",
        ),
        click.Option(["-y", "--yes"], is_flag=True, help="Agree to what would be asked."),
        click.Option(["-v", "--verbose"], is_flag=True, help="Show more."),
    ]
    return command


def _given(ctx: click.Context) -> tuple[str, ...]:
    """The names of the options that stand on the command line, without their values."""
    source = click.core.ParameterSource.COMMANDLINE
    return tuple(
        max(parameter.opts, key=len)
        for parameter in ctx.command.params
        if isinstance(parameter, click.Option)
        and parameter.name is not None
        and ctx.get_parameter_source(parameter.name) is source
    )
