"""Work that was cut short is told of by every command that changes something."""

from __future__ import annotations

import pytest

from atomicstate.cli import app as cli_app
from atomicstate.cli.dispatch import dispatch
from atomicstate.engine import apply, packages
from atomicstate.engine.results import Silent
from atomicstate.engine.unfinished import abort
from atomicstate.errors import InterruptedWorkError, LockedError
from atomicstate.store.locks import Holder
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
    ["package", "update"],
    ["tag", "good"],
    ["tag", "good", "--delete"],
    ["note", "HEAD", "why"],
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


# -- a change of the running system that was killed ------------------------------------------

RECORDING = [
    ["package", "add", "jq", "--no-live", "-y"],
    ["package", "update"],
    ["base", "update", "-y"],
    ["adopt"],
    ["undo", "2", "--no-live", "-y"],
    ["replay", "--to", "1", "--restore", "-y"],
    ["hostname", "set", "here", "-y"],
    ["tag", "good"],
    ["note", "HEAD", "why"],
]
GOES_ON = [
    ["package", "add", "jq", "-y"],
    ["overlay", "enable"],
    ["overlay", "restore"],
]


@pytest.fixture
def killed_install(tmp_path, monkeypatch):
    machine = adopted(tmp_path / "state", fake_host())
    machine.command(
        lambda s: packages.carry_out(s, packages.propose(s, "add", ["nano"], live=False), SILENT)
    )
    machine.host.after["half"] = Crash()
    machine.killed(
        lambda s: packages.carry_out(s, packages.propose(s, "add", ["tree"], live=True), SILENT),
        verb="package add",
    )
    machine.host.after.clear()
    monkeypatch.setattr(cli_app.App, "session", lambda app: machine.session(app.verb))
    return machine


@pytest.mark.parametrize("argv", RECORDING, ids=" ".join)
def test_what_records_beside_a_killed_install_tells_of_it(killed_install, capfd, argv):
    dispatch(argv)
    said = capfd.readouterr().err
    assert said.count("`package add` was cut short at the step live") == 1
    assert "`atomicstate resume`" in said
    assert len(killed_install.command(lambda s: s.observe().open)) == 1


@pytest.mark.parametrize("argv", GOES_ON, ids=" ".join)
def test_what_works_in_the_overlay_goes_on_with_a_killed_install_and_says_so(
    killed_install, capfd, argv
):
    dispatch(argv)
    said = capfd.readouterr().err
    assert said.count("was cut short") == 1
    assert "`package add` was cut short earlier: going on with it first" in said
    assert not killed_install.command(lambda s: s.observe().open)


def test_what_was_being_taken_back_is_not_offered_to_be_gone_on_with(machine, capfd):
    machine.host.failing["remove"] = Crash()
    machine.killed(lambda s: abort(s, SILENT))
    machine.host.failing.clear()
    capfd.readouterr()
    assert dispatch(["apply", "-y"]) == InterruptedWorkError.exit_status
    said = capfd.readouterr().err
    assert "was cut short at the step build, while it was taken back" in said
    assert "`atomicstate abort` takes the rest of it back" in said
    assert "resume" not in said


def test_the_state_is_not_called_idle_where_something_was_cut_short(machine, capfd):
    assert dispatch(["status"]) == 0
    [line] = [line for line in capfd.readouterr().out.splitlines() if line.startswith("state")]
    assert "was cut short" in line


def test_who_is_at_work_is_named_and_not_who_began_it(machine, capfd, monkeypatch):
    holder = Holder(1, "abort", "2026-11-24T13:00:00Z")
    monkeypatch.setattr("atomicstate.store.state.State.pipeline_holder", lambda _state: holder)
    for verb in ("abort", "resume"):
        assert dispatch([verb, "-y"]) == LockedError.exit_status
        assert "`abort` (process 1, since" in capfd.readouterr().err


# -- the unit at boot ------------------------------------------------------------------------


def test_at_boot_what_is_left_for_later_is_told_and_is_no_failure(machine, capfd, monkeypatch):
    monkeypatch.setattr("atomicstate.engine.resume.has_way_out", lambda: False)
    machine.host.reboot()
    assert dispatch(["resume", "--boot"]) == 0
    assert "what `apply` was to make has to be built" in capfd.readouterr().out
    assert machine.command(lambda s: s.observe().open)


def test_at_boot_with_nothing_to_bring_back_there_is_nothing_to_do(killed_install, capfd):
    assert dispatch(["resume", "-y"]) == 0
    capfd.readouterr()
    assert dispatch(["resume", "--boot"]) == 0
    assert "nothing to do" in capfd.readouterr().out
