"""The cache of base trees. What is cached is a stand-in here; how it is kept is not."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from atomicstate.errors import HostError
from atomicstate.host.sandbox import base
from atomicstate.host.sandbox.sources import Source

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = Source(("http://mirror.example.org/debian",), ("bookworm",), ("main",))


class Builder:
    """In place of mmdebstrap: makes a tree of one file, in its time."""

    def __init__(self, *, fails: bool = False) -> None:
        self.runs = 0
        self.fails = fails

    def bootstrap(self, recipe: base.Recipe, work: Path) -> Path:
        self.runs += 1
        time.sleep(0.2)
        if self.fails:
            raise HostError("no mirror")
        root = work / "root"
        root.mkdir()
        (root / "file").write_text(recipe.suite)
        return root


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> Builder:
    made = Builder()
    monkeypatch.setattr(base, "_bootstrap", made.bootstrap)
    monkeypatch.setattr(base.tree, "prepare", lambda *_given: None)
    monkeypatch.setattr(base, "recipe_for", lambda suite: base.Recipe(suite, [SOURCE], "", []))
    return made


def ask(cache: Path, suite: str = "bookworm") -> Path:
    return base.base_tar(suite, lambda _line: None, cache)[0]


def test_a_base_is_built_once(builder: Builder, tmp_path: Path) -> None:
    assert ask(tmp_path) == ask(tmp_path)
    assert builder.runs == 1


def test_two_that_ask_at_once_build_it_once(builder: Builder, tmp_path: Path) -> None:
    threads = [threading.Thread(target=ask, args=(tmp_path,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert builder.runs == 1


def test_a_truncated_base_is_built_anew(builder: Builder, tmp_path: Path) -> None:
    tar = ask(tmp_path)
    size = tar.stat().st_size
    with tar.open("r+b") as file:
        file.truncate(size // 2)
    assert ask(tmp_path) == tar
    assert (builder.runs, tar.stat().st_size) == (2, size)


def test_a_base_whose_build_was_killed_at_its_end_is_built_anew(
    builder: Builder, tmp_path: Path
) -> None:
    tar = ask(tmp_path)
    tar.with_suffix(".size").unlink()
    ask(tmp_path)
    assert builder.runs == 2


def test_what_a_killed_build_left_is_cleared_away(builder: Builder, tmp_path: Path) -> None:
    (tmp_path / "build.left/root").mkdir(parents=True)
    ask(tmp_path)
    assert not (tmp_path / "build.left").exists()


def test_a_failing_build_leaves_nothing(builder: Builder, tmp_path: Path) -> None:
    builder.fails = True
    with pytest.raises(HostError, match="no mirror"):
        ask(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_another_suite_or_mirror_is_another_base() -> None:
    recipes = [
        base.Recipe("bookworm", [SOURCE], "", []),
        base.Recipe("trixie", [SOURCE], "", []),
        base.Recipe("bookworm", [SOURCE, SOURCE], "", []),
        base.Recipe("bookworm", [SOURCE], 'Acquire::Retries "3";\n', []),
        base.Recipe("bookworm", [SOURCE], "", [("ca.crt", "00")]),
    ]
    assert len({recipe.key for recipe in recipes}) == len(recipes)
