"""Which driver a machine gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from atomicstate.errors import HostError
from atomicstate.host import detect
from atomicstate.host.bootc_host import BootcHost, ThisMachine


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of which only the folder of programs and the mark of OSTree are looked at."""
    monkeypatch.setattr(detect, "_BOOTED", tmp_path / "ostree-booted")
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def install_bootc(machine: Path) -> None:
    (machine / "bootc").write_text("#!/bin/sh\n")
    (machine / "bootc").chmod(0o755)


def test_a_machine_that_ostree_booted_and_that_has_bootc_is_a_bootc_host(machine):
    (machine / "ostree-booted").touch()
    install_bootc(machine)
    host = detect.open_host(None)
    assert isinstance(host, BootcHost)
    assert host.builder.storage.argv("images") == ["podman", "images"]


def test_an_ostree_host_without_bootc_is_refused_with_a_way_out(machine):
    (machine / "ostree-booted").touch()
    with pytest.raises(HostError, match="OSTree host without bootc") as raised:
        detect.open_host(None)
    assert "sandbox create" in raised.value.hint


def test_a_machine_that_was_not_booted_from_an_image_is_refused_with_a_way_out(machine):
    install_bootc(machine)
    with pytest.raises(HostError, match="not image-based") as raised:
        detect.open_host(None)
    assert "sandbox create" in raised.value.hint


def test_the_machine_itself_tells_its_boot_and_its_mounts():
    machine = ThisMachine()
    assert machine.boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert " / " in machine.mountinfo()
