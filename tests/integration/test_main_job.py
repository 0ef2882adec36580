"""The main job, end to end, as the installed command does it in a real sandbox."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.debs import build_deb, write_repository
from tests.support.program import PROGRAM, Ran, atomicstate
from tests.support.sandboxes import inside

if TYPE_CHECKING:
    from pathlib import Path

    from atomicstate.host.sandbox.host import SandboxHost

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

REPOSITORY = "/usr/local/share/test-repository"
BASE = "localhost/base-with-repository:1"


class Box:
    """A sandbox, and the command that runs in it."""

    def __init__(self, host: SandboxHost) -> None:
        self.host = host
        self.directory = host.sandbox.directory

    def __call__(self, *words: str, env: dict[str, str] | None = None) -> Ran:
        return atomicstate(*words, sandbox=self.directory, env=env)

    def json(self, *words: str):
        return self(*words, "-f", "json").data

    def done(self, *words: str) -> Ran:
        ran = self(*words)
        assert ran.status == 0, ran.stderr
        return ran

    def kinds(self) -> list[str]:
        return [event["kind"] for event in self.json("log")["events"]]

    def reboot(self, *options: str) -> None:
        assert atomicstate("sandbox", "reboot", self.directory, *options).status == 0

    def has(self, path: str) -> bool:
        return inside(self.host, "test", "-e", path).returncode == 0

    def verified(self) -> bool:
        return self("verify").status == 0


@pytest.fixture
def box(sandbox_host: SandboxHost) -> Box:
    box = Box(sandbox_host)
    box.done("init")
    return box


def with_repository(box: Box, debs: list[Path], scratch: Path) -> None:
    """Boot a base whose image holds a repository of these packages: no mirror is asked."""
    repository = scratch / "repository"
    repository.mkdir()
    line = write_repository(repository, debs, seen_at=REPOSITORY)
    (scratch / "test.list").write_text(line + "\n")
    containerfile = scratch / "Containerfile"
    containerfile.write_text(
        "FROM localhost/atomicstate-base:bookworm\n"
        f"COPY repository {REPOSITORY}\n"
        "COPY test.list /etc/apt/sources.list.d/test.list\n"
        "RUN rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*.sources"
        " /etc/apt/sources.list.d/[!t]*.list\n"
    )
    box.host.builder.build(scratch, containerfile, {}, BASE, lambda _line: None)
    box.done("switch", BASE, "-y")
    box.reboot()
    box.done("package", "update")


def debs(scratch: Path, **postinsts: str) -> list[Path]:
    folder = scratch / "debs"
    folder.mkdir()
    return [
        build_deb(folder, name.replace("_", "-"), postinst=script)
        for name, script in postinsts.items()
    ]


def test_a_package_goes_from_the_overlay_into_the_image_and_boots(box: Box) -> None:
    box.done("package", "add", "jq", "-y")
    assert box.has("/usr/bin/jq")
    box.done("package", "remove", "e2fsprogs", "-y")
    box.done("apply", "-y")
    shown = box.json("status")
    assert shown["state"] == "switched"
    assert shown["pending"] == []
    box.reboot()
    assert box.has("/usr/bin/jq")
    assert not box.has("/usr/sbin/mke2fs")
    status = inside(box.host, "dpkg-query", "-W", "-f", "${db:Status-Status}", "jq")
    assert status.stdout == "installed"
    after = box.json("status")
    assert after["host"]["booted"]["transaction"] == shown["host"]["staged"]["transaction"]
    assert after["host"]["booted"]["checksum"] == shown["host"]["staged"]["checksum"]
    added = [event for event in box.json("log")["events"] if event["kind"] == "package.added"]
    assert added[0]["data"]["names"] == ["jq"]
    assert {change["name"] for change in added[0]["data"]["plan"]["changes"]} >= {"jq"}
    assert box.verified()


def test_the_log_tells_the_whole_story_in_order(box: Box) -> None:
    box.done("package", "add", "tree", "-y", "--no-live")
    box.done("apply", "-y")
    assert [kind for kind in box.kinds() if not kind.startswith("step.")] == [
        "system.initialized",
        "package.added",
        "transaction.begun",
        "transaction.staged",
    ]


def test_bad_names_are_refused_each_with_its_own_status(box: Box) -> None:
    before = box.json("status")["head"]
    cases = {
        "nonsuch-package": (3, "NOT_FOUND"),
        "a\nb": (2, "VALIDATION"),
        "a;reboot": (2, "VALIDATION"),
        "x" * 300: (2, "VALIDATION"),
    }
    for name, (status, code) in cases.items():
        ran = box("package", "add", name, "-y", "-f", "json")
        assert (ran.status, ran.code) == (status, code), name
    ran = box("package", "add", "-y", "-f", "json", "--", "--force-yes")
    assert (ran.status, ran.code) == (2, "VALIDATION")
    assert box.json("status")["head"] == before
    assert not box.json("overlay", "status")["active"]


def test_what_fails_in_the_host_or_in_the_build_leaves_all_as_it_was(
    box: Box, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    made = debs(scratch, good="", bad="exit 1")
    made.append(build_deb(scratch / "debs", "rival", conflicts="good"))
    with_repository(box, made, scratch)

    ran = box("package", "add", "bad", "-y", "-f", "json")
    assert (ran.status, ran.code) == (4, "APT")
    assert inside(box.host, "dpkg-query", "-W", "bad").returncode != 0
    assert box.json("status")["pending"] == []
    assert box.kinds()[-1] == "transaction.rolled_back"

    before = box.json("status")["head"]
    ran = box("package", "add", "good", "rival", "-y", "-f", "json")
    assert (ran.status, ran.code) == (4, "APT")
    assert box.json("status")["head"] == before

    box.done("package", "add", "bad", "--no-live", "-y")
    ran = box("apply", "-y", "-f", "json")
    assert (ran.status, ran.code) == (9, "CONTAINER")
    shown = box.json("status")
    assert [item["data"]["names"] for item in shown["pending"]] == [["bad"]]
    assert shown["state"] in ("recorded", "overlay")
    assert shown["host"]["staged"] is None
    assert not list((box.directory / "state/txn").iterdir())
    assert box.verified()

    box.done("package", "remove", "bad", "--no-live", "-y")
    box.done("package", "add", "good", "-y")
    box.done("apply", "-y")
    box.reboot()
    assert inside(box.host, "dpkg-query", "-W", "good").returncode == 0


def test_a_power_cut_after_apply_loses_nothing_but_the_staging(box: Box) -> None:
    box.done("package", "add", "tree", "-y", "--no-live")
    box.done("apply", "-y")
    box.reboot("--power-cut")
    shown = box.json("status")
    assert shown["host"]["staged"] is None
    assert [item["data"]["names"] for item in shown["pending"]] == [["tree"]]
    box.done("apply", "-y")
    box.reboot()
    assert box.has("/usr/bin/tree")


@pytest.mark.parametrize("then", ["resume", "abort"])
@pytest.mark.parametrize("point", ["build.started", "build.done", "switch.done"])
def test_a_killed_apply_is_finished_or_taken_back(box: Box, point: str, then: str) -> None:
    box.done("package", "add", "tree", "-y", "--no-live")
    killed = box("apply", "-y", env={"ATOMICSTATE_FAILPOINT": point})
    assert killed.status == -signal.SIGKILL
    assert box.json("status")["unfinished"][0]["step"] == point.split(".")[0]
    refused = box("apply", "-y", "-f", "json")
    assert (refused.status, refused.code) == (6, "INTERRUPTED")
    box.done(then, "-y")
    shown = box.json("status")
    assert shown["unfinished"] == []
    if then == "resume":
        assert shown["state"] == "switched"
        box.reboot()
        assert box.has("/usr/bin/tree")
    else:
        assert shown["host"]["staged"] is None
        assert [item["data"]["names"] for item in shown["pending"]] == [["tree"]]
    assert box.verified()


@pytest.mark.parametrize("then", ["resume", "abort"])
def test_a_killed_install_is_finished_or_taken_back(box: Box, then: str) -> None:
    killed = box("package", "add", "tree", "-y", env={"ATOMICSTATE_FAILPOINT": "live.done"})
    assert killed.status == -signal.SIGKILL
    box.done(then, "-y")
    assert box.has("/usr/bin/tree") == (then == "resume")
    assert len(box.json("status")["pending"]) == (then == "resume")


def test_ctrl_c_during_a_build_takes_everything_back(box: Box) -> None:
    box.done("package", "add", "tree", "-y", "--no-live")
    running = subprocess.Popen(
        [PROGRAM, "--sandbox", str(box.directory), "apply", "-y"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 60
        while box.json("status")["state"] != "containerfile" and time.monotonic() < deadline:
            time.sleep(0.1)
        os.kill(running.pid, signal.SIGINT)
        assert running.wait(60) == 130
    finally:
        running.kill()
        running.wait(10)
    assert box.json("status")["unfinished"] == []
    assert box.kinds()[-1] == "transaction.rolled_back"


def test_no_space_in_the_state_directory_says_so_and_loses_nothing(
    box: Box, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=True)
    try:
        state = small / "state"
        shutil.copytree(box.directory / "state", state)
        filler = small / "filler"
        with filler.open("wb") as file:
            try:
                while True:
                    file.write(bytes(4096))
                    file.flush()
            except OSError:
                pass
        full = atomicstate(
            "--state-dir", state, "package", "add", "tree", "--no-live", "-y", "-f", "json",
            sandbox=box.directory,
        )  # fmt: skip
        assert (full.status, full.code) == (11, "NO_SPACE")
        filler.unlink()
        assert atomicstate("--state-dir", state, "verify").status == 0
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_state_directory_that_can_not_be_written_says_so(box: Box, tmp_path: Path) -> None:
    frozen = tmp_path / "frozen"
    frozen.mkdir()
    subprocess.run(["mount", "--bind", "-o", "ro", box.directory / "state", frozen], check=True)
    try:
        ran = atomicstate(
            "--state-dir", frozen, "package", "add", "tree", "--no-live", "-y", "-f", "json",
            sandbox=box.directory,
        )  # fmt: skip
        assert (ran.status, ran.code) == (5, "PERMISSION")
    finally:
        subprocess.run(["umount", frozen], check=True)
    assert box.verified()


def test_a_second_apply_is_told_who_is_at_work(box: Box) -> None:
    box.done("package", "add", "tree", "-y", "--no-live")
    with box_state(box).pipeline("apply"):
        ran = box("apply", "-y", "-f", "json")
    assert (ran.status, ran.code) == (7, "LOCKED")
    assert str(os.getpid()) in ran.stdout


def box_state(box: Box):
    from atomicstate.store.state import State

    return State(box.directory / "state")
