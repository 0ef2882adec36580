"""Images built with podman, staged and deployed with OSTree, in a sandbox."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from atomicstate.errors import ContainerError, HostError, ImageError, NoSpaceError, ValidationError
from atomicstate.host import mounts, working
from atomicstate.host.ports import LABEL_LOG, LABEL_TRANSACTION
from atomicstate.host.sandbox import lifecycle
from atomicstate.recipe.labels import LABEL_RENDERER, LABEL_WHOLE
from tests.support.sandboxes import build, inside

if TYPE_CHECKING:
    from atomicstate.host.ports import Image
    from atomicstate.host.sandbox.host import SandboxHost

pytestmark = [pytest.mark.sandbox, pytest.mark.xdist_group("deploying")]

BASE = "localhost/atomicstate-base:bookworm"
TAG = "localhost/atomicstate:made"
LABELS = {LABEL_LOG: "log", LABEL_TRANSACTION: "t1", "text": 'a "b", \\ c=d'}


@pytest.fixture(scope="module")
def made(shared_host: SandboxHost) -> Image:
    """An image that adds a file and a package, and drops a package, on the base."""
    script = (
        "apt-get update -q && apt-get install -q -y --no-install-recommends player"
        " && dpkg --remove --force-depends util-linux-extra"
        " && echo of the image >/etc/image && echo old >/etc/both && rm /etc/motd"
    )
    build(shared_host, script, TAG, LABELS)
    return shared_host.builder.resolve(TAG)


def working_containers(host: SandboxHost) -> str:
    argv = host.builder.storage.buildah("containers", "--quiet", "--all")
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout


def containers(host: SandboxHost) -> int:
    return len(list(host.sandbox.storage.glob("overlay-containers/*/")))


def refs(host: SandboxHost) -> set[str]:
    argv = ["ostree", f"--repo={host.sandbox.sysroot}/ostree/repo", "refs", "--list"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


def unstage(host: SandboxHost) -> None:
    staged = host.deployer.status().staged
    if staged is not None:
        host.deployer.unstage(staged.checksum)


def boot(host: SandboxHost, image: Image) -> None:
    booted = host.deployer.status().booted
    if booted is None or booted.image_digest != image.id:
        host.deployer.stage(image)
        lifecycle.reboot(host.sandbox.directory)


def runs_with(argument: str) -> list[str]:
    """The command lines of all processes that hold `argument`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_text().replace("\0", " "))
    return [line for line in found if argument in line]


# The builder


def test_a_built_image_is_found_by_its_labels(shared_host: SandboxHost, made: Image) -> None:
    assert shared_host.builder.find(LABELS) == made
    assert LABELS.items() <= made.labels.items()


def test_an_image_is_not_found_by_a_label_too_many(shared_host: SandboxHost, made: Image) -> None:
    assert shared_host.builder.find({**LABELS, "other": "label"}) is None


def test_a_labels_value_is_no_pattern(shared_host: SandboxHost, made: Image) -> None:
    assert shared_host.builder.find({LABEL_LOG: "l*"}) is None


def test_an_image_is_resolved_by_its_id(shared_host: SandboxHost, made: Image) -> None:
    assert shared_host.builder.resolve(made.id) == made


def test_an_unknown_image_is_an_image_error(shared_host: SandboxHost) -> None:
    with pytest.raises(ImageError, match="there is no image"):
        shared_host.builder.resolve("localhost/none:at-all")


@pytest.mark.parametrize("name", ["--all", "a\nb", "", "a b", "x" * 600, "$(id)"])
def test_what_is_no_reference_is_refused(shared_host: SandboxHost, name: str) -> None:
    with pytest.raises(ValidationError, match="not an image reference"):
        shared_host.builder.resolve(name)


def test_a_failing_build_tells_its_last_words_and_leaves_nothing(
    shared_host: SandboxHost,
) -> None:
    with pytest.raises(ContainerError, match="words of the script") as raised:
        build(shared_host, "echo words of the script; exit 7", "localhost/x:failing", {})
    assert "exited 7" in raised.value.message
    with pytest.raises(ImageError):
        shared_host.builder.resolve("localhost/x:failing")
    assert working_containers(shared_host) == ""


