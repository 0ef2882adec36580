"""A history that is steered, on a real system of a tiny base: what is installed is what counts."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING

import pytest

from atomicstate.cli.main import main
from atomicstate.errors import NotFoundError
from atomicstate.host.sandbox import lifecycle
from atomicstate.host.sandbox.host import host_of
from atomicstate.host.sandbox.layout import open_sandbox
from tests.support.program import PROGRAM, Ran, atomicstate
from tests.support.sandboxes import copy_of, inside
from tests.support.terminal import at_a_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from atomicstate.host.sandbox.host import SandboxHost

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

DOWN = "\x1b[B"
OURS = ("editor", "paint", "player", "server", "spelling", "viewer")


class Box:
    """A sandbox, and the command on it."""

    def __init__(self, host: SandboxHost) -> None:
        self.host = host
        self.directory = host.sandbox.directory

    def __call__(self, *words: str) -> Ran:
        return atomicstate(*words, sandbox=self.directory)

    def json(self, *words: str):
        return self(*words, "-f", "json").data

    def done(self, *words: str) -> str:
        ran = self(*words, "-y")
        assert ran.status == 0, (words, ran)
        return ran.stdout

    def act(self, *words: str) -> str:
        """Do something that is recorded; the number that it got."""
        return str(self.json(*words, "-y")["seq"])

    def pick(self, *keys: str) -> None:
        """`apply --interactive`, with these keys pressed, and agreed to."""
        argv = [PROGRAM, "--sandbox", self.directory, "apply", "--interactive", "-y"]
        status, shown = at_a_terminal(argv, *keys, until="go in")
        assert (status, "Staged" in shown) == (0, True), shown
        # The preview followed the keys.
        assert '+        - "paint"' in shown

    def head(self) -> int:
        return self.json("log", "-n", "1")["events"][0]["seq"]

    def pending(self) -> list[tuple[str, str]]:
        return [
            (" ".join(item["data"].get("names", ())), item["change"])
            for item in self.json("status")["pending"]
        ]

    def booted(self) -> set[str]:
        """Of our packages those that are installed in what boots now."""
        assert atomicstate("sandbox", "reboot", self.directory).status == 0
        return self.installed()

    def installed(self) -> set[str]:
        form = "${db:Status-Status} ${Package}\\n"
        listed = inside(self.host, "dpkg-query", "-W", "-f", form, *OURS).stdout.split("\n")
        return {line.removeprefix("installed ") for line in listed if line.startswith("installed ")}


@pytest.fixture(scope="module")
def box(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A machine that was adopted; the tests of this module tell one story of it, in order."""
    directory = tmp_path_factory.mktemp("history") / "box"
    try:
        box = Box(copy_of(tiny_template, directory))
        box.done("init")
        yield box
    finally:
        with contextlib.suppress(NotFoundError):
            lifecycle.destroy(directory)


