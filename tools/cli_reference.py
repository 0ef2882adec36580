"""Write docs/cli.md from the commands themselves: `python -m tools.cli_reference`.

With `--check`, write nothing and exit 1 where the file is not what would be written.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from atomicstate import errors
from atomicstate.cli.root import root
from tools.generated import settle

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = Path(__file__).resolve().parent.parent / "docs/cli.md"

_INTRODUCTION = """\
# Command line

Written by `./dev docs` from the commands; edit those, not this file.

Global options come before the verb, all others after it. Every command takes `-f json` and then
prints `{"data": ..., "error": null}` or `{"data": null, "error": {"errorCode", "message",
"hint"}}` on standard output. Text is for people, its errors come on standard error. `log -f json`
writes while it reads: where the log breaks half-way the envelope holds both, the events before the
break and the error.

`package add`, `package remove`, `base set`, `base update`, `apply`, `switch`, `rollback`, `undo`,
`redo`, `replay --restore`, `replay --apply`, `replay --sandbox`, `leave`, `resume`, `abort`,
`prune`, `config import` and `sandbox destroy` ask before they change anything. Without a terminal
they need `-y`. The others never ask, and take `-y` all the same.

Colour, progress and a pager (`PAGER`, for what is longer than the screen) are for terminals;
`NO_COLOR` turns colour off. Ctrl-C and SIGTERM end a run in order: what was under way is taken
back, or named by `status`. `log --follow` and `watch` end with 130 after Ctrl-C and with 0 after
SIGTERM.

## Points

Wherever POINT stands, a point of the history is meant: the state right after an event. It is

- the event's number, `12` or `#12`; `HEAD` (or `@`) is the newest, `HEAD~3` three before it;
- a transaction, by its id or the start of it: its last event;
- a name that `tag` gave;
- a time, `2026-11-24 14:30`, `yesterday` or `@{2 hours ago}`: the last event before it;
- a deployment, `booted`, `staged`, `rollback` or `applied` (what boots next): what is in it.

One that is not there, or that could be several, is answered with what was near. SEL, of `apply`,
`undo` and `redo`, is an action's number, a range (`12-15`), a transaction, a tag, or `HEAD~2`.

## Exit statuses

| status | errorCode | meaning |
| --- | --- | --- |
| 0 | | it was done, or there was nothing to do and nothing asked for it |
"""


def reference() -> str:
    """The whole document."""
    parts = [_INTRODUCTION + "".join(_statuses()), "## Commands\n"]
    context = _context(root, "atomicstate", None)
    parts += _command(root, context)
    return "\n".join(parts)


def _statuses() -> Iterator[str]:
    known = [item for item in vars(errors).values() if isinstance(item, type)]
    own = [
        item for item in known if issubclass(item, errors.AtomicstateError) and "code" in vars(item)
    ]
    for error in sorted(own, key=lambda item: item.exit_status):
        meaning = (error.__doc__ or "").split("\n", 1)[0].split(". `")[0].rstrip(".")
        if error is errors.AtomicstateError:
            meaning = "A bug in atomicstate"
        usage = " or a wrong option" if error is errors.ValidationError else ""
        yield f"| {error.exit_status} | {error.code} | {meaning}{usage} |\n"


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    title = context.command_path if context.parent else "atomicstate"
    yield f"### {title}\n\n```text\n{command.get_help(context).rstrip()}\n```\n"
    if not isinstance(command, click.Group):
        return
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        if child is None:
            raise LookupError(name)
        yield from _command(child, _context(child, name, context))


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    # Eighty columns whatever the terminal, and options as the program itself has them.
    settings = {**command.context_settings, "max_content_width": 80, "terminal_width": 80}
    return click.Context(command, info_name=name, parent=parent, **settings)


def main() -> None:
    """Write the file, or check it."""
    settle(TARGET, reference())


if __name__ == "__main__":
    main()
