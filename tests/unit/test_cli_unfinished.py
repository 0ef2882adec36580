"""Work that was cut short is told of by every command that changes something."""

from __future__ import annotations

import pytest

from atomicstate.cli import app as cli_app
from atomicstate.cli.dispatch import dispatch
from atomicstate.engine import apply, packages
from atomicstate.engine.results import Silent
from atomicstate.errors import InterruptedWorkError
from tests.support.fakehost import Crash, fake_host
from tests.support.sessions import adopted

SILENT = Silent()

REFUSE = [
    ["apply", "-y"],
    ["switch", "localhost/other:1", "-y"],
    ["rollback", "-y"],
    ["prune", "-y"],
    ["leave", "-y"],
    ["replay", "--to", "1", "--apply", "-y"],
]
TELL = [
    ["package", "add", "tree", "-y"],
    ["package", "add", "tree", "--no-live", "-y"],
    ["package", "remove", "bash", "--no-live", "-y"],
    ["base", "update", "-y"],
    ["overlay", "enable"],
    ["overlay", "restore"],
    ["undo", "2", "-y"],
    ["adopt"],
    ["replay", "--to", "1", "--restore", "-y"],
]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """One on which an apply was killed while it built."""
    machine = adopted(tmp_path / "state", fake_host())
    machine.command(
        lambda s: packages.carry_out(s, packages.propose(s, "add", ["jq"], live=False), SILENT)
    )
    machine.host.failing["build"] = Crash()
    machine.killed(lambda s: apply.carry_out(s, apply.propose(s), SILENT), verb="apply")
    machine.host.failing.clear()
    monkeypatch.setattr(cli_app.App, "session", lambda app: machine.session(app.verb))
    return machine


@pytest.mark.parametrize("argv", REFUSE, ids=" ".join)
def test_what_would_build_on_it_is_refused_and_both_ways_on_are_named(machine, capfd, argv):
    before = len(machine.events())
    assert dispatch(argv) == InterruptedWorkError.exit_status
    said = capfd.readouterr().err
    assert "`apply` of root" in said
    assert "was cut short at the step build" in said
    assert "`atomicstate resume`" in said
    assert "`atomicstate abort`" in said
    assert len(machine.events()) == before


@pytest.mark.parametrize("argv", TELL, ids=" ".join)
def test_what_goes_on_beside_it_tells_of_it(machine, capfd, argv):
    dispatch(argv)
    assert "`apply` was cut short at the step build" in capfd.readouterr().err
    assert len(machine.command(lambda s: s.observe().open)) == 1