def test_twenty_actions_undone_applied_in_parts_bisected_and_restored(box: Box) -> None:
    # 1 to 7: what is asked for, live and not, and taken back.
    editor = box.act("package", "add", "editor")
    player = box.act("package", "add", "player", "--no-live")
    paint = box.act("package", "add", "paint")
    assert box.installed() == {"editor", "spelling", "paint"}
    gone = box.act("undo", paint)
    assert box.installed() == {"editor", "spelling"}
    assert box.pending() == [("editor", "add"), ("player", "add")]
    box.act("undo", gone)
    viewer = box.act("package", "add", "viewer", "--no-live")
    box.act("undo", viewer)
    # 8: and one that stands on another is not left alone.
    box.act("redo", viewer)
    # 9 to 11: applied in three parts, each on top of the one before.
    box.done("apply", player)
    assert box.pending() == [("editor", "add"), ("paint", "add"), ("viewer", "add")]
    box.pick(DOWN, " ", "\r")
    assert box.pending() == [("paint", "add")]
    box.done("apply")
    assert box.pending() == []
    whole = {"editor", "spelling", "player", "paint", "viewer"}
    assert box.booted() == whole
    in_parts = box.json("containerfile", "--applied")["digest"]
    assert in_parts == box.json("replay", "--to", "HEAD")["containerfile_digest"]
    box.act("tag", "good")
    # 12 to 16: something breaks.
    box.act("package", "remove", "paint")
    assert "paint" not in box.installed()
    gallery = box.act("package", "add", "gallery", "--no-live")
    # Without the removal it would push paint aside: libapt looks at the image, not the overlay.
    refused = box("apply", gallery, "--simulate", "-f", "json")
    assert (refused.status, refused.code) == (4, "APT"), refused
    box.act("undo", gallery)
    server = box.act("package", "add", "server", "--no-live", "-m", "asked for by the office")
    box.act("note", server, "since the move")
    box.act("undo", player)
    again = box.act("package", "add", "player", "--no-live")
    # 17: which of them it was is found, and taken back.
    box.done("bisect", "start", "HEAD", "good")
    found = box.json("bisect", "run", "-f", "json", "sh", "-c", "test ! -e /usr/share/server")
    assert str(found["event"]) == server
    box.done("bisect", "reset")
    shown = box.json("show", server)
    assert shown["notes"] == ["asked for by the office", "since the move"]
    undo = box.act("undo", server)
    # 18: what is left is made.
    box.done("apply")
    assert box.booted() == whole - {"paint"}
    assert box.json("diff", "good", undo)["actions"]["removed"] == [int(player)]
    # 19, 20: and the good state is wanted again, and made.
    restored = box.json("replay", "--to", "good", "--restore", "--apply", "-y")
    assert {int(again), int(player)} <= {*restored["void"], *restored["revive"]}
    assert box.booted() == whole
    assert box.json("containerfile", "--applied")["digest"] == in_parts
    assert box.pending() == []
    assert box("verify").status == 0
    assert editor


def test_a_point_is_built_in_another_sandbox_on_the_very_base(
    box: Box, tiny_template: Path, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    before = box.head()
    try:
        # The stand-in for bootc tells nothing of a deployment whose image is gone.
        host = copy_of(tiny_template, there, "ostree")
        base = host.builder.resolve("localhost/atomicstate-base:bookworm")
        host.builder.remove_image(base.id)
        point = box.json("log", "--kind", "package.added")["events"][0]["seq"]
        built = box.json("replay", "--to", str(point), "--sandbox", str(there), "-y")
        assert (built["made"], built["same_base"]) == (False, True)
        assert host.builder.resolve(base.id).id == built["base_id"] == base.id
        shown = box.json("replay", "--to", str(point))
        assert built["containerfile_digest"] == shown["containerfile_digest"]
        refused = box("replay", "--to", "1", "--sandbox", str(there), "-y", "-f", "json")
        assert (refused.status, refused.code) == (14, "CONFLICT")
        again = box("replay", "--to", str(point), "--sandbox", str(there), "-y", "-f", "json")
        assert (again.status, again.code) == (8, "NO_OPERATION")
        elsewhere = Box(host)
        assert elsewhere.booted() == {"editor", "spelling"}
        assert host.deployer.status().booted.checksum == built["checksum"]
        again = box("replay", "--to", str(point), "--sandbox", str(there), "-y", "-f", "json")
        assert (again.status, again.code) == (8, "NO_OPERATION")
        assert box.head() == before
    finally:
        lifecycle.destroy(there)


def test_a_point_of_an_export_is_built_in_a_sandbox_that_is_made_for_it(
    box: Box,
    tiny_template: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    export, there = tmp_path / "log.jsonl", tmp_path / "there"
    box.done("export", "--blobs", str(export))
    create, cache = lifecycle.create, tiny_template.parent / "scratch/cache"
    for tar in cache.glob("*.tar"):
        # An image that is imported at another time is another one.
        os.utime(tar)
    monkeypatch.setattr(
        lifecycle, "create", lambda *words, **named: create(*words, **named, cache=cache)
    )
    words = ["--log", str(export), "--sandbox", str(there), "-y", "-f", "json"]
    try:
        assert main(["--state-dir", str(tmp_path / "none"), "replay", "--to", "2", *words]) == 0
        built = json.loads(capsys.readouterr().out)["data"]
        assert (built["made"], built["same_base"]) == (True, False)
        host = host_of(open_sandbox(there))
        assert host.builder.resolve("localhost/atomicstate-base:bookworm").id == built["base_id"]
        # The second event is the begin of the first action: nothing was wanted then.
        assert Box(host).booted() == set()
        assert host.deployer.status().booted.checksum == built["checksum"]
        assert not (tmp_path / "none").exists()
    finally:
        lifecycle.destroy(there)
