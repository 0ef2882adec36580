"""The tree of an image, from its layers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from atomicstate.errors import ValidationError
from atomicstate.host import layers
from atomicstate.host.layers import LayeredTree
from atomicstate.host.ports import TreeEntry

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, content: bytes = b"x", mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    (tmp_path / "top").mkdir()
    (tmp_path / "base").mkdir()
    return tmp_path / "top"


@pytest.fixture
def base(top: Path) -> Path:
    return top.with_name("base")


def tree(top: Path) -> LayeredTree:
    return LayeredTree(top.parent, ("top", "base"))


def test_the_topmost_layer_has_the_say(top, base):
    write(top / "usr/a", b"new", 0o755)
    write(base / "usr/a", b"old")
    assert tree(top).read("/usr/a") == (TreeEntry("", 0o755, b"new"),)


def test_a_folder_is_that_of_all_layers(top, base):
    write(top / "usr/d/a", b"a")
    write(base / "usr/d/b", b"b")
    write(base / "usr/d/e/c", b"c")
    (top / "usr/d").chmod(0o700)
    assert tree(top).read("/usr/d") == (
        TreeEntry("", 0o700),
        TreeEntry("a", 0o644, b"a"),
        TreeEntry("b", 0o644, b"b"),
        TreeEntry("e", 0o755),
        TreeEntry("e/c", 0o644, b"c"),
    )


def test_what_a_layer_took_away_is_gone(top, base):
    write(base / "usr/d/a")
    write(base / "usr/d/b")
    (top / "usr/d").mkdir(parents=True)
    os.mknod(top / "usr/d/a", 0o20000, os.makedev(0, 0))
    found = tree(top).read("/usr/d")
    assert found is not None
    assert [entry.path for entry in found] == ["", "b"]
    assert tree(top).read("/usr/d/a") is None
    assert not tree(top).has("/usr/d/a")


def test_an_opaque_folder_hides_what_lies_below_it(top, base):
    write(base / "usr/d/a")
    write(top / "usr/d/b")
    os.setxattr(top / "usr/d", layers._OPAQUE[0], b"y")
    assert not tree(top).has("/usr/d/a")
    assert tree(top).has("/usr/d/b")


def test_a_file_in_the_place_of_a_folder_hides_it(top, base):
    write(base / "usr/d/a")
    write(top / "usr/d")
    assert not tree(top).has("/usr/d/a")


def test_a_link_over_a_folder_hides_it(top, base):
    write(base / "lib/a")
    write(base / "usr/lib/b")
    (top / "lib").symlink_to("usr/lib")
    assert not tree(top).has("/lib/a")
    assert tree(top).has("/lib/b")


@pytest.mark.parametrize("target", ["../lib/dpkg", "/usr/lib/dpkg", "../../../../usr/lib/dpkg"])
def test_links_are_followed_inside_of_the_image(top, base, target):
    write(base / "usr/lib/dpkg/status", b"here")
    (top / "usr/var").mkdir(parents=True)
    (top / "usr/var/dpkg").symlink_to(target)
    assert tree(top).read("/usr/var/dpkg/status") == (TreeEntry("", 0o644, b"here"),)


def test_no_link_leads_out_of_the_image(top):
    secret = top.parent / "secret"
    write(secret, b"secret")
    (top / "usr").mkdir()
    for name, target in (("a", "../../secret"), ("b", str(secret))):
        (top / "usr" / name).symlink_to(target)
        assert tree(top).read(f"/usr/{name}") is None
    (top / "usr/d").symlink_to("../..")
    assert tree(top).read("/usr/d/secret") is None


def test_a_link_among_the_files_is_told_and_not_followed(top):
    (top / "usr/d").mkdir(parents=True)
    (top / "usr/d/l").symlink_to("/etc/passwd")
    assert tree(top).read("/usr/d")[1:] == (TreeEntry("l", 0o777, link="/etc/passwd"),)


def test_links_in_a_circle_lead_nowhere(top):
    (top / "usr").mkdir()
    (top / "usr/a").symlink_to("b")
    (top / "usr/b").symlink_to("a")
    assert tree(top).read("/usr/a") is None


def test_what_is_too_large_is_refused(top, monkeypatch):
    monkeypatch.setattr(layers, "MAX_BYTES", 10)
    write(top / "usr/a", b"x" * 11)
    with pytest.raises(ValidationError, match="more than 10 bytes"):
        tree(top).read("/usr/a")


def test_too_many_files_are_refused(top, monkeypatch):
    monkeypatch.setattr(layers, "MAX_ENTRIES", 3)
    for name in "abcd":
        write(top / "usr" / name)
    with pytest.raises(ValidationError, match="more than 3 files"):
        tree(top).read("/usr")


def test_a_device_is_refused(top):
    (top / "usr").mkdir()
    os.mkfifo(top / "usr/pipe")
    with pytest.raises(ValidationError, match="no file, folder or link"):
        tree(top).read("/usr/pipe")


def test_the_root_is_no_answer_where_nothing_is(top):
    assert tree(top).read("/usr/nothing") is None
    assert not tree(top).has("/usr/nothing/below")
