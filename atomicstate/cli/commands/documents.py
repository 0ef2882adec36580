"""`config show` and `containerfile`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from atomicstate.cli.verbs import group, verb
from atomicstate.errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from atomicstate.cli.app import App
    from atomicstate.cli.terminal import Look
    from atomicstate.engine.points import Point
    from atomicstate.engine.session import Session


def _options(function: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--blame", is_flag=True, help="Before each line: the event it comes from."),
        click.option("--at", metavar="POINT", help="As it was after this event, tag, time, ..."),
        click.option(
            "--applied", is_flag=True, help="Of what boots next, without what is pending."
        ),
    ):
        function = option(function)
    return function


@verb("show")
@_options
def show(app: App, *, applied: bool, at: str | None, blame: bool) -> None:
    """Show the recipe (image.yml) that the log gives."""
    _show(app, "recipe", applied=applied, at=at, blame=blame)


@verb("containerfile")
@_options
def containerfile(app: App, *, applied: bool, at: str | None, blame: bool) -> None:
    """Show the Containerfile that the log gives."""
    _show(app, "containerfile", applied=applied, at=at, blame=blame)


def _show(app: App, name: str, *, applied: bool, at: str | None, blame: bool) -> None:
    from atomicstate.engine import documents
    from atomicstate.engine.points import resolve

    if applied and at is not None:
        raise ValidationError("--applied is `--at applied`: give one of them")
    with app.session() as session:
        word = "applied" if applied else at
        point = None if word is None else resolve(session, word)
        if blame:
            _blame(app, session, name, point)
            return
        result = getattr(documents, name)(session, at=point)
    app.answer(
        lambda: {name: _content(name, result.content), "digest": result.digest},
        lambda _look: result.content.decode(),
        paged=True,
    )


def _blame(app: App, session: Session, name: str, point: Point | None) -> None:
    from atomicstate.engine import blame, documents
    from atomicstate.engine.pinning import is_pinned
    from atomicstate.events.asjson import plain

    system, seqs = documents.view(session, point)
    if name == "recipe":
        lines = blame.recipe(session, system, seqs)
    else:
        pinned = is_pinned(session, system, point)
        lines = blame.containerfile(session, system, seqs, pinned=pinned)

    def text(look: Look) -> str:
        from atomicstate.cli.render.history import blame_text

        return blame_text(lines, look)

    app.answer(lambda: {"lines": plain(lines)}, text, paged=True)


_DOCUMENT = "atomicstate.cli.commands.config"

config = group(
    "config",
    "The recipe of the image.",
    {
        "show": f"{__name__}:show",
        "check": f"{_DOCUMENT}:check",
        "import": f"{_DOCUMENT}:import_",
        "edit": f"{_DOCUMENT}:edit",
        "export": f"{_DOCUMENT}:export",
        "restore": f"{_DOCUMENT}:restore",
        "lint": "atomicstate.cli.commands.recipe:lint",
        "schema": "atomicstate.cli.commands.recipe:schema",
    },
)


def _content(name: str, content: bytes) -> Any:  # noqa: ANN401 - a YAML document, or text
    if name == "containerfile":
        return content.decode()
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).load(content)
