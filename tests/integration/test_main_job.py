"""The main job, end to end, as the installed command does it in a real sandbox."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from atomicstate.errors import NotFoundError
from atomicstate.host.sandbox import lifecycle
from tests.support.debs import build_deb
from tests.support.program import PROGRAM, Ran, atomicstate
from tests.support.sandboxes import (
    build,
    copy_of,
    for_all_workers,
    inside,
    shared_template,
)
from tests.support.tiny import deb, make_tiny

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from atomicstate.host.sandbox.host import SandboxHost
    from atomicstate.host.sandbox.running import Running

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

BASE = "localhost/atomicstate-base:bookworm"


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


@pytest.fixture(scope="session")
def local_template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A sandbox, switched off, whose tree and base know a repository of the test's own alone."""

    def make(template: Path) -> Running:
        scratch = tmp_path_factory.mktemp("packages")
        made = scratch / "debs"
        debs = [
            deb(made, "tool", depends="tool-data"),
            deb(made, "tool-data"),
            deb(made, "rival", conflicts="tool"),
            deb(made, "bad", postinst="echo broken on purpose >&2; exit 1"),
            deb(made, "slow", postinst="sleep 60"),
            # Something that comes while it is installed live, and that no image has.
            build_deb(
                made,
                "service",
                files={"/etc/service.conf": "its own\n", "/usr/share/service/version": "1.0"},
                conffiles=["/etc/service.conf"],
                postinst="test -d /run/atomicstate-archives || echo mine >/etc/only-here",
            ),
        ]
        return make_tiny(template, debs, scratch)

    with shared_template(for_all_workers(tmp_path_factory) / "local-template", make) as template:
        yield template


@pytest.fixture
def box(local_template: Path, tmp_path: Path) -> Iterator[Box]:
    """A machine that was adopted, with a tiny base and a few small packages."""
    directory = tmp_path / "box"
    try:
        box = Box(copy_of(local_template, directory))
        recipe = box.directory / "state/recipe"
        recipe.mkdir(parents=True)
        (recipe / "image.yml").write_text(f"image: {BASE}\nmodules: []\n")
        box.done("init")
        yield box
    finally:
        with contextlib.suppress(NotFoundError):
            lifecycle.destroy(directory)


def test_a_package_goes_from_the_overlay_into_the_image_and_boots(
    sandbox_host: SandboxHost,
) -> None:
    box = Box(sandbox_host)
    box.done("init")
    box.done("package", "add", "jq", "-y")
    assert box.has("/usr/bin/jq")
    box.done("package", "remove", "ca-certificates", "-y")
    box.done("apply", "-y")
    shown = box.json("status")
    assert shown["state"] == "switched"
    assert shown["pending"] == []
    box.reboot()
    assert box.has("/usr/bin/jq")
    assert not box.has("/usr/sbin/update-ca-certificates")
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
    box.done("package", "add", "tool", "-y", "--no-live")
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


def test_a_live_install_that_fails_is_taken_back_and_nothing_is_recorded(box: Box) -> None:
    ran = box("package", "add", "bad", "-y", "-f", "json")
    assert (ran.status, ran.code) == (4, "APT")
    known = inside(box.host, "dpkg-query", "-W", "-f", "${db:Status-Status}", "bad").stdout
    assert known in ("", "not-installed")
    assert box.json("status")["pending"] == []
    assert "package.added" not in box.kinds()


def test_packages_in_conflict_are_refused_and_nothing_is_recorded(box: Box) -> None:
    before = box.json("status")["head"]
    ran = box("package", "add", "tool", "rival", "-y", "-f", "json")
    assert (ran.status, ran.code) == (4, "APT")
    assert box.json("status")["head"] == before


def test_a_failing_build_leaves_all_as_it_was(box: Box) -> None:
    box.done("package", "add", "bad", "--no-live", "-y")
    ran = box("apply", "-y", "-f", "json")
    assert (ran.status, ran.code) == (9, "CONTAINER")
    shown = box.json("status")
    assert [item["data"]["names"] for item in shown["pending"]] == [["bad"]]
    assert shown["state"] == "recorded"
    assert shown["host"]["staged"] is None
    assert not list((box.directory / "state/txn").iterdir())
    assert box.verified()


def test_after_a_failing_build_the_bad_package_can_be_taken_out(box: Box) -> None:
    box.done("package", "add", "bad", "--no-live", "-y")
    assert box("apply", "-y").status == 9
    box.done("package", "remove", "bad", "--no-live", "-y")
    box.done("package", "add", "tool", "--no-live", "-y")
    box.done("apply", "-y")
    box.reboot()
    assert inside(box.host, "dpkg-query", "-W", "tool", "tool-data").returncode == 0