def test_every_line_of_a_build_is_handed_over(shared_host: SandboxHost, tmp_path: Path) -> None:
    (tmp_path / "Containerfile").write_text(f"FROM {BASE}\nRUN echo one; echo two; exit 1\n")
    lines: list[str] = []
    with pytest.raises(ContainerError):
        shared_host.builder.build(
            tmp_path, tmp_path / "Containerfile", {}, "localhost/x:lines", lines.append
        )
    assert lines.index("one") + 1 == lines.index("two")


def test_a_base_that_is_not_there_is_not_fetched(shared_host: SandboxHost, tmp_path: Path) -> None:
    (tmp_path / "Containerfile").write_text("FROM localhost/not-here:1\n")
    with pytest.raises(ContainerError, match="not-here"):
        shared_host.builder.build(
            tmp_path, tmp_path / "Containerfile", {}, "localhost/x:none", lambda _line: None
        )


def test_a_build_without_space_says_so(shared_host: SandboxHost) -> None:
    with pytest.raises(NoSpaceError):
        build(shared_host, "head -c 1 /dev/zero >/dev/full", "localhost/x:full", {})


def test_removing_an_image_leaves_the_others_and_what_others_build(
    shared_host: SandboxHost,
) -> None:
    build(shared_host, "true", "localhost/x:removed", {})
    storage = shared_host.builder.storage
    made = subprocess.run(
        storage.buildah("from", BASE), capture_output=True, text=True, timeout=60, check=True
    )
    try:
        shared_host.builder.remove("localhost/x:removed")
        assert working_containers(shared_host) != ""
    finally:
        argv = storage.buildah("rm", made.stdout.strip())
        subprocess.run(argv, capture_output=True, timeout=60, check=True)
    with pytest.raises(ImageError):
        shared_host.builder.resolve("localhost/x:removed")
    shared_host.builder.remove("localhost/x:removed")
    assert shared_host.builder.resolve(BASE).reference == BASE


@pytest.mark.parametrize("cleared_by", ["removing", "the-next-build"])
def test_a_killed_build_leaves_nothing_for_ever(
    shared_host: SandboxHost, tmp_path: Path, cleared_by: str
) -> None:
    (tmp_path / "Containerfile").write_text(f"FROM {BASE}\nRUN echo begun; sleep 299.5\n")
    program = (
        "import sys; from pathlib import Path; from atomicstate.host.detect import open_host;"
        "context = Path(sys.argv[2]); open_host(Path(sys.argv[1])).builder.build(context,"
        " context / 'Containerfile', {}, 'localhost/x:killed', lambda line: print(line, flush=True)"
        ")"
    )
    argv = [sys.executable, "-c", program, str(shared_host.sandbox.directory), str(tmp_path)]
    before = mounts.mounts_below(shared_host.sandbox.directory)
    kept = containers(shared_host)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert any(line == "begun\n" for line in child.stdout)
        child.kill()
    deadline = time.monotonic() + 20
    while runs_with("299.5") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert runs_with("299.5") == []
    assert mounts.mounts_below(shared_host.sandbox.directory) == before
    # What would lie in /var/tmp for ever.
    assert list(shared_host.builder.storage.scratch.glob("buildah[0-9]*")) != []
    assert working_containers(shared_host) != ""
    if cleared_by == "removing":
        shared_host.builder.remove("localhost/x:killed")
    else:
        build(shared_host, "true", "localhost/x:next", {})
    assert working_containers(shared_host) == ""
    assert not shared_host.builder.storage.scratch.exists()
    assert containers(shared_host) == kept


