"""`rollback` on the command line, over a host in memory."""

from __future__ import annotations

import json

import pytest

from atomicstate.cli import app as cli_app
from atomicstate.cli.dispatch import dispatch
from atomicstate.engine import apply, packages
from atomicstate.engine.results import Silent
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


def test_the_page_before_the_question_names_what_is_taken_away(machine, capfd):
    applied(machine, "jq")
    applied(machine, "tree")
    assert dispatch(["rollback", "-y"]) == 0
    page = capfd.readouterr().out
    assert "add tree" in page
    assert "/etc is that deployment's own, as it was then" in page


def test_without_a_terminal_rollback_needs_yes(machine, capfd):
    applied(machine, "jq")
    status, answer = answered(capfd, "rollback")
    assert (status, answer["error"]["errorCode"]) == (2, "VALIDATION")
    assert not machine.host.queued