def test_a_power_cut_after_apply_loses_nothing_but_the_staging(box: Box) -> None:
    box.done("package", "add", "tool", "-y", "--no-live")
    box.done("apply", "-y")
    box.reboot("--power-cut")
    shown = box.json("status")
    assert shown["host"]["staged"] is None
    assert [item["data"]["names"] for item in shown["pending"]] == [["tool"]]
    box.done("apply", "-y")
    box.reboot()
    assert box.has("/usr/share/tool/version")


def test_why_ostree_could_not_finish_what_was_staged_is_told(box: Box) -> None:
    box.done("package", "add", "tool", "-y", "--no-live")
    box.done("apply", "-y")
    stamp = box.directory / "sysroot/boot/ostree/finalize-failure.stamp"
    stamp.parent.mkdir(exist_ok=True)
    stamp.write_text("error: Bootloader write config\n")
    box.reboot("--power-cut")
    assert "OSTree: error: Bootloader write config" in box("status").stdout
    box.done("resume", "-y")
    stamp.unlink()
    assert "Bootloader" not in box("status").stdout
    assert "OSTree: error: Bootloader write config" in box("log").stdout


def test_after_a_power_cut_the_overlay_comes_back_without_a_network(
    sandbox_host: SandboxHost,
) -> None:
    box = Box(sandbox_host)
    box.done("init")
    box.done("package", "add", "jq", "-y")
    box.done("apply", "-y")
    nowhere = "".join(
        f'Acquire::{scheme}::Proxy "http://127.0.0.1:9/";\n' for scheme in ("http", "https")
    )
    write = f"cat >/etc/apt/apt.conf.d/zz-offline <<'E'\n{nowhere}E\n"
    assert inside(box.host, "sh", "-c", write).returncode == 0
    box.reboot("--power-cut")
    assert not box.has("/usr/bin/jq")
    found = box.json("resume", "--boot")
    assert [item["mode"] for item in found["done"]] == ["restore", "deploy"]
    assert box.has("/usr/bin/jq")
    box.reboot()
    assert inside(box.host, "sh", "-c", "ls /var/cache/apt/archives/*.deb").returncode == 0
    box.done("resume", "--boot")
    assert inside(box.host, "sh", "-c", "ls /var/cache/apt/archives/*.deb").returncode != 0
    assert box.has("/usr/bin/jq")


def test_only_what_the_next_image_has_makes_way_for_it_in_etc(box: Box) -> None:
    box.done("package", "add", "service", "-y")
    assert box.has("/etc/service.conf")
    assert box.json("withdraw")["withdrawn"] == []
    box.done("apply", "-y")
    staged = box.json("status")["host"]["staged"]["transaction"]
    assert box.json("withdraw")["withdrawn"] == ["/etc/service.conf"]
    assert not box.has("/etc/service.conf")
    assert box.has("/etc/only-here")
    box.reboot()
    assert box.json("status")["host"]["booted"]["transaction"] == staged
    assert box.has("/etc/service.conf")
    assert box.has("/etc/only-here")


def test_a_foreign_deployment_is_adopted_its_newer_image_taken_and_left_again(box: Box) -> None:
    box.done("package", "add", "tool", "-y", "--no-live")
    foreign = "localhost/foreign:1"
    build(box.host, "touch /usr/share/first", foreign, {}, BASE)
    old = box.host.builder.resolve(foreign)
    box.host.deployer.stage(old)
    assert box("apply", "-y", "-f", "json").code == "CONFLICT"
    assert box.json("adopt")["image_id"] == old.id
    box.done("apply", "-y")
    box.reboot()
    assert box.has("/usr/share/first")
    assert box.has("/usr/share/tool/version")
    build(box.host, "touch /usr/share/second", foreign, {}, BASE)
    box.host.builder.clean()
    assert box.host.builder.resolve(old.id).id == old.id, "a base without a name is no garbage"
    box.done("base", "update", "-y")
    box.done("leave", "-y")
    box.reboot()
    assert box.has("/usr/share/second")
    assert not box.has("/usr/share/tool/version")
    assert box.verified()


def test_prune_leaves_what_is_deployed_and_goes_on_after_a_kill(box: Box) -> None:
    made = []
    for name in ("tool-data", "tool", "rival"):
        if name == "rival":
            box.done("package", "remove", "tool", "-y", "--no-live")
        box.done("package", "add", name, "-y", "--no-live")
        made.append(box.json("apply", "-y"))
        box.reboot()
    killed = box("prune", "--keep", "0", "-y", env={"ATOMICSTATE_FAILPOINT": "prune.started"})
    assert killed.status == -signal.SIGKILL
    box.done("resume", "-y")
    kept = {image.id for image in box.host.builder.images({})}
    assert [item["image"] in kept for item in made] == [False, True, True]
    assert box.json("prune", "--keep", "0", "-y")["removed"] == []
    assert box.verified()


