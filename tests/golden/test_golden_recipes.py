"""What recipes become, byte by byte (README.md here)."""

from __future__ import annotations

from pathlib import Path

import pytest

from atomicstate.recipe.reader import read
from atomicstate.recipe.schema import BODIES
from tests.support.containerfiles import Instruction, layers
from tools import golden_recipes
from tools.golden_recipes import CONTAINERFILE, RECIPES

ALL = list(golden_recipes.golden())


def kept(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("folder", "dialect"), ALL, ids=[folder.relative_to(RECIPES).as_posix() for folder, _ in ALL]
)
def test_a_recipe_becomes_the_same_bytes(folder: Path, dialect: str) -> None:
    made = golden_recipes.parts(golden_recipes.rendered(folder.parents[1], dialect))
    assert made == kept(folder)


def test_every_type_of_module_is_among_them() -> None:
    document = (RECIPES / "every-module/image.yml").read_bytes()
    assert {module.type for module in read(document).modules} == BODIES.keys()


def test_each_dialect_has_its_own_way_with_some() -> None:
    folder = RECIPES / "every-module/rendered"
    texts = {path.name: (path / CONTAINERFILE).read_text() for path in folder.iterdir()}
    assert texts.keys() == {"deb", "rpm", "apm"}
    assert "apm system image build" in texts["apm"]
    assert all("apm system" not in texts[dialect] for dialect in ("deb", "rpm"))
    assert "APT::Cmd::Pattern-Only" in texts["deb"]
    assert "/usr/libexec" in texts["rpm"]


def test_only_what_apt_does_and_the_kernel_differ_from_one_dialect_to_the_next() -> None:
    folder = RECIPES / "every-module/rendered"
    deb, apm = (layers((folder / name / CONTAINERFILE).read_bytes()) for name in ("deb", "apm"))

    def done(one: Instruction) -> tuple[object, ...]:
        return one.flags, one.words if one.keyword == "COPY" else (one.script, one.arguments)

    same = {done(one) for one in apm}
    kinds = {one.comments[1].split()[1] for one in deb if one.comments and done(one) not in same}
    assert kinds == {"repos", "packages", "kernel", "git"}
