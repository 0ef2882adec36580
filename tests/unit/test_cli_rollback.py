"""`rollback` on the command line, over a host in memory."""

from __future__ import annotations

import json

import pytest

from atomicstate.cli import app as cli_app
from atomicstate.cli.dispatch import dispatch
from atomicstate.engine import apply, packages
from atomicstate.engine.results import Silent
from atomicstate.errors import ContainerError, HostError
from tests.support.fakehost import fake_host
from tests.support.sessions import adopted

SILENT = Silent()


@pytest.fixture
def machine(tmp_path, monkeypatch):
    machine = adopted(tmp_path / "state", fake_host())
    monkeypatch.setattr(cli_app.App, "session", lambda app: machine.session(app.verb))
    return machine


def applied(machine, name):
    def work(session):
        proposal = packages.propose(session, "add", [name], live=False)
        packages.carry_out(session, proposal, SILENT)
        return apply.carry_out(session, apply.propose(session), SILENT)

    result = machine.command(work)
    machine.host.reboot()
    return result


def answered(capfd, *words):
    status = dispatch([*words, "-f", "json"])
    return status, json.loads(capfd.readouterr().out)


def test_the_answer_of_rollback_says_what_boots_next_and_what_is_held(machine, capfd):
    applied(machine, "jq")
    before = machine.host.deployments["rollback"].checksum
    held = [event.seq for event in machine.events() if hasattr(event.body, "in_base")][:1]
    status, answer = answered(capfd, "rollback", "-y")
    data = answer["data"]
    assert (status, answer["error"]) == (0, None)
    assert data.pop("transaction") == machine.events()[-1].transaction
    assert data == {
        "mode": "rollback",
        "target": {"checksum": before, "transaction": None},
        "held": held,
        "etc": "as-it-was",
    }


def test_status_shows_what_is_held(machine, capfd):
    applied(machine, "jq")
    answered(capfd, "rollback", "-y")
    _status, answer = answered(capfd, "status")
    assert [item["data"]["names"] for item in answer["data"]["held"]] == [["jq"]]
    assert (answer["data"]["dropped"], answer["data"]["broken"]) == (None, None)
    dispatch(["status"])
    assert "held back" in capfd.readouterr().out


def test_status_marks_the_deployment_that_boots_next_instead_of_the_booted_one(machine, capfd):
    def marked():
        dispatch(["status"])
        return [line.split()[0] for line in capfd.readouterr().out.splitlines() if "next)" in line]

    applied(machine, "jq")
    assert marked() == []
    slot = machine.host.deployments["rollback"].checksum
    answered(capfd, "rollback", "-y")
    assert marked() == ["rollback"]
    assert answered(capfd, "status")[1]["data"]["host"]["boots_next"] == slot


def test_what_does_not_come_up_again_is_told_once_and_not_promised(machine, capfd):
    def work(session):
        packages.carry_out(session, packages.propose(session, "add", ["tree"], live=True), SILENT)
        return apply.carry_out(session, apply.propose(session), SILENT)

    applied(machine, "jq")
    machine.command(work)
    machine.host.reboot(power_cut=True)
    machine.host.rollback(machine.host.deployments["rollback"].checksum)
    machine.host.reboot(power_cut=True)
    dispatch(["status"])
    page = capfd.readouterr().out
    assert "`atomicstate resume` stages it again" not in page
    assert page.count("is not staged again") == 1
    assert dispatch(["resume", "-y"]) == 0
    page = capfd.readouterr().out
    assert "went through" in page
    assert page.count("is not staged again") == 1


def test_the_page_before_the_question_names_what_is_taken_away(machine, capfd):
    applied(machine, "jq")
    applied(machine, "tree")
    assert dispatch(["rollback", "-y"]) == 0
    page = capfd.readouterr().out
    assert "add tree" in page
    assert "/etc is that deployment's own, as it was then" in page