# tests/crash has all the other points.
@pytest.mark.parametrize(("point", "then"), [("build.done", "resume"), ("switch.done", "abort")])
def test_a_killed_apply_is_finished_or_taken_back(box: Box, point: str, then: str) -> None:
    box.done("package", "add", "tool", "-y", "--no-live")
    killed = box("apply", "-y", env={"ATOMICSTATE_FAILPOINT": point})
    assert killed.status == -signal.SIGKILL
    assert box.json("status")["unfinished"][0]["step"] == point.split(".", maxsplit=1)[0]
    refused = box("apply", "-y", "-f", "json")
    assert (refused.status, refused.code) == (6, "INTERRUPTED")
    box.done(then, "-y")
    shown = box.json("status")
    assert shown["unfinished"] == []
    if then == "resume":
        assert shown["state"] == "switched"
        box.reboot()
        assert box.has("/usr/share/tool/version")
    else:
        assert shown["host"]["staged"] is None
        assert [item["data"]["names"] for item in shown["pending"]] == [["tool"]]
    assert box.verified()


@pytest.mark.parametrize("then", ["resume", "abort"])
def test_a_killed_install_is_finished_or_taken_back(sandbox_host: SandboxHost, then: str) -> None:
    box = Box(sandbox_host)
    box.done("init")
    killed = box("package", "add", "tree", "-y", env={"ATOMICSTATE_FAILPOINT": "live.done"})
    assert killed.status == -signal.SIGKILL
    box.done(then, "-y")
    assert box.has("/usr/bin/tree") == (then == "resume")
    assert len(box.json("status")["pending"]) == (then == "resume")


@contextlib.contextmanager
def slow_apply(box: Box) -> Iterator[subprocess.Popen[bytes]]:
    """An apply that is at its build, in the background."""
    box.done("package", "add", "slow", "-y", "--no-live")
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
        yield running
    finally:
        running.kill()
        running.wait(10)


def test_ctrl_c_during_a_build_takes_everything_back(box: Box) -> None:
    with slow_apply(box) as running:
        os.kill(running.pid, signal.SIGINT)
        assert running.wait(60) == 130
    assert box.json("status")["unfinished"] == []
    assert box.kinds()[-1] == "transaction.rolled_back"


def test_a_second_ctrl_c_ends_it_at_once_and_abort_takes_it_back(box: Box) -> None:
    with slow_apply(box) as running:
        os.kill(running.pid, signal.SIGINT)
        time.sleep(0.05)
        os.kill(running.pid, signal.SIGINT)
        assert running.wait(10) == 130
    box.done("abort", "-y")
    shown = box.json("status")
    assert (shown["unfinished"], shown["host"]["staged"]) == ([], None)
    assert box.verified()


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
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        full = atomicstate(
            "--state-dir", state, "package", "add", "tool", "--no-live", "-y", "-f", "json",
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
            "--state-dir", frozen, "package", "add", "tool", "--no-live", "-y", "-f", "json",
            sandbox=box.directory,
        )  # fmt: skip
        assert (ran.status, ran.code) == (5, "PERMISSION")
    finally:
        subprocess.run(["umount", frozen], check=True)
    assert box.verified()


def test_a_second_apply_is_told_who_is_at_work(box: Box) -> None:
    box.done("package", "add", "tool", "-y", "--no-live")
    with box_state(box).pipeline("apply"):
        ran = box("apply", "-y", "-f", "json")
    assert (ran.status, ran.code) == (7, "LOCKED")
    assert str(os.getpid()) in ran.stdout


@pytest.mark.parametrize("verb", ["reboot", "destroy"])
def test_a_sandbox_is_not_rebooted_or_destroyed_under_who_is_at_work(box: Box, verb: str) -> None:
    before = box.json("status")
    with box_state(box).pipeline("apply"):
        ran = atomicstate("sandbox", verb, box.directory, "-y", "-f", "json")
    assert (ran.status, ran.code) == (7, "LOCKED")
    assert f"`apply` (process {os.getpid()}" in ran.stdout
    assert box.json("status") == before


