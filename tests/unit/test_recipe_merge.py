"""Two changes of one recipe as one."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from atomicstate.errors import ConflictError
from atomicstate.recipe.merge import merge
from atomicstate.recipe.schema import Module, Recipe, ShellBody


def module(command: str, name: str = "") -> Module:
    return Module("shell", ShellBody(command), name)


A, B, C, X, Y = (module(letter) for letter in "abcxy")
BASE = Recipe("i", (A, B, C), {"K": "v", "L": "w"})


def of(*modules: Module) -> Recipe:
    return replace(BASE, modules=modules)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ((A, B, C, X), (A, B, C, Y), (A, B, C, X, Y)),
        ((X, A, B, C), (A, B, C, Y), (X, A, B, C, Y)),
        ((A, C), (A, B, C, Y), (A, C, Y)),
        ((X, B, C), (A, B, Y), (X, B, Y)),
        ((A, X, C), (A, X, C), (A, X, C)),
        ((A, B, C, X), (A, B), (A, B, X)),
        ((A, B), (A, B, C, X), (A, B, X)),
        ((A, X, B, C), (A, C), (A, X, C)),
        ((), (A, B, C, X), (X,)),
    ],
)
def test_modules_that_either_side_changed(ours, theirs, expected):
    assert merge(BASE, of(*ours), of(*theirs)).modules == expected
    if X not in ours or Y not in theirs or len(ours) + len(theirs) < 8:
        assert merge(BASE, of(*theirs), of(*ours)).modules == expected


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [((A, X, C), (A, Y, C)), ((A, X, C), (A, C)), ((A, C), (A, Y, C)), ((X,), (A, B, Y, C))],
)
def test_a_module_that_both_changed_is_a_conflict(ours, theirs):
    with pytest.raises(ConflictError, match="a shell module"):
        merge(BASE, of(*ours), of(*theirs))


def test_the_conflict_names_the_module():
    base = Recipe(modules=(module("a", "First"),))
    with pytest.raises(ConflictError, match="a shell module 'First'"):
        merge(base, Recipe(modules=(module("b"),)), Recipe(modules=(module("c"),)))


def test_image_and_variables_of_either_side():
    ours = replace(BASE, env={"K": "ours", "L": "w"})
    theirs = replace(BASE, image="j", env={"K": "v", "M": "theirs"})
    merged = merge(BASE, ours, theirs)
    assert (merged.image, merged.env) == ("j", {"K": "ours", "M": "theirs"})


@pytest.mark.parametrize("theirs", [{"K": "y", "L": "w"}, {"L": "w"}])
def test_a_variable_that_both_changed_is_a_conflict(theirs):
    with pytest.raises(ConflictError, match="the variable K"):
        merge(BASE, replace(BASE, env={"K": "x", "L": "w"}), replace(BASE, env=theirs))


def test_an_image_that_both_changed_is_a_conflict():
    with pytest.raises(ConflictError, match="the image"):
        merge(BASE, replace(BASE, image="j"), replace(BASE, image="k"))
