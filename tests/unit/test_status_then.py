"""`status --at`: what it showed then, told by the log alone."""

from __future__ import annotations

import msgspec
import pytest

from atomicstate.cli.render.status import status_text
from atomicstate.cli.terminal import Look
from atomicstate.engine import adopt, apply, base, packages, points, rollback, undo
from atomicstate.engine.results import Silent
from atomicstate.engine.status import status, status_at
from atomicstate.errors import NotFoundError
from tests.support.fakehost import fake_host
from tests.support.sessions import adopted

SILENT = Silent()


@pytest.fixture
def machine(tmp_path):
    return adopted(tmp_path / "state", fake_host())


def add(machine, name, *, live=False):
    def work(session):
        proposal = packages.propose(session, "add", [name], live=live)
        return packages.carry_out(session, proposal, SILENT).seq

    return machine.command(work)


def applied(machine):
    return machine.command(lambda s: apply.carry_out(s, apply.propose(s), SILENT)).transaction


def undone(machine, seq):
    machine.command(lambda s: undo.carry_out(s, undo.propose(s, "undo", [str(seq)]), SILENT))


def rolled_back(machine):
    machine.command(lambda s: rollback.carry_out(s, rollback.propose(s), SILENT))


def at(machine, word):
    def work(session):
        session.host.calls.clear()
        found = status_at(session, points.resolve(session, word))
        assert session.host.calls == []
        return found

    return machine.command(work)


def known(result):
    """What the log can tell of a status: not the names of images, nor what lies outside /usr."""
    host = result.host
    slots = [
        (slot.checksum, slot.transaction) if slot else None
        for slot in (host.booted, host.staged, host.rollback)
    ]
    plain = msgspec.to_builtins(result)
    for name in ("host", "residue"):
        del plain[name]
    return plain, slots, host.driver


def test_it_is_what_status_showed_then(machine):
    shown = []

    def look():
        found = machine.command(status)
        assert found.head.seq == len(machine.events())
        shown.append(known(found))

    tree = add(machine, "tree")
    look()
    add(machine, "jq", live=True)
    look()
    applied(machine)
    look()
    machine.host.reboot()
    add(machine, "nano")
    look()
    undone(machine, tree)
    look()
    applied(machine)
    look()
    machine.host.reboot()
    machine.command(lambda s: (s.observe(), s.record_news()))
    look()
    rolled_back(machine)
    # Said by what is observed with the next event.
    machine.command(lambda s: (s.observe(), s.record_news()))
    look()
    assert len({found[0]["state"] for found in shown}) > 2
    for found in shown:
        assert known(at(machine, f"#{found[0]['head']['seq']}")) == found


def test_what_was_under_way_then_was_not_cut_short(machine):
    add(machine, "tree")
    transaction = applied(machine)
    begun = next(event.seq for event in machine.events() if event.transaction == transaction)
    then = at(machine, str(begun + 3))
    assert then.state == "configured"
    assert [(item.transaction, item.running) for item in then.unfinished] == [(transaction, True)]
    assert "resume" not in status_text(then, Look())


def test_a_deployment_is_the_moment_when_it_was_staged(machine):
    add(machine, "tree")
    transaction = applied(machine)
    last = len(machine.events())
    add(machine, "nano")
    then = at(machine, "staged")
    assert then.head.seq == last
    assert then.pending == []
    assert then.host.staged.transaction == transaction
    assert at(machine, "booted").head.seq == 1


def test_a_foreign_and_an_adopted_deployment_are_named(machine):
    machine.host.stage(machine.host._image("foreign", {}, frozenset({"bash"})))
    machine.command(lambda s: (s.observe(), s.record_news()))
    seen = len(machine.events())
    machine.command(lambda s: adopt.adopt(s, SILENT))
    machine.host.reboot()
    machine.command(lambda s: (s.observe(), s.record_news()))
    assert at(machine, str(seen)).host.staged.image == "not made by atomicstate"
    assert at(machine, "HEAD").host.booted.image == "foreign"
    assert at(machine, "booted").head.seq == seen + 1


def test_the_base_is_that_of_then(machine):
    machine.host._image("localhost/other:1", {}, frozenset({"bash", "coreutils"}))
    machine.command(lambda s: base.record(s, base.propose(s, "localhost/other:1"), SILENT))
    assert at(machine, "HEAD").base == "localhost/other:1"
    assert at(machine, "HEAD~1").base == "localhost/base:test"


@pytest.mark.parametrize("word", ["0", "99", "2001-01-01", "nonsense", "rollback"])
def test_before_the_first_event_there_is_nothing(machine, word):
    before = len(machine.events())
    with pytest.raises(NotFoundError):
        at(machine, word)
    assert len(machine.events()) == before