def test_with_wait_a_second_apply_has_its_turn_when_the_first_has_ended(box: Box) -> None:
    box.done("package", "add", "tool", "-y", "--no-live")
    with contextlib.ExitStack() as held:
        held.enter_context(box_state(box).pipeline("apply"))
        waiting = subprocess.Popen(
            [PROGRAM, "--sandbox", str(box.directory), "apply", "-y", "--wait"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert waiting.stderr is not None
        assert f"waiting for `apply` (process {os.getpid()}" in waiting.stderr.readline()
        held.close()
        waiting.communicate(timeout=120)
    assert waiting.returncode == 0
    assert box.json("status")["state"] == "switched"


def test_the_undo_of_a_live_add_takes_it_out_of_the_overlay(box: Box) -> None:
    before = inside(box.host, "dpkg", "--audit").stdout
    box.done("package", "add", "tool", "-y")
    assert box.has("/usr/share/tool-data/version")
    seq = box.json("log")["events"][-1]["seq"]
    box.done("undo", str(seq), "-y", "-m", "not what was needed")
    assert not box.has("/usr/share/tool/version")
    assert not box.has("/usr/share/tool-data/version")
    assert inside(box.host, "dpkg", "--audit").stdout == before
    assert box.json("status")["pending"] == []
    assert box.kinds()[-3:] == ["step.done", "wanted.changed", "note.added"]
    assert box.verified()


def test_the_undo_of_an_applied_one_is_applied_and_booted_and_can_be_restored(box: Box) -> None:
    box.done("package", "add", "tool", "-y", "--no-live")
    point = str(box.json("log")["events"][-1]["seq"])
    then = box.json("replay", "--to", point)
    box.done("apply", "-y")
    box.reboot()
    assert box.has("/usr/share/tool/version")
    box.done("undo", point, "-y")
    assert [item["change"] for item in box.json("status")["pending"]] == ["drop"]
    box.done("apply", "-y")
    box.reboot()
    assert not box.has("/usr/share/tool/version")
    box.done("replay", "--to", point, "--apply", "-y")
    box.reboot()
    assert box.has("/usr/share/tool/version")
    assert box.json("config", "show")["digest"] == then["recipe_digest"]
    assert box.verified()


def box_state(box: Box):
    from atomicstate.store.state import State

    return State(box.directory / "state")


def test_back_to_the_deployment_before_and_to_a_transaction(box: Box) -> None:
    def etc(name: str) -> bool:
        return box.has(f"/etc/{name}")

    def write(name: str) -> None:
        assert inside(box.host, "sh", "-c", f"echo mine >/etc/{name}").returncode == 0

    box.done("package", "add", "tool", "-y", "--no-live")
    made = box.json("apply", "-y")
    box.reboot()
    write("written-with-the-tool")
    back = box.json("rollback", "-y")
    assert (back["mode"], back["etc"], back["target"]["transaction"]) == (
        "rollback",
        "as-it-was",
        None,
    )
    again = box("rollback", "-y", "-f", "json")
    assert (again.status, again.code) == (8, "NO_OPERATION")
    box.reboot()
    assert not box.has("/usr/share/tool/version")
    assert not etc("written-with-the-tool")
    assert [item["seq"] for item in box.json("status")["held"]] == back["held"] == made["actions"]
    # Its image is gone: it is built again from the log, and today's /etc goes along.
    box.host.builder.remove_image(made["image"])
    write("written-without-it")
    to = box.json("rollback", "--to", made["transaction"], "-y")
    assert (to["mode"], to["etc"], to["held"]) == ("deploy", "merged", [])
    box.reboot()
    assert box.has("/usr/share/tool/version")
    assert etc("written-without-it")
    shown = box.json("status")
    assert shown["host"]["booted"]["transaction"] == made["transaction"]
    assert (shown["held"], shown["pending"], shown["unfinished"]) == ([], [], [])
    assert box.verified()


def test_deployments_that_were_reordered_by_hand_are_noticed_and_left(box: Box) -> None:
    box.done("package", "add", "tool", "-y")
    box.done("apply", "-y")
    box.reboot()
    box.done("resume", "-y")
    _put_last_first(box.directory / "sysroot")
    box.done("resume", "-y")
    observed = box.json("log")["events"][-1]
    assert (observed["kind"], observed["data"]["queued"]) == ("host.observed", True)
    box.reboot()
    box.done("resume", "--boot")
    assert box.json("log")["events"][-1]["kind"] == "host.booted"
    assert not box.has("/usr/share/tool/version")
    shown = box.json("status")
    assert [item["data"]["names"] for item in shown["pending"]] == [["tool"]]
    assert (shown["held"], shown["host"]["staged"]) == ([], None)


def _put_last_first(sysroot: Path) -> None:
    """What a person does with OSTree's own means."""
    script = (
        "import gi, sys; gi.require_version('OSTree', '1.0');"
        "from gi.repository import Gio, OSTree;"
        "it = OSTree.Sysroot.new(Gio.File.new_for_path(sys.argv[1])); it.load(None);"
        "it.write_deployments(list(reversed(it.get_deployments())), None)"
    )
    argv = ["unshare", "--mount", "/usr/bin/python3", "-c", script, str(sysroot)]
    subprocess.run(argv, check=True, timeout=60)
