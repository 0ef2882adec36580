"""`config export`: a folder that is ready to be committed, and builds by itself."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING

import msgspec
import pytest
from ruamel.yaml import YAML

from atomicstate.engine import documents, exporting, importing
from atomicstate.engine.importing import Options
from atomicstate.engine.results import Silent
from atomicstate.errors import ConflictError, NoOperationError, ValidationError
from atomicstate.recipe.resources import context_path
from tests.support.fakehost import BASE, fake_host
from tests.support.sessions import Machine, adopted

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """\
# ours
modules:
  - type: packages
    body: {install: [tree]}  # to look around
  - type: include
    body: {targets: [more.yml]}
  - type: copy
    body: {source: root, destination: /}
"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return adopted(tmp_path / "state", fake_host())


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    (folder / "resources/root/etc").mkdir(parents=True)
    (folder / "resources/root/etc/motd").write_text("hello")
    (folder / "resources/root/link").symlink_to("etc/motd")
    (folder / "resources/more.yml").write_text("modules: [{type: shell, body: {command: x}}]\n")
    (folder / "image.yml").write_text(TEXT)
    return folder


def take(machine: Machine, file: Path):
    def work(session):
        source = importing.source_of(session, str(file), None)
        return importing.carry_out(session, importing.propose(session, source, Options()), Silent())

    return machine.command(work)


def export(machine: Machine, folder: Path, *, with_ci: bool = False):
    return machine.command(lambda s: exporting.export(s, folder, with_ci=with_ci))


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


@pytest.fixture
def exported(machine, work, tmp_path) -> Path:
    take(machine, work / "image.yml")
    export(machine, tmp_path / "out")
    return tmp_path / "out"


def test_the_recipe_is_the_persons_text_with_its_base(exported):
    text = (exported / "image.yml").read_text()
    assert text == TEXT.replace("modules:", f'image: "{BASE}"\nmodules:', 1)


def test_the_resources_lie_under_their_names(exported):
    found = tree(exported)
    assert found["resources/root/etc/motd"] == "hello"
    assert found["resources/root/link"] == "etc/motd"
    assert found["resources/more.yml"].startswith("modules:")


def test_the_containerfile_names_the_base_and_else_is_that_of_an_apply(machine, exported):
    shown = machine.command(documents.containerfile).content.decode()
    text = (exported / "Containerfile").read_text()
    [line] = [line for line in shown.splitlines() if line.startswith("FROM ")]
    assert text == shown.replace(line, f"FROM {BASE}")


def test_all_that_the_containerfile_reads_is_there(machine, exported):
    with machine.session() as session:
        build = documents.build(session, *documents.view(session, None))
    for path in build.files:
        assert (exported / path).is_file()
    for digest in build.resources.values():
        assert (exported / context_path(digest)).exists()


def test_importing_it_again_records_nothing(machine, exported):
    with pytest.raises(NoOperationError):
        take(machine, exported / "image.yml")


def test_another_machine_comes_to_the_same_recipe(machine, exported, tmp_path):
    other = adopted(tmp_path / "other", fake_host())
    take(other, exported / "image.yml")
    assert other.command(documents.recipe) == machine.command(documents.recipe)


def test_a_base_of_a_registry_is_pinned_by_its_digest(machine, work, tmp_path):
    name = "registry.example.org:5000/a/base:1"
    image = machine.host._image(name, {}, frozenset({"bash"}))
    machine.host.images[name] = (
        msgspec.structs.replace(image, digest="sha256:" + "a" * 64),
        frozenset({"bash"}),
    )
    (work / "image.yml").write_text(f"image: {name}\n{TEXT}")
    take(machine, work / "image.yml")
    export(machine, tmp_path / "out")
    assert (
        f"FROM registry.example.org:5000/a/base@sha256:{'a' * 64}\n"
        in (tmp_path / "out/Containerfile").read_text()
    )


def test_the_files_for_forges_are_yaml_and_hold_no_secret(machine, tmp_path):
    export(machine, tmp_path / "out", with_ci=True)
    for name in (".github/workflows/build.yml", ".gitlab-ci.yml"):
        text = (tmp_path / "out" / name).read_text()
        assert YAML(typ="safe", pure=True).load(text)
        for word in ("podman build", "bootc container lint", "podman push"):
            assert word in text
    assert ".gitlab-ci.yml" in export(machine, tmp_path / "out", with_ci=True).files
    export(machine, tmp_path / "out")
    assert not (tmp_path / "out/.github").exists()


def test_modes_are_readable_whatever_the_umask(machine, exported, tmp_path):
    before = os.umask(0o077)
    try:
        export(machine, tmp_path / "new", with_ci=True)
    finally:
        os.umask(before)
    modes = {
        stat.S_IMODE(path.stat().st_mode)
        for path in (tmp_path / "new").rglob("*")
        if not path.is_symlink()
    }
    assert modes == {0o644, 0o755}


