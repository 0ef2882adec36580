"""Commands in a Containerfile: what a shell and a git module run, and how."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from atomicstate.errors import ValidationError
from atomicstate.recipe.containerfile import render
from atomicstate.recipe.schema import GitBody, ShellBody
from tests.support.containerfiles import (
    BASE,
    BASE_ID,
    Instruction,
    layers,
    manifest_of,
    rendered,
    step,
    steps,
)

if TYPE_CHECKING:
    from atomicstate.recipe.schema import Body

LONG = "#" + "x" * 70_000 + "\necho of a file\n"


def instruction(type_: str, body: Body) -> Instruction:
    return layers(render([step(type_, body)], BASE_ID, BASE, "deb", {}).content)[0]


def run(instruction: Instruction, work: Path, **places: Path) -> subprocess.CompletedProcess[str]:
    """Run a RUN's words here: `work` for its folder in memory, `places` for what it mounts."""
    where = {"/run/atomicstate-work": work}
    where |= {f"/run/{name.replace('_', '-')}": path for name, path in places.items()}
    words = list(instruction.words)
    for old, new in where.items():
        words = [word.replace(old, str(new)) for word in words]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, cwd="/")


# -- shell --------------------------------------------------------------------------------------


def test_a_command_is_bashs_and_stops_at_what_fails(tmp_path: Path) -> None:
    body = ShellBody("[[ a == a ]] && pwd\nfalse\ntouch made")
    ran = run(instruction("shell", body), tmp_path)
    assert (ran.returncode, ran.stdout) == (1, f"{tmp_path}\n")
    assert not (tmp_path / "made").exists()


def test_a_command_has_no_more_options_than_with_apm(tmp_path: Path) -> None:
    ran = run(instruction("shell", ShellBody('false | true; echo "[$undefined]$-"')), tmp_path)
    assert (ran.returncode, ran.stdout) == (0, "[]ehBc\n")


def test_a_command_works_in_a_folder_in_memory() -> None:
    assert instruction("shell", ShellBody("true")).flags == (
        "--mount=type=tmpfs,target=/run/atomicstate-work",
    )


@pytest.mark.parametrize(
    "command",
    [
        "echo 'a'\n\n# b\n  # c\necho \\\n  d",
        "cat <<X\n#x\n\n\\\nX\n",
        'printf "%s" "\t\\\\$HOME`id`"',
    ],
)
def test_a_command_arrives_as_it_was_written(command: str) -> None:
    assert instruction("shell", ShellBody(command)).arguments == (f"set -e\n{command}",)


def test_what_a_quiet_command_prints_is_shown_where_it_fails(tmp_path: Path) -> None:
    good = run(instruction("shell", ShellBody("echo a; echo b >&2", quiet=True)), tmp_path)
    assert (good.returncode, good.stdout, good.stderr) == (0, "", "")
    bad = run(instruction("shell", ShellBody("echo a; echo b >&2; exit 7", quiet=True)), tmp_path)
    assert (bad.returncode, bad.stdout, bad.stderr) == (7, "", "a\nb\n")


def test_a_command_sees_the_resources_that_it_names(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "tree/sub").mkdir(parents=True)
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\necho ran\n")
    script.chmod(0o755)
    document = "modules: [{type: shell, body: {command: '\"./-s/run it\"; test -d tree/sub'}}]"
    sources = {0: {"-s/run it": "inner/-s/run it", "tree": "inner/tree"}}
    manifests = {name: manifest_of(name) for name in sources[0].values()}
    made = render(steps(document, sources), BASE_ID, BASE, "deb", manifests)
    found = layers(made.content)[0]
    assert found.flags[1:] == tuple(
        f"--mount=type=bind,source=resources/{manifest[:32]},target=/run/atomicstate-source-{place}"
        for place, manifest in enumerate(manifests.values(), 1)
    )
    sources_here = {"atomicstate_source_1": script, "atomicstate_source_2": tmp_path / "tree"}
    ran = run(found, tmp_path / "work", **sources_here)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "ran\n", "")


