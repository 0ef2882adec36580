"""image.yml and the resources beside it: put in place, edited, and never lost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from atomicstate import failpoints
from atomicstate.engine import disk
from atomicstate.engine.disk import DiskLibrary
from atomicstate.engine.library import keep
from atomicstate.engine.recipe_folder import RecipeFolder
from atomicstate.projectors.state import Placed
from atomicstate.recipe.resources import Entry, beside
from atomicstate.store.state import State
from tests.support.fakehost import Crash

if TYPE_CHECKING:
    from collections.abc import Mapping

EMPTY = Placed()


@pytest.fixture
def state(tmp_path: Path) -> State:
    made = State(tmp_path / "state")
    made.make()
    return made


@pytest.fixture
def folder(state: State) -> RecipeFolder:
    return RecipeFolder(state)


def tree(folder: RecipeFolder) -> dict[str, str]:
    """Every file of the folder, and where links lead."""
    return {
        str(path.relative_to(folder.directory)): str(path.readlink())
        if path.is_symlink()
        else path.read_text()
        for path in sorted(folder.directory.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def placed(state: State, document: str, resources: Mapping[str, object] = {}) -> Placed:
    """What holds `document` and these resources: text is a file, a mapping a folder."""
    scratch = state.directory / "scratch" / os.urandom(4).hex()
    found = {}
    for name, content in resources.items():
        path = scratch / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, dict):
            path.mkdir()
            for below, text in content.items():
                (path / below).parent.mkdir(parents=True, exist_ok=True)
                (path / below).write_text(text)
        else:
            path.write_text(str(content))
        with DiskLibrary(scratch) as library:
            manifest = library.manifest(name)
            assert manifest is not None
            found[name] = keep(state.blobs, library, manifest)
    return Placed(state.blobs.put(document.encode()), found)


def test_what_is_placed_lies_there(state, folder):
    then = placed(state, "a", {"x": "x", "root": {"etc/motd": "hello"}, "m/n/y": "y"})
    folder.place(then, EMPTY)
    assert tree(folder) == {
        "image.yml": "a",
        "resources/x": "x",
        "resources/root/etc/motd": "hello",
        "resources/m/n/y": "y",
    }
    assert folder.is_placed(then, EMPTY)
    assert folder.edited(folder.content_of(then)) == ()


def test_modes_and_links_are_as_they_were(state, folder):
    top = state.directory / "scratch/root"
    top.mkdir(parents=True)
    (top / "tool").write_text("x")
    (top / "tool").chmod(0o4711)
    (top / "link").symlink_to("tool")
    top.chmod(0o750)
    with DiskLibrary(top.parent) as library:
        manifest = library.manifest("root")
        digest = keep(state.blobs, library, manifest)
    folder.place(Placed(state.blobs.put(b"a"), {"root": digest}), EMPTY)
    with DiskLibrary(folder.directory / "resources") as library:
        assert library.manifest("root") == manifest


def test_what_is_no_more_a_resource_goes(state, folder):
    before = placed(state, "a", {"x": "x", "m/n/y": "y"})
    folder.place(before, EMPTY)
    then = placed(state, "b", {"x": "new"})
    folder.place(then, before)
    assert tree(folder) == {"image.yml": "b", "resources/x": "new"}
    assert not (folder.directory / "resources/m").exists()
    assert folder.is_placed(then, before)


def test_files_that_are_no_resource_stay(state, folder):
    before = placed(state, "a", {"m/y": "y"})
    folder.place(before, EMPTY)
    (folder.directory / "resources/m/mine").write_text("mine")
    folder.place(placed(state, "b"), before)
    assert tree(folder) == {"image.yml": "b", "resources/m/mine": "mine"}


def test_an_edit_is_found_and_left_alone(state, folder):
    before = placed(state, "a", {"x": "x", "root": {"motd": "hello"}, "z": "z"})
    folder.place(before, EMPTY)
    (folder.directory / "image.yml").write_text("edited")
    (folder.directory / "resources/root/new").write_text("new")
    (folder.directory / "resources/x").unlink()
    expected = ("image.yml", "resources/root", "resources/x")
    assert sorted(folder.edited(folder.content_of(before))) == sorted(expected)
    then = placed(state, "b", {"x": "y", "root": {"motd": "bye"}, "z": "z2"})
    assert not folder.is_free(then, before)
    folder.place(then, before)
    assert tree(folder) == {
        "image.yml": "edited",
        "resources/x": "y",
        "resources/root/motd": "hello",
        "resources/root/new": "new",
        "resources/z": "z2",
    }


def test_another_mode_is_an_edit(state, folder):
    before = placed(state, "a", {"x": "x"})
    folder.place(before, EMPTY)
    (folder.directory / "resources/x").chmod(0o600)
    assert folder.edited(folder.content_of(before)) == ("resources/x",)


@pytest.mark.parametrize("blocked", ["file", "link"])
def test_what_blocks_the_way_is_an_edit(state, folder, blocked):
    before = placed(state, "a", {"m/y": "y"})
    folder.place(before, EMPTY)
    (folder.directory / "resources/m/y").unlink()
    (folder.directory / "resources/m").rmdir()
    if blocked == "file":
        (folder.directory / "resources/m").write_text("mine")
    else:
        (folder.directory / "resources/m").symlink_to("/usr")
    assert folder.edited(folder.content_of(before)) == ("resources/m/y",)
    assert not folder.is_free(before, before)


def test_what_was_edited_is_set_aside_whole(state, folder):
    before = placed(state, "a", {"root": {"motd": "hello"}})
    folder.place(before, EMPTY)
    for number in (1, 2):
        (folder.directory / "image.yml").write_text(f"edited {number}")
        (folder.directory / "resources/root/motd").write_text(f"bye {number}")
        aside = folder.set_aside(folder.edited(folder.content_of(before)))
        assert aside == folder.directory / f"edited-{number}"
        folder.place(before, before)
    assert tree(folder) == {
        "image.yml": "a",
        "resources/root/motd": "hello",
        "edited-1/image.yml": "edited 1",
        "edited-1/resources/root/motd": "bye 1",
        "edited-2/image.yml": "edited 2",
        "edited-2/resources/root/motd": "bye 2",
    }
    assert folder.set_aside(("nothing",)) is None


@pytest.mark.parametrize(
    "point",
    ["recipe.staged", "recipe.moved-away", "recipe.placed", "file.written", "file.replaced"],
)
@pytest.mark.parametrize("times", [1, 2, 3])
def test_killed_anywhere_it_is_free_still_and_done_again(state, folder, monkeypatch, point, times):
    before = placed(state, "a", {"x": "x", "y": "y", "old": "old"})
    folder.place(before, EMPTY)
    then = placed(state, "b", {"x": "x2", "y": "y2", "new": "new"})
    left = [times]

    def reach(name: str) -> None:
        if name == point:
            left[0] -= 1
            if not left[0]:
                raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(failpoints, "reach", reach)
        try:
            folder.place(then, before)
        except Crash:
            assert folder.is_free(then, before)
    if not folder.is_placed(then, before):
        folder.place(then, before)
    whole = {"image.yml": "b", "resources/x": "x2", "resources/y": "y2", "resources/new": "new"}
    assert tree(folder) == whole
    folder.place(before, then)
    assert folder.is_placed(before, then)


def test_a_large_file_is_compared_up_to_the_limit_alone(state, folder, monkeypatch):
    before = placed(state, "a", {"x": "x"})
    folder.place(before, EMPTY)
    monkeypatch.setattr(disk, "MAX_FILE", 10)
    (folder.directory / "resources/x").write_bytes(b"x" * 11)
    assert folder.edited(folder.content_of(before)) == ("resources/x",)


# -- resources in one another ------------------------------------------------------------------

FOLDER = Entry("", 0o755)


def file(path: str, digest: str = "d") -> Entry:
    return Entry(path, 0o644, digest)


def test_resources_apart_stay_apart():
    one, other = (file(""),), (FOLDER, file("y"))
    assert beside({"b": one, "a": other, "/usr/x": one, "https://e.org/a": one}) == {
        "a": other,
        "b": one,
    }


def test_a_resource_in_another_one_is_a_part_of_it():
    found = beside({"m": (FOLDER, file("x", "old"), file("z")), "m/x": (file("", "new"),)})
    assert found == {"m": (FOLDER, file("x", "new"), file("z"))}


def test_it_brings_the_folders_that_lead_to_it():
    found = beside({".": (FOLDER, file("z")), "m/n/x": (file(""),)})
    assert [entry.path for entry in found["."]] == ["", "m", "m/n", "m/n/x", "z"]


def test_a_folder_in_another_one_takes_the_place_of_what_was_there():
    found = beside({"m": (FOLDER, Entry("n", 0o755), file("n/old")), "m/n": (FOLDER, file("new"))})
    assert [entry.path for entry in found["m"]] == ["", "n", "n/new"]


def test_below_a_file_there_is_no_place():
    assert beside({"m": (file(""),), "m/x": (file(""),)}) == {"m": (file(""),)}
