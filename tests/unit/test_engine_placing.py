"""`file add` and `file remove`: what is recorded of the caller's files, and what changes when."""

from __future__ import annotations

import os

import pytest

from atomicstate.engine import documents, modules, placing
from atomicstate.engine.library import RecordedLibrary
from atomicstate.errors import (
    ConflictError,
    HostError,
    NoOperationError,
    NotFoundError,
    ValidationError,
)
from atomicstate.events.bodies import ModuleAdded, ResourceSet
from atomicstate.projectors.pending import kept
from atomicstate.recipe.schema import CopyBody, Module, RemoveBody, ShellBody
from tests.support.fakehost import fake_host
from tests.support.recording import bodies, do, recipe, refused, undone
from tests.support.sessions import adopted


@pytest.fixture
def machine(tmp_path):
    return adopted(tmp_path / "state", fake_host())


@pytest.fixture
def motd(tmp_path):
    path = tmp_path / "motd"
    path.write_bytes(b"hello\n")
    path.chmod(0o640)
    return path


def add(machine, source, destination, *, replace=False):
    return do(machine, placing.add, str(source), destination, replace=replace)


def library(machine, session):
    system = session.system()
    composed = documents.composition(session, system, kept(system))
    return RecordedLibrary(session.blobs, composed.resources)


def held(machine, name):
    """What the log alone holds of a resource: mode, and content or link, by path."""
    with machine.session() as session:
        found = library(machine, session)
        manifest = found.manifest(name)
        assert manifest is not None
        return {
            entry.path: (entry.mode, found.content(entry.digest) if entry.digest else entry.link)
            for entry in manifest
        }


def test_a_file_becomes_a_resource_and_a_module_under_one_request(machine, motd):
    result = add(machine, motd, "/etc/motd")
    resource, module = bodies(machine, 2)
    assert isinstance(resource, ResourceSet)
    assert isinstance(module, ModuleAdded)
    assert (resource.name, resource.files) == ("files/motd", 1)
    assert recipe(machine).modules == (Module("copy", CopyBody("files/motd", "/etc/motd")),)
    assert [item.what for item in result.actions] == [
        "resource files/motd, 1 file",
        "copy files/motd to /etc/motd",
    ]
    assert len({event.request for event in machine.events()[-2:]}) == 1
    motd.unlink()
    assert held(machine, "files/motd") == {"": (0o640, b"hello\n")}


def test_a_folder_is_taken_whole(machine, tmp_path):
    tree = tmp_path / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc" / "a").write_bytes(b"a")
    (tree / "etc" / "b").symlink_to("a")
    tree.chmod(0o755)
    (tree / "etc").chmod(0o700)
    (tree / "etc" / "a").chmod(0o600)
    add(machine, f"{tree}/", "/", replace=True)
    assert recipe(machine).modules[0].body == CopyBody("files/tree", "/", replace=True)
    assert held(machine, "files/tree") == {
        "": (0o755, ""),
        "etc": (0o700, ""),
        "etc/a": (0o600, b"a"),
        "etc/b": (0o777, "a"),
    }


def test_a_file_goes_into_a_folder_under_its_own_name(machine, motd):
    add(machine, motd, "/etc/")
    assert recipe(machine).modules[0].body == CopyBody("files/motd", "/etc/motd")


def test_a_file_is_followed_to_where_it_lies(machine, motd, tmp_path):
    link = tmp_path / "elsewhere" / "link"
    link.parent.mkdir()
    link.symlink_to(motd)
    add(machine, link, "/etc/motd")
    assert held(machine, "files/motd") == {"": (0o640, b"hello\n")}


def test_the_same_file_again_is_not_recorded(machine, motd):
    add(machine, motd, "/etc/motd")
    refused(machine, NoOperationError, placing.add, str(motd), "/etc/motd", replace=False)


def test_another_content_changes_the_resource_alone(machine, motd):
    add(machine, motd, "/etc/motd")
    before = recipe(machine)
    motd.write_bytes(b"bye\n")
    result = add(machine, motd, "/etc/motd")
    assert [item.kind for item in result.actions] == ["resource.set"]
    assert recipe(machine) == before
    assert held(machine, "files/motd") == {"": (0o640, b"bye\n")}
    undone(machine, str(result.seq))
    assert held(machine, "files/motd") == {"": (0o640, b"hello\n")}


