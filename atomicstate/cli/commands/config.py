"""`config check`, `import`, `edit`, `export` and `restore`: image.yml as people write it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from atomicstate.cli.app import say
from atomicstate.cli.changes import secrets
from atomicstate.cli.failures import tell
from atomicstate.cli.remarks import add_remark, check_remark, remark
from atomicstate.cli.terminal import Look, clean
from atomicstate.cli.verbs import verb
from atomicstate.errors import ConflictError, NoOperationError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from atomicstate.cli.app import App
    from atomicstate.engine.checking import CheckResult, ProblemResult
    from atomicstate.engine.importing import ImportResult, Proposal
    from atomicstate.engine.session import Session
    from atomicstate.errors import AtomicstateError


def _resources(function: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--resources",
        metavar="DIR",
        help="Where its resources lie.  [default: resources, beside FILE]",
    )(function)


def _env(function: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--env", "values", multiple=True, metavar="NAME=VALUE", help="A value of Env.NAME."
    )(function)


@verb("check")
@click.argument("file")
@_resources
@_env
@click.option("--strict", is_flag=True, help="What is not to be had here is an error.")
def check(
    app: App, file: str, *, resources: str | None, values: tuple[str, ...], strict: bool
) -> None:
    """Tell every problem of the document FILE.

    Each with its place, what was expected there, and the nearest right key. FILE - is standard
    input. It needs no adopted host; a resource or a value that is not to be had here is a warning.
    """
    from atomicstate.engine import checking as engine
    from atomicstate.engine.disk import DiskLibrary
    from atomicstate.events.asjson import plain

    content = engine.read_document(file)
    folder = Path(resources) if resources else engine.resources_beside(file)
    given = engine.given_values(values)
    with DiskLibrary(folder) as library:
        checked = engine.check(
            content, file, library, resources=str(folder), given=given, strict=strict
        )
    result = checked.result
    if result.ok:
        app.answer(lambda: plain(result), lambda look: _checked_text(result, look))
        return
    if not app.json:
        say("\n".join(_problem_lines(result, app.look)))
    raise engine.refusal(result, listed=False)


@verb("import")
@click.argument("file", required=False)
@_resources
@_env
@click.option("--git", metavar="URL", help="Take it from this repository (or its folder).")
@click.option("--rev", metavar="REV", help="A commit, branch or tag.  [default: the newest]")
@click.option("--path", metavar="PATH", help="Where it is in the repository.  [default: image.yml]")
@click.option("--replace", is_flag=True, help="Drop what is wanted besides FILE.")
@secrets
@remark
def import_(
    app: App,
    file: str | None,
    *,
    git: str | None,
    rev: str | None,
    path: str | None,
    resources: str | None,
    values: tuple[str, ...],
    replace: bool,
    allow_secret: bool,
    note: str | None,
) -> None:
    """Record what the document FILE says: an event for each difference to what is wanted.

    Without FILE it is image.yml in the state directory, as somebody edited it; what was asked for
    by other commands since it was put there stays. FILE - is standard input. Files that it names
    are recorded with it. All of it can be undone by its request id.

    With --git it comes from a repository, at a commit that is recorded; DIR is in there, too.
    """
    if git is None and (rev is not None or path is not None):
        raise ValidationError("--rev and --path are about a repository: --git says which")
    if git is not None and file is not None:
        raise ValidationError("FILE or --git: give one of them", hint="--path names a file of it")
    check_remark(note)
    app.must_ask()
    from atomicstate.engine import importing as engine
    from atomicstate.engine.checking import given_values

    options = engine.Options(given_values(values), allow_secret, replace)
    if git is not None:
        from atomicstate.engine.repository import checkout

        with checkout(git, rev or "") as found, app.session() as session:
            source = engine.source_of_repository(found, path or "", resources)
            _record(app, session, engine.propose(session, source, options), note)
        return
    with app.session() as session:
        source = engine.source_of(session, file, resources)
        _record(app, session, engine.propose(session, source, options), note)


@verb("edit")
@_env
@secrets
@remark
def edit(app: App, *, values: tuple[str, ...], allow_secret: bool, note: str | None) -> None:
    """Edit the recipe as it is wanted, and record the differences.

    It opens $VISUAL or $EDITOR on a copy. What can't be recorded is shown, and can be edited
    again.
    """
    from atomicstate.cli.editor import draft, must_edit

    check_remark(note)
    must_edit()
    from atomicstate.engine import documents
    from atomicstate.engine import importing as engine
    from atomicstate.engine.checking import given_values
    from atomicstate.engine.recipe_folder import RECIPE

    options = engine.Options(given_values(values), allow_secret)
    with app.session() as session:
        before = documents.wanted_text(session)
    with draft(before, RECIPE) as copy:
        while True:
            content = copy.edit()
            if content == before and not options.given:
                raise NoOperationError("nothing was edited, and nothing was changed")
            with app.session() as session:
                try:
                    proposal = engine.propose(
                        session, engine.source_of_edit(session, content), options
                    )
                except (ValidationError, ConflictError) as error:
                    _ask_to_edit_again(app, error)
                    continue
                _record(app, session, proposal, note)
                return


def _ask_to_edit_again(app: App, error: AtomicstateError) -> None:
    """Show what is wrong. Raises it where nobody is to be asked, CanceledError on a no."""
    if app.yes:
        raise error
    tell(error)
    app.ask("Edit again?")


@verb("export")
@click.argument("folder", metavar="DIR")
@click.option("--git-ci/--no-git-ci", default=True, help="Files for GitHub and GitLab, too.")
def export(app: App, folder: str, *, git_ci: bool) -> None:
    """Write the recipe as the folder DIR, ready to be committed.

    It holds image.yml, its resources, and a Containerfile with what that needs: `podman build DIR`
    builds the same image, without this program. DIR is empty, or an earlier export that nobody
    edited.
    """
    from atomicstate.engine import exporting as engine
    from atomicstate.events.asjson import fields_of

    with app.session() as session:
        result = engine.export(session, Path(folder), with_ci=git_ci)
    for sentence in result.notes:
        app.note(sentence)
    many = "1 file" if len(result.files) == 1 else f"{len(result.files)} files"
    app.answer(
        lambda: fields_of(result),
        lambda look: (
            f"{look.paint(f'Exported {many}', 'bold')} to {clean(result.folder)}:"
            f" `podman build {clean(result.folder)}` builds the image."
        ),
    )


@verb("restore")
def restore(app: App) -> None:
    """Put image.yml and its resources back as they were, where somebody edited them.

    What was edited is kept beside, in a folder of its own.
    """
    from atomicstate.engine import restoring as engine
    from atomicstate.events.asjson import fields_of

    with app.session() as session:
        result = engine.restore(session)
    names = clean(", ".join(result.restored))
    kept = f" What was there is in {clean(result.aside)} now." if result.aside else ""
    app.answer(
        lambda: fields_of(result),
        lambda look: f"{look.paint(f'Put back {names}', 'bold')} in {clean(result.folder)}.{kept}",
    )


# -- asking and answering ------------------------------------------------------------------------


def _record(app: App, session: Session, proposal: Proposal, note: str | None) -> None:
    """Show what an import changes, ask, record it, and answer."""
    from atomicstate.engine import importing as engine
    from atomicstate.events.asjson import fields_of

    for problem in proposal.checked.problems:
        app.note(str(problem))
    app.show(lambda look: _proposal_text(proposal, look))
    app.ask("Record this?")
    with app.reporting() as reporter:
        result = engine.carry_out(session, proposal, reporter)
    add_remark(session, result.events[-1].seq, note)
    warnings = [fields_of(problem) for problem in proposal.checked.problems]
    app.answer(
        lambda: {**fields_of(result), "warnings": warnings},
        lambda look: _recorded_text(result, look),
    )


def _proposal_text(proposal: Proposal, look: Look) -> str:
    from atomicstate.cli.render.diff import diff_lines

    lines = [look.paint("To record", "heading")]
    lines += [f"  {look.fit(clean(change.what), 2)}" for change in proposal.changes]
    diff = diff_lines(proposal.recipe_before, proposal.recipe, "image.yml", look)
    return "\n".join([*lines, "", *(diff or ["The recipe stays as it is."])])


def _recorded_text(result: ImportResult, look: Look) -> str:
    lines = [f"  {event.seq:>4}  {clean(event.what)}" for event in result.events]
    return "\n".join(
        [
            look.paint("Recorded", "bold") + f" (request {result.request}):",
            *lines,
            "It is pending: `atomicstate apply` makes it real;"
            f" `atomicstate undo {result.request}` takes all of it back.",
        ]
    )


def _problem_lines(result: CheckResult, look: Look) -> list[str]:
    return [_problem_line(problem, look) for problem in result.problems]


def _problem_line(problem: ProblemResult, look: Look) -> str:
    place, space, rest = str(problem).partition(" ")
    style = "yellow" if problem.warning else "red"
    return f"{look.paint(clean(place), 'bold')}{space}{look.paint(clean(rest), style)}"


def _checked_text(result: CheckResult, look: Look) -> str:
    file = clean(result.file)
    last = look.paint(f"{file} is in order", "green") + "."
    if result.problems:
        many = "a warning" if len(result.problems) == 1 else f"{len(result.problems)} warnings"
        last = f"{file} can be used, with {many}."
    return "\n".join([*_problem_lines(result, look), last])
