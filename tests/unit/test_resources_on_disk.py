"""Resources in a folder: what is taken, and what is refused."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from atomicstate.engine import disk
from atomicstate.engine.disk import DiskLibrary
from atomicstate.errors import AtomicstateError, NotFoundError, ValidationError
from atomicstate.recipe.resources import Entry, encode
from atomicstate.store.blobs import digest_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "resources"
    made.mkdir()
    return made


def write(path: Path, content: bytes = b"x", mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    return path


def manifest(folder: Path, name: str):
    with DiskLibrary(folder) as library:
        return library.manifest(name)


def refused(folder: Path, name: str) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        manifest(folder, name)
    return caught.value


def test_a_file_is_one_entry_with_its_mode_and_digest(folder):
    write(folder / "motd", b"hello", 0o640)
    assert manifest(folder, "motd") == (Entry("", 0o640, digest_of(b"hello")),)


def test_a_folder_is_all_that_is_in_it_in_the_order_of_the_paths(folder):
    write(folder / "root/etc/motd", b"hello")
    (folder / "root/empty").mkdir(mode=0o700)
    (folder / "root/etc/link").symlink_to("../empty")
    (folder / "root").chmod(0o755)
    (folder / "root/etc").chmod(0o750)
    assert manifest(folder, "root") == (
        Entry("", 0o755),
        Entry("empty", 0o700),
        Entry("etc", 0o750),
        Entry("etc/link", 0o777, link="../empty"),
        Entry("etc/motd", 0o644, digest_of(b"hello")),
    )


def test_the_modes_above_rwx_are_kept(folder):
    write(folder / "tool", mode=0o4755)
    assert manifest(folder, "tool")[0].mode == 0o4755


def test_the_owner_counts_for_nothing(folder):
    write(folder / "motd")
    before = encode(manifest(folder, "motd"))
    os.chown(folder / "motd", 12345, 12345)
    assert encode(manifest(folder, "motd")) == before


def test_the_whole_folder_is_a_resource_too(folder):
    write(folder / "a")
    assert [entry.path for entry in manifest(folder, ".")] == ["", "a"]


def test_what_is_not_there_is_no_error(folder):
    write(folder / "file")
    assert manifest(folder, "nothing") is None
    assert manifest(folder, "file/below") is None
    assert manifest(folder / "no-such-folder", "file") is None


@pytest.mark.parametrize("name", ["/usr/share/file", "https://example.org/a.yml"])
def test_what_lies_elsewhere_is_not_looked_for(folder, name):
    assert manifest(folder, name) is None


def test_the_content_of_a_document_is_read_by_its_digest(folder):
    write(folder / "a.yml", b"modules: []\n")
    with DiskLibrary(folder) as library:
        [entry] = library.manifest("a.yml")
        assert library.content(entry.digest) == b"modules: []\n"
        with pytest.raises(NotFoundError):
            library.content("0" * 64)


def test_a_large_file_is_read_no_further_than_a_document_can_be(folder):
    write(folder / "a.yml", b"#" * (3 << 20))
    with DiskLibrary(folder) as library:
        [entry] = library.manifest("a.yml")
        assert len(library.content(entry.digest)) == (1 << 20) + 1


# -- links -----------------------------------------------------------------------------------


def test_a_name_that_is_a_link_inside_the_folder_is_followed(folder):
    write(folder / "common/a.yml", b"modules: []\n")
    (folder / "a.yml").symlink_to("common/a.yml")
    (folder / "again").symlink_to("common")
    expected = (Entry("", 0o644, digest_of(b"modules: []\n")),)
    assert manifest(folder, "a.yml") == expected
    assert manifest(folder, "again/../again/a.yml") == expected


@pytest.mark.parametrize("target", ["../secret", "/etc/passwd", "below/../../secret"])
def test_a_name_that_is_a_link_out_of_the_folder_is_refused(folder, target):
    write(folder.parent / "secret", b"secret")
    (folder / "below").mkdir()
    (folder / "a.yml").symlink_to(target)
    assert "leads out" in refused(folder, "a.yml").message


def test_a_folder_on_the_way_that_is_a_link_out_is_refused(folder):
    write(folder.parent / "elsewhere/secret", b"secret")
    (folder / "way").symlink_to("../elsewhere")
    assert "leads out" in refused(folder, "way/secret").message


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "../.."])
def test_a_link_in_a_resource_that_leads_out_of_it_is_refused(folder, target):
    (folder / "root/etc").mkdir(parents=True)
    (folder / "root/etc/link").symlink_to(target)
    error = refused(folder, "root")
    assert "root/etc/link" in error.message
    assert "copy it there" in error.hint


def test_links_in_a_circle_end(folder):
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    assert "circle" in refused(folder, "a").message


# -- what can't be a resource ----------------------------------------------------------------


def test_a_pipe_is_refused_and_not_waited_for(folder):
    os.mkfifo(folder / "pipe")
    assert "no file, folder or link" in refused(folder, "pipe").message


def test_a_socket_is_refused(folder):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(folder / "socket"))
        assert "no file, folder or link" in refused(folder, "socket").message


def test_a_device_is_refused(folder):
    os.mknod(folder / "null", 0o20666, os.makedev(1, 3))
    assert "no file, folder or link" in refused(folder, "null").message


def test_a_name_that_is_no_text_is_refused(folder):
    write(Path(os.fsdecode(bytes(folder / "root") + b"/\xff")))
    assert "UTF-8" in refused(folder, "root").message


def test_a_file_over_the_limit_is_refused(folder, monkeypatch):
    monkeypatch.setattr(disk, "MAX_FILE", 10)
    write(folder / "large", b"x" * 11)
    assert "more than 10 bytes" in refused(folder, "large").message
    write(folder / "fits", b"x" * 10)
    assert manifest(folder, "fits")


def test_all_together_over_the_limit_is_refused(folder, monkeypatch):
    monkeypatch.setattr(disk, "MAX_TOTAL", 10)
    write(folder / "a", b"x" * 6)
    write(folder / "b", b"x" * 6)
    with DiskLibrary(folder) as library:
        assert library.manifest("a")
        with pytest.raises(ValidationError, match="come to more than 10 bytes"):
            library.manifest("b")


def test_too_many_entries_are_refused(folder, monkeypatch):
    monkeypatch.setattr(disk, "MAX_ENTRIES", 3)
    for name in "abcd":
        write(folder / "root" / name)
    assert "more than 3" in refused(folder, "root").message


def test_folders_that_are_too_deep_are_refused(folder):
    (folder / "/".join(["a"] * 70)).mkdir(parents=True)
    assert "too deep" in refused(folder, "a").message


def test_what_was_swapped_for_a_link_meanwhile_is_not_read_through_it(folder):
    secret = write(folder.parent / "secret", b"secret")
    path = write(folder / "a.yml", b"modules: []\n")
    with DiskLibrary(folder) as library:
        [entry] = library.manifest("a.yml")
        path.unlink()
        path.symlink_to(secret)
        with pytest.raises(AtomicstateError):
            library.content(entry.digest)


def test_a_folder_swapped_for_a_link_meanwhile_is_not_read_through_it(folder):
    write(folder.parent / "elsewhere/a.yml", b"secret")
    write(folder / "way/a.yml", b"modules: []\n")
    with DiskLibrary(folder) as library:
        [entry] = library.manifest("way/a.yml")
        (folder / "way").rename(folder / "aside")
        (folder / "way").symlink_to("../elsewhere")
        with pytest.raises(AtomicstateError):
            library.content(entry.digest)