@pytest.mark.parametrize(
    "between",
    [
        Module("shell", ShellBody("sed -i s/l/x/ /etc/motd")),
        Module("remove", RemoveBody(("/etc",))),
        Module("copy", CopyBody("files/motd", "/etc/issue")),
    ],
)
def test_after_what_has_a_say_there_a_file_is_put_there_anew(machine, motd, between):
    add(machine, motd, "/etc/motd")
    do(machine, modules.add, [between])
    motd.write_bytes(b"bye\n")
    add(machine, motd, "/etc/motd")
    assert [module.body for module in recipe(machine).modules] == [
        CopyBody("files/motd", "/etc/motd"),
        between.body,
        CopyBody("files/motd-2", "/etc/motd"),
    ]
    assert held(machine, "files/motd") == {"": (0o640, b"hello\n")}
    assert held(machine, "files/motd-2") == {"": (0o640, b"bye\n")}


def test_two_files_of_one_name_are_two_resources(machine, motd):
    add(machine, motd, "/etc/motd")
    add(machine, motd, "/usr/lib/motd")
    assert [module.body.source for module in recipe(machine).modules] == [
        "files/motd",
        "files/motd-2",
    ]


def test_undoing_the_request_takes_file_and_module_away(machine, motd):
    result = add(machine, motd, "/etc/motd")
    undone(machine, result.request)
    assert recipe(machine).modules == ()
    with machine.session() as session:
        assert library(machine, session).manifest("files/motd") is None


def test_the_resource_is_not_undone_under_its_module(machine, motd):
    result = add(machine, motd, "/etc/motd")
    resource = result.actions[0].seq
    with pytest.raises(ConflictError, match=f"#{result.seq} .* stands on #{resource}"):
        undone(machine, str(resource))


def test_a_file_that_is_not_there_is_told(machine, tmp_path):
    error = refused(
        machine, NotFoundError, placing.add, str(tmp_path / "nope"), "/etc/x", replace=False
    )
    assert "nope" in error.message


@pytest.mark.parametrize("destination", ["etc/motd", "/etc/../motd", "", "/etc/a\nb"])
def test_what_is_no_place_in_the_image_is_refused(machine, motd, destination):
    refused(machine, ValidationError, placing.add, str(motd), destination, replace=False)


def test_what_is_no_file_is_refused(machine, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    arguments = (placing.add, str(tmp_path / "pipe"), "/etc/x")
    refused(machine, ValidationError, *arguments, replace=False)


def test_a_circle_of_links_is_refused(machine, tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises((HostError, NotFoundError)):
        add(machine, tmp_path / "a", "/etc/x")


# -- removing --------------------------------------------------------------------------------


def test_paths_are_removed_by_one_module_and_once(machine):
    result = do(machine, placing.remove, ["/etc/motd", "/opt/x", "/etc/motd"])
    assert recipe(machine).modules == (Module("remove", RemoveBody(("/etc/motd", "/opt/x"))),)
    assert result.what == "remove /etc/motd /opt/x"
    refused(machine, NoOperationError, placing.remove, ["/opt/x"])
    assert do(machine, placing.remove, ["/opt/x", "/srv"]).skipped == ("/opt/x",)
    assert recipe(machine).modules[-1].body == RemoveBody(("/srv",))


def test_what_comes_back_is_removed_again(machine, motd):
    do(machine, placing.remove, ["/etc/motd"])
    add(machine, motd, "/etc/motd")
    do(machine, placing.remove, ["/etc/motd"])
    assert [module.type for module in recipe(machine).modules] == ["remove", "copy", "remove"]


@pytest.mark.parametrize("path", ["/", "etc", "/a/../b", "", "//"])
def test_what_can_not_be_removed_is_refused(machine, path):
    refused(machine, ValidationError, placing.remove, [path])


def test_a_manifest_is_the_same_bytes_for_the_same_files(machine, motd, tmp_path):
    add(machine, motd, "/etc/motd")
    copy = tmp_path / "copy"
    copy.write_bytes(b"hello\n")
    copy.chmod(0o640)
    add(machine, copy, "/etc/copy")
    first, _module, second, _other = bodies(machine, 4)
    assert first.manifest == second.manifest
