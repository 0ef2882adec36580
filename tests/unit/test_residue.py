"""What a live change leaves in /etc and /var."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest

from atomicstate.catalog.residue import Residue, Survey, left_between, still_there
from atomicstate.engine import apply, packages
from atomicstate.engine.results import Silent
from atomicstate.engine.status import status
from atomicstate.engine.unfinished import resume
from atomicstate.engine.withdraw import withdraw
from atomicstate.errors import AptError
from tests.support.fakehost import Crash, fake_host
from tests.support.sessions import Machine, adopted

if TYPE_CHECKING:
    from pathlib import Path

SILENT = Silent()


def survey(root: Path) -> Survey:
    done = subprocess.run(
        [sys.executable, "-m", "atomicstate.catalog.survey", str(root)],
        capture_output=True,
        timeout=60,
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=Survey)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for folder in ("etc/ssl", "var/lib/apt", "var/cache"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (tmp_path / "etc/group").write_text("root:x:0:\n")
    (tmp_path / "etc/ssl/cert").write_text("old")
    return tmp_path


def test_files_links_and_accounts_that_came_are_found(tree: Path) -> None:
    before = survey(tree)
    (tree / "etc/new").write_text("new")
    (tree / "etc/link").symlink_to("new")
    (tree / "var/lib/thing").mkdir()
    (tree / "etc/ssl/cert").write_text("changed")
    with (tree / "etc/passwd").open("a") as file:
        file.write("thing:x:100:100::/:/bin/false\n")
    left = left_between(before, survey(tree))
    assert set(left.added) == {"/etc/new", "/etc/link", "/var/lib/thing"}
    assert set(left.changed) == {"/etc/ssl/cert"}
    assert (left.users, left.groups) == (("thing",), ())


def test_caches_and_lists_are_nobodys_residue(tree: Path) -> None:
    before = survey(tree)
    (tree / "var/cache/archive").write_text("new")
    (tree / "var/lib/apt/list").write_text("new")
    assert not left_between(before, survey(tree))


def test_a_name_of_no_known_encoding_is_no_obstacle(tree: Path) -> None:
    before = survey(tree)
    (tree / "etc" / b"caf\xe9".decode("utf-8", "surrogateescape")).write_text("x")
    assert list(left_between(before, survey(tree)).added) == ["/etc/caf\\xe9"]


def test_what_was_changed_or_removed_since_is_not_shown(tree: Path) -> None:
    before = survey(tree)
    for name in ("kept", "changed", "removed"):
        (tree / "etc" / name).write_text("new")
    left = left_between(before, survey(tree))
    (tree / "etc/changed").write_text("mine now")
    (tree / "etc/removed").unlink()
    assert still_there(left, survey(tree)) == ["/etc/kept"]


def test_a_residue_reads_back() -> None:
    left = Residue({"/etc/a": "644:0:0 1"}, {}, ("thing",), ())
    assert msgspec.json.decode(msgspec.json.encode(left), type=Residue) == left
    assert json.loads(msgspec.json.encode(left))["users"] == ["thing"]


# -- in the pipeline -------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return adopted(tmp_path / "state", fake_host())


def add(session, name):
    return packages.carry_out(session, packages.propose(session, "add", (name,), live=True), SILENT)


def residue(machine: Machine) -> list[str]:
    return machine.command(status).residue


def test_what_a_package_that_runs_brought_is_no_residue(machine: Machine) -> None:
    machine.command(lambda s: add(s, "tree"))
    assert residue(machine) == []
    machine.command(lambda s: apply.carry_out(s, apply.propose(s), SILENT))
    machine.host.reboot()
    assert residue(machine) == []


def test_what_stays_when_the_overlay_is_gone_is_residue(machine: Machine) -> None:
    machine.command(lambda s: add(s, "tree"))
    machine.host.reboot()
    assert residue(machine) == ["/etc/tree.conf"]


@pytest.mark.parametrize("live", [True, False])
def test_what_stays_of_a_package_that_a_later_image_is_without_is_residue(
    machine: Machine, live: bool
) -> None:
    machine.command(lambda s: add(s, "tree"))
    machine.command(lambda s: apply.carry_out(s, apply.propose(s), SILENT))
    machine.host.reboot()
    machine.command(
        lambda s: packages.carry_out(s, packages.propose(s, "remove", ("tree",), live=live), SILENT)
    )
    assert residue(machine) == (["/etc/tree.conf"] if live else [])
    machine.command(lambda s: apply.carry_out(s, apply.propose(s), SILENT))
    machine.host.reboot()
    assert residue(machine) == ["/etc/tree.conf"]


def test_what_a_failing_install_left_is_residue(machine: Machine) -> None:
    machine.host.after["half"] = AptError("postinst exited 1")
    with pytest.raises(AptError):
        machine.command(lambda s: add(s, "jq"))
    assert residue(machine) == ["/etc/jq.conf"]
    assert list((machine.directory / "txn").iterdir()) == []


def test_what_a_killed_install_left_is_known_after_it_was_finished(machine: Machine) -> None:
    machine.host.after["carry_out"] = Crash()
    machine.killed(lambda s: add(s, "tree"))
    machine.host.after.clear()
    machine.command(lambda s: resume(s, SILENT))
    assert "residue.found" in machine.kinds()
    machine.host.reboot()
    assert residue(machine) == ["/etc/tree.conf"]


def test_what_an_install_left_that_was_killed_before_it_began_is_known(machine: Machine) -> None:
    machine.host.failing["survey"] = Crash()
    machine.killed(lambda s: add(s, "tree"))
    machine.host.failing.clear()
    machine.command(lambda s: resume(s, SILENT))
    machine.command(lambda s: apply.carry_out(s, apply.propose(s), SILENT))
    assert "residue.found" in machine.kinds()
    assert withdrawn(machine) == ("/etc/tree.conf",)


def test_what_an_install_left_that_a_power_cut_ended_is_residue(machine: Machine) -> None:
    machine.host.after["carry_out"] = Crash()
    machine.killed(lambda s: add(s, "tree"))
    machine.host.after.clear()
    machine.host.reboot(power_cut=True)
    machine.command(lambda s: resume(s, SILENT))
    assert residue(machine) == ["/etc/tree.conf"]


# -- making way ------------------------------------------------------------------------------


def applied(machine: Machine) -> None:
    machine.command(lambda s: add(s, "tree"))
    machine.command(lambda s: apply.carry_out(s, apply.propose(s), SILENT))


def withdrawn(machine: Machine) -> tuple[str, ...]:
    return machine.command(lambda s: withdraw(s, SILENT))


def test_before_the_boot_the_next_images_own_files_get_their_place(machine: Machine) -> None:
    applied(machine)
    assert withdrawn(machine) == ("/etc/tree.conf",)
    assert machine.host.files == {}
    assert withdrawn(machine) == ()


def test_a_file_that_a_person_changed_stays(machine: Machine) -> None:
    applied(machine)
    machine.host.files["/etc/tree.conf"] = "644:0:0 mine"
    assert withdrawn(machine) == ()
    assert "/etc/tree.conf" in machine.host.files


def test_what_runs_keeps_its_files_while_no_image_brings_them(machine: Machine) -> None:
    machine.command(lambda s: add(s, "tree"))
    assert withdrawn(machine) == ()


def test_after_the_boot_the_same_path_is_the_images_and_stays(machine: Machine) -> None:
    applied(machine)
    machine.host.failing["withdraw"] = Crash()
    machine.killed(lambda s: withdraw(s, SILENT))
    machine.host.failing.clear()
    machine.host.reboot()
    machine.command(lambda s: resume(s, SILENT))
    assert "/etc/tree.conf" in machine.host.files
    assert machine.command(status).unfinished == []


def test_one_that_was_killed_is_finished_in_the_same_boot(machine: Machine) -> None:
    applied(machine)
    machine.host.after["withdraw"] = Crash()
    machine.killed(lambda s: withdraw(s, SILENT))
    machine.host.after.clear()
    machine.command(lambda s: resume(s, SILENT))
    assert machine.kinds()[-1] == "step.done"
    assert machine.command(status).unfinished == []


def test_what_another_program_wrote_meanwhile_and_no_image_has_stays(machine: Machine) -> None:
    home = "/etc/NetworkManager/system-connections/home"

    def saves(when: str, name: str) -> None:
        if (when, name) == ("after", "half"):
            machine.host.files[home] = "600:0:0 secret"

    machine.host.on_effect = saves
    applied(machine)
    assert withdrawn(machine) == ("/etc/tree.conf",)
    assert home in machine.host.files


def test_where_the_next_image_is_gone_nothing_is_withdrawn_and_that_is_said(
    machine: Machine,
) -> None:
    applied(machine)
    staged = machine.host.deployments["staged"]
    assert staged is not None
    machine.host.remove_image(staged.image_digest)
    told: list[str] = []

    class Hearing(Silent):
        def note(self, text: str) -> None:
            told.append(text)

    assert machine.command(lambda s: withdraw(s, Hearing())) == ()
    assert "/etc/tree.conf" in machine.host.files
    [note] = told
    assert "nothing was withdrawn from /etc" in note


def test_what_is_found_after_another_boot_may_be_a_persons_and_stays(machine: Machine) -> None:
    machine.host.after["carry_out"] = Crash()
    machine.killed(lambda s: add(s, "tree"))
    machine.host.after.clear()
    machine.host.reboot(power_cut=True)
    machine.host.files["/etc/tree.conf"] = "644:0:0 mine"
    machine.command(lambda s: resume(s, SILENT))
    machine.command(lambda s: apply.carry_out(s, apply.propose(s), SILENT))
    assert withdrawn(machine) == ()
    assert machine.host.files["/etc/tree.conf"] == "644:0:0 mine"


def test_what_a_person_wrote_between_a_kill_and_its_resume_stays(machine: Machine) -> None:
    machine.host.after["carry_out"] = Crash()
    machine.killed(lambda s: add(s, "tree"))
    machine.host.after.clear()
    machine.host.files["/etc/tree.conf"] = "644:0:0 mine"
    machine.command(lambda s: resume(s, SILENT))
    machine.command(lambda s: apply.carry_out(s, apply.propose(s), SILENT))
    assert withdrawn(machine) == ()
    assert machine.host.files["/etc/tree.conf"] == "644:0:0 mine"


def test_removing_takes_only_what_is_still_as_it_was_recorded(tree: Path) -> None:
    before = survey(tree)
    (tree / "etc/conf.d").mkdir()
    (tree / "etc/conf.d/kept").write_text("mine")
    for name in ("gone", "changed"):
        (tree / "etc" / name).write_text("new")
    left = left_between(before, survey(tree)).added
    del left["/etc/conf.d/kept"]
    (tree / "etc/changed").write_text("mine")
    subprocess.run(
        [sys.executable, "-m", "atomicstate.catalog.survey", str(tree), "--withdraw"],
        input=json.dumps(left).encode(),
        stdout=subprocess.DEVNULL,
        timeout=60,
        check=True,
    )
    assert not (tree / "etc/gone").exists()
    assert (tree / "etc/changed").read_text() == "mine"
    assert (tree / "etc/conf.d/kept").exists()
