"""What lint says of a document, or of the recipe that the log gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from atomicstate.engine import checking, documents
from atomicstate.engine.library import RecordedLibrary
from atomicstate.recipe.lint import Finding, lint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from atomicstate.engine.session import Session
    from atomicstate.recipe.expand import Expansion
    from atomicstate.recipe.resources import Library


class LintResult(Struct, frozen=True):
    """What was found in `file` (empty: in the wanted recipe), and what could not be looked at."""

    file: str
    findings: tuple[Finding, ...]
    skipped: tuple[str, ...] = ()


def lint_document(
    content: bytes, file: str, library: Library, given: Mapping[str, str]
) -> LintResult:
    """The findings in the document `content`, called `file`.

    Raises ValidationError, with every problem, for one that can't be used.
    """
    checked = checking.check(content, file, library, given=given)
    _recipe, expansion = checked.require()
    return _result(file, expansion, library)


def lint_wanted(session: Session) -> LintResult:
    """The findings in the recipe of what is wanted. Raises NotFoundError before `init`."""
    system, seqs = documents.view(session, None)
    composed = documents.composition(session, system, seqs)
    expansion = documents.expansion(session, system, composed)
    return _result("", expansion, RecordedLibrary(session.blobs, composed.resources))


def _result(file: str, expansion: Expansion, library: Library) -> LintResult:
    skipped = tuple(str(trouble) for trouble in expansion.troubles)
    return LintResult(file, lint(expansion.steps, library), skipped)
