"""bootc's traps, one by one: what a driver that believes bootc's words would fall into.

The tests share one host, and leave it with nothing staged and nothing queued.
"""

from __future__ import annotations

import fcntl
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from atomicstate.errors import HostError, NoSpaceError, UnclearError
from atomicstate.host.ports import LABEL_LOG, LABEL_TRANSACTION, OverlayState
from atomicstate.host.sandbox import lifecycle
from tests.support.program import atomicstate
from tests.support.sandboxes import LIMIT, build, inside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atomicstate.host.ports import Image
    from atomicstate.host.sandbox.host import SandboxHost

pytestmark = [pytest.mark.sandbox, pytest.mark.xdist_group("contract")]

LOG = "20" * 16
TAG = "localhost/traps:same"


@pytest.fixture(scope="module")
def images(bootc_host: SandboxHost) -> tuple[Image, Image]:
    """Two images that were given the same name, one after the other, and have their own too."""
    found = []
    for name in ("one", "two"):
        build(
            bootc_host,
            f"echo {name} >/usr/lib/made",
            TAG,
            {LABEL_LOG: LOG, LABEL_TRANSACTION: name},
        )
        found.append(bootc_host.builder.resolve(TAG))
        # An image of ours without any name is half-built, and goes with the next build.
        rename = bootc_host.builder.storage.argv("tag", TAG, f"localhost/traps:{name}")
        subprocess.run(rename, check=True, timeout=LIMIT)
    return found[0], found[1]


@pytest.fixture(scope="module")
def host(bootc_host: SandboxHost, images: tuple[Image, Image]) -> SandboxHost:
    """On the first image, with the base in the rollback slot."""
    bootc_host.deployer.stage(images[0])
    lifecycle.reboot(bootc_host.sandbox.directory)
    return bootc_host


