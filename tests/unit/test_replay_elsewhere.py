"""`replay` of an export, and what does not go together; the sandbox itself is tested for real."""

from __future__ import annotations

import json

import pytest

from atomicstate.cli.main import main
from atomicstate.engine import elsewhere, packages, replay
from atomicstate.engine.results import Silent
from atomicstate.engine.session import Session
from atomicstate.errors import NotFoundError, ValidationError
from atomicstate.events.event import Actor
from atomicstate.store import transfer
from tests.support.fakehost import fake_host
from tests.support.sessions import adopted

ACTOR = Actor(0, "root", -1, "replay")


@pytest.fixture
def machine(tmp_path):
    machine = adopted(tmp_path / "state", fake_host())
    for name in ("jq", "tree"):
        machine.command(lambda session, name=name: add(session, name))
    return machine


def add(session, name):
    proposal = packages.propose(session, "add", (name,), live=False)
    return packages.carry_out(session, proposal, Silent())


@pytest.fixture
def export(machine, tmp_path):
    def write(name, *, blobs=True):
        path = tmp_path / name
        machine.command(lambda s: transfer.export_file(s.state, path, blobs=blobs))
        return path

    return write


def test_an_export_is_derived_from_as_the_log_is(machine, export):
    here = machine.command(lambda s: replay.replay(s, "2"))
    with elsewhere.exported(export("log.jsonl"), None, ACTOR) as session:
        there = replay.replay(session, "2")
    assert (there.recipe, there.containerfile) == (here.recipe, here.containerfile)


def test_what_an_export_calls_booted_is_what_its_log_last_knew(export):
    with elsewhere.exported(export("log.jsonl"), None, ACTOR) as session:
        assert replay.replay(session, "booted").actions == ()


def test_an_export_of_events_alone_holds_no_recipe(export):
    with (
        pytest.raises(NotFoundError) as caught,
        elsewhere.exported(export("log.jsonl", blobs=False), None, ACTOR),
    ):
        pass
    assert "--blobs" in caught.value.hint


def test_nothing_is_left_of_an_export_that_was_looked_at(export, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    with elsewhere.exported(export("log.jsonl"), None, ACTOR) as session:
        session.system()
    assert not list((tmp_path / "temporary").iterdir())


def test_the_host_of_the_log_is_not_the_place_for_it(tmp_path):
    session = Session(tmp_path / "box/state", tmp_path / "box", ACTOR)
    with pytest.raises(ValidationError, match="is the host that the log is about"):
        elsewhere.check_target(session, tmp_path / "box/../box")
    elsewhere.check_target(session, tmp_path / "other")


@pytest.mark.parametrize(
    "options",
    [
        ["--sandbox", "there", "--restore"],
        ["--sandbox", "there", "--apply"],
        ["--sandbox", "there", "-m", "why"],
        ["--sandbox", ""],
        ["--log", "log.jsonl", "--restore"],
        ["--log", ""],
        ["-m", "why"],
    ],
    ids=" ".join,
)
def test_what_does_not_go_together_is_refused_and_nothing_recorded(machine, options, capsys):
    before = len(machine.events())
    words = ["--state-dir", str(machine.directory), "replay", "--to", "2", *options]
    assert main([*words, "-y", "-f", "json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["errorCode"] == "VALIDATION"
    assert len(machine.events()) == before


def test_it_asks_before_it_builds_elsewhere(machine, capsys, tmp_path):
    words = ["--state-dir", str(machine.directory), "replay", "--to", "2"]
    assert main([*words, "--sandbox", str(tmp_path / "there")]) == 2
    assert "no terminal" in capsys.readouterr().err
    assert not (tmp_path / "there").exists()
