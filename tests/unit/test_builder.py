"""What the builder asks of podman, and when: podman itself is a list of canned answers here."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from atomicstate import process
from atomicstate.errors import ContainerError
from atomicstate.host import podman, working
from atomicstate.host.podman import PodmanBuilder
from atomicstate.host.ports import Image
from atomicstate.host.storage import Storage
from atomicstate.recipe.labels import LABEL_RENDERER, LABEL_WHOLE

ID = "ab" * 32
IMAGE = Image(f"sha256:{ID}", "localhost/x:1", "sha256:0", "amd64", {})
HALF_THERE = f'Error: image with ID "{ID}" (consider removing it to resolve the issue)'
LISTED = {
    "Id": ID,
    "Created": 2**40,
    "Labels": {LABEL_RENDERER: "1", LABEL_WHOLE: "1"},
    "Names": ["localhost/x:1"],
}


class Podman:
    """Notes each call, and each flush of the disk; `broken` while an image is half there."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.broken = False

    def __call__(self, argv: list[str], *_more: object, **_options: object) -> process.Finished:
        words = [word for word in argv[1:] if not word.startswith("-")]
        self.calls.append(" ".join(words[:2]))
        if words[0] == "rmi":
            self.broken = False
        elif self.broken and argv[0] == "podman":
            return process.Finished(tuple(argv), 125, b"", HALF_THERE.encode())
        said = json.dumps(self._answer(words)).encode()
        return process.Finished(tuple(argv), 0, b"" if argv[0] == "buildah" else said, b"")

    def _answer(self, words: list[str]) -> list[dict[str, object]]:
        if words[0] == "images":
            return [LISTED]
        return [{"Id": ID, "Labels": LISTED["Labels"], "NamesHistory": LISTED["Names"]}]

    def sync(self) -> None:
        self.calls.append("sync")


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Podman:
    found = Podman()
    for module in (podman, working):
        monkeypatch.setattr(module, "tool", found)
    monkeypatch.setattr(process, "stream", found)
    monkeypatch.setattr(os, "sync", found.sync)
    monkeypatch.setattr(working, "_MAKING", 0.0)
    return found


@pytest.fixture
def builder(tmp_path: Path) -> PodmanBuilder:
    return PodmanBuilder(Storage(tmp_path / "storage", tmp_path / "run", "overlay"))


def cut_short(builder: PodmanBuilder, *, boot: str = "") -> Path:
    """A build was killed: in this boot, or in another one."""
    scratch = builder.storage.scratch
    scratch.mkdir(parents=True)
    (scratch / "others").write_text("")
    (scratch / "boot").write_text(boot or Path("/proc/sys/kernel/random/boot_id").read_text())
    return scratch


# What is flushed


def test_what_a_killed_build_made_is_flushed_before_its_mark_goes(tool, builder):
    scratch = cut_short(builder)
    there = []
    flushed = os.sync
    os.sync = lambda: (there.append(scratch.exists()), flushed())
    try:
        builder.clean()
    finally:
        os.sync = flushed
    assert there == [True]
    assert not scratch.exists()


def test_nothing_is_flushed_where_no_build_was_cut_short(tool, builder):
    builder.clean()
    assert "sync" not in tool.calls


def test_what_is_pulled_is_flushed(tool, builder):
    builder.pull("registry.example.org/os:1", lambda _line: None)
    assert tool.calls == ["pull registry.example.org/os:1", "sync"]


def test_what_is_imported_is_flushed(tool, builder, tmp_path):
    builder.import_tar(tmp_path / "base.tar", "localhost/x:1", {})
    assert tool.calls[1] == "sync"


def test_what_is_sent_to_another_storage_is_flushed(tool, builder):
    builder.send(IMAGE, builder, "localhost/x:2")
    assert tool.calls[1] == "sync"


# What a look takes away


def test_a_look_at_images_removes_none_after_a_power_cut(tool, builder):
    cut_short(builder, boot="another boot")
    assert [image.id for image in builder.images({LABEL_RENDERER: "1"})] == [IMAGE.id]
    assert "rmi " + ID not in tool.calls


def test_what_a_power_cut_may_have_damaged_goes_with_the_next_cleaning(tool, builder):
    cut_short(builder, boot="another boot")
    builder.clean()
    assert "rmi " + ID in tool.calls


def test_what_is_half_there_keeps_nothing_else_from_going_after_a_power_cut(tool, builder):
    cut_short(builder, boot="another boot")
    tool.broken = True
    builder.clean()
    assert tool.calls.count("rmi " + ID) == 2
    assert builder.resolve("localhost/x:1").id == IMAGE.id


def test_a_look_removes_no_image_that_a_build_may_be_making(tool, builder):
    cut_short(builder)
    tool.broken = True
    with pytest.raises(ContainerError, match="consider removing") as raised:
        builder.resolve("localhost/x:1")
    assert "atomicstate resume" in raised.value.hint
    assert "rmi " + ID not in tool.calls


def test_an_image_that_is_half_there_goes_where_no_build_runs(tool, builder):
    tool.broken = True
    assert builder.resolve("localhost/x:1").id == IMAGE.id
    assert "rmi " + ID in tool.calls


def test_what_a_killed_build_left_half_there_goes_with_the_next_cleaning(tool, builder):
    cut_short(builder)
    tool.broken = True
    builder.clean()
    assert builder.resolve("localhost/x:1").id == IMAGE.id
