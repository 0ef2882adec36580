"""A person's recipe, from a folder to a booted system and out again, in a real sandbox."""

from __future__ import annotations

import contextlib
import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from atomicstate.errors import NotFoundError
from atomicstate.host.sandbox import lifecycle
from tests.integration.test_main_job import Box
from tests.support.debs import build_deb, write_repository
from tests.support.sandboxes import (
    LIMIT,
    LOCAL_BASE,
    REPOSITORY,
    add_repository,
    copy_of,
    inside,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

TEXT = f"""\
# What our kiosks run.
image: {LOCAL_BASE}

modules:
  - type: packages
    body:
      install:
        - tool   # to work with

  - type: include
    body: {{targets: [files.yml]}}
"""
FILES = """\
modules:
  - type: copy
    body: {source: root, destination: /}
  - type: shell
    body: {command: echo built >/usr/share/tool/built}
"""


@pytest.fixture
def box(sandbox_template: Path, tmp_path: Path) -> Iterator[Box]:
    """A machine that was not adopted yet, whose base knows one small package."""
    directory = tmp_path / "box"
    host = copy_of(sandbox_template, directory)
    try:
        debs = [build_deb(tmp_path / "debs", "tool", files={"/usr/share/tool/version": "1.0"})]
        line = write_repository(tmp_path / "debs", debs, seen_at=REPOSITORY)
        add_repository(host, tmp_path / "debs", line)
        yield Box(host)
    finally:
        with contextlib.suppress(NotFoundError):
            lifecycle.destroy(directory)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    (folder / "resources/root/usr/share/kiosk").mkdir(parents=True)
    (folder / "resources/root/usr/share/kiosk/motd").write_text("hello\n")
    (folder / "resources/files.yml").write_text(FILES)
    (folder / "image.yml").write_text(TEXT)
    return folder


def layers(box: Box, image: str) -> list[str]:
    argv = box.host.builder.storage.argv("image", "inspect", "--format={{json .RootFS}}", image)
    done = subprocess.run(argv, capture_output=True, timeout=LIMIT, check=True)
    found: list[str] = json.loads(done.stdout)["Layers"]
    return found


def test_a_recipe_is_imported_built_booted_edited_and_exported(
    box: Box, work: Path, tmp_path: Path
) -> None:
    own = box.directory / "state/recipe"
    box.done("init")
    assert box.json("config", "check", str(work / "image.yml"), "--strict")["ok"]

    box.done("config", "import", str(work / "image.yml"), "-y")
    box.done("apply", "-y")
    box.reboot()
    assert inside(box.host, "cat", "/usr/share/kiosk/motd").stdout == "hello\n"
    assert inside(box.host, "cat", "/usr/share/tool/built").stdout == "built\n"
    # The person's own words are in image.yml, and the resources beside it.
    assert (own / "image.yml").read_text() == TEXT
    assert (own / "resources/root/usr/share/kiosk/motd").read_text() == "hello\n"
    assert box.json("status")["drift"] is None

    # An edit by hand, of both, becomes history like everything else.
    text = TEXT + "\n  - type: mkdir\n    body: {targets: [/usr/share/hall], perm: rwxr-x---}\n"
    (own / "image.yml").write_text(text)
    (own / "resources/root/usr/share/kiosk/motd").write_text("bye\n")
    assert box.json("status")["drift"] == "image.yml, resources/root were edited"
    imported = box.json("config", "import", "-y")
    assert [event["kind"] for event in imported["events"]] == [
        "resource.set",
        "module.added",
        "recipe.taken",
    ]
    assert box.json("status")["drift"] is None
    applied = box.json("apply", "-y")
    assert (own / "image.yml").read_text() == text

    # The same image comes of it without this program.
    box.done("config", "export", str(tmp_path / "out"))
    assert box("config", "import", str(tmp_path / "out/image.yml"), "-y").status == 8
    argv = box.host.builder.storage.argv(
        "build", "--isolation=chroot", "--network=host", "--pull=never", "-t", "localhost/again:1"
    )
    subprocess.run([*argv, tmp_path / "out"], capture_output=True, timeout=LIMIT, check=True)
    assert layers(box, "localhost/again:1") == layers(box, applied["image"])

    box.reboot()
    assert inside(box.host, "cat", "/usr/share/kiosk/motd").stdout == "bye\n"
    mode = inside(box.host, "stat", "-c", "%a", "/usr/share/hall").stdout
    assert mode == "750\n"

    # All of the edit goes by one word.
    box.done("undo", imported["request"], "-y")
    box.done("apply", "-y")
    assert "mkdir" not in (own / "image.yml").read_text()
    assert (own / "resources/root/usr/share/kiosk/motd").read_text() == "hello\n"
    assert "# to work with" in (own / "image.yml").read_text()
    assert box.verified()


def test_a_recipe_that_lies_there_is_adopted_with_its_resources(box: Box, work: Path) -> None:
    own = box.directory / "state/recipe"
    own.mkdir(parents=True, mode=0o700)
    subprocess.run(["cp", "-r", f"{work}/.", own], check=True, timeout=LIMIT)
    adopted = box.json("init")
    assert adopted["dialect"] == "deb"
    assert adopted["warnings"] == []
    [event] = box.json("log")["events"]
    assert set(event["data"]["resources"]) == {"root", "files.yml"}
    assert box.json("status")["drift"] is None
    assert "/usr/share/tool/built" in box.done("containerfile").stdout


def test_an_include_of_the_base_image_is_found_in_it(box: Box, tmp_path: Path) -> None:
    context = tmp_path / "include"
    context.mkdir()
    (context / "a.yml").write_text("modules: [{type: shell, body: {command: echo x}}]\n")
    (context / "Containerfile").write_text(
        f"FROM {LOCAL_BASE}\nCOPY a.yml /usr/share/includes/a.yml\n"
    )
    base = "localhost/base-with-include:1"
    box.host.builder.build(context, context / "Containerfile", {}, base, lambda _line: None)
    box.done("init")
    document = tmp_path / "image.yml"
    document.write_text(
        f"image: {base}\nmodules:\n  - type: include\n"
        "    body: {targets: [/usr/share/includes/a.yml]}\n"
    )
    assert box.json("config", "check", str(document))["problems"] != []
    imported = box.json("config", "import", str(document), "-y")
    assert imported["warnings"] == []
    assert [event["kind"] for event in imported["events"]] == [
        "base.set",
        "resource.set",
        "module.added",
        "recipe.taken",
    ]
    assert "echo x" in box.done("containerfile").stdout
