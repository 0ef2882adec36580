"""`undo`, `redo` and `replay`: what is wanted, steered along the history."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from atomicstate.cli.remarks import add_remark, check_remark, remark
from atomicstate.cli.verbs import verb
from atomicstate.errors import NoOperationError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from atomicstate.cli.app import App
    from atomicstate.engine.replay import Replayed, Restored
    from atomicstate.engine.session import Session
    from atomicstate.engine.undo import Undone


def _parameters(function: Callable[..., None]) -> Callable[..., None]:
    for decorate in (
        remark,
        click.option("--no-live", is_flag=True, help="Leave the running system as it is."),
        click.option("--cascade", is_flag=True, help="Take along what stands on it."),
        click.argument("words", nargs=-1, required=True, metavar="SEL..."),
    ):
        function = decorate(function)
    return function


@verb("undo")
@_parameters
def undo(
    app: App, words: tuple[str, ...], *, cascade: bool, no_live: bool, note: str | None
) -> None:
    """Take back what was asked for: it is not wanted any more.

    What is pending is withdrawn, and taken out of the overlay again; what is in an image already
    is pending, to be dropped by the next `apply`. The log keeps it all: an undo is an event too,
    and can be undone.

    SEL is an action's number (12), a range (12-15), a transaction's id or its start, a tag, HEAD
    or HEAD~2. An apply stands for all that it brought and dropped.
    """
    _steer(app, "undo", words, cascade=cascade, live=not no_live, note=note)


@verb("redo")
@_parameters
def redo(
    app: App, words: tuple[str, ...], *, cascade: bool, no_live: bool, note: str | None
) -> None:
    """Want again what an undo took back.

    SEL names what was undone, or the undo, as for `undo`. It is pending then: the running system
    stays as it is until `apply`.
    """
    _steer(app, "redo", words, cascade=cascade, live=not no_live, note=note)


def _steer(
    app: App,
    what: str,
    words: tuple[str, ...],
    *,
    cascade: bool,
    live: bool,
    note: str | None,
) -> None:
    check_remark(note)
    app.must_ask()
    from atomicstate.cli.render import steering as render
    from atomicstate.engine import undo as engine

    with app.session() as session:
        proposal = engine.propose(session, what, words, cascade=cascade, live=live)
        app.show(lambda look: render.proposal_text(proposal, look))
        app.ask(f"{what.capitalize()} this?")
        with app.reporting() as reporter:
            result = engine.carry_out(session, proposal, reporter)
        add_remark(session, result.seq, note)
    app.answer(lambda: _data(result), lambda look: render.result_text(proposal, result, look))


def _data(result: Undone | Restored) -> dict[str, Any]:
    from atomicstate.events.asjson import fields_of

    return fields_of(result)


@verb("replay", waits=True)
@click.option("--to", "point", metavar="POINT", required=True, help="Up to this point.")
@click.option("--log", "file", metavar="FILE", help="Of the log in this export, not the one here.")
@click.option("--restore", is_flag=True, help="Want again what was wanted then, and nothing else.")
@click.option("--apply", "and_apply", is_flag=True, help="The same, and apply it.")
@click.option(
    "--sandbox", "target", metavar="DIR", help="Build it in this sandbox, which is made if need be."
)
@remark
def replay(
    app: App,
    point: str,
    *,
    file: str | None,
    restore: bool,
    and_apply: bool,
    target: str | None,
    note: str | None,
) -> None:
    """Derive a point of the history anew, from the first event on.

    Shows the recipe, the Containerfile, their digests, and what is wanted differently now. The
    chain of the log is checked on the way, and no snapshot is used. Nothing is changed, unless
    asked for: a restore is an event of its own, and can be undone.

    With --sandbox the point is built in a sandbox beside this host, and boots there next; the log
    stays as it is. Before `replay` the option of that name tells which host's log is meant.
    """
    restore = restore or and_apply
    _refuse_mix(restore=restore, file=file, target=target, note=note)
    check_remark(note)
    if restore or target:
        app.must_ask()
    from atomicstate.cli.render import steering as render
    from atomicstate.engine import replay as engine

    with _session(app, file) as session:
        if target is not None:
            _build(app, session, point, Path(target).absolute())
            return
        if not restore:
            found = engine.replay(session, point)
            text = partial(render.replayed_text, found)
            app.answer(lambda: _replayed(found), text, paged=True)
            return
        result = _restore(app, session, point, and_apply=and_apply, note=note)
    app.answer(lambda: _data(result), lambda look: render.restored_text(result, look))


def _refuse_mix(*, restore: bool, file: str | None, target: str | None, note: str | None) -> None:
    """Raises ValidationError for options that don't go together."""
    if restore and target is not None:
        raise ValidationError(
            "--sandbox builds the point elsewhere, --restore and --apply bring it back here:"
            " give one of them"
        )
    if restore and file is not None:
        raise ValidationError(
            "what is in an export is not wanted again here: --restore and --apply are about the"
            " log of this host"
        )
    if note is not None and not restore:
        raise ValidationError("a note is about an event: give --restore or --apply with -m")
    for value, what in ((target, "sandbox"), (file, "export")):
        if value == "":
            raise ValidationError(f"an empty name is no {what}")


def _session(app: App, file: str | None) -> AbstractContextManager[Session]:
    """The log here, or in an export."""
    if file is None:
        return app.session()
    from atomicstate.engine.actor import current_actor
    from atomicstate.engine.elsewhere import exported

    return exported(Path(file).absolute(), app.sandbox, current_actor(app.verb, app.options))


def _build(app: App, session: Session, point: str, directory: Path) -> None:
    from atomicstate.cli.render import steering as render
    from atomicstate.engine import elsewhere
    from atomicstate.engine import replay as engine
    from atomicstate.events.asjson import fields_of

    elsewhere.check_target(session, directory)
    derived = engine.derive(session, point)
    recipe = engine.told(session, derived).recipe
    app.show(lambda look: render.building_text(derived.point, recipe, directory, look))
    app.ask("Build this, and boot it there next?")
    with app.reporting() as reporter:
        built = elsewhere.build(session, derived, directory, reporter)
    app.answer(lambda: fields_of(built), lambda look: render.built_text(built, look))


def _restore(
    app: App, session: Session, point: str, *, and_apply: bool, note: str | None
) -> Restored:
    from atomicstate.cli.render import steering as render
    from atomicstate.engine import replay as engine

    if and_apply:
        engine.require_appliable(session)
    try:
        restoring = engine.propose_restore(session, point)
    except NoOperationError:
        if not and_apply:
            raise
        restoring = None
    found = engine.replay(session, point)
    app.show(lambda look: render.restoring_text(found, look))
    app.ask("Want this again, build it, and boot it next?" if and_apply else "Want this again?")
    with app.reporting() as reporter:
        result = engine.Restored(None, (), ())
        if restoring is not None:
            result = engine.restore(session, restoring, reporter)
            add_remark(session, result.seq or 0, note)
        if and_apply:
            result = engine.apply_all(session, result, reporter)
    return result


def _replayed(found: Replayed) -> dict[str, Any]:
    from atomicstate.cli.commands.history import difference_data

    same = found.differs.recipe_before == found.differs.recipe_after
    same = same and found.differs.base_before == found.differs.base_after
    return {
        "point": found.point.seq,
        "events": found.events,
        "recipe": found.recipe.content.decode(),
        "containerfile": found.containerfile.content.decode(),
        "recipe_digest": found.recipe.digest,
        "containerfile_digest": found.containerfile.digest,
        "differs": None if same else difference_data(found.differs),
    }