@pytest.mark.parametrize("type_", ["shell", "git"])
def test_a_command_that_is_too_long_for_a_line_lies_in_a_file(type_: str, tmp_path: Path) -> None:
    body = ShellBody(LONG) if type_ == "shell" else GitBody("https://a.example", LONG)
    made = render([step(type_, body)], BASE_ID, BASE, "deb", {})
    [(path, content)] = made.files.items()
    assert content.decode() == (f"set -e\n{LONG}" if type_ == "shell" else LONG)
    found = layers(made.content)[0]
    assert f"--mount=type=bind,source={path},target=/run/atomicstate-source" in found.flags
    assert ". /run/atomicstate-source" in found.arguments
    if type_ == "shell":
        (tmp_path / "command").write_bytes(content)
        ran = run(found, tmp_path, atomicstate_source=tmp_path / "command")
        assert (ran.returncode, ran.stdout) == (0, "of a file\n")


# -- git ----------------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a commit on each of two branches, and a tag."""
    directory = tmp_path / "repository"
    script = f"""
        git init -q -b main {directory} && cd {directory}
        git config user.name T && git config user.email t@localhost
        echo one >file && git add . && git commit -q -m one && git tag v1
        git checkout -q -b other && echo two >file && git commit -q -a -m two
        git checkout -q main && echo three >file && git commit -q -a -m three
    """
    subprocess.run(["sh", "-ec", script], check=True, capture_output=True, timeout=60)
    return directory


def revision(repository: Path, name: str) -> str:
    argv = ["git", "-C", str(repository), "rev-parse", name]
    return subprocess.run(
        argv, capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()


def git(repository: Path, command: str, rev: str = "", *, quiet: bool = False) -> str:
    body = GitBody(f"file://{repository}", command, rev=rev, quiet=quiet)
    ran = run(instruction("git", body), repository)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize(
    ("rev", "content"),
    [
        ("", "three"),
        ("other", "two"),
        ("v1", "one"),
        ("refs/heads/other", "two"),
        ("v1^{commit}", "one"),
    ],
)
def test_a_command_runs_in_a_clone_of_that_revision(
    repository: Path, rev: str, content: str
) -> None:
    assert git(repository, "cat file", rev) == f"{content}\n"


@pytest.mark.parametrize("length", [40, 8])
def test_a_revision_may_be_a_commit_or_its_beginning(repository: Path, length: int) -> None:
    assert git(repository, "cat file", revision(repository, "v1")[:length]) == "one\n"


def test_the_clone_is_gone_afterwards(repository: Path, tmp_path: Path) -> None:
    clone = git(repository, "pwd").strip()
    assert clone.startswith("/tmp/")
    assert not Path(clone).exists()


def test_a_command_in_a_clone_goes_on_after_what_fails_as_with_apm(repository: Path) -> None:
    assert git(repository, 'false\necho "$-"') == "hBc\n"
    assert git(repository, "echo said", quiet=True) == ""


def test_a_revision_that_is_none_fails(repository: Path) -> None:
    body = GitBody(f"file://{repository}", "true", rev="none")
    ran = run(instruction("git", body), repository)
    assert ran.returncode != 0
    assert "none" in ran.stderr


def test_packages_that_are_there_meanwhile_alone() -> None:
    body = "{url: 'https://a.example', command: make, build-deps: [gcc, make], deps: [make, libc6]}"
    [found] = layers(rendered(f"modules: [{{type: git, body: {body}}}]").content)
    assert found.arguments == ("https://a.example", "", "make", "make", "libc6", "--", "gcc")
    assert found.script.index("apt install") < found.script.index("git clone")
    assert found.script.index("git clone") < found.script.index("apt remove")


@pytest.mark.parametrize("key", ["deps", "build-deps"])
def test_a_package_that_is_none_is_refused(key: str) -> None:
    document = (
        f"modules: [{{type: git, body: {{url: 'https://a.example', command: c, {key}: [A_b]}}}}]"
    )
    with pytest.raises(ValidationError, match="is no package name"):
        rendered(document)
    rendered(document, "rpm")
