"""`config schema` and `config lint`: what an editor knows of image.yml, and what is said of one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from atomicstate.cli.terminal import clean
from atomicstate.cli.verbs import verb
from atomicstate.errors import ValidationError

if TYPE_CHECKING:
    from atomicstate.cli.app import App
    from atomicstate.cli.terminal import Look
    from atomicstate.engine.linting import LintResult
    from atomicstate.recipe.lint import Finding


@verb("schema")
@click.option("--included", is_flag=True, help="Of a document that an image.yml includes.")
def schema(app: App, *, included: bool) -> None:
    """Show the JSON Schema of image.yml, for editors.

    An editor with a YAML language server takes it by a first line as in docs/recipe.md.
    """
    from atomicstate.recipe.jsonschema import document_schema, encode

    shown = document_schema(included=included)
    app.answer(lambda: {"schema": shown}, lambda _look: encode(shown).decode())


@verb("lint")
@click.argument("file", required=False)
@click.option(
    "--resources", metavar="DIR", help="Where its resources lie.  [default: resources, beside FILE]"
)
@click.option(
    "--env", "values", multiple=True, metavar="NAME=VALUE", help="A value of Env.NAME, for FILE."
)
@click.option("--strict", is_flag=True, help="Exit 2 where anything is found.")
def lint(
    app: App, file: str | None, *, resources: str | None, values: tuple[str, ...], strict: bool
) -> int:
    """Tell what will not do on an image-based system what it was meant to.

    In the document FILE (- is standard input), which needs no adopted host; without it in the
    recipe that the log gives. It is advice: the exit status is 0, whatever is found.
    """
    from atomicstate.events.asjson import plain

    if file is None and (resources or values):
        raise ValidationError("--resources and --env go with a FILE: the log has its own")
    result = _linted(app, file, resources, values)
    app.answer(lambda: plain(result), lambda look: _lint_text(result, look))
    return ValidationError.exit_status if strict and result.findings else 0


def _linted(
    app: App, file: str | None, resources: str | None, values: tuple[str, ...]
) -> LintResult:
    from atomicstate.engine import linting

    if file is None:
        with app.session() as session:
            return linting.lint_wanted(session)
    from atomicstate.engine import checking
    from atomicstate.engine.disk import DiskLibrary

    content = checking.read_document(file)
    given = checking.given_values(values)
    folder = Path(resources) if resources else checking.resources_beside(file)
    with DiskLibrary(folder) as library:
        return linting.lint_document(content, file, library, given)


_STYLES = {"error": "error", "warning": "yellow", "note": "cyan"}


def _lint_text(result: LintResult, look: Look) -> str:
    lines = [line for finding in result.findings for line in _finding_lines(finding, look)]
    lines += [look.paint(clean(f"not looked at: {text}"), "dim") for text in result.skipped]
    count = len(result.findings)
    if not count:
        last = look.paint("Nothing was found", "green") + "."
    else:
        worst = next(kind for kind in _STYLES if any(f.severity == kind for f in result.findings))
        many = "One thing was" if count == 1 else f"{count} things were"
        last = look.paint(f"{many} found", _STYLES[worst]) + "."
    return "\n".join([*lines, last])


def _finding_lines(finding: Finding, look: Look) -> list[str]:
    """A heading with the place, then the reason and the advice, in what the terminal has."""
    severity = look.paint(finding.severity, _STYLES[finding.severity])
    event = f" (event {finding.event})" if finding.event else ""
    head = f"{look.paint(clean(finding.place), 'bold')}{event}: {severity} {finding.rule}"
    said = (f"{finding.message}.", f"Instead: {finding.instead}.")
    return [head, *(line for text in said for line in _wrapped(clean(text), look)), ""]


def _wrapped(text: str, look: Look) -> list[str]:
    """`text` set in, on as many lines as it takes in the terminal; without one it is a line."""
    from textwrap import wrap

    if not look.width:
        return [f"  {text}"]
    indent = "  "
    return wrap(text, look.width, initial_indent=indent, subsequent_indent=indent)
