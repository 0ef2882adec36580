"""What the engine may count on, of every driver: the ports' promises, over a real sysroot.

The tests share one host a driver and go on from each other's end, in the order of this file.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from atomicstate.errors import AtomicstateError, HostError, ImageError
from atomicstate.host.ports import LABEL_LOG, LABEL_TRANSACTION, OverlayState
from atomicstate.host.sandbox import lifecycle
from tests.support.sandboxes import build, inside

if TYPE_CHECKING:
    from atomicstate.host.ports import Deployment, HostStatus, Image
    from atomicstate.host.sandbox.host import SandboxHost

pytestmark = [pytest.mark.sandbox, pytest.mark.xdist_group("contract")]

OFF = OverlayState(active=False, writable=False)
LOG = "10" * 16


@pytest.fixture(scope="module", params=["ostree", "bootc"])
def host(request: pytest.FixtureRequest) -> SandboxHost:
    return request.getfixturevalue("shared_host" if request.param == "ostree" else "bootc_host")


def made(host: SandboxHost, name: str) -> Image:
    """The image of the transaction `name`, built once."""
    tag = f"localhost/contract:{name}"
    labels = {LABEL_LOG: LOG, LABEL_TRANSACTION: name, "text": 'it\'s "q" \\n ü'}
    if host.builder.find(labels) is None:
        build(host, f"echo {name} >/usr/lib/made", tag, labels)
    return host.builder.resolve(tag)


def status(host: SandboxHost) -> HostStatus:
    return host.deployer.status()


def next_of(host: SandboxHost) -> str:
    """The transaction that made what boots next."""
    found = status(host).boots_next
    assert found is not None
    return found.transaction_of(LOG)


def reboot(host: SandboxHost, *, power_cut: bool = False) -> None:
    lifecycle.reboot(host.sandbox.directory, power_cut=power_cut)


def same(one: Deployment | None, other: Deployment | None) -> bool:
    assert one is not None
    assert other is not None
    return (one.checksum, one.serial) == (other.checksum, other.serial)


# Builder


def test_the_files_of_an_image_are_read_without_running_it(host):
    run = (
        "mkdir /usr/share/d && echo one >/usr/share/d/one && rm /etc/debian_version"
        " && ln -s /usr/share/d /usr/share/l"
    )
    build(host, run, "localhost/contract:files", {})
    image = host.builder.resolve("localhost/contract:files")
    paths = ["/var/lib/dpkg/status", "/etc/debian_version", "/etc/os-release", "/usr/bin/apm"]
    assert host.builder.has(image, paths) == {"/var/lib/dpkg/status", "/etc/os-release"}
    found = host.builder.read(image, "/usr/share/l")
    assert [(entry.path, entry.content) for entry in found] == [("", None), ("one", b"one\n")]
    assert host.builder.read(image, "/usr/share/nothing") is None
    host.builder.remove_image(image.id)
    with pytest.raises(ImageError):
        host.builder.has(image, paths)


def test_an_image_is_found_by_its_labels_until_it_is_removed(host):
    labels = {LABEL_LOG: LOG, LABEL_TRANSACTION: "gone"}
    build(host, "true", "localhost/contract:gone", labels)
    found = host.builder.find(labels)
    assert found is not None
    assert host.builder.images(labels) == (found,)
    assert host.builder.resolve(found.id).id == found.id

    host.builder.remove("localhost/contract:gone")

    assert host.builder.find(labels) is None
    with pytest.raises(ImageError):
        host.builder.resolve("localhost/contract:gone")


# Overlay


def test_the_overlay_is_off_until_it_is_enabled_and_goes_with_the_boot(host):
    assert host.overlay.state() == OFF
    assert inside(host, "touch", "/usr/lib/tried").returncode != 0

    host.overlay.enable()

    assert host.overlay.state() == OverlayState(active=True, writable=True)
    assert inside(host, "touch", "/usr/lib/tried").returncode == 0
    host.overlay.enable()
    assert inside(host, "test", "-e", "/usr/lib/tried").returncode == 0
    reboot(host)
    assert host.overlay.state() == OFF
    assert inside(host, "test", "-e", "/usr/lib/tried").returncode != 0


def test_an_overlay_that_takes_no_writes_is_told_apart(host):
    host.overlay.enable()
    usr = host.sandbox.tree / "usr"
    subprocess.run(
        [*host.running.enter(), "mount", "-o", "remount,bind,ro", usr], check=True, timeout=60
    )
    assert host.overlay.state() == OverlayState(active=True, writable=False)
    reboot(host)


# Staging


def test_the_base_is_booted_and_nothing_else_is_there(host):
    found = status(host)
    assert found.driver == host.driver
    assert found.booted is not None
    assert found.booted.image == "localhost/atomicstate-base:bookworm"
    assert found.booted.transaction_of(LOG) == ""
    assert (found.staged, found.rollback, found.rollback_queued) == (None, None, False)
    assert found.boots_next == found.booted
    assert found.boot is not None
    assert (found.boot.checksum, found.boot.serial) == (found.booted.checksum, found.booted.serial)


def test_a_boot_instance_lasts_as_long_as_the_boot(host):
    before = status(host).boot
    assert status(host).boot == before
    reboot(host)
    assert status(host).boot != before


def test_what_was_staged_boots_next_and_shows_whose_it_is(host):
    image = made(host, "one")
    told: list[tuple[float, str]] = []

    host.deployer.stage(image, lambda percent, message: told.append((percent, message)))

    staged = status(host).staged
    assert staged is not None
    assert staged.labels == image.labels
    assert staged.image_digest == image.id
    assert not staged.locked
    assert status(host).boots_next == staged
    percents = [percent for percent, _message in told]
    assert percents == sorted(percents)
    assert percents[0] >= 0
    assert percents[-1] <= 100
    assert all(message for _percent, message in told)


def test_staging_what_is_staged_leaves_it(host):
    before = status(host)
    host.deployer.stage(made(host, "one"))
    assert status(host) == before


def test_an_image_takes_the_place_of_the_one_that_was_staged(host):
    host.deployer.stage(made(host, "two"))
    assert next_of(host) == "two"


def test_what_can_not_be_deployed_leaves_what_was_staged(host):
    before = status(host)
    build(host, "rm -rf /usr/lib/modules", "localhost/contract:bad", {})
    with pytest.raises(AtomicstateError, match="vmlinuz"):
        host.deployer.stage(host.builder.resolve("localhost/contract:bad"))
    assert status(host) == before


def test_an_image_that_is_gone_leaves_what_was_staged(host):
    before = status(host)
    build(host, "true", "localhost/contract:lost", {})
    lost = host.builder.resolve("localhost/contract:lost")
    host.builder.remove_image(lost.id)
    host.builder.remove_image(lost.id)
    with pytest.raises(AtomicstateError):
        host.deployer.stage(lost)
    assert status(host) == before


def test_unstaging_drops_the_one_that_is_named_alone(host):
    staged = status(host).staged
    assert staged is not None
    host.deployer.unstage("0" * 64)
    assert status(host).staged == staged

    host.deployer.unstage(staged.checksum)

    assert status(host).staged is None
    host.deployer.unstage(staged.checksum)


def test_a_power_cut_drops_what_is_staged(host):
    host.deployer.stage(made(host, "one"))
    booted = status(host).booted
    reboot(host, power_cut=True)
    found = status(host)
    assert found.staged is None
    assert same(found.booted, booted)


# Booting, rolling back


def test_a_reboot_boots_what_is_staged(host):
    before = status(host)
    host.deployer.stage(made(host, "one"))

    reboot(host)

    found = status(host)
    assert found.booted is not None
    assert found.booted.labels == made(host, "one").labels
    assert found.booted.image_digest == made(host, "one").id
    assert same(found.rollback, before.booted)
    assert (found.staged, found.rollback_queued, found.others) == (None, False, ())
    assert inside(host, "cat", "/usr/lib/made").stdout == "one\n"


def test_only_what_is_in_the_rollback_slot_is_rolled_back_to(host):
    before = status(host)
    for checksum in ("0" * 64, before.booted.checksum):
        with pytest.raises(HostError, match="not in the rollback slot"):
            host.deployer.rollback(checksum)
    assert status(host) == before


def test_rolling_back_twice_is_rolling_back(host):
    slot = status(host).rollback
    assert slot is not None
    for _again in range(2):
        host.deployer.rollback(slot.checksum)
        found = status(host)
        assert found.rollback_queued
        assert same(found.boots_next, slot)


def test_a_queued_rollback_is_taken_back_once(host):
    for _again in range(2):
        host.deployer.unqueue()
        found = status(host)
        assert not found.rollback_queued
        assert found.boots_next == found.booted


def test_what_is_staged_boots_before_a_queued_rollback_and_is_dropped_by_another(host):
    slot = status(host).rollback
    assert slot is not None
    host.deployer.rollback(slot.checksum)
    host.deployer.stage(made(host, "two"))
    assert next_of(host) == "two"

    host.deployer.rollback(slot.checksum)

    assert status(host).staged is None
    assert same(status(host).boots_next, slot)


def test_the_booted_image_staged_over_a_queued_rollback_boots_next(host):
    slot = status(host).rollback
    assert slot is not None
    host.deployer.rollback(slot.checksum)

    host.deployer.stage(made(host, "one"))

    assert next_of(host) == "one"
    if (staged := status(host).staged) is not None:
        host.deployer.unstage(staged.checksum)
    host.deployer.unqueue()


def test_a_queued_rollback_outlives_a_power_cut(host):
    before = status(host)
    host.deployer.rollback(before.rollback.checksum)

    reboot(host, power_cut=True)

    found = status(host)
    assert same(found.booted, before.rollback)
    assert same(found.rollback, before.booted)
    assert not found.rollback_queued


def test_what_is_in_use_is_not_removed(host):
    host.deployer.stage(made(host, "two"))
    before = status(host)
    for used in (before.booted, before.rollback, before.staged):
        with pytest.raises(HostError, match="in use"):
            host.deployer.remove(used.checksum)
    host.deployer.remove("0" * 64)
    assert status(host) == before


def test_an_old_deployment_is_removed_unless_it_is_pinned(host):
    sysroot = f"--sysroot={host.sandbox.sysroot}"
    pin = ["/usr/bin/ostree", "admin", "pin", sysroot]
    subprocess.run([*pin, "1"], check=True, timeout=60, capture_output=True)
    pinned = status(host).rollback
    reboot(host)
    found = status(host)
    assert found.booted.transaction_of(LOG) == "two"
    old = [one for one in found.others if same(one, pinned)]
    assert [one.pinned for one in old] == [True]
    with pytest.raises(HostError, match="in use"):
        host.deployer.remove(pinned.checksum)

    subprocess.run([*pin, "--unpin", "2"], check=True, timeout=60, capture_output=True)
    host.deployer.remove(pinned.checksum)

    after = status(host)
    assert after.others == ()
    assert same(after.booted, found.booted)
    assert same(after.rollback, found.rollback)