def staged(machine, name):
    def work(session):
        proposal = packages.propose(session, "add", [name], live=False)
        packages.carry_out(session, proposal, SILENT)
        return apply.carry_out(session, apply.propose(session), SILENT)

    machine.command(work)


STAYS, WAS, MERGED = (
    "/etc stays as it is now",
    "/etc is that deployment's own, as it was then",
    "/etc is today's, merged",
)
TEXT = {"as-it-is": STAYS, "as-it-was": WAS, "merged": MERGED}


def etc_of(machine, capfd, *words):
    """Which /etc the page before the question tells, and the page."""
    status = dispatch(["rollback", "-y", *words])
    page = capfd.readouterr()
    assert status == 0, page.err
    told = [name for name, text in TEXT.items() if text in page.out]
    return told, page.out


def test_what_is_staged_goes_and_etc_stays_as_it_is(machine, capfd):
    staged(machine, "jq")
    told, page = etc_of(machine, capfd)
    assert told == ["as-it-is"]
    # It runs already.
    assert "reboot" not in page


def test_what_is_staged_goes_over_a_queued_rollback_whose_etc_is_as_it_was(machine, capfd):
    applied(machine, "jq")
    staged(machine, "tree")
    # Another tool queued a rollback behind what is staged.
    machine.host.queued = True
    told, page = etc_of(machine, capfd)
    assert told == ["as-it-was"]
    assert "what was staged is gone; reboot to start it" in page


def test_a_queued_rollback_is_taken_back_and_etc_stays_as_it_is(machine, capfd):
    applied(machine, "jq")
    etc_of(machine, capfd)
    booted = machine.host.deployments["booted"].checksum
    told, _page = etc_of(machine, capfd, "--to", booted[:12])
    assert told == ["as-it-is"]


def test_an_earlier_image_that_is_staged_again_gets_todays_etc(machine, capfd):
    first = applied(machine, "jq")
    applied(machine, "tree")
    applied(machine, "nano")
    told, _page = etc_of(machine, capfd, "--to", first.transaction)
    assert told == ["merged"]


def test_the_answer_tells_the_same_etc_as_the_page(machine, capfd):
    staged(machine, "jq")
    assert answered(capfd, "rollback", "-y")[1]["data"]["etc"] == "as-it-is"


def test_without_a_terminal_rollback_needs_yes(machine, capfd):
    applied(machine, "jq")
    status, answer = answered(capfd, "rollback")
    assert (status, answer["error"]["errorCode"]) == (2, "VALIDATION")
    assert not machine.host.queued


def test_a_run_that_fails_says_that_it_was_taken_back(machine, capfd):
    machine.command(
        lambda s: packages.carry_out(s, packages.propose(s, "add", ["jq"], live=False), SILENT)
    )
    machine.host.failing["build"] = ContainerError("podman exited 5")
    assert dispatch(["apply", "-y"]) == ContainerError.exit_status
    said = capfd.readouterr().err
    assert said.index("its changes were taken back") < said.index("podman exited 5")


def test_what_could_not_be_taken_back_is_named_and_what_to_do_about_it(machine, capfd):
    machine.command(
        lambda s: packages.carry_out(s, packages.propose(s, "add", ["jq"], live=False), SILENT)
    )
    machine.host.failing["stage"] = HostError("no commit today")
    machine.host.failing["remove"] = ContainerError("podman exited 125: busy\nto run it again: ...")
    assert dispatch(["apply", "-y"]) == HostError.exit_status
    hint = capfd.readouterr().err.splitlines()[-1]
    assert "podman exited 125: busy; `atomicstate abort` tries again" in hint
    dispatch(["status"])
    page = capfd.readouterr().out
    assert "was being taken back, and that stopped at the step build" in page
    assert "`atomicstate abort` goes on with that" in page
    assert "`atomicstate resume` goes on with it" not in page
    assert dispatch(["abort", "-y"]) == ContainerError.exit_status
    assert "`atomicstate abort` tries again" in capfd.readouterr().err
    machine.host.failing.clear()
    assert dispatch(["abort", "-y"]) == 0