def test_what_git_does_not_keep_is_told(machine, work, tmp_path):
    (work / "resources/root/empty").mkdir()
    (work / "resources/root/etc/motd").chmod(0o600)
    take(machine, work / "image.yml")
    notes = export(machine, tmp_path / "out").notes
    assert "resources/root/empty" in notes[0]
    assert "resources/root/etc/motd" in notes[1]


# -- the folder --------------------------------------------------------------------------------


def test_an_earlier_export_is_brought_up_to_date(machine, work, exported):
    before = tree(exported)
    (work / "image.yml").write_text(TEXT.replace("tree", "nano").split("  - type: copy")[0])
    take(machine, work / "image.yml")
    export(machine, exported)
    after = tree(exported)
    assert "nano" in after["image.yml"]
    assert not [path for path in after if "root" in path]
    assert not (exported / "resources/root").exists()
    assert before.keys() - after.keys()


def test_a_clone_of_an_empty_repository_is_empty(machine, tmp_path):
    (tmp_path / "out/.git").mkdir(parents=True)
    export(machine, tmp_path / "out")
    assert (tmp_path / "out/image.yml").is_file()


def test_files_of_others_in_an_earlier_export_stay(machine, exported):
    (exported / "README.md").write_text("mine")
    (exported / "resources/mine").write_text("mine")
    export(machine, exported)
    assert (exported / "README.md").read_text() == "mine"
    assert (exported / "resources/mine").read_text() == "mine"


def test_a_folder_with_something_else_is_left_alone(machine, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("mine")
    with pytest.raises(ConflictError, match="not empty"):
        export(machine, tmp_path / "out")
    assert tree(tmp_path / "out") == {"mine": "mine"}


def test_an_edit_of_an_export_is_not_overwritten(machine, exported):
    (exported / "image.yml").write_text("# mine\n")
    with pytest.raises(ConflictError, match=r"image\.yml was edited") as caught:
        export(machine, exported)
    assert "config import" in caught.value.hint
    assert (exported / "image.yml").read_text() == "# mine\n"


def test_a_file_in_the_way_is_not_overwritten(machine, work, exported):
    (exported / "resources/new").write_text("mine")
    (work / "resources/new").write_text("new")
    (work / "image.yml").write_text(
        TEXT + "  - type: copy\n    body: {source: new, destination: /new}\n"
    )
    take(machine, work / "image.yml")
    with pytest.raises(ConflictError, match="resources/new is there"):
        export(machine, exported)
    assert (exported / "resources/new").read_text() == "mine"


@pytest.mark.parametrize("name", ["resources", "resources/root"])
def test_a_link_in_the_way_is_not_followed(machine, exported, tmp_path, name):
    (tmp_path / "elsewhere").mkdir()
    (exported / name).rename(tmp_path / "aside")
    (exported / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConflictError, match="nothing was written"):
        export(machine, exported)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_list_that_leads_out_of_the_folder_takes_nothing_away(machine, exported, tmp_path):
    (tmp_path / "victim").write_text("mine")
    listed = exported / exporting.LIST
    found = json.loads(listed.read_text())
    found["../victim"] = [exporting._mark_of(tmp_path / "victim")]
    listed.write_text(json.dumps(found))
    export(machine, exported)
    assert (tmp_path / "victim").read_text() == "mine"


def test_a_list_that_can_t_be_read_is_told(machine, exported):
    (exported / exporting.LIST).write_text("{")
    with pytest.raises(ConflictError, match="can't be read"):
        export(machine, exported)


def test_a_file_in_the_place_of_the_folder_is_refused(machine, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ConflictError, match="no folder"):
        export(machine, tmp_path / "out")


def test_all_of_the_resources_at_once_can_t_be_exported(machine, work, tmp_path):
    (work / "image.yml").write_text(
        "modules:\n  - type: copy\n    body: {source: ., destination: /opt}\n"
    )
    take(machine, work / "image.yml")
    with pytest.raises(ValidationError, match="all of the resources"):
        export(machine, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_after_a_kill_in_between_it_is_exported_again(machine, work, exported, monkeypatch):
    class KilledError(BaseException):
        pass

    (work / "image.yml").write_text(TEXT.replace("tree", "nano"))
    (work / "resources/root/etc/motd").write_text("bye")
    take(machine, work / "image.yml")
    real, left = exporting._replace, [3]

    def replace(path, item, blobs):
        if not left[0]:
            raise KilledError
        left[0] -= 1
        real(path, item, blobs)

    with monkeypatch.context() as patch:
        patch.setattr(exporting, "_replace", replace)
        with pytest.raises(KilledError):
            export(machine, exported)
    export(machine, exported)
    assert "nano" in (exported / "image.yml").read_text()
    assert (exported / "resources/root/etc/motd").read_text() == "bye"
