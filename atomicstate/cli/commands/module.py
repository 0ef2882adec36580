"""`module add`, `module remove`, `module list`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from atomicstate.cli.changes import change, secrets
from atomicstate.cli.remarks import remark
from atomicstate.cli.terminal import Look, clean
from atomicstate.cli.verbs import group, verb

if TYPE_CHECKING:
    from atomicstate.cli.app import App
    from atomicstate.engine.modules import ModuleResult


@verb("add")
@click.argument("file", metavar="FILE|-")
@click.option("--before", metavar="ID", default="", help="Before this module, not at the end.")
@secrets
@remark
def add(app: App, file: str, *, before: str, allow_secret: bool, note: str | None) -> None:
    """Put modules into the recipe.

    FILE is YAML: one module, a list of them, or a document with `modules:`; `-` is standard input.
    ID is a module's id, the number of the event that made it, or found-N.
    """
    from atomicstate.engine import modules as engine

    found = engine.read_modules(file)
    change(
        app,
        note,
        lambda session, reporter: engine.add(
            session, found, reporter, before=before, allow_secret=allow_secret
        ),
    )


@verb("remove")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@remark
def remove(app: App, ids: tuple[str, ...], *, note: str | None) -> None:
    """Take modules out of the recipe.

    ID is a module's id, the number of the event that made it (12), or found-N for one that `init`
    found: `module list` shows them. What `package add` asked for is undone, not removed here.
    """
    from atomicstate.engine import modules as engine

    change(app, note, lambda session, reporter: engine.remove(session, ids, reporter))


@verb("list")
def list_(app: App) -> None:
    """Show the modules of the recipe, and which event each comes from."""
    from atomicstate.engine import modules as engine
    from atomicstate.events.asjson import fields_of

    with app.session() as session:
        found = engine.modules(session)
    app.answer(
        lambda: {"modules": [fields_of(item) for item in found]},
        lambda look: _table(found, look),
    )


def _table(found: list[ModuleResult], look: Look) -> str:
    if not found:
        return "The recipe has no modules."
    rows = [(clean(item.id), item.type, f"#{item.event}", clean(item.what)) for item in found]
    names = ("id", "type", "event", "what")
    widths = [max(len(row[place]) for row in (names, *rows)) for place in range(3)]

    def line(row: tuple[str, ...]) -> str:
        start = "  ".join(f"{row[place]:<{widths[place]}}" for place in range(3))
        return f"{start}  {look.fit(row[3], len(start) + 2)}"

    return "\n".join([look.paint(line(names), "heading"), *map(line, rows)])


module = group(
    "module",
    "The modules of the recipe, as image.yml has them.",
    {"add": f"{__name__}:add", "remove": f"{__name__}:remove", "list": f"{__name__}:list_"},
)
