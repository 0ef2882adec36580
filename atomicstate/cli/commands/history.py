"""`show`, `diff`, `tag`, `note`: looking at the history, and marking it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from atomicstate.cli.terminal import clean
from atomicstate.cli.verbs import verb
from atomicstate.errors import NotFoundError, ValidationError

if TYPE_CHECKING:
    from atomicstate.cli.app import App
    from atomicstate.cli.terminal import Look
    from atomicstate.engine.history import Difference, Shown
    from atomicstate.engine.session import Session


@verb("show")
@click.argument("point", metavar="POINT|TXN")
@click.option("--build-log", is_flag=True, help="What the build printed, alone.")
def show(app: App, point: str, *, build_log: bool) -> None:
    """Show everything about one event or transaction.

    Who did it and how, what libapt resolved, the steps with their durations, the image and the
    deployment, and what it changed in the recipe.
    """
    from atomicstate.engine import history
    from atomicstate.engine.points import resolve

    with app.session() as session:
        shown = history.show(session, resolve(session, point))
        if build_log:
            said = _build_log(session, shown)
            app.answer(lambda: {"build_log": said}, lambda _look: _readable(said), paged=True)
            return

    def page(look: Look) -> str:
        from atomicstate.cli.render.history import shown_text

        return shown_text(shown, look)

    app.answer(lambda: _shown_data(shown), page, paged=True)


def _build_log(session: Session, shown: Shown) -> str:
    steps = shown.transaction.steps if shown.transaction else ()
    digest = next((step.output for step in steps if step.name == "build" and step.output), "")
    if not digest:
        raise NotFoundError(
            "no build belongs to it whose output was kept",
            hint="name an apply: `atomicstate log --kind transaction` lists them",
        )
    return session.blobs.get(digest).decode("utf-8", "replace")


def _readable(said: str) -> str:
    """What a tool printed, as a terminal would leave it, and obeying nothing in it."""
    lines = ([part for part in line.split("\r") if part][-1:] for line in said.split("\n"))
    return "\n".join(clean("".join(line).expandtabs()) for line in lines)


def _shown_data(shown: Shown) -> dict[str, Any]:
    from atomicstate.events.asjson import as_json, plain

    return {
        "event": as_json(shown.event, bytes.fromhex(shown.hash)),
        "transaction": plain(shown.transaction),
        "changes": plain(shown.changes),
        "actions": plain(shown.actions),
        "notes": shown.notes,
        "recipe_before": shown.recipe_before.decode(),
        "recipe_after": shown.recipe_after.decode(),
    }


@verb("diff")
@click.argument("before", metavar="A")
@click.argument("after", metavar="[B]", default="HEAD")
@click.option("--stat", is_flag=True, help="Only how much differs.")
def diff(app: App, before: str, after: str, *, stat: bool) -> None:
    """Show what changed from point A to point B (or to now).

    The recipe as a unified diff, the packages that come and go as libapt resolved them, the base.
    """
    from atomicstate.engine import history
    from atomicstate.engine.points import resolve

    with app.session() as session:
        found = history.difference(session, resolve(session, before), resolve(session, after))

    def page(look: Look) -> str:
        from atomicstate.cli.render.history import difference_text

        return difference_text(found, look, stat=stat)

    app.answer(lambda: difference_data(found), page, paged=True)


def difference_data(found: Difference) -> dict[str, Any]:
    """A difference as JSON shows it: the recipe as a unified diff."""
    from difflib import unified_diff

    from atomicstate.events.asjson import plain

    old, new = (
        content.decode().splitlines(keepends=True)
        for content in (found.recipe_before, found.recipe_after)
    )
    return {
        **plain({name: getattr(found, name) for name in ("before", "after", "packages")}),
        "recipe": "".join(unified_diff(old, new, "a/image.yml", "b/image.yml")),
        "base": {"before": found.base_before, "after": found.base_after},
        "actions": {"added": found.added, "removed": found.removed},
    }


@verb("tag")
@click.argument("name", metavar="NAME")
@click.argument("point", metavar="[POINT]", required=False)
@click.option("--delete", is_flag=True, help="Take the name away.")
def tag(app: App, name: str, point: str | None, *, delete: bool) -> None:
    """Give a point of the history a name: a state worth one.

    Without POINT it is the newest event. The name is a point itself from then on.
    """
    if delete and point is not None:
        raise ValidationError("--delete takes a name away wherever it is: give no POINT")
    from atomicstate.engine import marks

    with app.session() as session, app.reporting() as reporter:
        body, seq = (
            marks.untag(session, name, reporter)
            if delete
            else marks.tag(session, name, "@" if point is None else point, reporter)
        )
    said = f"is event {body.point}" if body.point else "is gone"
    app.answer(
        lambda: {"seq": seq, "name": body.name, "point": body.point},
        lambda _look: f"{clean(name)} {said}.",
    )


@verb("note")
@click.argument("point", metavar="POINT")
@click.argument("text", metavar="TEXT")
def note(app: App, point: str, text: str) -> None:
    """Add a remark to a point of the history: why it was done, say."""
    from atomicstate.engine import marks

    with app.session() as session, app.reporting() as reporter:
        body, seq = marks.note(session, point, text, reporter)
    app.answer(
        lambda: {"seq": seq, "point": body.point, "text": body.text},
        lambda _look: f"Noted at event {body.point}.",
    )
