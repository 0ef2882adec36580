"""What is made of tools that fail, over a `bootc` and an `ostree` of a few lines of shell.

OSTree drops a deployment by its place in a list.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from atomicstate import process
from atomicstate.errors import HostError, UnclearError
from atomicstate.host.bootc import Bootc, BootcDeployer
from atomicstate.host.bootc_status import Entry
from atomicstate.host.ports import Image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from atomicstate.host.bootc import Machine

ONE, TWO, THREE = ("1" * 64, "2" * 64, "3" * 64)
OSTREE = """\
#!/bin/sh
cd {folder}
case "$*" in
"admin status")
    [ -e mute ] && { echo "error: locked" >&2; exit 1; }
    while read -r name; do echo "  debian $name"; done <list ;;
"admin undeploy "*)
    echo "$3" >>calls
    {undeploy} ;;
esac
"""
DROP = 'sed -i "$(($3 + 1))d" list'


@pytest.fixture
def ostree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts an `ostree` on PATH that undeploys as it is told; returns its folder."""
    (tmp_path / "list").write_text("".join(f"{one}.0\n" for one in (ONE, TWO, THREE)))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def make(undeploy: str) -> Path:
        script = OSTREE.replace("{folder}", str(tmp_path)).replace("{undeploy}", undeploy)
        (tmp_path / "ostree").write_text(script)
        (tmp_path / "ostree").chmod(0o755)
        return tmp_path

    return make


class NoMachine:
    def __init__(self) -> None:
        self.environment: dict[str, str] = {}


@pytest.fixture
def bootc() -> Bootc:
    machine: Machine = NoMachine()  # type: ignore[assignment]
    return Bootc(machine)


def left(folder: Path) -> list[str]:
    return [line[0] for line in (folder / "list").read_text().split()]


def test_the_named_one_is_dropped_and_no_other(ostree, bootc):
    folder = ostree(DROP)
    bootc.undeploy(Entry(TWO, 0))
    assert left(folder) == ["1", "3"]


def test_a_failure_after_the_drop_is_a_success(ostree, bootc):
    folder = ostree(f"{DROP}; echo 'error: cleaning up' >&2; exit 1")
    bootc.undeploy(Entry(TWO, 0))
    assert left(folder) == ["1", "3"]


def test_a_failure_before_the_drop_does_not_offer_a_place_in_the_list(ostree, bootc):
    ostree("echo 'error: no space' >&2; exit 1")
    with pytest.raises(HostError, match=r"exited 1, and .* there still: error: no space") as raised:
        bootc.undeploy(Entry(TWO, 0))
    assert "undeploy 1" not in raised.value.message + raised.value.hint


def test_a_success_without_a_drop_is_a_failure(ostree, bootc):
    ostree("true")
    with pytest.raises(HostError, match="exited 0, and the deployment 222222222222 is there still"):
        bootc.undeploy(Entry(TWO, 0))


def test_another_one_that_went_is_told(ostree, bootc):
    # Somebody dropped the first one between the look and the drop.
    ostree(f"sed -i 1d list; {DROP}")
    with pytest.raises(HostError, match="but 111111111111 is not"):
        bootc.undeploy(Entry(TWO, 0))


def test_a_list_that_can_not_be_read_after_the_drop_leaves_it_open(ostree, bootc):
    ostree(f"{DROP}; touch mute")
    with pytest.raises(UnclearError, match="can't be read"):
        bootc.undeploy(Entry(TWO, 0))


def test_a_list_that_can_not_be_read_before_the_drop_changes_nothing(ostree, bootc):
    folder = ostree(DROP)
    (folder / "mute").touch()
    with pytest.raises(HostError) as raised:
        bootc.undeploy(Entry(TWO, 0))
    assert not isinstance(raised.value, UnclearError)
    assert len(left(folder)) == 3


def test_the_persons_limit_holds_for_the_drop(ostree, bootc, monkeypatch):
    ostree("exec sleep 30")
    monkeypatch.setenv(process.TIMEOUT_VARIABLE, "0.5")
    with pytest.raises(HostError, match=r"was ended after 0\.5 seconds") as raised:
        bootc.undeploy(Entry(TWO, 0))
    assert "--tool-timeout" in raised.value.hint


# bootc itself


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bootc: Bootc) -> BootcDeployer:
    """A bootc that tells its status, and fails at all else."""
    slots = {"booted": {"ostree": {"checksum": ONE}}, "rollback": {"ostree": {"checksum": TWO}}}
    (tmp_path / "status.json").write_text(json.dumps({"status": slots}))
    (tmp_path / "bootc").write_text(
        f"#!/bin/sh\n[ $1 = status ] && exec cat {tmp_path}/status.json\n"
        "echo 'error: not today' >&2; exit 1\n"
    )
    (tmp_path / "bootc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return BootcDeployer(bootc)


def test_a_switch_that_failed_tells_what_to_run_again_where_the_log_keeps_it(failing):
    image = Image(f"sha256:{THREE}", "localhost/x:1", "", "amd64", {})
    with pytest.raises(HostError) as raised:
        failing.stage(image)
    assert raised.value.message == (
        "bootc exited 1: error: not today\n"
        f"to run it again: bootc switch --transport containers-storage {THREE}"
    )


def test_a_rollback_that_failed_is_not_offered_to_be_run_again(failing):
    with pytest.raises(HostError, match=r"exited 1, .* as it was: error: not today") as raised:
        failing.rollback(TWO)
    assert "run it again" not in raised.value.message + raised.value.hint