def test_what_was_built_when_the_machine_went_down_is_not_trusted(
    shared_host: SandboxHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder, said = shared_host.builder, []
    (tmp_path / "boot").write_text("another boot\n")

    def make(tag: str, text: str) -> None:
        label = {LABEL_LOG: "log", LABEL_TRANSACTION: text}
        (tmp_path / "Containerfile").write_text(
            f"FROM {BASE}\nLABEL {LABEL_RENDERER}=1\nRUN echo {text}\nLABEL {LABEL_WHOLE}=1\n"
        )
        builder.build(tmp_path, tmp_path / "Containerfile", label, tag, said.append)

    make("localhost/x:earlier", "earlier")
    time.sleep(1.5)
    with monkeypatch.context() as patched:
        patched.setattr(working, "BOOT_ID", tmp_path / "boot")
        # The power goes before the scratch does.
        patched.setattr(working.Working, "_clear", lambda _self: None)
        make("localhost/x:cut", "cut")
    builder.clean()
    assert builder.find({LABEL_TRANSACTION: "cut"}) is None
    assert builder.find({LABEL_TRANSACTION: "earlier"}) is not None
    said.clear()
    make("localhost/x:cut", "cut")
    # No layer of it came from the cache.
    assert "cut" in said
    assert builder.find({LABEL_TRANSACTION: "cut"}) is not None
    assert not builder.storage.scratch.exists()
    builder.remove("localhost/x:cut")
    builder.remove("localhost/x:earlier")


# Staging


def test_a_full_repository_refuses_and_leaves_nothing(shared_host: SandboxHost) -> None:
    unstage(shared_host)
    build(shared_host, "touch /usr/lib/full", "localhost/x:full", {})
    repo = shared_host.sandbox.sysroot / "ostree/repo"
    before = refs(shared_host)
    config = (repo / "config").read_text()
    (repo / "config").write_text(config.replace("[core]", "[core]\nmin-free-space-percent=99"))
    try:
        with pytest.raises(NoSpaceError):
            shared_host.deployer.stage(shared_host.builder.resolve("localhost/x:full"))
    finally:
        (repo / "config").write_text(config)
    assert shared_host.deployer.status().staged is None
    assert refs(shared_host) == before


def test_unstaging_leaves_the_repository_as_it_was(shared_host: SandboxHost) -> None:
    unstage(shared_host)
    before = refs(shared_host)
    build(shared_host, "touch /usr/lib/unstaged", "localhost/x:unstaged", {})
    shared_host.deployer.stage(shared_host.builder.resolve("localhost/x:unstaged"))
    status = shared_host.deployer.status()
    assert status.staged is not None
    assert refs(shared_host) != before
    shared_host.deployer.unstage("0" * 64)
    assert shared_host.deployer.status().staged == status.staged

    shared_host.deployer.unstage(status.staged.checksum)

    assert shared_host.deployer.status().staged is None
    assert refs(shared_host) == before
    shared_host.deployer.unstage(status.staged.checksum)


# From here on the image stays staged: to stage it again costs nothing.


def test_a_staged_image_shows_with_its_labels(shared_host: SandboxHost, made: Image) -> None:
    shared_host.deployer.stage(made)
    status = shared_host.deployer.status()
    assert status.staged is not None
    assert status.staged.labels[LABEL_TRANSACTION] == "t1"
    assert (status.staged.image, status.staged.image_digest) == (TAG, made.id)
    assert status.staged.labels == made.labels


def test_staging_what_is_staged_changes_nothing(shared_host: SandboxHost, made: Image) -> None:
    shared_host.deployer.stage(made)
    before = shared_host.sandbox.staged_record.stat()
    shared_host.deployer.stage(made)
    assert shared_host.sandbox.staged_record.stat().st_ino == before.st_ino


def test_nothing_of_a_staging_stays_mounted(shared_host: SandboxHost, made: Image) -> None:
    before = mounts.mounts_below(shared_host.sandbox.directory)
    shared_host.deployer.stage(made)
    assert mounts.mounts_below(shared_host.sandbox.directory) == before
    assert mounts.mounts_below(shared_host.sandbox.runtime) == []


def test_what_can_not_be_deployed_is_refused_and_leaves_what_was_staged(
    shared_host: SandboxHost, made: Image
) -> None:
    shared_host.deployer.stage(made)
    before, present = shared_host.deployer.status(), refs(shared_host)
    build(shared_host, "rm -rf /usr/lib/modules", "localhost/x:bad", {})
    with pytest.raises(ImageError, match="vmlinuz"):
        shared_host.deployer.stage(shared_host.builder.resolve("localhost/x:bad"))
    assert shared_host.deployer.status() == before
    assert refs(shared_host) == present


# Booting


def test_a_power_cut_loses_what_was_only_staged(shared_host: SandboxHost, made: Image) -> None:
    shared_host.deployer.stage(made)
    before = shared_host.deployer.status()
    lifecycle.reboot(shared_host.sandbox.directory, power_cut=True)
    after = shared_host.deployer.status()
    assert after.staged is None
    assert after.booted == before.booted


def test_a_staging_that_can_not_be_finished_keeps_the_system_up(
    shared_host: SandboxHost, made: Image
) -> None:
    shared_host.deployer.stage(made)
    before = shared_host.deployer.status()
    commit = before.staged.checksum  # type: ignore[union-attr]
    path = shared_host.sandbox.sysroot / f"ostree/repo/objects/{commit[:2]}/{commit[2:]}.commit"
    path.rename(path.with_suffix(".away"))
    try:
        with pytest.raises(HostError, match="could not deploy"):
            lifecycle.reboot(shared_host.sandbox.directory)
        assert shared_host.deployer.status() == before
    finally:
        path.with_suffix(".away").rename(path)


def test_a_reboot_boots_what_is_staged(shared_host: SandboxHost, made: Image) -> None:
    boot(shared_host, shared_host.builder.resolve(BASE))
    before = shared_host.deployer.status().booted
    inside(shared_host, "sh", "-c", "echo of the person >/etc/both; echo >/etc/own; touch /var/own")
    shared_host.deployer.stage(made)

    lifecycle.reboot(shared_host.sandbox.directory)

    status = shared_host.deployer.status()
    assert status.booted is not None
    assert (status.booted.image_digest, status.booted.labels[LABEL_TRANSACTION]) == (made.id, "t1")
    assert (status.rollback, status.rollback_queued) == (before, False)
    assert status.staged is None
    assert inside(shared_host, "cat", "/usr/share/player/version").stdout == "1.0"
    assert "\nii  player " in inside(shared_host, "dpkg", "-l", "player").stdout
    assert inside(shared_host, "test", "-e", "/usr/bin/fincore").returncode == 1
    assert inside(shared_host, "apt-mark", "showauto").returncode == 0
    # /etc is merged, /var is kept.
    read = inside(shared_host, "cat", "/etc/image", "/etc/both").stdout
    assert read == "of the image\nof the person\n"
    assert inside(shared_host, "test", "-e", "/etc/own", "-a", "-e", "/var/own").returncode == 0
    assert inside(shared_host, "test", "-e", "/etc/motd").returncode == 1


def test_the_next_one_replaces_the_rollback_and_its_commit(
    shared_host: SandboxHost, made: Image
) -> None:
    boot(shared_host, made)
    build(shared_host, "touch /usr/lib/next", "localhost/x:next", {LABEL_TRANSACTION: "t2"})
    shared_host.deployer.stage(shared_host.builder.resolve("localhost/x:next"))
    lifecycle.reboot(shared_host.sandbox.directory)
    status = shared_host.deployer.status()
    assert status.booted is not None
    assert status.rollback is not None
    assert status.booted.labels[LABEL_TRANSACTION] == "t2"
    assert status.rollback.labels[LABEL_TRANSACTION] == "t1"
    images = {ref.rpartition("/")[2] for ref in refs(shared_host) if "/image/" in ref}
    assert images == {
        status.booted.image_digest.removeprefix("sha256:"),
        status.rollback.image_digest.removeprefix("sha256:"),
    }