@pytest.fixture(autouse=True)
def _cleared(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    host = request.getfixturevalue("host")
    status = host.deployer.status()
    if status.staged is not None:
        host.deployer.unstage(status.staged.checksum)
    host.deployer.unqueue()


@pytest.fixture
def standin(monkeypatch: pytest.MonkeyPatch):
    """Sets what goes wrong, until the test ends (before the host is cleared)."""
    with pytest.MonkeyPatch.context() as patch:
        yield lambda words: patch.setenv("STANDIN", words)


def names(host: SandboxHost) -> tuple[str, str, str]:
    """The transactions that made what is booted, staged and next."""
    status = host.deployer.status()
    slots = (status.booted, status.staged, status.boots_next)
    return tuple(one.transaction_of(LOG) if one else "" for one in slots)  # type: ignore[return-value]


def test_an_image_that_took_over_the_name_of_the_booted_one_is_staged(host, images):
    host.deployer.stage(images[1])
    assert names(host) == ("one", "two", "two")


def test_a_failure_after_the_staging_is_a_success(host, images, standin):
    standin("exit-1-after-staging")
    host.deployer.stage(images[1])
    assert names(host) == ("one", "two", "two")


def test_a_success_without_a_staging_is_a_failure(host, images, standin):
    standin("lost-staging")
    again = r"\nto run it again: bootc switch "
    with pytest.raises(HostError, match=rf"(?s)exited 0, and .* is not what boots next.*{again}"):
        host.deployer.stage(images[1])
    assert names(host) == ("one", "", "one")


def test_a_pull_that_fills_the_disk_says_so(host, images, standin):
    standin("no-space")
    with pytest.raises(NoSpaceError):
        host.deployer.stage(images[1])
    assert names(host) == ("one", "", "one")


def test_a_status_that_can_not_be_read_after_a_change_leaves_it_open(host, images, standin):
    (host.sandbox.run / "bootc.changed").unlink(missing_ok=True)
    standin("mute-after")
    with pytest.raises(UnclearError, match="can't be read"):
        host.deployer.stage(images[1])
    standin("")
    assert names(host) == ("one", "two", "two")


def test_a_status_that_fails_before_a_change_changes_nothing(host, images, standin):
    standin("no-status")
    with pytest.raises(HostError, match="Permission denied") as raised:
        host.deployer.stage(images[1])
    assert not isinstance(raised.value, UnclearError)
    standin("")
    assert names(host) == ("one", "", "one")


def test_a_machine_without_bootc_is_told_by_name(host, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        with pytest.raises(HostError, match="'bootc' is not on this machine"):
            host.deployer.status()


def test_what_was_only_downloaded_does_not_boot_next_until_it_is_staged_again(host, images):
    host.deployer.stage(images[1])
    host._bootc.change("upgrade", "--download-only")
    status = host.deployer.status()
    assert status.staged.locked
    assert names(host) == ("one", "two", "one")

    host.deployer.stage(images[1])

    assert not host.deployer.status().staged.locked
    assert names(host) == ("one", "two", "two")


def test_the_booted_image_is_booted_next_over_a_queued_rollback(host, images):
    slot = host.deployer.status().rollback
    host.deployer.rollback(slot.checksum)
    assert names(host) == ("one", "", "")

    host.deployer.stage(images[0])

    assert names(host) == ("one", "", "one")


def test_taking_a_queued_rollback_back_would_drop_what_is_staged_so_it_is_refused(host, images):
    slot = host.deployer.status().rollback
    host.deployer.rollback(slot.checksum)
    # A person's switch leaves the rollback queued behind what it stages.
    by_id = images[1].id.removeprefix("sha256:")
    host._bootc.change("switch", "--transport", "containers-storage", by_id)
    with pytest.raises(HostError, match="would drop it"):
        host.deployer.unqueue()
    assert names(host) == ("one", "two", "two")


def test_a_call_waits_for_another(host, images):
    host.deployer.stage(images[1])
    staged = host.deployer.status().staged
    with (host.sandbox.run / "bootc.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        waiting = threading.Thread(target=host.deployer.unstage, args=(staged.checksum,))
        waiting.start()
        waiting.join(2)
        assert waiting.is_alive()
        assert host.deployer.status().staged == staged
    waiting.join(60)
    assert host.deployer.status().staged is None


@pytest.mark.parametrize("version", ["older", "bare"])
def test_an_output_without_some_keys_says_the_same(host, images, standin, version):
    whole = host.deployer.status()
    standin(version)
    assert host.deployer.status() == whole


def test_a_soft_reboot_is_another_boot_instance(host, standin):
    before = host.deployer.status().boot
    standin("soft-reboots=1")
    after = host.deployer.status().boot
    assert after != before
    assert after.boot_id == before.boot_id


def test_an_image_that_was_staged_by_its_name_is_known_by_its_id_and_its_labels(host, images):
    host._bootc.change("switch", "--transport", "containers-storage", TAG)
    staged = host.deployer.status().staged
    assert staged.image == TAG
    assert staged.image_digest == images[1].id
    assert staged.labels == images[1].labels
    # The digest that bootc itself tells is the manifest's: no image goes by that.
    assert host._bootc.status().staged.manifest != images[1].id


# The overlay. `host` stays with it until the last test.


@pytest.fixture
def overlaid(host: SandboxHost) -> SandboxHost:
    host.overlay.enable()
    return host


def test_an_overlay_that_is_there_is_not_asked_for_again(overlaid):
    finished = overlaid._bootc.change("usr-overlay")
    assert finished.status == 1
    overlaid.overlay.enable()
    assert overlaid.overlay.state() == OverlayState(active=True, writable=True)


def test_an_overlay_is_seen_where_bootc_is_too_old_to_tell(overlaid, standin):
    standin("older")
    assert overlaid.overlay.state() == OverlayState(active=True, writable=True)


def test_an_overlay_that_outlives_a_reboot_does_not_serve(overlaid, standin, tmp_path):
    standin("hotfix")
    assert overlaid.overlay.state().persistent
    call = ("--state-dir", tmp_path / "state")
    sandbox = overlaid.sandbox.directory
    # What is booted is of another log: here it is as good as any.
    assert atomicstate(*call, "init", sandbox=sandbox).status == 0
    refused = atomicstate(*call, "overlay", "enable", "-f", "json", sandbox=sandbox)
    assert refused.code == "HOST"
    assert "outlives a reboot" in refused.stdout


# init


def init(host: SandboxHost, folder):
    return atomicstate(
        "--state-dir", folder / "state", "init", "-f", "json", sandbox=host.sandbox.directory
    )


def refusal(host: SandboxHost, folder) -> str:
    """Why init says no: then there is no log either."""
    said = init(host, folder)
    assert (said.status, said.code) == (15, "HOST")
    assert not (folder / "state/log").exists()
    return said.stdout


def test_init_refuses_a_deployment_that_bootc_calls_incompatible(host, standin, tmp_path):
    standin("incompatible")
    assert "incompatible" in refusal(host, tmp_path)


def test_init_refuses_a_package_database_outside_of_usr(host, tmp_path):
    assert inside(host, "sh", "-c", "rm /var/lib/dpkg && mkdir /var/lib/dpkg").returncode == 0
    try:
        assert "/var/lib/dpkg" in refusal(host, tmp_path)
    finally:
        back = "rmdir /var/lib/dpkg && ln -s ../../usr/lib/sysimage/dpkg /var/lib/dpkg"
        assert inside(host, "sh", "-c", back).returncode == 0


def test_init_refuses_a_policy_that_rejects_local_images(host, tmp_path):
    policy = '{"default": [{"type": "reject"}]}'
    write = f"mkdir -p /etc/containers && echo '{policy}' >/etc/containers/policy.json"
    assert inside(host, "sh", "-c", write).returncode == 0
    try:
        assert "rejects images" in refusal(host, tmp_path)
    finally:
        inside(host, "rm", "-r", "/etc/containers")


def test_init_and_status_warn_of_a_timer_that_upgrades_by_itself(host, tmp_path):
    timer, units = "bootc-fetch-apply-updates.timer", "/etc/systemd/system"
    wants = f"{units}/timers.target.wants"
    enable = f"touch {units}/{timer} && mkdir -p {wants} && ln -s {units}/{timer} {wants}/{timer}"
    assert inside(host, "sh", "-c", f"mkdir -p {units} && {enable}").returncode == 0
    try:
        assert timer in init(host, tmp_path).data["warnings"][0]
        call = ("--state-dir", tmp_path / "state", "status", "-f", "json")
        said = atomicstate(*call, sandbox=host.sandbox.directory)
        assert timer in said.data["warnings"][0]
    finally:
        inside(host, "rm", f"{units}/{timer}", f"{wants}/{timer}")


# These reboot, and come last.


def test_a_reboot_passes_over_what_was_only_downloaded(host, images):
    host.deployer.stage(images[1])
    host._bootc.change("upgrade", "--download-only")

    lifecycle.reboot(host.sandbox.directory)

    assert names(host) == ("one", "", "one")


def test_a_power_cut_drops_what_is_staged_and_it_can_be_staged_again(host, images):
    host.deployer.stage(images[1])
    lifecycle.reboot(host.sandbox.directory, power_cut=True)
    assert names(host) == ("one", "", "one")
    host.deployer.stage(images[1])
    assert names(host) == ("one", "two", "two")
