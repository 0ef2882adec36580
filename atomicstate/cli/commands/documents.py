"""`config show` and `containerfile`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from atomicstate.cli.verbs import group, verb

if TYPE_CHECKING:
    from atomicstate.cli.app import App

_applied = click.option(
    "--applied", is_flag=True, help="Of what boots next, without what is pending."
)


@verb("show")
@_applied
def show(app: App, *, applied: bool) -> None:
    """Show the recipe (image.yml) that the log gives."""
    from atomicstate.engine import documents

    with app.session() as session:
        result = documents.recipe(session, applied=applied)
    app.answer(
        lambda: {"recipe": _document(result.content), "digest": result.digest},
        lambda _look: result.content.decode(),
    )


@verb("containerfile")
@_applied
def containerfile(app: App, *, applied: bool) -> None:
    """Show the Containerfile that the log gives."""
    from atomicstate.engine import documents

    with app.session() as session:
        result = documents.containerfile(session, applied=applied)
    app.answer(
        lambda: {"containerfile": result.content.decode(), "digest": result.digest},
        lambda _look: result.content.decode(),
    )


config = group("config", "The recipe of the image.", {"show": f"{__name__}:show"})


def _document(content: bytes) -> Any:  # noqa: ANN401 - a YAML document
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).load(content)
