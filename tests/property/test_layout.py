"""Any document, changed to any recipe, reads as that recipe; what is there already stays."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from atomicstate.recipe.edit import edit
from atomicstate.recipe.merge import merge
from atomicstate.recipe.reader import read
from atomicstate.recipe.schema import Recipe
from atomicstate.recipe.writer import write
from tests.support.recipes import modules, recipes


@settings(deadline=None)
@given(recipes, recipes)
def test_a_document_becomes_any_other(now: Recipe, target: Recipe) -> None:
    assert read(edit(write(now), target)) == target


@st.composite
def neighbours(draw: st.DrawFn) -> tuple[Recipe, Recipe]:
    """A recipe, and one that shares modules with it."""
    pool = draw(
        st.lists(modules(), min_size=1, max_size=4, unique_by=lambda one: one.id or object())
    )
    some = st.lists(st.sampled_from(pool), unique_by=id).map(tuple)
    return Recipe(modules=draw(some)), Recipe(modules=draw(some))


@settings(deadline=None)
@given(neighbours())
def test_modules_come_go_and_move(pair: tuple[Recipe, Recipe]) -> None:
    now, target = pair
    text = write(now).replace(b"  - type:", b"  # a remark\n  - type:")
    if read(text) == now:
        assert read(edit(text, target)) == target


@settings(deadline=None)
@given(recipes, st.binary(max_size=200))
def test_bytes_that_are_no_document_become_one(target: Recipe, content: bytes) -> None:
    assert read(edit(content, target)) == target


@settings(deadline=None)
@given(neighbours())
def test_what_a_person_wrote_above_it_all_stays(pair: tuple[Recipe, Recipe]) -> None:
    now, target = pair
    if now.modules and target.modules:
        assert edit(b"# ours\n" + write(now), target).startswith(b"# ours\n")


@settings(deadline=None)
@given(neighbours())
def test_a_change_of_one_side_alone_is_the_whole_change(pair: tuple[Recipe, Recipe]) -> None:
    base, changed = pair
    assert merge(base, base, changed) == changed
    assert merge(base, changed, base) == changed
    assert merge(base, changed, changed) == changed
