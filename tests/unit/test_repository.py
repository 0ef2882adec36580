"""A recipe from a git repository, by git itself."""

from __future__ import annotations

import os
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from atomicstate.cli import app as cli_app
from atomicstate.cli.dispatch import dispatch
from atomicstate.engine import importing
from atomicstate.engine.importing import Options
from atomicstate.engine.repository import checkout
from atomicstate.engine.results import Silent
from atomicstate.errors import AtomicstateError, NotFoundError, ValidationError
from atomicstate.events.asjson import kind
from tests.support.fakehost import fake_host
from tests.support.sessions import Machine, adopted

if TYPE_CHECKING:
    from pathlib import Path

MODULE = "modules:\n  - type: copy\n    body: {source: root, destination: /}\n"


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", folder, "-c", "user.name=x", "-c", "user.email=x@e.org", *words],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout.strip()


def commit(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", name)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    commit(folder, "image.yml", MODULE)
    commit(folder, "resources/root/etc/motd", "hello")
    return folder


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return adopted(tmp_path / "state", fake_host())


def take(session, repository, revision="", path="", resources=None):
    with checkout(str(repository), revision) as found:
        source = importing.source_of_repository(found, path, resources)
        return importing.carry_out(session, importing.propose(session, source, Options()), Silent())


# -- the checkout ------------------------------------------------------------------------------


def test_the_newest_commit_is_taken_and_told(repository):
    head = git(repository, "rev-parse", "HEAD")
    with checkout(str(repository)) as found:
        assert found.commit == head
        assert found.path("image.yml").read_text() == MODULE
        folder = found.folder
    assert not folder.exists()


@pytest.mark.parametrize("word", ["first", "branch", "HEAD~1", "sha", "short"])
def test_a_revision_can_be_named(repository, word):
    git(repository, "tag", "first")
    git(repository, "branch", "branch")
    old = git(repository, "rev-parse", "HEAD")
    commit(repository, "image.yml", "modules: []\n")
    named = {"sha": old, "short": old[:10]}.get(word, word)
    with checkout(str(repository), named) as found:
        assert found.commit == old
        assert found.path("image.yml").read_text() == MODULE


@pytest.mark.parametrize("word", ["none", "--upload-pack=touch made", "HEAD:image.yml", "main..x"])
def test_a_revision_that_is_none_is_refused(repository, word):
    with pytest.raises((NotFoundError, ValidationError)), checkout(str(repository), word):
        pass


def test_a_repository_without_a_commit_is_told(tmp_path):
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init", "-q")
    with pytest.raises(NotFoundError, match="no commit"), checkout(str(tmp_path / "empty")):
        pass


@pytest.mark.parametrize(
    "source",
    [
        "ext::sh -c 'touch made'",
        "fd::17",
        "http://example.org/a.git",
        "ftp://example.org/a.git",
        "HTTP://example.org/a.git",
        "ext://x",
        "",
    ],
)
def test_other_transports_are_refused(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValidationError), checkout(source):
        pass
    assert not (tmp_path / "made").exists()


def test_a_folder_that_looks_like_an_option_is_a_folder(repository, monkeypatch):
    repository.rename(repository.with_name("--upload-pack=x"))
    monkeypatch.chdir(repository.parent)
    with checkout("--upload-pack=x") as found:
        assert found.path("image.yml").is_file()


def test_what_is_no_repository_is_told_in_a_sentence(tmp_path):
    with pytest.raises(AtomicstateError, match="git"), checkout(str(tmp_path)):
        pass


def test_no_hook_runs(repository, tmp_path, monkeypatch):
    template = tmp_path / "template/hooks"
    template.mkdir(parents=True)
    for folder in (template, repository / ".git/hooks"):
        folder.mkdir(exist_ok=True)
        hook = folder / "post-checkout"
        hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/made\n")
        hook.chmod(0o755)
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(template.parent))
    with checkout(str(repository)):
        pass
    assert not (tmp_path / "made").exists()


