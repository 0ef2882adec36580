"""A sandbox: made, used, rebooted, cut off, destroyed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from atomicstate.errors import (
    ConflictError,
    LockedError,
    NoOperationError,
    NoSpaceError,
    NotFoundError,
    NotPermittedError,
    ValidationError,
)
from atomicstate.host import mounts
from atomicstate.host.detect import open_host
from atomicstate.host.sandbox import layout, lifecycle
from tests.support.sandboxes import inside, mounted, processes_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atomicstate.host.sandbox.host import SandboxHost

pytestmark = [pytest.mark.sandbox, pytest.mark.xdist_group("sandbox")]


def power_cut_outside(host: SandboxHost) -> None:
    """What a reboot of the machine leaves: the files, and no mount."""
    mounts.unmount_below(host.sandbox.run)


# The running tree


def test_a_new_sandbox_has_the_base_image_booted(debian_host: SandboxHost) -> None:
    status = debian_host.deployer.status()
    image = debian_host.builder.resolve("localhost/atomicstate-base:bookworm")
    assert status.booted is not None
    assert (status.booted.image, status.booted.image_digest) == (image.reference, image.id)
    assert status.booted.labels == image.labels
    assert status.staged is None
    assert status.rollback is None
    assert status.boot is not None
    assert status.boot.checksum == status.booted.checksum


def test_the_package_database_lies_in_usr(debian_host: SandboxHost) -> None:
    assert inside(debian_host, "readlink", "-f", "/var/lib/dpkg").stdout == (
        "/usr/lib/sysimage/dpkg\n"
    )
    assert "ca-certificates" in inside(debian_host, "dpkg", "-l", "ca-certificates").stdout


def test_package_lists_are_there_from_the_start(debian_host: SandboxHost) -> None:
    assert "Package: hello" in inside(debian_host, "apt-cache", "show", "hello").stdout


def test_the_mirrors_are_debians_alone(debian_host: SandboxHost) -> None:
    targets = ["apt-get", "indextargets", "--format", "$(RELEASE)"]
    found = set(inside(debian_host, *targets).stdout.split())
    assert found
    assert all(name.startswith("bookworm") for name in found)


@pytest.mark.parametrize("path", ["/usr/x", "/x", "/opt/x", "/boot/x", "/sysroot/x"])
def test_the_tree_is_read_only(debian_host: SandboxHost, path: str) -> None:
    assert "Read-only file system" in inside(debian_host, "touch", path).stderr


@pytest.mark.parametrize("path", ["/etc/x", "/var/x", "/root/x", "/home/x", "/tmp/x", "/run/x"])
def test_what_a_machine_writes_to_can_be_written(debian_host: SandboxHost, path: str) -> None:
    assert inside(debian_host, "touch", path).returncode == 0
    assert inside(debian_host, "rm", path).returncode == 0


def test_the_disks_of_the_machine_are_not_there(debian_host: SandboxHost) -> None:
    found = inside(debian_host, "find", "/dev", "-type", "b").stdout
    assert found == ""


def test_a_package_does_not_start_a_daemon(debian_host: SandboxHost) -> None:
    assert inside(debian_host, "/usr/sbin/policy-rc.d").returncode == 101


# exec


def run_exec(directory: Path, *argv: str) -> subprocess.CompletedProcess[bytes]:
    program = (
        "import sys; from pathlib import Path; from atomicstate.host.sandbox import lifecycle;"
        "sys.exit(lifecycle.execute(Path(sys.argv[1]), sys.argv[2:]))"
    )
    return subprocess.run(
        [sys.executable, "-c", program, directory, *argv],
        input=b"from outside\n",
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_exec_joins_the_callers_streams_and_status(debian_host: SandboxHost) -> None:
    done = run_exec(debian_host.sandbox.directory, "sh", "-c", "cat; echo no >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"from outside\n", b"no\n")


def test_exec_tells_of_a_signal(debian_host: SandboxHost) -> None:
    assert run_exec(debian_host.sandbox.directory, "sh", "-c", "kill -9 $$").returncode == 137


def test_exec_of_no_such_command_exits_127(debian_host: SandboxHost) -> None:
    done = run_exec(debian_host.sandbox.directory, "no-such-command")
    assert done.returncode == 127


def test_exec_passes_no_environment_on(
    debian_host: SandboxHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "of the machine")
    assert b"SECRET" not in run_exec(debian_host.sandbox.directory, "env").stdout


# The overlay


def test_an_overlay_takes_writes_and_is_gone_after_a_reboot(sandbox_host: SandboxHost) -> None:
    overlay, directory = sandbox_host.overlay, sandbox_host.sandbox.directory
    before = sandbox_host.deployer.status()
    assert not overlay.state().active
    overlay.enable()
    assert (overlay.state().active, overlay.state().writable) == (True, True)
    assert inside(sandbox_host, "touch", "/usr/x", "/etc/kept", "/var/kept").returncode == 0
    overlay.enable()
    assert inside(sandbox_host, "test", "-e", "/usr/x").returncode == 0

    lifecycle.reboot(directory)

    after = sandbox_host.deployer.status()
    assert not overlay.state().active
    assert inside(sandbox_host, "test", "-e", "/usr/x").returncode == 1
    assert inside(sandbox_host, "test", "-e", "/etc/kept", "-a", "-e", "/var/kept").returncode == 0
    assert after.booted == before.booted
    assert after.boot is not None
    assert before.boot is not None
    assert after.boot.boot_id != before.boot.boot_id


@contextlib.contextmanager
def at_work_inside(host: SandboxHost) -> Iterator[None]:
    """Processes in the running system, which what is done in the block must end."""
    namespace = host.sandbox.pin.stat().st_ino
    with subprocess.Popen(host.running.command(["sleep", "100"])) as child:
        # nsenter needs a moment until it is in there.
        deadline = time.monotonic() + 20
        while child.pid not in processes_in(namespace) and time.monotonic() < deadline:
            time.sleep(0.02)
        there = processes_in(namespace)
        yield
        assert child.wait(20) == -signal.SIGKILL
    # By their ids: a namespace that comes later may get the number of the one that is gone.
    assert there
    assert [pid for pid in there if Path(f"/proc/{pid}").exists()] == []


def test_a_reboot_ends_what_runs_inside(sandbox_host: SandboxHost) -> None:
    with at_work_inside(sandbox_host):
        lifecycle.reboot(sandbox_host.sandbox.directory)


def test_a_lost_namespace_is_a_power_cut(sandbox_host: SandboxHost) -> None:
    image = sandbox_host.builder.resolve("localhost/atomicstate-base:bookworm")
    sandbox_host.deployer.stage(image)
    before = sandbox_host.deployer.status()
    assert before.staged is not None
    power_cut_outside(sandbox_host)

    # Another process, later: it has nothing but the directory.
    after = open_host(sandbox_host.sandbox.directory).deployer.status()

    assert after.staged is None
    assert after.booted == before.booted
    assert after.boot is not None
    assert before.boot is not None
    assert after.boot.boot_id != before.boot.boot_id
    assert inside(sandbox_host, "dpkg", "--version").returncode == 0


# Destroying


def test_destroying_leaves_nothing(sandbox_host: SandboxHost) -> None:
    sandbox = sandbox_host.sandbox
    sandbox_host.overlay.enable()
    with at_work_inside(sandbox_host):
        lifecycle.destroy(sandbox.directory)
    assert not sandbox.directory.exists()
    assert not sandbox.runtime.exists()
    assert mounted(sandbox.directory) == []


def test_destroying_after_a_reboot_of_the_machine_leaves_nothing(
    sandbox_host: SandboxHost,
) -> None:
    power_cut_outside(sandbox_host)
    lifecycle.destroy(sandbox_host.sandbox.directory)
    assert not sandbox_host.sandbox.directory.exists()
    assert mounted(sandbox_host.sandbox.directory) == []


def test_destroying_twice_says_that_there_is_none(sandbox_host: SandboxHost) -> None:
    lifecycle.destroy(sandbox_host.sandbox.directory)
    with pytest.raises(NotFoundError, match="not a sandbox"):
        lifecycle.destroy(sandbox_host.sandbox.directory)


def test_destroying_leaves_what_others_put_and_mounted_there(
    sandbox_host: SandboxHost, tmp_path: Path
) -> None:
    directory = sandbox_host.sandbox.directory
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    (directory / "notes").write_text("kept")
    (directory / "state/there").mkdir()
    mounts.bind(precious, directory / "state/there")

    lifecycle.destroy(directory)

    assert (precious / "file").read_text() == "kept"
    assert [path.name for path in directory.iterdir()] == ["notes"]
    assert mounted(directory) == []


def test_a_sandbox_that_is_worked_on_is_not_destroyed(
    debian_host: SandboxHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "_LOCK_LIMIT", 0.0)
    sandbox = debian_host.sandbox
    with layout.locked(sandbox.lock_file, "test"), pytest.raises(LockedError):
        lifecycle.destroy(sandbox.directory)
    assert inside(debian_host, "true").returncode == 0


# Creating


def test_creating_over_a_sandbox_changes_nothing(debian_host: SandboxHost) -> None:
    before = debian_host.deployer.status()
    with pytest.raises(NoOperationError, match="already"):
        lifecycle.create(debian_host.sandbox.directory)
    assert debian_host.deployer.status() == before


def test_creating_without_space_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    mounts.mount("tmpfs", tmp_path, "tmpfs", options="size=150m")
    try:
        with pytest.raises(NoSpaceError):
            lifecycle.create(tmp_path / "sandbox")
        assert list(tmp_path.iterdir()) == []
        assert len(mounted(tmp_path)) == 1
    finally:
        mounts.unmount_below(tmp_path)


@pytest.mark.slow
def test_a_killed_create_is_made_anew_by_the_next(tmp_path: Path, sandbox_template: Path) -> None:
    assert sandbox_template.exists()  # so that the base tar is there
    directory = tmp_path / "sandbox"
    program = (
        "import sys; from pathlib import Path; from atomicstate.host.sandbox import lifecycle;"
        "lifecycle.create(Path(sys.argv[1]), progress=lambda line: print(line, flush=True))"
    )
    argv = [sys.executable, "-c", program, str(directory)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert any("deploying" in line for line in child.stdout)
        time.sleep(0.5)
        os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(NotFoundError, match="not finished"):
        open_host(directory)

    said: list[str] = []
    lifecycle.create(directory, progress=said.append)
    try:
        assert "clearing away a sandbox that was not finished" in said
        assert open_host(directory).deployer.status().booted is not None
    finally:
        lifecycle.destroy(directory)
    assert mounted(directory) == []


def test_a_system_that_was_cut_short_while_starting_is_started_anew(
    sandbox_host: SandboxHost,
) -> None:
    before = sandbox_host.running.boot()
    # A kill between the pin and the record.
    sandbox_host.sandbox.boot_record.unlink()
    after = sandbox_host.running.boot()
    assert after.boot_id != before.boot_id
    assert len(mounted(sandbox_host.sandbox.run)) == 2
    assert inside(sandbox_host, "true").returncode == 0


@pytest.mark.parametrize("name", ["a:b", "a,b", "a\\b", "a\nb"])
def test_a_path_that_divides_the_options_of_a_mount_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValidationError, match="divides"):
        lifecycle.create(tmp_path / name / "sandbox")
    assert list(tmp_path.iterdir()) == []


# Strangers


def test_a_strangers_directory_is_not_destroyed(tmp_path: Path) -> None:
    (tmp_path / "sysroot").mkdir()
    with pytest.raises(NotFoundError, match="nothing was removed"):
        lifecycle.destroy(tmp_path)
    assert (tmp_path / "sysroot").is_dir()


def test_a_directory_that_holds_something_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(ConflictError, match="not an empty directory"):
        lifecycle.create(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_directory_that_is_no_sandbox_is_named_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as raised:
        open_host(tmp_path / "none")
    assert "atomicstate sandbox create" in raised.value.hint


def test_without_root_it_says_so(debian_host: SandboxHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NotPermittedError, match="needs root"):
        open_host(debian_host.sandbox.directory)
