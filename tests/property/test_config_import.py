"""Documents become events, and the events the documents again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from atomicstate.engine import documents, importing, undo
from atomicstate.engine.checking import check
from atomicstate.engine.importing import Options, Source
from atomicstate.engine.results import Silent
from atomicstate.errors import NoOperationError
from atomicstate.recipe.reader import read
from atomicstate.recipe.resources import NoLibrary
from atomicstate.recipe.schema import IncludeBody, Module, Recipe
from atomicstate.recipe.writer import write
from tests.support.fakehost import BASE, fake_host
from tests.support.recipes import modules, recipes
from tests.support.sessions import Machine, adopted

if TYPE_CHECKING:
    from collections.abc import Iterator

SILENT = Silent()


def _asks_no_server(module: Module) -> bool:
    return not (isinstance(module.body, IncludeBody) and "://" in "".join(module.body.targets))


def _here(recipe: Recipe) -> bool:
    return all(map(_asks_no_server, recipe.modules))


here = recipes.filter(_here).map(lambda recipe: replace(recipe, image=""))
"""Documents about this machine's base, with nothing to fetch."""


@st.composite
def changed(draw: st.DrawFn) -> tuple[Recipe, Recipe]:
    """A document, and what somebody made of it: modules come, go, move and are copied."""
    first = draw(here)
    pool = [*first.modules, *draw(st.lists(modules().filter(_asks_no_server), max_size=2))]
    ids = [module.id for module in pool if module.id]
    pool = [m for place, m in enumerate(pool) if not m.id or m.id not in ids[: ids.index(m.id)]]
    picked = draw(st.lists(st.sampled_from(pool), max_size=6)) if pool else []
    seen: set[str] = set()
    kept = []
    for module in picked:
        if not module.id or module.id not in seen:
            kept.append(module)
        seen.add(module.id)
    env = dict(draw(st.lists(st.sampled_from([*first.env.items(), ("A", "b")]), max_size=3)))
    return first, Recipe("", tuple(kept), env)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One for all: an import counts from whatever is wanted before."""
    return adopted(tmp_path_factory.mktemp("import") / "state", fake_host())


def take(machine: Machine, recipe: Recipe) -> str | None:
    """Import a document; the request, None where nothing differs."""
    source = Source(write(recipe), "image.yml", Path("/nowhere"))

    def work(session):
        proposal = importing.propose(session, source, Options(allow_secret=True))
        return importing.carry_out(session, proposal, SILENT).request

    try:
        return machine.command(work)
    except NoOperationError:
        return None


def wanted(machine: Machine) -> Recipe:
    return read(machine.command(documents.recipe).content)


@settings(max_examples=30, deadline=None)
@given(here)
def test_any_document_comes_out_as_it_went_in(machine: Machine, recipe: Recipe) -> None:
    take(machine, recipe)
    assert wanted(machine) == replace(recipe, image=BASE)


@settings(max_examples=20, deadline=None)
@given(here)
def test_what_is_wanted_imported_again_records_nothing(machine: Machine, recipe: Recipe) -> None:
    take(machine, recipe)
    assert take(machine, wanted(machine)) is None
    assert take(machine, recipe) is None


@settings(max_examples=30, deadline=None)
@given(changed())
def test_undoing_an_import_gives_the_document_of_before(
    machine: Machine, pair: tuple[Recipe, Recipe]
) -> None:
    first, second = pair
    take(machine, first)
    before = wanted(machine)
    request = take(machine, second)
    assert wanted(machine) == replace(second, image=BASE)
    if request is not None:
        machine.command(lambda s: undone(s, request))
    assert wanted(machine) == before


def undone(session, request: str) -> None:
    undo.carry_out(session, undo.propose(session, undo.UNDO, [request]), SILENT)


# -- whatever a file may hold ------------------------------------------------------------------

_SHARDS = (
    *("modules:", "\n  - type: ", "packages", "shell", "include", "copy", "\n    body:", "{", "}"),
    *(
        "\n      install: [",
        "]",
        "&a ",
        "*a",
        "<<: ",
        "!!str ",
        "!!python/object:os.system ",
        "---\n",
    ),
    *("? ", ": ", "- ", "|\n", ">-\n ", '"', "'", "#", "\t", "\0", "\ufeff", "\x85", "%YAML 1.1\n"),
    *(
        "env: {A: b}\n",
        "image: x\n",
        "${{ Env.A }}",
        "if: ",
        "true",
        "null",
        "..",
        "\r\n",
        "é",
        "{{{{",
    ),
)


@settings(max_examples=300, deadline=2000)
@given(
    st.one_of(
        st.binary(max_size=400),
        st.lists(st.sampled_from(_SHARDS), max_size=40).map(lambda parts: "".join(parts).encode()),
        st.tuples(recipes.map(write), st.integers(0, 400), st.binary(max_size=4)).map(
            lambda cut: cut[0][: cut[1]] + cut[2] + cut[0][cut[1] + 1 :]
        ),
    )
)
def test_whatever_a_file_holds_it_is_a_recipe_or_has_problems_with_places(content: bytes) -> None:
    checked = check(content, "f", NoLibrary())
    for problem in checked.result.problems:
        assert problem.line >= 1
        assert problem.column >= 1
        assert problem.message
    if checked.result.ok:
        assert read(content) == checked.recipe