def test_a_submodule_is_not_fetched(repository, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    commit(other, "secret", "x")
    git(
        repository,
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        str(other),
        "m",
    )
    git(repository, "commit", "-qm", "m")
    with checkout(str(repository)) as found:
        assert list((found.folder / "m").iterdir()) == []


def test_the_modes_are_gits_whatever_the_caller_has(repository):
    (repository / "tool").write_text("x")
    (repository / "tool").chmod(0o700)
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "tool")
    before = os.umask(0o077)
    try:
        with checkout(str(repository)) as found:
            modes = [
                stat.S_IMODE((found.folder / name).stat().st_mode)
                for name in ("tool", "image.yml", "resources")
            ]
    finally:
        os.umask(before)
    assert modes == [0o755, 0o644, 0o755]


def test_the_repository_of_a_calling_hook_does_not_count(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    with checkout(str(repository)) as found:
        assert found.path("image.yml").is_file()


def test_who_logs_in_is_not_told(repository):
    with checkout(f"file://{repository}") as found:
        assert found.source == f"file://{repository}"
    from atomicstate.engine import repository as module

    assert module._USER.sub("", "https://me:secret@e.org/a.git") == "https://e.org/a.git"


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "link", "folder/passwd", ".git/config"]
)
def test_a_path_out_of_the_repository_is_refused(repository, name):
    (repository / "link").symlink_to("/etc/passwd")
    (repository / "folder").symlink_to("/etc")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "links")
    with checkout(str(repository)) as found, pytest.raises(ValidationError):
        found.path(name)


# -- the import --------------------------------------------------------------------------------


def test_recipe_and_resources_are_recorded_with_the_commit(repository, machine):
    head = git(repository, "rev-parse", "HEAD")
    result = machine.command(lambda s: take(s, repository))
    assert [kind(event) for event in machine.events()[1:]] == [
        "resource.set",
        "module.added",
        "recipe.taken",
    ]
    body = machine.events()[-1].body
    assert (body.source, body.commit) == (str(repository), head)
    assert result.commit == head
    assert head[:12] in result.events[-1].what


def test_the_document_may_lie_deeper(repository, machine):
    commit(repository, "src/a/image.yml", MODULE)
    commit(repository, "src/a/resources/root/x", "x")
    commit(repository, "src/a/other.yml", "modules: []\n")
    machine.command(lambda s: take(s, repository, path="src/a"))
    assert machine.events()[-1].body.commit
    machine.command(lambda s: take(s, repository, path="src/a/other.yml"))
    assert kind(machine.events()[-2]) == "resource.removed"


def test_resources_that_are_a_link_out_of_the_repository_are_refused(repository, machine):
    git(repository, "rm", "-rq", "resources")
    (repository / "resources").symlink_to("/etc")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "links")
    with pytest.raises(ValidationError, match="not in the repository"):
        machine.command(lambda s: take(s, repository))
    assert len(machine.events()) == 1


def test_a_document_that_is_not_there_is_not_found(repository, machine):
    with pytest.raises(NotFoundError, match=r"none\.yml"):
        machine.command(lambda s: take(s, repository, path="none.yml"))


def test_problems_name_the_file_as_the_repository_does(repository, machine):
    commit(repository, "image.yml", "modulez: []\n")
    with pytest.raises(ValidationError, match=r"image\.yml:1:1: modulez"):
        machine.command(lambda s: take(s, repository))


@pytest.mark.parametrize(
    "words",
    [["--rev", "x"], ["--path", "x"], ["--git", "x", "file.yml"]],
)
def test_options_that_contradict_each_other_are_refused(words):
    assert dispatch(["config", "import", *words, "-y"]) == 2


def test_the_command_does_all_of_it(repository, machine, monkeypatch, capfd):
    monkeypatch.setattr(cli_app.App, "session", lambda app: machine.session(app.verb))
    words = ["config", "import", "--git", str(repository), "--rev", "main", "-y", "-f", "json"]
    assert dispatch(words) == 0
    assert git(repository, "rev-parse", "HEAD") in capfd.readouterr().out
