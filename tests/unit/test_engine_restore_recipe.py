"""`config restore`: an edit by hand is taken back, and not lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from atomicstate.engine import apply, importing, packages
from atomicstate.engine.importing import Options
from atomicstate.engine.restoring import restore
from atomicstate.engine.results import Silent
from atomicstate.engine.status import status
from atomicstate.errors import InterruptedWorkError, NoOperationError
from tests.support.fakehost import Crash, fake_host
from tests.support.sessions import Machine, adopted

if TYPE_CHECKING:
    from pathlib import Path

SILENT = Silent()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return adopted(tmp_path / "state", fake_host())


@pytest.fixture
def folder(machine: Machine) -> Path:
    return machine.directory / "recipe"


def promoted(machine: Machine, tmp_path: Path) -> None:
    """An apply that put image.yml and a resource in place."""
    (tmp_path / "resources").mkdir()
    (tmp_path / "resources/motd").write_text("hello")
    (tmp_path / "image.yml").write_text(
        "# ours\nmodules:\n  - type: copy\n    body: {source: motd, destination: /etc/motd}\n"
    )

    def work(session):
        source = importing.source_of(session, str(tmp_path / "image.yml"), None)
        importing.carry_out(session, importing.propose(session, source, Options()), SILENT)
        apply.carry_out(session, apply.propose(session), SILENT)

    machine.command(work)


def test_nothing_edited_is_no_operation(machine, tmp_path):
    promoted(machine, tmp_path)
    with pytest.raises(NoOperationError):
        machine.command(restore)


def test_what_was_edited_is_put_back_and_kept_beside(machine, folder, tmp_path):
    promoted(machine, tmp_path)
    before = (folder / "image.yml").read_text()
    (folder / "image.yml").write_text("edited\n")
    (folder / "resources/motd").write_text("bye")
    result = machine.command(restore)
    assert result.restored == ("image.yml", "resources/motd")
    assert result.aside == str(folder / "edited-1")
    assert (folder / "image.yml").read_text() == before
    assert (folder / "resources/motd").read_text() == "hello"
    assert (folder / "edited-1/image.yml").read_text() == "edited\n"
    assert (folder / "edited-1/resources/motd").read_text() == "bye"
    assert machine.command(status).drift is None


def test_what_was_removed_comes_back(machine, folder):
    before = (folder / "image.yml").read_bytes()
    (folder / "image.yml").unlink()
    assert machine.command(restore).aside is None
    assert (folder / "image.yml").read_bytes() == before


def test_nothing_is_recorded(machine, folder):
    (folder / "image.yml").write_text("edited\n")
    machine.command(restore)
    assert len(machine.events()) == 1


def test_what_is_pending_stays_out_of_the_file(machine, folder):
    def add(session):
        proposal = packages.propose(session, "add", ("jq",), live=False)
        packages.carry_out(session, proposal, SILENT)

    before = (folder / "image.yml").read_bytes()
    machine.command(add)
    (folder / "image.yml").write_text("edited\n")
    machine.command(restore)
    assert (folder / "image.yml").read_bytes() == before


def test_an_apply_that_was_cut_short_comes_first(machine, folder, tmp_path):
    promoted(machine, tmp_path)
    machine.command(
        lambda s: packages.carry_out(s, packages.propose(s, "add", ("jq",), live=False), SILENT)
    )
    machine.host.failing["build"] = Crash()
    machine.killed(lambda s: apply.carry_out(s, apply.propose(s), SILENT))
    (folder / "image.yml").write_text("edited\n")
    with pytest.raises(InterruptedWorkError):
        machine.command(restore)
    assert (folder / "image.yml").read_text() == "edited\n"
