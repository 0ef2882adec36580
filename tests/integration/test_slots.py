"""What boots next: the rollback slot, the queue, pinned deployments, and the images behind them.

Real deployments in a sandbox. Three systems are made once; each test boots what it needs.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from atomicstate.errors import ContainerError, HostError, ImageError
from atomicstate.host.sandbox import lifecycle
from tests.support.sandboxes import build, inside

if TYPE_CHECKING:
    from pathlib import Path

    from atomicstate.host.ports import Deployment, Image
    from atomicstate.host.sandbox.host import SandboxHost

pytestmark = pytest.mark.sandbox

BASE = "localhost/atomicstate-base:bookworm"


def image(host: SandboxHost, name: str) -> Image:
    """The image `name`: a base with one file that tells it, made when first asked for."""
    reference = f"localhost/slots:{name}"
    try:
        return host.builder.resolve(reference)
    except ImageError:
        build(host, f"echo {name} >/usr/lib/name", reference, {"name": name})
        return host.builder.resolve(reference)


def name_of(deployment: Deployment | None) -> str | None:
    return None if deployment is None else deployment.labels.get("name", "base")


def slots(host: SandboxHost) -> tuple[str | None, ...]:
    """Staged, booted, rollback, and what boots next."""
    status = host.deployer.status()
    found = (status.staged, status.booted, status.rollback, status.boots_next)
    return tuple(name_of(one) for one in found)


def running(host: SandboxHost) -> str:
    return inside(host, "cat", "/usr/lib/name").stdout.strip()


def reboot(host: SandboxHost, *, power_cut: bool = False) -> None:
    lifecycle.reboot(host.sandbox.directory, power_cut=power_cut)


def boot(host: SandboxHost, *names: str) -> None:
    """Boot the images, one after the other, unless that is how it is."""
    status = host.deployer.status()
    if status.staged is not None:
        host.deployer.unstage(status.staged.checksum)
    host.deployer.unqueue()
    found = slots(host)[1:3]
    if found == names[::-1]:
        return
    if found == names:
        rollback(host)
        reboot(host)
        return
    for name in names:
        host.deployer.stage(image(host, name))
        reboot(host)


def checksum(deployment: Deployment | None) -> str:
    assert deployment is not None
    return deployment.checksum


def rollback(host: SandboxHost) -> None:
    host.deployer.rollback(checksum(host.deployer.status().rollback))


def ostree(host: SandboxHost, *words: str) -> str:
    argv = ["ostree", *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout


def pin(host: SandboxHost, *, index: int, undo: bool = False) -> None:
    options = ["--unpin"] if undo else []
    ostree(host, "admin", "pin", f"--sysroot={host.sandbox.sysroot}", *options, str(index))


# Rollback


def test_a_rollback_boots_next_and_the_slots_change_places(shared_host: SandboxHost) -> None:
    boot(shared_host, "one", "two")
    assert slots(shared_host) == (None, "two", "one", "two")
    rollback(shared_host)
    assert slots(shared_host) == (None, "two", "one", "one")
    assert shared_host.deployer.status().rollback_queued
    assert running(shared_host) == "two"

    reboot(shared_host)

    assert slots(shared_host) == (None, "one", "two", "one")
    assert not shared_host.deployer.status().rollback_queued
    assert running(shared_host) == "one"


def test_a_second_rollback_does_not_toggle(shared_host: SandboxHost) -> None:
    boot(shared_host, "one", "two")
    rollback(shared_host)
    rollback(shared_host)
    assert slots(shared_host) == (None, "two", "one", "one")


def test_a_queued_rollback_survives_a_power_cut(shared_host: SandboxHost) -> None:
    boot(shared_host, "one", "two")
    rollback(shared_host)
    reboot(shared_host, power_cut=True)
    assert slots(shared_host) == (None, "one", "two", "one")
    assert running(shared_host) == "one"


def test_a_rollback_drops_what_is_staged_before_it_and_since(shared_host: SandboxHost) -> None:
    boot(shared_host, "one", "two")
    for _ in range(2):
        shared_host.deployer.stage(image(shared_host, "three"))
        assert slots(shared_host) == ("three", "two", "one", "three")
        rollback(shared_host)
        assert slots(shared_host) == (None, "two", "one", "one")
    reboot(shared_host)
    assert slots(shared_host) == (None, "one", "two", "one")


def test_what_is_staged_on_a_queued_rollback_boots_and_keeps_the_booted_one(
    shared_host: SandboxHost,
) -> None:
    boot(shared_host, "one", "two")
    rollback(shared_host)
    shared_host.deployer.stage(image(shared_host, "three"))
    reboot(shared_host)
    assert slots(shared_host) == (None, "three", "two", "three")


def test_what_is_in_another_slot_is_neither_rolled_back_to_nor_removed(
    shared_host: SandboxHost,
) -> None:
    boot(shared_host, "one", "two")
    shared_host.deployer.stage(image(shared_host, "three"))
    before = shared_host.deployer.status()
    booted, slot, staged = map(checksum, (before.booted, before.rollback, before.staged))
    for wrong in (booted, staged, "0" * 64):
        with pytest.raises(HostError, match="not in the rollback slot: nothing was changed"):
            shared_host.deployer.rollback(wrong)
    for used in (booted, slot, staged):
        with pytest.raises(HostError, match="is in use: nothing was changed"):
            shared_host.deployer.remove(used)
    assert shared_host.deployer.status() == before


def test_each_deployment_has_its_own_etc_and_all_share_var(shared_host: SandboxHost) -> None:
    boot(shared_host, "one")
    inside(shared_host, "sh", "-c", "echo early >/etc/setting; echo early >/var/setting")
    boot(shared_host, "one", "two")
    inside(shared_host, "sh", "-c", "echo late >/etc/setting; echo late >/var/setting")
    inside(shared_host, "sh", "-c", "echo late >/etc/only-late")
    assert inside(shared_host, "cat", "/etc/setting").stdout == "late\n"
    rollback(shared_host)
    reboot(shared_host)
    assert running(shared_host) == "one"
    assert inside(shared_host, "cat", "/etc/setting", "/var/setting").stdout == "early\nlate\n"
    assert inside(shared_host, "test", "-e", "/etc/only-late").returncode == 1


# The queue


def test_unqueue_lets_the_booted_one_boot_again(shared_host: SandboxHost) -> None:
    boot(shared_host, "one", "two")
    rollback(shared_host)
    shared_host.deployer.unqueue()
    assert slots(shared_host) == (None, "two", "one", "two")
    shared_host.deployer.unqueue()
    reboot(shared_host)
    assert slots(shared_host) == (None, "two", "one", "two")


def test_unqueue_leaves_what_is_staged(shared_host: SandboxHost) -> None:
    boot(shared_host, "one", "two")
    rollback(shared_host)
    shared_host.deployer.stage(image(shared_host, "three"))
    shared_host.deployer.unqueue()
    assert slots(shared_host) == ("three", "two", "one", "three")


# Pinned deployments, and removing


def test_a_pinned_deployment_stays_until_it_may_go(shared_host: SandboxHost) -> None:
    boot(shared_host, "one", "two")
    pin(shared_host, index=1)
    deployer = shared_host.deployer
    pinned = deployer.status().rollback
    assert pinned is not None
    assert pinned.pinned
    deployer.stage(image(shared_host, "three"))
    reboot(shared_host)
    status = deployer.status()
    assert slots(shared_host) == (None, "three", "two", "three")
    assert status.others == (pinned,)
    assert status.all == (status.booted, status.rollback, pinned)
    with pytest.raises(HostError, match="is in use: nothing was changed"):
        deployer.remove(pinned.checksum)
    assert deployer.status() == status

    pin(shared_host, index=2, undo=True)
    deployer.stage(image(shared_host, "four"))
    staged = deployer.status().staged
    deployer.remove(pinned.checksum)

    after = deployer.status()
    assert after.others == ()
    assert (after.booted, after.rollback, after.staged) == (status.booted, status.rollback, staged)
    deployer.remove(pinned.checksum)
    reboot(shared_host)
    assert running(shared_host) == "four"


# Images


def test_an_image_tells_when_it_was_made_and_its_size(shared_host: SandboxHost) -> None:
    base = shared_host.builder.resolve(BASE)
    made = image(shared_host, "one")
    assert 10**18 < base.created < made.created
    assert made.size > base.size > 50_000_000


def test_images_are_listed_oldest_first(shared_host: SandboxHost) -> None:
    for name in ("b", "a"):
        build(shared_host, f"echo {name} >/usr/lib/x", f"localhost/x:{name}", {"kind": "listed"})
    found = shared_host.builder.images({"kind": "listed"})
    assert [one.reference for one in found] == ["localhost/x:b", "localhost/x:a"]
    assert shared_host.builder.images({"kind": "other"}) == ()


def test_removing_the_image_of_a_deployment_does_it_no_harm(shared_host: SandboxHost) -> None:
    boot(shared_host, "one", "two")
    for name in ("one", "two"):
        gone = image(shared_host, name)
        shared_host.builder.remove_image(gone.id)
        with pytest.raises(ImageError):
            shared_host.builder.resolve(gone.id)
        shared_host.builder.remove_image(gone.id)
    assert slots(shared_host) == (None, "two", "one", "two")
    ostree(shared_host, "fsck", f"--repo={shared_host.sandbox.sysroot}/ostree/repo", "--quiet")
    rollback(shared_host)
    reboot(shared_host)
    assert running(shared_host) == "one"
    assert shared_host.builder.resolve(BASE).reference == BASE


def test_removing_an_image_takes_all_its_names(shared_host: SandboxHost) -> None:
    made = image(shared_host, "named")
    argv = shared_host.builder.storage.argv("tag", made.reference, "localhost/x:second-name")
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    shared_host.builder.remove_image(made.id)
    for name in (made.id, made.reference, "localhost/x:second-name"):
        with pytest.raises(ImageError):
            shared_host.builder.resolve(name)


def test_what_is_of_this_machine_alone_is_not_pulled(shared_host: SandboxHost) -> None:
    lines: list[str] = []
    shared_host.builder.pull("localhost/not-here:1", lines.append)
    assert lines == []


def test_a_registry_that_can_not_be_reached_is_named(
    shared_host: SandboxHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATOMICSTATE_TOOL_TIMEOUT", "60")
    with pytest.raises(ContainerError, match=r"pulling 127\.0\.0\.1:1/x:y failed: podman exited"):
        shared_host.builder.pull("127.0.0.1:1/x:y", lambda _line: None)


def test_a_registry_that_never_answers_is_given_up_at_the_limit(
    shared_host: SandboxHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    monkeypatch.setenv("ATOMICSTATE_TOOL_TIMEOUT", "2")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        reference = f"127.0.0.1:{silent.getsockname()[1]}/x:y"
        with pytest.raises(ContainerError, match="podman was ended after 2 seconds") as raised:
            shared_host.builder.pull(reference, lambda _line: None)
    assert "--tool-timeout" in raised.value.hint
