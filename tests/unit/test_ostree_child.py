"""Which trees can be deployed, and the shape that they get."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from atomicstate import process
from atomicstate.errors import HostError, ImageError
from atomicstate.host import ostree, ostree_child

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for name in ("etc", "usr/lib/sysimage/dpkg", "usr/lib/modules/6.1", "var/lib", "dev", "opt"):
        (root / name).mkdir(parents=True)
    for name in ("etc/passwd", "usr/lib/sysimage/dpkg/status", "usr/lib/modules/6.1/vmlinuz"):
        (root / name).touch()
    (root / "var/lib/file").touch()
    (root / "opt/file").touch()
    return root


def test_a_base_tree_can_be_deployed(tree: Path) -> None:
    ostree_child._check(tree, "image")


@pytest.mark.parametrize(
    ("gone", "why"),
    [
        ("usr", "no /usr"),
        ("usr/lib/modules/6.1", "vmlinuz"),
        ("usr/lib/sysimage/dpkg", "package database"),
    ],
)
def test_a_tree_that_lacks_something_can_not(tree: Path, gone: str, why: str) -> None:
    shutil.rmtree(tree / gone)
    with pytest.raises(ImageError, match=why):
        ostree_child._check(tree, "image")


def test_a_tree_with_two_etc_can_not(tree: Path) -> None:
    (tree / "usr/etc").mkdir()
    with pytest.raises(ImageError, match="both /etc and /usr/etc"):
        ostree_child._check(tree, "image")


def test_etc_moves_and_what_the_host_brings_is_emptied(tree: Path) -> None:
    ostree_child._reshape(tree)
    assert (tree / "usr/etc/passwd").exists()
    assert not (tree / "etc").exists()
    assert list((tree / "var").iterdir()) == []
    assert (tree / "opt/file").exists()
    assert (tree / "ostree").readlink().as_posix() == "sysroot/ostree"


def test_what_is_to_be_mended_first_is_the_hint_and_no_command_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = {"error": "the program 'ostree' is not on this machine", "hint": "install ostree"}
    finished = SimpleNamespace(text=json.dumps(said), command="the command", limit=None)
    monkeypatch.setattr(process, "run", lambda *_argv, **_options: finished)
    with pytest.raises(HostError) as failed:
        ostree._child("commit", {})
    assert failed.value.hint == "install ostree"
    assert "the command" not in failed.value.message
